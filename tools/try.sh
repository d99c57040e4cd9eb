#!/bin/sh
# The main job on real files: hash a few thousand, five at a time, in order; check the sums.
set -eu
prong=$1
out=$(mktemp)
list=$(mktemp)
trap 'rm -f "$out" "$list"' EXIT
find /usr/include /usr/share/doc -type f 2>/dev/null | head -4000 >"$list"
"$prong" -j5 -k --bar --summary sha256sum <"$list" >"$out"
sha256sum --check --quiet "$out"
echo "$(wc -l <"$out") files hashed five at a time, in order, and verified."
