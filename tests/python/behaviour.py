#!/usr/bin/env python3
"""What becomes of a program when things go wrong: prong beside the other pools.

usage: behaviour.py table             the table of docs/python.md, as recorded here
       behaviour.py run [POOL|ROW]... run it: all, or these; says where the record differs

Each row is a program, run in a process of its own for each pool, that prints one outcome; one
that says nothing within LIMIT seconds `hangs`.  PRONG_TEST_SCALE (default 0.02) is how much of
the large rows is run; 1 is all of it.
"""
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time

LIMIT = 10
SCALE = float(os.environ.get("PRONG_TEST_SCALE", "0.02"))

COMMON = """
import os, random, resource, signal, sys, threading, time
SCALE = float(os.environ.get("PRONG_TEST_SCALE", "0.02"))
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def say(*what):
    os.write(1, (" ".join(map(str, what)) + "\\n").encode()); os._exit(0)
def attempt(f):
    try: return f()
    except KeyboardInterrupt: raise
    except BaseException as e: return type(e).__name__
"""

# How each pool is made; submit(f, *args).result(seconds); lazily(f, inputs): results as they come.
POOLS = {
    "prong": """
import prong
pool = prong.Executor(2)
submit = pool.submit
def lazily(f, inputs): return prong.imap_unordered(f, inputs, jobs=2)
def limited(f, seconds): return prong.map(lambda _: f(), [0], jobs=1, timeout=seconds)
def inner(): return sum(prong.map(abs, [-1, -2], jobs=2))
""",
    "ProcessPoolExecutor": """
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
multiprocessing.set_start_method("fork")
pool = ProcessPoolExecutor(2)
submit = pool.submit
def lazily(f, inputs): return pool.map(f, inputs)
def limited(f, seconds): return submit(f).result(seconds)
def inner():
    with ProcessPoolExecutor(2) as p: return sum(p.map(abs, [-1, -2]))
""",
    "multiprocessing.Pool": """
import multiprocessing
multiprocessing.set_start_method("fork")
class Get:
    def __init__(self, r): self.result = r.get
def submit(f, *args): return Get(pool.apply_async(f, args))
def lazily(f, inputs): return pool.imap_unordered(f, inputs)
def limited(f, seconds): return submit(f).result(seconds)
def inner():
    with multiprocessing.Pool(2) as p: return sum(p.map(abs, [-1, -2]))
def begin():
    global pool
    pool = multiprocessing.Pool(2)
""",
    "joblib": """
import joblib
class Later:
    def __init__(self, f, args):
        self.thread = threading.Thread(target=self.run, args=(f, args), daemon=True); self.thread.start()
    def run(self, f, args):
        try: self.value = joblib.Parallel(n_jobs=2)([joblib.delayed(f)(*args), joblib.delayed(int)()])[0]
        except BaseException as e: self.error = e
    def result(self, seconds=None):
        self.thread.join(seconds)
        if hasattr(self, "error"): raise self.error
        if not hasattr(self, "value"): raise TimeoutError
        return self.value
def submit(f, *args): return Later(f, args)
def lazily(f, inputs):
    return joblib.Parallel(n_jobs=2, return_as="generator")(joblib.delayed(f)(x) for x in inputs)
def limited(f, seconds): return joblib.Parallel(n_jobs=2, timeout=seconds)([joblib.delayed(f)(), joblib.delayed(f)()])
def inner(): return sum(joblib.Parallel(n_jobs=2)([joblib.delayed(abs)(-1), joblib.delayed(abs)(-2)]))
""",
    "loky": """
import loky
pool = loky.ProcessPoolExecutor(2)
submit = pool.submit
def lazily(f, inputs): return pool.map(f, inputs)
def limited(f, seconds): return submit(f).result(seconds)
def inner():
    with loky.ProcessPoolExecutor(2) as p: return sum(p.map(abs, [-1, -2]))
""",
    "pebble": """
import pebble
pool = pebble.ProcessPool(2)
def submit(f, *args): return pool.schedule(f, args=list(args))
def lazily(f, inputs): return pool.map(f, inputs).result()
def limited(f, seconds): return pool.schedule(f, timeout=seconds).result()
def inner():
    with pebble.ProcessPool(2) as p: return sum(p.map(abs, [-1, -2]).result())
""",
    "mpire": """
import mpire
pool = mpire.WorkerPool(2)
class Get:
    def __init__(self, r): self.result = r.get
def submit(f, *args): return Get(pool.apply_async(f, args))
def lazily(f, inputs): return pool.imap_unordered(f, inputs)
def limited(f, seconds): return pool.apply_async(f, task_timeout=seconds).get()
def inner():
    with mpire.WorkerPool(2) as p: return sum(p.map(abs, [-1, -2]))
""",
}
MODULES = {"joblib": "joblib", "loky": "loky", "pebble": "pebble", "mpire": "mpire"}
STANDARD = ("ProcessPoolExecutor", "multiprocessing.Pool")

ROWS = {
    "a worker killed by SIGKILL": """
def die(): os.kill(os.getpid(), 9)
def nap(): time.sleep(1); return "kept"
def main():
    other = submit(nap); time.sleep(0.3)
    told = attempt(lambda: submit(die).result(4))
    told = "not told" if "Timeout" in told else "told"
    say(f"{told}, other task {'kept' if attempt(lambda: other.result(5)) == 'kept' else 'lost'},",
        "pool goes on" if attempt(lambda: submit(abs, -1).result(5)) == 1 else "pool lost")
""",
    "an exception that cannot be rebuilt": """
class NeedsTwo(Exception):
    def __init__(self, a, b): super().__init__("only one")
def bad(): raise NeedsTwo(1, 2)
def main():
    told = attempt(lambda: submit(bad).result(4))
    told = "not told" if "Timeout" in told else told
    say(f"{told},", "pool goes on" if attempt(lambda: submit(abs, -1).result(4)) == 1 else "pool lost")
""",
    "Ctrl-C": """
def nap(): time.sleep(300)
def main():
    try:
        tasks = [submit(nap) for _ in range(4)]; time.sleep(0.7)
        print("ready", flush=True)
        tasks[0].result()
    except KeyboardInterrupt:
        raise
""",
    "sys.exit(3) in a task": """
def leave(): sys.exit(3)
def main():
    told = attempt(lambda: submit(leave).result(4))
    told = "not told" if "Timeout" in told else told
    say(f"{told},", "pool goes on" if attempt(lambda: submit(abs, -1).result(4)) == 1 else "pool lost")
""",
    "10 GB from a generator": """
def size(b): time.sleep(0.01 * min(1, 50 * SCALE) if SCALE < 0.5 else 0); return len(b)
def main():
    n = int(10_000 * SCALE)
    def source():
        for i in range(n): yield b"x" * 1_000_000
    before = peak(); total = 0
    for i, k in enumerate(lazily(size, source())):
        total += k
        if not i: time.sleep(0.5)
    assert total == n * 1_000_000
    say("bounded" if peak() - before < min(150, 0.6 * n) else "all in memory", *(
        [f"({peak() - before:.0f} MB more for {n} MB)"] if os.environ.get("BEHAVIOUR_FIGURES") else []))
""",
    "a time limit of 0.3 s": """
def beat():
    for _ in range(50):
        with open(sys.argv[1], "a") as f: f.write("x")
        time.sleep(0.1)
def main():
    attempt(lambda: limited(beat, 0.3)); time.sleep(0.5)
    before = os.path.getsize(sys.argv[1]); time.sleep(0.6)
    say("task stopped" if os.path.getsize(sys.argv[1]) == before else "task runs on")
""",
    "an await that is cancelled": """
def beat():
    for _ in range(50):
        with open(sys.argv[1], "a") as f: f.write("x")
        time.sleep(0.1)
def main():
    import asyncio
    task = submit(beat)
    async def wait(): await asyncio.wait_for(asyncio.wrap_future(task), 0.4)
    if "Assertion" in attempt(lambda: asyncio.run(wait())): say("cannot be awaited")
    time.sleep(0.5)
    before = os.path.getsize(sys.argv[1]); time.sleep(0.6)
    say("task stopped" if os.path.getsize(sys.argv[1]) == before else "task runs on")
""",
    "numpy.random in two workers": """
import numpy
numpy.random.rand()
def draw():
    time.sleep(0.3); return os.getpid(), float(numpy.random.rand())
def main():
    two = dict(t.result(9) for t in [submit(draw) for _ in range(2)])
    say("one worker only" if len(two) < 2 else "different" if len(set(two.values())) > 1 else "the same")
""",
    "print() that is not flushed": """
def tell(i): time.sleep(0.2); print("task", i, end=" "); return i
def main():
    for t in [submit(tell, i) for i in range(2)]: t.result(5)
""",
    "the parent killed by SIGKILL": """
def nap():
    with open(sys.argv[1], "a") as f: f.write(f"{os.getpid()}\\n")
    time.sleep(60)
def main():
    tasks = [submit(nap) for _ in range(2)]; end = time.time() + 8
    while open(sys.argv[1]).read().count("\\n") < 2 and time.time() < end: time.sleep(0.1)
    os.kill(os.getpid(), 9)
""",
    "a fork while threads hold locks": """
def log(i):
    import logging
    logging.getLogger().error("x"); bytearray(1 << 20); return i
def main():
    import io, logging
    logging.basicConfig(stream=io.StringIO())
    def chatter():
        while True: logging.error("x"); bytearray(300_000)
    for _ in range(3): threading.Thread(target=chatter, daemon=True).start()
    time.sleep(0.1)
    say("works" if [attempt(lambda: submit(log, i).result(4)) for i in range(20)] == list(range(20)) else "fails")
""",
    "a pool in a task": """
def main():
    r = attempt(lambda: submit(inner).result(6))
    say("works" if r == 3 else "hangs" if "Timeout" in str(r) else "refused")
""",
    "100,000 results of 10 KB": """
def make(i): return b"x" * 10_000
def main():
    n = int(100_000 * SCALE * (1 if SCALE >= 0.5 else 5)); total = 0; before = peak()
    for i, r in enumerate(lazily(make, range(n))):
        total += len(r)
        if not i: time.sleep(2)
    assert total == n * 10_000
    say("bounded" if peak() - before < min(150, 0.006 * n) else "all in memory", *(
        [f"({peak() - before:.0f} MB more for {n * 10 // 1000} MB)"] if os.environ.get("BEHAVIOUR_FIGURES") else []))
""",
}
# CPython 3.11.7, joblib 1.6.0, loky 3.7.0, pebble 5.2.3, mpire 2.10.2; two CPUs, 25 November 2026.
RECORDED = {
    "a worker killed by SIGKILL": {
        "prong": "told, other task kept, pool goes on",
        "ProcessPoolExecutor": "told, other task lost, pool lost",
        "multiprocessing.Pool": "not told, other task kept, pool goes on",
        "joblib": "told, other task lost, pool goes on",
        "loky": "told, other task lost, pool lost",
        "pebble": "told, other task kept, pool goes on",
        "mpire": "told, other task lost, pool lost",
    },
    "an exception that cannot be rebuilt": {
        "prong": "TaskError, pool goes on",
        "ProcessPoolExecutor": "BrokenProcessPool, pool lost",
        "multiprocessing.Pool": "not told, pool lost",
        "joblib": "BrokenProcessPool, pool goes on",
        "loky": "BrokenProcessPool, pool lost",
        "pebble": "BrokenProcessPool, pool lost",
        "mpire": "NeedsTwo, pool goes on",
    },
    "Ctrl-C": {
        "prong": "one traceback",
        "ProcessPoolExecutor": "hangs",
        "multiprocessing.Pool": "a wall of tracebacks",
        "joblib": "a wall of tracebacks, workers left",
        "loky": "a wall of tracebacks, workers left",
        "pebble": "one traceback",
        "mpire": "hangs",
    },
    "sys.exit(3) in a task": {
        "prong": "TaskDied, pool goes on",
        "ProcessPoolExecutor": "SystemExit, pool goes on",
        "multiprocessing.Pool": "not told, pool goes on",
        "joblib": "SystemExit, pool goes on",
        "loky": "SystemExit, pool goes on",
        "pebble": "SystemExit, pool goes on",
        "mpire": "SystemExit, pool goes on",
    },
    "10 GB from a generator": {
        "prong": "bounded",
        "ProcessPoolExecutor": "all in memory",
        "multiprocessing.Pool": "bounded",
        "joblib": "bounded",
        "loky": "all in memory",
        "pebble": "all in memory",
        "mpire": "bounded",
    },
    "a time limit of 0.3 s": {
        "prong": "task stopped",
        "ProcessPoolExecutor": "task runs on",
        "multiprocessing.Pool": "task runs on",
        "joblib": "task stopped",
        "loky": "task runs on",
        "pebble": "task stopped",
        "mpire": "task stopped",
    },
    "an await that is cancelled": {
        "prong": "task stopped",
        "ProcessPoolExecutor": "task runs on",
        "multiprocessing.Pool": "cannot be awaited",
        "joblib": "cannot be awaited",
        "loky": "task runs on",
        "pebble": "task stopped",
        "mpire": "cannot be awaited",
    },
    "numpy.random in two workers": {
        "prong": "different",
        "ProcessPoolExecutor": "the same",
        "multiprocessing.Pool": "the same",
        "joblib": "different",
        "loky": "different",
        "pebble": "the same",
        "mpire": "the same",
    },
    "print() that is not flushed": {
        "prong": "once",
        "ProcessPoolExecutor": "once",
        "multiprocessing.Pool": "once",
        "joblib": "once",
        "loky": "once",
        "pebble": "once",
        "mpire": "once",
    },
    "the parent killed by SIGKILL": {
        "prong": "0 of 2 workers left",
        "ProcessPoolExecutor": "2 of 2 workers left",
        "multiprocessing.Pool": "2 of 2 workers left",
        "joblib": "2 of 2 workers left",
        "loky": "2 of 2 workers left",
        "pebble": "2 of 2 workers left",
        "mpire": "2 of 2 workers left",
    },
    "a fork while threads hold locks": {
        "prong": "works",
        "ProcessPoolExecutor": "works",
        "multiprocessing.Pool": "works",
        "joblib": "works",
        "loky": "works",
        "pebble": "works",
        "mpire": "works",
    },
    "a pool in a task": {
        "prong": "works",
        "ProcessPoolExecutor": "works",
        "multiprocessing.Pool": "refused",
        "joblib": "works",
        "loky": "works",
        "pebble": "works",
        "mpire": "refused",
    },
    "100,000 results of 10 KB": {
        "prong": "bounded",
        "ProcessPoolExecutor": "all in memory",
        "multiprocessing.Pool": "all in memory",
        "joblib": "all in memory",
        "loky": "bounded",
        "pebble": "all in memory",
        "mpire": "bounded",
    },
}

MAIN = """
if __name__ == "__main__":
    globals().get("begin", int)()
    main()
"""
DOUBLED = 'print("parent", end=" ")\n'


def installed(pool):
    return pool not in MODULES or importlib.util.find_spec(MODULES[pool]) is not None


def program(pool, row):
    first = DOUBLED if row.startswith("print") else ""
    end = {"multiprocessing.Pool": "    pool.close(); pool.join()\n",
           "pebble": "    pool.close(); pool.join()\n", "mpire": "    pool.stop_and_join()\n"}.get(pool, "")
    # functions before the pool, whose workers may be forked when it is made
    make = "" if "def begin" in POOLS[pool] else first
    text = COMMON + ROWS[row] + make + POOLS[pool]
    if "def begin" in POOLS[pool]:
        text = text.replace("    pool = multiprocessing.Pool(2)\n", ("    " + first if first else "") +
                            "    pool = multiprocessing.Pool(2)\n")
    return text + MAIN + end


def alive(pids):
    def runs(pid):
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False
    return [p for p in pids if runs(p)]


def outcome(pool, row, limit=LIMIT):
    """What the program of this row does, in a word."""
    if row[0].isdigit():
        limit *= 1 + 60 * SCALE
    with tempfile.TemporaryDirectory() as tmp:
        path, notes = tmp + "/program.py", tmp + "/notes"
        open(notes, "w").close()
        with open(path, "w") as f:
            f.write(program(pool, row))
        out, err = open(tmp + "/out", "w+"), open(tmp + "/err", "w+")
        env = dict(os.environ, PYTHONUNBUFFERED="", PYTHONWARNINGS="ignore")
        env["PYTHONPATH"] = os.pathsep.join(os.path.abspath(p) for p in sys.path if p)
        p = subprocess.Popen([sys.executable, path, notes], stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                             start_new_session=True, env=env)
        try:
            return _outcome(p, row, out, err, notes, limit)
        except subprocess.TimeoutExpired:
            return "hangs"
        finally:
            for pid in _session(p.pid):
                os.kill(pid, signal.SIGKILL)
            p.kill()
            p.wait()
            with open(notes) as f:
                for pid in alive([int(n) for n in f.read().split() if n.isdigit()]):
                    os.kill(pid, signal.SIGKILL)
            out.close()
            err.close()


def _session(leader):
    """Processes of our program, wherever their parents went."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                if int(f.read().rsplit(")", 1)[1].split()[3]) == leader:
                    yield int(pid)
        except OSError:
            pass


def _outcome(p, row, out, err, notes, limit):
    if row == "Ctrl-C":
        end = time.monotonic() + limit
        while "ready" not in read(out) and p.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGINT)
        p.wait(limit)
        n = read(err).count("Traceback (most recent call last)")
        left = "" if not list(_session(p.pid)) else ", workers left"
        return f"{'one traceback' if n == 1 else f'{n} tracebacks'}{left}" if n < 2 else f"a wall of tracebacks{left}"
    p.wait(limit)
    if row.startswith("the parent"):
        end = time.monotonic() + 3
        with open(notes) as f:
            pids = [int(n) for n in f.read().split()]
        while alive(pids) and time.monotonic() < end:
            time.sleep(0.05)
        assert pids, "no task began"
        return f"{len(alive(pids))} of 2 workers left"
    text = read(out).strip()
    if row.startswith("print"):
        words = text.split()
        n = words.count("parent")
        lost = "" if words.count("task") == 2 else ", tasks' text lost"
        return f"{'once' if n == 1 else f'{n} times'}{lost}"
    return text or (read(err).strip().splitlines() or ["nothing"])[-1]


def read(f):
    f.seek(0)
    return f.read()


def table():
    pools = [p for p in POOLS]
    yield "| | " + " | ".join(pools) + " |"
    yield "| --- " * (len(pools) + 1) + "|"
    for row in ROWS:
        yield f"| {row} | " + " | ".join(RECORDED.get(row, {}).get(p, "?") for p in pools) + " |"


def main():
    if sys.argv[1:2] == ["table"]:
        print("\n".join(table()))
        return 0
    if sys.argv[1:2] != ["run"]:
        print(__doc__.strip(), file=sys.stderr)
        return 255
    wanted = sys.argv[2:]
    different = 0
    for row in ROWS:
        for pool in filter(installed, POOLS):
            some = [w for w in wanted if w in POOLS], [w for w in wanted if w not in POOLS]
            if (some[0] and pool not in some[0]) or (some[1] and not any(w in row for w in some[1])):
                continue
            got, recorded = outcome(pool, row), RECORDED.get(row, {}).get(pool)
            different += got.split(" (")[0] != recorded
            print(f"{row!r:40} {pool!r:24} {got!r}" + ("" if got.split(" (")[0] == recorded else f"  # {recorded!r}"),
                  flush=True)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
