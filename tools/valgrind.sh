#!/bin/sh
# Unit tests under valgrind: no error, no leak, no descriptor left open.
# usage: tools/valgrind.sh BUILDDIR TEST...
# PRONG_SPAWN=fork: valgrind cannot follow a clone that shares memory.
set -eu
build=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for t in "$@"; do
	if ! PRONG_SPAWN=fork valgrind -q --error-exitcode=9 --leak-check=full --track-fds=yes \
		--child-silent-after-fork=yes --trace-children=no "$build/test_$t" >"$log" 2>&1 ||
	   grep -A1 'Open file descriptor' "$log" | grep -q ' at 0x'; then
		grep -v 'unhandled amd64-linux syscall\|^--[0-9]*-- ' "$log" >&2
		echo "valgrind: test_$t in $build" >&2
		exit 1
	fi
	echo "valgrind: test_$t is clean"
done
