#!/bin/sh
# Unit tests under valgrind: no error, no leak, no descriptor left open.
# usage: tools/valgrind.sh BUILDDIR TEST...
# PRONG_SPAWN=fork: valgrind cannot follow a clone that shares memory.  So test_apart has
# nothing to see there; and an exec that the kernel refuses late ends valgrind, not the call.
# A forked child ends by _exit() with all that its host had: only the host is asked for leaks,
# while nobody may touch what is not there.  Valgrind's lines name the process; a log for each
# would be one more descriptor in a child, where tests count them.
set -eu
build=$1
shift
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
export UNDER_VALGRIND=1 PRONG_SPAWN=fork
for t in "$@"; do
	valgrind -q --leak-check=full --track-fds=yes --trace-children=no \
		"$build/test_$t" >"$logs/out" 2>"$logs/all" & host=$!
	bad=
	wait "$host" || bad=yes
	grep "^==$host==" "$logs/all" >"$logs/host" || :
	if [ "$bad" ] || grep -q 'blocks are definitely lost' "$logs/host" ||
	   grep -A1 'Open file descriptor' "$logs/host" | grep -q ' at 0x' ||
	   grep -Eq '^==.*(Invalid (read|write|free)|uninitialised|Mismatched)' "$logs/all"; then
		cat "$logs/out" "$logs/host" >&2
		grep -EA8 'Invalid (read|write|free)|uninitialised|Mismatched|ERROR|FAILED' "$logs/all" >&2 || :
		echo "valgrind: test_$t in $build" >&2
		exit 1
	fi
	echo "valgrind: test_$t is clean"
done
