#!/bin/sh
# Unit tests under valgrind: no error, no leak, no descriptor left open.
# usage: tools/valgrind.sh BUILDDIR TEST...
# PRONG_SPAWN=fork: valgrind cannot follow a clone that shares memory.
# A forked child ends by _exit() with all that its host had: only the host is asked for leaks,
# while nobody may touch what is not there.  So each process has a log, and its own status.
set -eu
build=$1
shift
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
for t in "$@"; do
	rm -f "$logs"/*
	PRONG_SPAWN=fork valgrind -q --leak-check=full --track-fds=yes --trace-children=no \
		--log-file="$logs/%p" "$build/test_$t" >"$logs/out" 2>&1 & host=$!
	bad=
	wait "$host" || bad=yes
	if [ "$bad" ] || grep -q 'blocks are definitely lost' "$logs/$host" ||
	   grep -A1 'Open file descriptor' "$logs/$host" | grep -q ' at 0x' ||
	   grep -Eq 'Invalid (read|write|free)|uninitialised|Mismatched' "$logs"/[0-9]*; then
		cat "$logs/out" >&2
		cat "$logs/$host" >&2
		grep -EA8 'Invalid (read|write|free)|uninitialised|Mismatched' "$logs"/[0-9]* >&2 || :
		echo "valgrind: test_$t in $build" >&2
		exit 1
	fi
	echo "valgrind: test_$t is clean"
done
