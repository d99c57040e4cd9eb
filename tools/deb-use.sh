#!/bin/sh
# Do with the packages of DIRECTORY what a stranger would, then purge them; nothing may be left.
# five.c is the README's program, how says how it is compiled. "fresh": a root made for this, where
# no file was left out at installation.  usage: deb-use.sh DIRECTORY [fresh] (root)
set -eu
cd "$1"
fresh=${2-}
export DEBIAN_FRONTEND=noninteractive
fail() {
	echo "deb-use: $*" >&2
	exit 1
}

traces() {
	find /etc /usr /var/lib/dpkg/info -xdev -name '*prong*' | sort
}

purge() {
	apt-get purge -y -qq prong libprong1 libprong-dev python3-prong >log 2>&1
}

use_library() {
	echo "$ $(cat how)"
	sh -eu ./how
	ldd a.out | grep libprong.so.1 || fail "not linked with libprong.so.1"
	./a.out | tee result
	[ "$(grep -c '^exit 0' result)" -eq 12 ] || fail "five.c: not twelve jobs"
	[ "$(tail -1 result)" = 'exit 0, 0 still run' ] || fail "five.c: the last job"
	# shellcheck disable=SC2046
	cc -Wall -Wextra -Werror -o static five.c -static $(pkg-config --cflags --libs --static prong)
	[ "$(./static | tail -1)" = 'exit 0, 0 still run' ] || fail "five.c: linked statically"
}

# What the package has in /usr/bin.
programs() {
	dpkg -L prong | sed -n 's,^/usr/bin/,,p'
}

use_programs() {
	[ "$(prong -j2 -k echo '{}' ::: a b c)" = "$(printf 'a\nb\nc')" ] || fail "prong: wrong output"
	[ "$(echo a b | prong-xargs echo)" = 'a b' ] || fail "prong-xargs: wrong output"
	[ "$(bash -c '. prong.bash; parset v echo ::: it runs; echo ${v[1]}')" = runs ] || fail parset
	for program in $(programs | grep -v '\.bash$'); do
		"$program" --help | grep -q . || fail "$program --help"
	done
	echo "programs: $(programs | tr '\n' ' ')"
}

# Where packages are installed without their pages (containers), their list has to do.
pages() {
	for page in $(programs | sed 's,.*,/usr/share/man/man1/&.1.gz,') \
		/usr/share/man/man3/prong.3.gz /usr/share/man/man3/prong_submit.3.gz; do
		dpkg -L prong libprong-dev | grep -qx "$page" || fail "no $page"
		[ -z "$fresh" ] || gzip -t "$page"
	done
}

traces > before
trap purge EXIT
apt-get install -y -qq --no-install-recommends ./*.deb >log 2>&1 || { cat log; exit 1; }
use_library
use_programs
[ "$(/usr/bin/python3 -c 'import prong; print(prong.map(abs, [-1, 2]))')" = '[1, 2]' ] ||
	fail "python3-prong: wrong output"
pages
trap - EXIT
purge || { cat log; exit 1; }
traces | diff before - || fail "left after apt-get purge"
echo "used and purged: nothing is left"
