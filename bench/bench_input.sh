#!/bin/sh
# bench_input.sh PRONG: -X of 10 million short lines beside xargs, --colsep of a million rows, and
# the memory of -X on 2 GB.  Interleaved, three rounds; GNU parallel, where it is installed, gets a
# fiftieth of the rows and its time is given as it is.
set -eu
prong=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
seq 10000000 >"$dir/lines"
seq 1000000 | awk '{ print $1 "," 2 * $1 "," 3 * $1 }' >"$dir/rows"
head -n 20000 "$dir/rows" >"$dir/few"
took() { # LABEL COMMAND...: wall, user and system seconds
	label=$1
	shift
	/usr/bin/time -o "$dir/time" -f '%e s, %U user, %S system, %M KiB' "$@" >/dev/null || :
	printf '%-38s %s\n' "$label" "$(tail -n 1 "$dir/time")"
}
for round in 1 2 3; do
	took "xargs -P2, 10 M lines" xargs -a "$dir/lines" -P2 /bin/true
	took "prong -X -j2, 10 M lines" "$prong" -X -j2 -a "$dir/lines" /bin/true
	took "prong --as-xargs -P2, 10 M lines" "$prong" --as-xargs -a "$dir/lines" -P2 /bin/true
	took "prong --colsep, 1 M rows" "$prong" --colsep , --dry-run -a "$dir/rows" echo '{1}' '{3}'
	took "prong --colsep, 20 k rows" "$prong" --colsep , --dry-run -a "$dir/few" echo '{1}' '{3}'
	took "prong {= =}, 1 M jobs, dry" "$prong" --dry-run -a "$dir/rows" echo '{= s/,.*// =}'
done
if command -v parallel >/dev/null; then
	took "GNU parallel --colsep, 20 k rows" parallel --colsep , --dry-run -a "$dir/few" echo '{1}' '{3}'
fi
took "prong -X, 2 GB" sh -c "yes 'a line of some forty bytes, as in a log' | head -c 2000000000 | '$prong' -X -j2 /bin/true"
