#!/usr/bin/env python3
"""Python pools side by side: every figure in a fresh process, runners in turn, medians.

usage: bench_python.py [--rounds N] [--only METRIC,...] [--peers NAME,...] [--scale F] [--json FILE]

Peers that are not installed are left out (pip install joblib loky pebble mpire numpy).
Two workers everywhere.  The last column compares with the best peer of the same run.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

JOBS = 2
SCALE = float(os.environ.get("BENCH_SCALE", "1"))
MB = 1_000_000


def n(count):
    return max(4, int(count * SCALE))


def same(x):
    return x


def add1(x):
    return x + 1


def seconds(call):
    t = time.perf_counter()
    call()
    return time.perf_counter() - t


def peak_private(_=None):
    """MB of this process's own pages."""
    own = 0
    with open("/proc/self/smaps_rollup") as f:
        for line in f:
            if line.startswith(("Private_Clean", "Private_Dirty")):
                own += int(line.split()[1])
    return own / 1000


# ---- the runners: one face for all of them ----

class Prong:
    def __init__(self):
        import prong
        self.prong = prong

    def executor(self):
        return self.prong.Executor(JOBS)

    def map(self, fn, seq, chunk=None):
        kw = {"chunk": chunk} if chunk else {}
        return self.prong.map(fn, seq, jobs=JOBS, **kw)

    def map_recycled(self, fn, seq):
        return self.prong.map(fn, seq, jobs=JOBS, chunk=1, max_tasks_per_worker=1)

    map_best = map


class PPE:
    chunk = 10_000

    def executor(self):
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        return ProcessPoolExecutor(JOBS, mp_context=get_context("fork"))

    def map(self, fn, seq, chunk=1):
        with self.executor() as pool:
            return list(pool.map(fn, seq, chunksize=chunk))

    def map_best(self, fn, seq):
        return self.map(fn, seq, self.chunk)


class PoolFuture:
    def __init__(self, r):
        self.result = r.get


class PoolExecutor:
    def __init__(self, pool):
        self.pool = pool

    def submit(self, fn, *args):
        return PoolFuture(self.pool.apply_async(fn, args))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.pool.close()
        self.pool.join()


class MP(PPE):
    def pool(self):
        from multiprocessing import get_context
        return get_context("fork").Pool(JOBS)

    def executor(self):
        return PoolExecutor(self.pool())

    def map(self, fn, seq, chunk=1):
        with self.pool() as pool:
            return pool.map(fn, seq, chunksize=chunk)

    def map_best(self, fn, seq):
        return self.map(fn, seq, None)


class Loky(PPE):
    def executor(self):
        from loky import ProcessPoolExecutor
        return ProcessPoolExecutor(JOBS)


class Joblib(PPE):
    def map(self, fn, seq, chunk=1):
        from joblib import Parallel, delayed
        return Parallel(JOBS, batch_size=chunk or "auto")(delayed(fn)(x) for x in seq)

    def map_best(self, fn, seq):
        return self.map(fn, seq, None)

    executor = None


class PebbleExecutor:
    def __init__(self):
        from multiprocessing import get_context
        from pebble import ProcessPool
        self.pool = ProcessPool(JOBS, context=get_context("fork"))

    def submit(self, fn, *args):
        return self.pool.schedule(fn, args)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.pool.close()
        self.pool.join()


class Pebble(PPE):
    def executor(self):
        return PebbleExecutor()

    def map(self, fn, seq, chunk=1):
        with PebbleExecutor() as e:
            return list(e.pool.map(fn, seq, chunksize=chunk).result())


class MpireExecutor(PoolExecutor):
    def __exit__(self, *exc):
        self.pool.stop_and_join()


class Mpire(PPE):
    def pool(self):
        from mpire import WorkerPool
        return WorkerPool(JOBS, start_method="fork")

    def executor(self):
        return MpireExecutor(self.pool())

    def map(self, fn, seq, chunk=1):
        with self.pool() as pool:
            return pool.map(fn, seq, chunk_size=chunk)


class ByHand(PPE):
    """The article's loop: a fork for each task, at most JOBS at a time, results by pipe."""

    executor = None

    def map(self, fn, seq, chunk=1):
        import pickle
        seq, out, running = list(seq), {}, {}

        def reap():  # the oldest; waiting before reading would deadlock at 64 KB
            pid = next(iter(running))
            i, r = running.pop(pid)
            with os.fdopen(r, "rb") as f:
                out[i] = pickle.load(f)
            os.waitpid(pid, 0)

        for i, x in enumerate(seq):
            if len(running) == JOBS:
                reap()
            r, w = os.pipe()
            pid = os.fork()
            if pid == 0:
                with os.fdopen(w, "wb") as f:
                    pickle.dump(fn(x), f, 5)
                os._exit(0)
            os.close(w)
            running[pid] = (i, r)
        while running:
            reap()
        return [out[i] for i in range(len(seq))]

    map_best = None


RUNNERS = {"prong": Prong, "mp.Pool": MP, "PPE": PPE, "joblib": Joblib, "loky": Loky,
           "pebble": Pebble, "mpire": Mpire, "by hand": ByHand}
MODULES = {"prong": "prong", "mp.Pool": "multiprocessing.pool",
           "PPE": "concurrent.futures.process", "joblib": "joblib", "loky": "loky",
           "pebble": "pebble", "mpire": "mpire"}

# ---- the figures: (runner) -> number; None: the runner has no such thing ----


def one_at_a_time(r):
    count = n(4000)
    with r.executor() as e:
        e.submit(same, 0).result()
        return count / seconds(lambda: [e.submit(same, i).result() for i in range(count)])


def submit_all(r):
    count = n(20_000)
    with r.executor() as e:
        e.submit(same, 0).result()

        def run():
            for f in [e.submit(same, i) for i in range(count)]:
                f.result()
        return count / seconds(run)


def map_one(r):
    count = n(600 if isinstance(r, ByHand) else 60_000)
    return count / seconds(lambda: r.map(same, range(count), chunk=1))


def map_auto(r):
    count = n(600_000 if isinstance(r, Joblib) else 6_000_000)
    return count / seconds(lambda: r.map_best(same, range(count)))


def up_and_down(r):
    def run():
        with r.executor() as e:
            a, b = e.submit(same, 1), e.submit(same, 2)
            a.result(), b.result()
    return min(seconds(run) for _ in range(20)) * 1000


def make_bytes(size):
    return b"x" * size


def make_array(size):
    import numpy
    return numpy.ones(size // 8)


def result(r, make):
    size = int(100 * MB * SCALE)
    if r.executor is None:
        return size / MB / seconds(lambda: r.map(make, [size]))
    with r.executor() as e:
        e.submit(make, 1000).result()
        return size / MB / min(seconds(lambda: e.submit(make, size).result()) for _ in range(3))


def bytes_result(r):
    return result(r, make_bytes)


def numpy_result(r):
    import numpy  # noqa: F401: not to be counted
    return result(r, make_array)


def bytes_argument(r):
    data = make_bytes(int(100 * MB * SCALE))
    with r.executor() as e:
        e.submit(len, b"").result()
        return len(data) / MB / min(seconds(lambda: e.submit(len, data).result())
                                    for _ in range(3))


def map_argument(r):
    data = [make_bytes(int(100 * MB * SCALE)), b""]
    return len(data[0]) / MB / seconds(lambda: r.map(len, data, chunk=1))


BIG = None


def part_of_bytes(i):
    step = len(BIG) // 8
    return BIG.count(b"y", i * step, (i + 1) * step)


def inherited_bytes(r):
    global BIG
    BIG = make_bytes(int(1000 * MB * SCALE))
    return seconds(lambda: r.map(part_of_bytes, range(8), chunk=1))


def part_of_lists(i):
    before = peak_private()
    step = len(BIG) // 8
    sum(map(sum, BIG[i * step:(i + 1) * step]))
    return os.getpid(), max(peak_private(), before)


def inherited_lists(r):
    """MB that the two largest workers have of their own, at their highest."""
    global BIG
    BIG = [[float(i + j) for j in range(1000)] for i in range(n(31_000))]
    call = getattr(r, "map_recycled", r.map)
    own = {}
    for pid, mb in call(part_of_lists, range(8)):
        own[pid] = max(own.get(pid, 0), mb)
    return sum(sorted(own.values())[-2:])


def die():
    os.kill(os.getpid(), 9)


def killed_known(r):
    """ms from handing in a task that kills its worker until the caller has the error: the
    median of some, while a task runs in the other worker, which must end well."""
    took = []
    with r.executor() as e:
        for _ in range(max(3, n(11))):
            e.submit(same, 0).result(timeout=5)
            other = e.submit(time.sleep, 0.2)
            t = time.perf_counter()
            try:
                e.submit(die).result(timeout=5)
                return None
            except Exception:
                took.append(time.perf_counter() - t)
            other.result(timeout=5)
    return statistics.median(took) * 1000


def own_mb():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE") / MB


def million_tasks(r):
    """MB that the parent grows by while 1,000,000 tasks go through, 1,000 of them at a time."""
    from collections import deque
    count, window = n(1_000_000), deque()
    with r.executor() as e:
        for i in range(count):
            window.append(e.submit(same, i))
            if len(window) == 1000:
                if window.popleft().result() != i - 999:
                    return None
            if i == count // 10:
                before = own_mb()
        while window:
            window.popleft().result()
        return max(0.0, own_mb() - before)


def big_generator(r):
    """MB of memory at the highest, while a generator gives 10 GB in pieces of 1 MB."""
    import resource
    count = n(10_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    got = sum(r.prong.imap(len, (bytes(MB) for _ in range(count)), jobs=JOBS))
    if got != count * MB:
        return None
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000


def import_ms(name):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    code = f"import time; t = time.perf_counter(); import {MODULES[name]}; print((time.perf_counter() - t) * 1000)"
    return min(float(subprocess.run([sys.executable, "-c", code], check=True, text=True, env=env,
                                    stdout=subprocess.PIPE).stdout) for _ in range(5))


class AtMost(float):
    """An aim of its own, not a ratio to a peer."""


# name: (function, unit, whether more is better, aim as a ratio to the best peer)
METRICS = {
    "one-at-a-time": (one_at_a_time, "tasks/s", True, 2),
    "submit-all": (submit_all, "tasks/s", True, 3),
    "map-one": (map_one, "tasks/s", True, 4),
    "map-auto": (map_auto, "tasks/s", True, 1.1),
    "up-2-down": (up_and_down, "ms", False, 0.6),
    "import": (None, "ms", False, 0.6),
    "bytes-result": (bytes_result, "MB/s", True, 6),
    "numpy-result": (numpy_result, "MB/s", True, 6),
    "bytes-argument": (bytes_argument, "MB/s", True, 6),
    "map-argument": (map_argument, "MB/s", True, 1),
    "1GB-bytes": (inherited_bytes, "s", False, 1),
    "1GB-lists": (inherited_lists, "MB own", False, 1 / 3),
    "killed-known": (killed_known, "ms", False, AtMost(5)),
    "million-tasks": (million_tasks, "MB more", False, AtMost(5)),
    "10GB-generator": (big_generator, "MB", False, AtMost(64)),
}
ONLY_PRONG = {"million-tasks", "10GB-generator"}  # most peers take all of it into memory


def one(metric, name):
    if metric == "import":
        return import_ms(name) if name in MODULES else None
    r = RUNNERS[name]()
    needs = "executor" if metric in ("one-at-a-time", "submit-all", "up-2-down",
                                     "bytes-argument", "killed-known",
                                     "million-tasks") else "map"
    if metric == "map-auto":
        needs = "map_best"
    if getattr(r, needs) is None:
        return None
    return METRICS[metric][0](r)


def ask(metric, name):
    try:
        p = subprocess.run([sys.executable, __file__, "--one", metric, name], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=30 if metric == "killed-known" else 120)
    except subprocess.TimeoutExpired:
        return None
    last = p.stdout.strip().splitlines()[-1:] or ["null"]
    if p.returncode != 0 and name == "prong":
        sys.stderr.write(p.stderr)
    return json.loads(last[0]) if p.returncode == 0 else None


def table(metric, figures):
    _, unit, more, aim = METRICS[metric]
    peers = [v for k, v in figures.items() if k != "prong" and v is not None]
    best = (max if more else min)(peers) if peers else None
    print(f"\n{metric} ({unit}, {'more' if more else 'less'} is better)")
    for name, v in figures.items():
        print(f"  {name:10s} {'-' if v is None else format(v, ',.1f'):>16s}")
    ours = figures.get("prong")
    if ours is not None and isinstance(aim, AtMost):
        print(f"  aim at most {aim:g}: {'met' if ours <= aim else 'MISSED'}")
    elif ours and best:
        ratio = ours / best
        good = ratio >= aim if more else ratio <= aim
        print(f"  ratio to the best peer {ratio:.2f}, aim {aim:.2f}: {'met' if good else 'MISSED'}")


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--only", default="")
    ap.add_argument("--peers", default="")
    ap.add_argument("--scale", type=float, default=1)
    ap.add_argument("--json")
    ap.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    a = ap.parse_args()
    if a.one:
        print(json.dumps(one(*a.one)))
        return
    os.environ["BENCH_SCALE"] = str(a.scale)
    names = [k for k in RUNNERS if not a.peers or k == "prong" or k in a.peers.split(",")]
    names = [k for k in names if subprocess.run(
        [sys.executable, "-c", f"import {MODULES.get(k, 'os')}"], stderr=subprocess.DEVNULL
    ).returncode == 0]
    out = {}
    for metric in METRICS:
        if a.only and metric not in a.only.split(","):
            continue
        got = {k: [] for k in names}
        for i in range(a.rounds):
            for k in names[i % len(names):] + names[:i % len(names)]:
                if metric in ONLY_PRONG and k != "prong":
                    got[k] = [None]
                elif None not in got[k]:  # what failed once would take its time again
                    got[k].append(ask(metric, k))
        out[metric] = {k: statistics.median(v) if None not in v else None
                       for k, v in got.items()}
        table(metric, out[metric])
        sys.stdout.flush()
    if a.json:
        with open(a.json, "w") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
