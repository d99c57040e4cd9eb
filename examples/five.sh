#!/bin/sh
# At most five at a time; how many still run is asked with a signal, without blocking.
prong -j5 sleep ::: "$@" &
run=$!
sleep 0.3
kill -USR2 "$run" # prints: prong: N done, M failed, K running
wait "$run"
