#!/bin/sh
# Random templates and bytes for ever, or for SECONDS; the failing seed is printed.
set -eu
end=$(($(date +%s) + ${1:-1000000}))
while [ "$(date +%s)" -lt "$end" ]; do
	PRONG_SEED=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
	export PRONG_SEED
	echo "seed $PRONG_SEED"
	/usr/bin/python3 -m pytest -q -x -p no:cacheprovider tests/cli/test_bytes.py | tail -1
done
