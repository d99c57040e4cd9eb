#!/usr/bin/env python3
"""The article's programs with `import prong`: children at once, never more than five, which of
them run still, what each of them returned, and different random numbers in each."""

import random
import time

import prong


def many(n: int = 7) -> None:
    """n children at once; each is told apart, the parent waits for all."""
    for i in range(n):
        with prong.fork() as child:
            if child:
                print(f"child {i}")
    print(f"{len(prong.wait_all())} children have ended")


def at_most_five(n: int = 12) -> None:
    """Never more than five."""
    most = 0
    with prong.Pool(jobs=5) as pool:
        for _ in range(n):
            pool.submit(time.sleep, 0.02)
            most = max(most, pool.running)
    print(f"at most {most} of {n} ran at once")


def still_running() -> None:
    """Look, and go on with something else, without waiting."""
    with prong.Pool(jobs=3) as pool:
        for i in range(3):
            pool.submit(lambda i=i: time.sleep(0.05 * i) or i * i)
        ended = []
        while len(pool):
            ended += pool.poll()
            time.sleep(0.01)
        ended += pool.poll()
        print("results:", sorted(r.value for r in ended))


def random_copies() -> None:
    """Forked copies of one generator would all give the same."""
    numbers = prong.map(lambda _: random.random(), range(5), jobs=5, chunk=1)
    print(f"{len(set(numbers))} different random numbers")
    same = prong.map(lambda _: random.random(), range(5), seed=1)
    print("with a seed, always:", [round(x, 3) for x in same] == [
        round(x, 3) for x in prong.map(lambda _: random.random(), range(5), jobs=1, seed=1)])


if __name__ == "__main__":
    many()
    at_most_five()
    still_running()
    random_copies()
