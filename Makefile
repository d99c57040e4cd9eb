# The front door: everything is done by meson in build/.
BUILD = build
PYTEST = $(shell for p in /usr/bin/python3 python3; do $$p -c 'import pytest' 2>/dev/null && echo $$p && break; done)

.PHONY: all setup try check lint asan valgrind install clean

all: setup
	@test -d $(BUILD) || meson setup $(BUILD) --buildtype=release -Dtests=enabled
	@ninja -C $(BUILD)

setup:
	@tools/setup.sh

try: all
	@tools/try.sh $(BUILD)/prong

check: all
	@meson test -C $(BUILD) --print-errorlogs

lint: all
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability \
	  --inline-suppr --suppress=normalCheckLevelMaxBranches --suppress=missingIncludeSystem -D_GNU_SOURCE \
	  -Iinclude -Irun -Icmd -Ilib lib run cmd

asan:
	@test -d build-asan || CC=gcc meson setup build-asan -Dtests=enabled \
	  -Db_sanitize=address,undefined -Db_lundef=false
	@ninja -C build-asan && meson test -C build-asan --print-errorlogs

valgrind: all
	PRONG_SPAWN=fork valgrind -q --error-exitcode=9 --leak-check=full --track-fds=yes \
	  --trace-children=no $(BUILD)/test_pool

install: all
	meson install -C $(BUILD)

clean:
	rm -rf build build-asan build-clang
