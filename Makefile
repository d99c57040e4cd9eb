# The front door: everything is done by meson in build/.
BUILD = build
SOURCES = $(wildcard lib/*.c run/*.c cmd/*.c)

.PHONY: all setup try check lint fmt asan valgrind fuzz bench install clean

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
	  --inline-suppr --suppress=normalCheckLevelMaxBranches --suppress=missingIncludeSystem \
	  -D_GNU_SOURCE -Iinclude -Irun -Icmd -Ilib lib run cmd
	clang-tidy --quiet -p $(BUILD) $(SOURCES) 2>/dev/null

fmt:
	git diff -U0 --no-color HEAD -- '*.c' '*.h' | clang-format-diff -p1 -i

asan:
	@test -d build-asan || CC=gcc meson setup build-asan --werror -Dtests=enabled \
	  -Db_sanitize=address,undefined -Db_lundef=false
	@ninja -C build-asan && meson test -C build-asan --print-errorlogs --suite unit --suite cli

valgrind: all
	PRONG_SPAWN=fork valgrind -q --error-exitcode=9 --leak-check=full --track-fds=yes \
	  --trace-children=no $(BUILD)/test_pool

fuzz: all
	PRONG=$(CURDIR)/$(BUILD)/prong ARGDUMP=$(CURDIR)/$(BUILD)/argdump tools/fuzz.sh $(SECONDS)

bench: all
	/usr/bin/python3 bench/bench.py prong=$(BUILD)/prong

install: all
	meson install -C $(BUILD)

clean:
	rm -rf build build-asan build-clang
