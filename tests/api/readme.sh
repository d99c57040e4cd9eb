#!/bin/sh
# The README's C program compiles without a warning against what `meson install` installs, by
# pkg-config alone, dynamically and statically, and runs.  usage: readme.sh BUILDDIR
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
DESTDIR=$tmp/root meson install -C "$build" --no-rebuild >/dev/null
pc=$(find "$tmp/root" -name prong.pc)
export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$tmp/root"
tools/readme-example.sh > "$tmp/example.c"
# shellcheck disable=SC2046
cc -std=c99 -Wall -Wextra -Wpedantic -Werror -o "$tmp/example" "$tmp/example.c" \
	$(pkg-config --cflags --libs prong)
LD_LIBRARY_PATH=$(dirname "${pc%/*}") "$tmp/example" > "$tmp/out"
grep -c '^exit 0' "$tmp/out" | grep -qx 12
tail -1 "$tmp/out" | grep -qx 'exit 0, 0 still run'
echo 'int main(void) { return 0; }' > "$tmp/empty.c"
if cc -static -o "$tmp/empty" "$tmp/empty.c" 2>/dev/null; then
	# shellcheck disable=SC2046
	cc -o "$tmp/static" "$tmp/example.c" -static $(pkg-config --cflags --libs --static prong)
	"$tmp/static" | tail -1 | grep -qx 'exit 0, 0 still run'
else
	echo 'no static libc here: not tried' >&2
fi
for page in prong.3 prong_submit.3 prong_wait.3 prong.1 prong-sem.1 prong-xargs.1 prong.bash.1; do
	find -L "$tmp/root" -name "$page" -type f | grep -q .
done
