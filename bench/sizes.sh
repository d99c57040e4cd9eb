#!/bin/sh
# Sizes of the stripped command and library.  usage: bench/sizes.sh BUILDDIR...
set -eu
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
for build in "$@"; do
	for f in "$build/prong" "$build"/libprong.so.?; do
		[ -e "$f" ] || continue
		strip -o "$tmp" "$f"
		printf '%8d KiB  %s\n' "$(($(stat -c %s "$tmp") / 1024))" "$f"
	done
done
