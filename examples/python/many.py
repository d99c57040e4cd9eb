"""Many small tasks for a few standing workers.  usage: many.py N"""
import sys

import prong

n = int(sys.argv[1])
print(f"sum of the squares up to {n}: {sum(prong.map(lambda x: x * x, range(n + 1)))}")
