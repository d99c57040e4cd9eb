"""prong.template(): workers forked from a process without threads, whatever the host does."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import prong
import pytest

from test_life import below, gone

INHERITED = lambda x: x * 100  # noqa: E731


def early(x):
    return x + 1


@pytest.fixture
def template():
    with prong.template(INHERITED) as t:
        yield t
    assert not t.alive


def run(code, python=(sys.executable,)):
    r = subprocess.run([*python, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True,
                       timeout=120, start_new_session=True)
    assert r.stderr == "", r.stderr
    return r.stdout


def test_all_faces(template):
    assert prong.map(early, range(1000), jobs=2) == list(range(1, 1001))
    assert prong.map(early, [], jobs=2) == []
    assert prong.map(INHERITED, range(4), jobs=2) == [0, 100, 200, 300]
    assert prong.map(pow, [2, 3], [3, 2], jobs=2) == [8, 9]
    assert prong.starmap(pow, [(2, 3), (3, 2)], jobs=2) == [8, 9]
    assert list(prong.imap(early, iter(range(5)), jobs=2)) == [1, 2, 3, 4, 5]
    assert sorted(prong.imap_unordered(early, range(5), jobs=2)) == [1, 2, 3, 4, 5]
    with prong.Executor(2) as ex:
        assert [f.result() for f in [ex.submit(early, i) for i in range(50)]] == list(range(1, 51))
        assert ex.submit(INHERITED, 3).result() == 300
    with prong.Pool(2) as pool:
        for i in range(4):
            pool.submit(early, i)
        assert sorted(r.result() for r in pool) == [1, 2, 3, 4]


def test_workers_are_children_of_the_host(template):
    pids = prong.map(lambda_free_ids, range(2), jobs=2, chunk=1)
    assert {parent for _, parent, _ in pids} == {os.getpid()}
    assert all(pid == group != template.pid for pid, _, group in pids)


def lambda_free_ids(_):
    time.sleep(0.05)
    return os.getpid(), os.getppid(), os.getpgrp()


def test_deaths_and_limits(template):
    results = prong.map(die, ["exit", "kill", "abort", "stay", "sleep"], jobs=2, timeout=1.5, on_error="return")
    codes = [getattr(r, "exitcode", r) for r in results]
    assert codes == [3, -signal.SIGKILL, -signal.SIGABRT, "stay", -signal.SIGKILL]
    assert isinstance(results[4], prong.TaskTimeout)
    assert results[2].stderr.endswith("last words\n")
    with prong.Executor(1) as ex:
        f = ex.submit(time.sleep, 300)
        while not f.running():
            time.sleep(0.01)
        assert f.cancel()
        assert ex.submit(early, 1).result() == 2


def die(how):
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "abort":
        os.write(2, b"last words\n")
        os.abort()
    if how == "sleep":
        time.sleep(300)
    return how


def test_capture_and_measures(template):
    for r in prong.map(say, range(3), jobs=2, capture=True):
        assert r.stdout == f"{r.index}\n" and r.stderr == "" and r.max_rss > 0
    with prong.Pool(2, capture=True) as pool:
        pool.submit(say, "x")
        assert pool.wait().stdout == "x\n"


def say(x):
    os.write(1, f"{x}\n".encode())


def test_current_directory_and_big_items(template, tmp_path):
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert prong.map(cwd, [0]) == [str(tmp_path)]
    finally:
        os.chdir(here)
    data = [bytes([i]) * 3_000_000 for i in range(4)]
    assert prong.map(bytes, data, jobs=2) == data


def cwd(_):
    return os.getcwd()


def test_the_same_seed_gives_the_same_numbers(template):
    import random

    with_template = prong.map(lambda_free_random, range(20), jobs=2, seed=5)
    template.close()
    assert prong.map(lambda_free_random, range(20), jobs=1, seed=5) == with_template
    assert prong.map(lambda _: random.random(), range(20), seed=5) == with_template


def lambda_free_random(_):
    import random

    return random.random()


def test_what_it_cannot_know():
    with prong.template():
        with prong.Executor(1) as ex:
            if not have("cloudpickle"):
                with pytest.raises(Exception) as e:
                    ex.submit(lambda: 1).result(timeout=60)
                assert "prong.template()" in "".join(e.value.__notes__)
            else:
                assert ex.submit(lambda: 1).result(timeout=60) == 1
            assert ex.submit(early, 1).result() == 2


def have(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None


def test_a_pool_in_a_worker_forks_itself(template):
    assert prong.map(nested, range(3), jobs=2) == [[0, 1], [1, 2], [2, 3]]


def nested(x):
    return prong.map(lambda y: x + y, range(2), jobs=2)


def test_its_death_is_told():
    t = prong.template()
    os.kill(t.pid, signal.SIGKILL)
    os.waitid(os.P_PID, t.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(RuntimeError, match="call prong.template"):
        prong.map(early, [1])
    t.close()
    assert prong.map(early, [1]) == [2]


def test_a_second_one_replaces_the_first():
    a = prong.freeze()
    b = prong.freeze()
    assert not a.alive and b.alive
    b.close()


def test_it_warns_of_threads():
    import threading

    stop = threading.Event()
    t = threading.Thread(target=stop.wait)
    t.start()
    with pytest.warns(RuntimeWarning, match="while other threads run"):
        template = prong.template()
    stop.set()
    t.join()
    template.close()


def test_locks_that_the_host_holds_do_not_matter():
    assert run("""
        import logging, threading, prong, io, sys
        lock = threading.Lock()
        def task(x):
            with lock:
                logging.warning("x")
                return bytes(1000)
        logging.basicConfig(stream=io.StringIO())
        prong.template()
        lock.acquire()
        logging._lock.acquire()
        logging.root.handlers[0].lock.acquire()
        def allocate():
            while not done:
                [bytearray(n) for n in range(100, 100000, 1000)]
        done = False
        threads = [threading.Thread(target=allocate) for _ in range(2)]
        for t in threads: t.start()
        for _ in range(10):
            assert len(prong.map(task, range(10), jobs=2)) == 10
        with prong.Executor(2) as ex:
            assert len(ex.submit(task, 1).result()) == 1000
        done = True
        print("fine")
    """) == "fine\n"


def test_no_warning_of_forks_and_threads():
    """Python 3.12 warns of os.fork() there; -W error makes that an exception."""
    assert run("""
        import threading, prong
        done = threading.Event()
        threading.Thread(target=done.wait).start()
        assert prong.map(lambda x: x, range(3), jobs=2) == [0, 1, 2]
        with prong.Executor(2) as ex: assert ex.submit(int, "3").result() == 3
        with prong.Pool(2) as p: p.submit(int, "3"); assert [r.result() for r in p] == [3]
        with prong.fork() as c: pass
        prong.wait_all()
        done.set()
        print("fine")
    """) == "fine\n"


def test_nobody_survives_a_killed_host():
    p = subprocess.Popen([sys.executable, "-c", textwrap.dedent("""
        import prong, subprocess
        def f(x): subprocess.run(["sleep", "300"])
        prong.template()
        prong.map(f, range(4), jobs=2)
    """)])
    pids = below(p.pid)
    assert len(pids) >= 4
    p.kill()
    p.wait()
    gone(pids)


def test_it_goes_with_the_host():
    pid = int(run("import prong; print(prong.template().pid)"))
    gone([pid])
