"""How many still run?  Look without blocking, and do something else meanwhile.
usage: still_running.py SECONDS..."""
import sys
import time

import prong

with prong.Pool(jobs=len(sys.argv)) as pool:
    for s in sys.argv[1:]:
        pool.submit(time.sleep, float(s))
    shown = None
    while shown != 0:
        pool.poll()  # never waits
        if pool.running != shown:
            shown = pool.running
            print(f"{shown} still running")
        time.sleep(0.01)  # something else
