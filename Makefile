# The front door: everything is done by meson in build/.
BUILD = build
SOURCES = $(wildcard lib/*.c run/*.c cmd/*.c)

.PHONY: all setup try check lint fmt asan asan-python tsan valgrind posix musl static abi docs deb fuzz bench bench-lib \
  install clean

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
	@$(BUILD)/prong clang-tidy --quiet -p $(BUILD) {} 2\>/dev/null ::: $(SOURCES)

fmt:
	git diff -U0 --no-color HEAD -- '*.c' '*.h' | clang-format-diff -p1 -i

asan:
	@test -d build-asan || CC=gcc meson setup build-asan --werror -Dtests=enabled \
	  -Db_sanitize=address,undefined -Db_lundef=false
	@ninja -C build-asan && meson test -C build-asan --print-errorlogs --suite unit --suite cli

# The extension under ASan, then Python's own checks of memory and unclosed files.
PYTEST = -m pytest -q -p no:cacheprovider $(addprefix tests/python/test_,errors.py executor.py map.py mp_face.py)
asan-python: all
	@test -d build-asan || CC=gcc meson setup build-asan --werror -Dtests=enabled \
	  -Db_sanitize=address,undefined -Db_lundef=false
	@ninja -C build-asan python/_prong.abi3.so
	LD_PRELOAD=$$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \
	  PYTHONPATH=build-asan/python:python /usr/bin/python3 $(PYTEST)
	PYTHONMALLOC=debug PYTHONPATH=$(BUILD)/python:python \
	  /usr/bin/python3 -X dev -W error::ResourceWarning $(PYTEST)

# A fork for each job: what a child with shared memory does to signals, TSan takes for ours.
tsan:
	@test -d build-tsan || CC=gcc meson setup build-tsan --werror -Dtests=enabled \
	  -Db_sanitize=thread -Db_lundef=false -Dpython=disabled # the module has fences, which TSan lacks
	@ninja -C build-tsan && PRONG_SPAWN=fork meson test -C build-tsan --print-errorlogs --suite unit

valgrind: all posix
	tools/valgrind.sh $(BUILD) misuse pool watch sigchld virtual engines worker functions \
	  joblog progress sink starts target
	tools/valgrind.sh build-posix misuse pool watch sigchld functions

# Other systems' ways: libprong of POSIX calls; everything static, by musl and by glibc.
posix:
	@test -d build-posix || meson setup build-posix --buildtype=release --werror -Dtests=enabled \
	  -Dlib_backend=posix
	@ninja -C build-posix

musl:
	@test -d build-musl || CC=musl-gcc meson setup build-musl --buildtype=release --werror \
	  -Dauto_features=disabled -Dstatic=true
	@ninja -C build-musl

static:
	@test -d build-static || meson setup build-static --buildtype=release --werror \
	  -Dtests=disabled -Dstatic=true
	@ninja -C build-static

# Record symbols and layouts on purpose: the tests compare with the record.
abi: all
	tools/abi.py --update include/prong.h $(BUILD)/libprong.so tests/api/abi
	@git --no-pager diff --stat tests/api/abi

docs: all
	tools/docs.sh $(BUILD)
	/usr/bin/env python3 tools/python_docs.py $(BUILD) $(BUILD)/docs

deb:
	tools/deb.sh

MINUTES = 10
fuzz: all
	@test -d build-fuzz || CC=clang meson setup build-fuzz -Dfuzz=true -Dtests=disabled \
	  -Db_sanitize=address,undefined -Db_lundef=false
	@ninja -C build-fuzz
	PRONG=$(CURDIR)/$(BUILD)/prong ARGDUMP=$(CURDIR)/$(BUILD)/argdump tools/fuzz.sh build-fuzz $(MINUTES)

bench-lib: all
	@ninja -C $(BUILD) bench_lib && $(BUILD)/bench_lib 5 1

bench: all
	/usr/bin/python3 bench/bench.py prong=$(BUILD)/prong
	/usr/bin/python3 bench/bench_pipe.py --prong $(BUILD)/prong

install: all
	meson install -C $(BUILD)

clean:
	rm -rf build build-asan build-clang build-tsan build-posix build-musl build-static
