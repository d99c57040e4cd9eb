"""Tell parent from child.  The block under `if child` runs in the child only and ends it: a
child can not run on into its parent's loop."""
import os

import prong

print(f"the parent is {os.getpid()}")
for i in range(7):
    with prong.fork() as child:
        if child:
            print(f"child {i} is {os.getpid()}, of parent {os.getppid()}")
            raise SystemExit(i)
for i, end in enumerate(prong.wait_all(), 1):
    print(f"child number {i} ended with status {end.status}")
