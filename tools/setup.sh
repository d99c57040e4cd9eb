#!/bin/sh
# Install what the build and the tests need, if it is not there (Debian 12 names).
set -eu
need=
have() { command -v "$1" >/dev/null 2>&1; }
have meson || need="$need meson"
have ninja || need="$need ninja-build"
have gcc || need="$need gcc libc6-dev"
have pkg-config || need="$need pkg-config"
have zsh || need="$need zsh"
have ksh || need="$need ksh"
have tcsh || need="$need tcsh"
have dash || need="$need dash"
have fish || need="$need fish"
pkg-config --exists cmocka 2>/dev/null || need="$need libcmocka-dev"
pkg-config --exists libpcre2-8 2>/dev/null || need="$need libpcre2-dev"
pkg-config --exists sqlite3 2>/dev/null || need="$need libsqlite3-dev"
pkg-config --exists libuv 2>/dev/null || need="$need libuv1-dev"
pkg-config --exists glib-2.0 2>/dev/null || need="$need libglib2.0-dev"
have strace || need="$need strace"
for module in pytest numpy joblib; do
	/usr/bin/python3 -c "import $module" 2>/dev/null || need="$need python3-$module"
done
# the tests of CPython itself, which prong.Executor is run against
/usr/bin/python3 -c 'import test.test_concurrent_futures' 2>/dev/null ||
	need="$need lib$(readlink -f /usr/bin/python3 | xargs basename)-testsuite"
for extra in "$@"; do # COMMAND or COMMAND=PACKAGE
	have "${extra%%=*}" || need="$need ${extra#*=}"
done
[ -n "$need" ] || exit 0
if [ "$(id -u)" -eq 0 ]; then sudo=; elif have sudo; then sudo=sudo; else
	echo "please install: apt-get install$need" >&2
	exit 1
fi
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need >/dev/null
