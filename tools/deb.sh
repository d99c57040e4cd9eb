#!/usr/bin/env bash
# Build the Debian packages from what is tracked; lintian, if it is here, must find no error.
# --try: install, use and purge them here (root). --fresh: the same in a new root of the archives
# that apt uses here, which is deleted again (root, mmdebstrap); status 77: none can be made here.
# usage: tools/deb.sh [--try | --fresh] [DIRECTORY for the packages, default build/deb]
set -euo pipefail
cd "$(dirname "$0")/.."
mode=
case ${1-} in --try | --fresh) mode=${1#--}; shift ;; esac
out=${1:-build/deb}
mkdir -p "$out"
out=$(cd "$out" && pwd)
tmp=$(mktemp -d)
maker= # the process that makes the new root
# Its child is the first of its namespaces: with that one go all processes and mounts below.
cleanup() {
	if [ -n "$maker" ]; then
		# shellcheck disable=SC2046
		kill -KILL $(cat "/proc/$maker/task/$maker/children") || :
		wait "$maker" || :
	fi 2>/dev/null
	rm -rf --one-file-system "$tmp"
}
trap cleanup EXIT

build() {
	mkdir "$tmp/prong"
	git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$tmp/prong"
	# The system's python3, whatever else is in front of it here.
	(cd "$tmp/prong" && PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		dpkg-buildpackage -b -us -uc >"$tmp/log" 2>&1) || { tail -40 "$tmp/log"; exit 1; }
	rm -f "$out"/*.deb
	cp "$tmp"/*.deb "$out"
	ls -1 "$out"
	if command -v lintian >/dev/null; then
		lintian --allow-root --fail-on error "$out"/*.deb
	fi
}

# What deb-use.sh needs: the packages, the README's program, and how the README compiles it.
collect() {
	mkdir "$tmp/use"
	cp "$out"/*.deb tools/deb-use.sh "$tmp/use"
	rm -f "$tmp"/use/*-dbgsym_*
	tools/readme-example.sh > "$tmp/use/five.c"
	tools/readme-example.sh --how > "$tmp/use/how"
}

cannot() {
	echo "no new root here: $1" >&2
	exit 77
}

# The archives of this distribution that apt uses here, and how it gets to them.
archives() {
	apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
		"Origin: $(dpkg-vendor --query vendor)" | sort -u > "$tmp/sources.list"
	[ -s "$tmp/sources.list" ] || cannot "apt has no list of an archive (apt-get update?)"
	apt-config dump | grep -iE '^Acquire::https?::' > "$tmp/apt.conf" || :
}

check_fresh() {
	[ "$(id -u)" -eq 0 ] || cannot "that takes root"
	command -v mmdebstrap >/dev/null || cannot "that takes mmdebstrap"
	unshare --mount --pid --fork true 2>/dev/null || cannot "namespaces are refused"
	archives
}

# No compiler's headers: that libprong-dev brings them is one of the things to see.
fresh() {
	chmod 755 "$tmp" # apt reads it as another user
	TMPDIR=$tmp unshare --mount --pid --fork --kill-child --mount-proc \
		mmdebstrap --quiet --mode=root --variant=minbase --format=null --include=gcc,pkg-config \
		--aptopt="$tmp/apt.conf" \
		--customize-hook="copy-in '$tmp/use' /" --customize-hook="touch '$tmp/made'" \
		--customize-hook="env -u APT_CONFIG -u TMPDIR chroot \"\$1\" sh /use/deb-use.sh /use fresh \
			>'$tmp/used' 2>&1" \
		'' /dev/null "$tmp/sources.list" >"$tmp/log" 2>&1 &
	maker=$!
	status=0
	wait "$maker" || status=$?
	maker=
	[ ! -e "$tmp/used" ] || cat "$tmp/used"
	[ $status -ne 0 ] || return 0
	[ -e "$tmp/made" ] || cannot "mmdebstrap: $(grep -m 1 '^E: ' "$tmp/log")"
	[ -e "$tmp/used" ] || cat "$tmp/log"
	exit 1
}

try() {
	if dpkg -s libprong1 prong 2>/dev/null | grep -q '^Status: install'; then
		echo "prong is installed already: not tried" >&2
		exit 1
	fi
	sh "$tmp/use/deb-use.sh" "$tmp/use"
}

[ "$mode" != fresh ] || check_fresh
build
[ -n "$mode" ] || exit 0
collect
$mode
