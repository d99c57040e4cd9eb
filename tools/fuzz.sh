#!/bin/sh
# Usage: fuzz.sh BUILD MINUTES: each libFuzzer target that long (fractions allowed), then random
# templates and bytes against the command as long.  Findings stay in BUILD/findings.
set -eu
cd "$(dirname "$0")/.."
build=$1
seconds=$(awk "BEGIN { s = int($2 * 60); print (s > 0 ? s : 1) }")
mkdir -p "$build/findings"
for target in "$build"/tests/fuzz/fuzz_*; do
	[ -x "$target" ] && [ -f "$target" ] || continue
	name=${target##*/fuzz_}
	found=$build/corpus/$name
	mkdir -p "$found"
	echo "fuzz $name: $seconds s"
	leaks=1
	[ "$name" = options ] && leaks=0 # they live as long as the process, which is one command
	# what is found goes to the build; the corpus in the tree is only read
	report=$build/findings/$name-report # standard error is what the target of the options reads
	: >"$build/findings/$name.log"
	over=$(($(date +%s) + seconds))
	while left=$((over - $(date +%s))) && [ "$left" -gt 0 ]; do
		# anew after a million tries: what an option keeps for the process is never freed
		ASAN_OPTIONS=detect_leaks=$leaks:log_path=$report UBSAN_OPTIONS=log_path=$report "$target" \
			-max_total_time="$left" -runs=1000000 -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
			-print_final_stats=1 -artifact_prefix="$build/findings/$name-" \
			"$found" "tests/fuzz/corpus/$name" >>"$build/findings/$name.log" 2>&1 || {
			tail -40 "$build/findings/$name.log"
			cat "$report"* 2>/dev/null
			exit 1
		}
	done
	awk '/^stat::number_of_executed_units:/ { n += $2 } END { print "  tries: " n }' "$build/findings/$name.log"
done
[ -n "${PRONG:-}" ] || exit 0
end=$(($(date +%s) + seconds))
while [ "$(date +%s)" -lt "$end" ]; do
	PRONG_SEED=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
	export PRONG_SEED
	echo "seed $PRONG_SEED"
	/usr/bin/python3 -m pytest -q -x -p no:cacheprovider tests/cli/test_bytes.py | tail -1
done
