"""At most five at a time.  usage: at_most_five.py SECONDS..."""
import sys
import time

import prong

most = 0
with prong.Pool(jobs=5) as pool:
    for s in sys.argv[1:]:
        pool.submit(time.sleep, float(s))
        most = max(most, pool.running)
    for r in pool:
        print(f"task {r.index} is done, {pool.running + pool.waiting} still run or wait")
print(f"at most {most} ran at a time")
