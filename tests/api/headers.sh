#!/bin/sh
# prong.h compiles alone, as C99, C11 and C++, with every compiler there is; so does each
# private header.  PRONG_SPEC is C only: in C++ one fills a struct prong_spec.
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
warn='-Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iinclude'
cat > "$tmp/use.c" <<'END'
#include <prong.h>
#include <prong.h>
int main(void)
{
	struct prong *p;
	struct prong_options o = { .size = sizeof o, .jobs = 2, .flags = PRONG_NO_HANDLERS };
	int64_t id;
	char *argv[] = { "true", NULL };
	if (prong_open(&p, &o) == 0 && prong_submit(p, PRONG_SPEC(.argv = argv)) > 0)
		prong_close(p);
	PRONG_CHILD(p, NULL, id)
		prong_leave(3);
	return id < 0;
}
END
cat > "$tmp/use.cc" <<'END'
#include <prong.h>
#include <prong.h>
int main()
{
	struct prong *p;
	struct prong_options o = prong_options();
	struct prong_spec s = prong_spec();
	char name[] = "true", *argv[] = { name, nullptr };
	o.size = sizeof o;
	o.flags = PRONG_REAP_STRAYS | PRONG_NO_HANDLERS;
	s.size = sizeof s;
	s.argv = argv;
	s.flags = PRONG_SWEEP | PRONG_KEEP_FDS;
	s.out.how = PRONG_NULL;
	if (prong_open(&p, &o) == 0 && prong_submit(p, &s) > 0)
		prong_close(p);
	int64_t id;
	PRONG_CHILD(p, nullptr, id)
		prong_leave(3);
}
END
tried=0
for cc in gcc clang musl-gcc; do
	command -v $cc >/dev/null || { echo "$cc is not here" >&2; continue; }
	for std in c99 c11 gnu17; do
		# shellcheck disable=SC2086
		$cc -std=$std $warn "$tmp/use.c"
		tried=$((tried + 1))
	done
	for h in lib/*.h; do
		printf '#include "%s"\n' "$PWD/$h" > "$tmp/alone.c"
		# shellcheck disable=SC2086
		$cc -std=c11 -D_GNU_SOURCE $warn -Ilib "$tmp/alone.c"
	done
done
for cxx in g++ clang++; do
	command -v $cxx >/dev/null || { echo "$cxx is not here" >&2; continue; }
	for std in c++11 c++17 c++20; do
		# shellcheck disable=SC2086
		$cxx -std=$std $warn "$tmp/use.cc"
		tried=$((tried + 1))
	done
done
echo "$tried compilations"
[ "$tried" -gt 2 ]
