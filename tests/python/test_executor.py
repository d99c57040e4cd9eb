"""prong.Executor where CPython's own tests (test_stdlib_suite.py) do not look."""
import gc
import subprocess
import sys
import time
import weakref

import pytest

import prong


def program(code):
    p = subprocess.run([sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, start_new_session=True, timeout=120)
    return p.returncode, p.stdout, p.stderr


def test_cancelled_while_a_fork_hook_runs():
    """The hook gives the GIL away in the middle of a fork; the task has begun already."""
    assert program("""
import os, time, prong
os.register_at_fork(after_in_parent=lambda: time.sleep(0.1))
with prong.Executor(2) as ex:
    for _ in range(5):
        futures = [ex.submit(time.sleep, 100) for _ in range(3)]
        time.sleep(0.05)
        assert all(f.cancel() for f in futures)
    assert ex.submit(abs, -1).result() == 1
print("fine")
""") == (0, "fine\n", "")


def test_used_by_threads_while_a_fork_hook_runs():
    assert program("""
import os, threading, time, prong
os.register_at_fork(before=lambda: time.sleep(0.02), after_in_parent=lambda: time.sleep(0.02))
sums = []
with prong.Executor(3, max_tasks_per_worker=3) as ex:
    def use():
        sums.append(sum(f.result() for f in [ex.submit(abs, -i) for i in range(20)]))
    threads = [threading.Thread(target=use) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
print(sums)
""") == (0, f"{[190] * 4}\n", "")


def gone(processes, thread):
    thread.join(30)
    assert not thread.is_alive()
    for p in processes.values():
        p.join(30)
        assert not p.is_alive()


def test_collected_executor_does_what_was_submitted():
    ex = prong.Executor(5)
    results = ex.map(abs, range(-5, 5))
    thread, processes = ex._executor_manager_thread, ex._processes
    del ex
    gc.collect()
    gone(processes, thread)
    assert list(results) == [abs(v) for v in range(-5, 5)]


def test_shutdown_without_waiting():
    ex = prong.Executor(5)
    results = ex.map(abs, range(-5, 5))
    thread, processes = ex._executor_manager_thread, ex._processes
    begin = time.monotonic()
    ex.submit(time.sleep, 1)
    ex.shutdown(wait=False)
    assert time.monotonic() - begin < 0.9
    gone(processes, thread)
    assert list(results) == [abs(v) for v in range(-5, 5)]


def test_nobody_asks_for_the_results_of_forked_tasks():
    """All of them arrive by the executor's own thread."""
    import concurrent.futures
    import threading

    lock = threading.Lock()  # nothing pickles it
    for _ in range(3):
        ex = prong.Executor(5)
        futures = [ex.submit(lambda i=i: lock.locked() or i) for i in range(40)]
        ex.shutdown(wait=False)
        assert not concurrent.futures.wait(futures, timeout=60).not_done
        assert [f.result() for f in futures] == list(range(40))
        ex.shutdown()


def test_a_process_of_multiprocessing_beside_an_executor():
    assert program("""
import multiprocessing, prong
with prong.Executor(1) as ex:
    ex.submit(abs, -1).result()
    p = multiprocessing.get_context("fork").Process(target=int)
    p.start()
    p.join()
    print(p.exitcode)
""") == (0, "0\n", "")


def test_an_exception_whose_text_cannot_be_had():
    code, out, err = program("""
import os, prong
parent = os.getpid()
class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")
class R:
    def __reduce__(self):
        return load, ()
def load():
    if os.getpid() == parent:
        raise Odd()
    return R()
with prong.Executor(1) as ex:
    print(type(ex.submit(R).exception(timeout=30)).__name__, ex.submit(abs, -1).result(timeout=30))
""")
    assert (code, out, err) == (0, "TaskError 1\n", "")


@pytest.mark.parametrize("spins", [0, 200_000])
def test_handing_out_a_result_fails(spins):
    """In the executor's thread, or in one that waits spinning: no future waits for ever."""
    assert "future has its end BrokenProcessPool" in program("""
import prong, prong._tasks as x
x.SPIN_US = %d
with prong.Executor(1) as ex:
    ex.submit(abs, -1).result()
    def fail(*args):
        raise RuntimeError("broken")
    ex._pool._event = fail
    f = ex.submit(divmod, 1, 0)
    try:
        f.result(timeout=30)
    except Exception as e:
        print("future has its end", type(e).__name__)
""" % spins)[1]


class Thing:
    pass


def test_results_are_let_go():
    """Soon: the thread that handed a result out may still be at it."""
    with prong.Executor(2) as ex:
        for thing in ex.map(lambda _: Thing(), range(10)):
            wr = weakref.ref(thing)
            del thing
            end = time.monotonic() + 30
            while wr() is not None and time.monotonic() < end:
                time.sleep(0.001)
            assert wr() is None
