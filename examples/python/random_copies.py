"""Forked copies of a generator would draw the same numbers (numpy's does under
multiprocessing).  With prong every child draws its own; with a seed, the same ones in every
run, however many workers there are.  usage: random_copies.py [SEED]"""
import random
import sys

import prong

seed = int(sys.argv[1]) if len(sys.argv) > 1 else None
for i, n in enumerate(prong.map(lambda _: random.randrange(10**9), range(7), jobs=3, chunk=1, seed=seed), 1):
    print(f"child {i} drew {n}")
