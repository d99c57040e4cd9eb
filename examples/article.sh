#!/bin/sh
# Seven processes, each writes its own file; wait for all and tell the time it took.
begin=$(date +%s)
prong -j7 'echo "child {} is process $$ of parent $PPID" > child-{}.txt' ::: 0 1 2 3 4 5 6
echo "all done after $(($(date +%s) - begin)) s, status $?"
