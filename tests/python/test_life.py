"""What happens around the tasks: signals, parents that die, streams, random numbers, threads."""

import os
import signal
import subprocess
import sys
import time

import prong
import pytest

from conftest import children


def script(code, **options):
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True, **options)


def below(pid):
    found, end = {}, time.monotonic() + 20
    while time.monotonic() < end and len(found) < 4:
        found = {p for p, c in children().items() if p != pid and "S" in c.split()[-1]}
        time.sleep(0.05)
    return found


SLEEPERS = """
import prong, subprocess, sys
def f(x):
    subprocess.run(["sleep", "300"])
try:
    {call}
except KeyboardInterrupt:
    print("interrupted once")
"""
CALLS = {
    "map": "prong.map(f, range(8), jobs=2)",
    "imap": "list(prong.imap(f, iter(range(8)), jobs=2))",
    "executor": """
    with prong.Executor(2) as ex:
        [g.result() for g in [ex.submit(f, i) for i in range(8)]]""",
    "pool": """
    with prong.Pool(2) as pool:
        for i in range(8):
            pool.submit(f, i)
        list(pool)""",
}


@pytest.mark.parametrize("how", CALLS)
def test_ctrl_c(how):
    p = script(SLEEPERS.format(call=CALLS[how]))
    pids = below(p.pid)
    assert len(pids) >= 4  # two workers and their two sleeps
    os.kill(p.pid, signal.SIGINT)
    out, err = p.communicate(timeout=30)
    assert out == "interrupted once\n" and err == ""
    gone(pids)


def gone(pids):
    end = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{p}") and "Z" != state(p) for p in pids):
        assert time.monotonic() < end, "processes survive"
        time.sleep(0.02)


def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


@pytest.mark.parametrize("how", CALLS)
def test_nobody_survives_a_killed_parent(how):
    p = script(SLEEPERS.format(call=CALLS[how]))
    pids = below(p.pid)
    assert len(pids) >= 4
    p.kill()
    p.communicate()
    gone(pids)


def test_nested():
    assert prong.map(lambda x: prong.map(lambda y: x * y, range(3), jobs=2), range(3), jobs=2) == [
        [x * y for y in range(3)] for x in range(3)
    ]


def test_nothing_is_printed_twice():
    p = script("""
import prong
print("parent", end=" ")
prong.map(lambda x: print("task", x), range(3), jobs=2)
with prong.Executor(1) as ex:
    ex.submit(print, "submitted", end=" ").result()
prong.run(["true"])
with prong.fork() as c:
    if c: print("forked", end=" ")
prong.wait_all()
""")
    out, err = p.communicate(timeout=60)
    assert err == ""
    assert sorted(out.split()) == sorted("parent task 0 task 1 task 2 submitted forked".split())


def test_random_numbers():
    import random

    f = lambda _: random.random()  # noqa: E731
    assert prong.map(f, range(50), jobs=1, seed=7) == prong.map(f, range(50), jobs=5, seed=7)
    assert prong.map(f, range(50), jobs=2, seed=7) != prong.map(f, range(50), jobs=2, seed=8)
    assert prong.map(f, range(4), jobs=4, chunk=1) != prong.map(f, range(4), jobs=4, chunk=1)


def test_numpy():
    np = pytest.importorskip("numpy")
    f = lambda _: float(np.random.rand())  # noqa: E731
    assert len(set(prong.map(f, range(8), jobs=4, chunk=1))) == 8
    assert prong.map(f, range(9), jobs=1, seed=1) == prong.map(f, range(9), jobs=3, seed=1)
    a = np.arange(1_000_000.0)
    for b in (prong.map(lambda _: a, [0], jobs=1)[0], next(prong.imap(lambda x: x, iter([a])))):
        assert (a == b).all() and b.flags.writeable


def test_host_with_threads_that_log():
    p = script("""
import logging, threading, prong, io
logging.basicConfig(stream=io.StringIO(), level=logging.INFO)
stop = False
def chatter():
    while not stop:
        logging.info("x"); [bytearray(100000) for _ in range(10)]
threads = [threading.Thread(target=chatter) for _ in range(3)]
for t in threads: t.start()
def task(x):
    logging.info("from a worker"); bytearray(1 << 20)
    return x
for _ in range(20):
    assert prong.map(task, range(20), jobs=2) == list(range(20))
with prong.Executor(2, max_tasks_per_worker=1) as ex:
    assert [f.result() for f in [ex.submit(int, i) for i in range(20)]] == list(range(20))
stop = True
for t in threads: t.join()
print("fine")
""")
    out, err = p.communicate(timeout=120)
    assert (out, err) == ("fine\n", "")


def test_interpreter_end_does_what_was_submitted():
    p = script("""
import prong, time
def f(): time.sleep(.3); print("done")
prong.Executor(1).submit(f)
""")
    assert p.communicate(timeout=60) == ("done\n", "")


def test_memory_stays_flat():
    n = int(os.environ.get("PRONG_LARGE", "20000"))
    p = script(f"""
import prong, resource
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = 0
it = prong.imap(lambda x: bytes(10000), range({n}), jobs=2)
for i, r in enumerate(it):
    total += len(r)
    if i == 5000: early = peak()
assert total == {n} * 10000
assert peak() < early + 40000, (early, peak())
""")
    assert p.communicate(timeout=300) == ("", "")
