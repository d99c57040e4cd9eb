#!/usr/bin/env bash
# Build the Debian packages from what is tracked; with --try, install them, use them the way
# a stranger would (the program of the README), and remove them again (root).
# usage: tools/deb.sh [--try] [DIRECTORY for the packages, default build/deb]
set -euo pipefail
cd "$(dirname "$0")/.."
try=
if [ "${1-}" = --try ]; then try=1; shift; fi
out=${1:-build/deb}
mkdir -p "$out"
out=$(cd "$out" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/prong"
git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$tmp/prong"
# The system's python3, whatever else is in front of it here.
(cd "$tmp/prong" && PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg-buildpackage -b -us -uc >"$tmp/log" 2>&1) || { tail -40 "$tmp/log"; exit 1; }
rm -f "$out"/*.deb
cp "$tmp"/*.deb "$out"
ls -1 "$out"
[ -n "$try" ] || exit 0
if dpkg -s libprong1 prong 2>/dev/null | grep -q '^Status: install'; then
	echo "prong is installed already: not tried" >&2
	exit 1
fi
trap 'apt-get remove -y -qq prong libprong1 libprong-dev python3-prong >/dev/null; rm -rf "$tmp"' EXIT
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends "$out"/libprong1_*.deb "$out"/libprong-dev_*.deb \
	"$out"/prong_*.deb "$out"/python3-prong_*.deb >/dev/null
tools/readme-example.sh > "$tmp/example.c"
cd "$tmp"
# shellcheck disable=SC2046
cc -Wall -Wextra -Werror -o example example.c $(pkg-config --cflags --libs prong)
ldd example | grep libprong
./example
# shellcheck disable=SC2046
cc -o example-static example.c -static $(pkg-config --cflags --libs --static prong)
./example-static | tail -1
/usr/bin/prong -k echo ::: it runs
/usr/bin/python3 -c "import prong; print(sorted(prong.map(abs, [-1, 2])))"
man -w 3 prong_submit 1 prong >/dev/null 2>&1 || dpkg -L libprong-dev | grep -q 'man3/prong_submit.3'
