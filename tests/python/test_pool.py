import asyncio
import os
import signal
import threading
import time

import prong
import pytest


def nap(seconds):
    time.sleep(seconds)
    return seconds


def test_pool_counts_and_results():
    k = 10
    with prong.Pool(jobs=2) as pool:
        for i in range(6):
            assert pool.submit(lambda i=i: i * k) == i
            assert pool.running <= 2
        results = sorted(pool, key=lambda r: r.index)
        assert (pool.running, pool.waiting, len(pool)) == (0, 0, 0)
    assert [r.value for r in results] == [0, 10, 20, 30, 40, 50]


def test_poll_does_not_wait():
    with prong.Pool(jobs=1) as pool:
        pool.submit(time.sleep, 0.5)
        begin = time.monotonic()
        assert pool.poll() == []
        assert time.monotonic() - begin < 0.4
        assert pool.running == 1


def test_pool_sees_the_memory_of_now():
    with prong.Pool(jobs=1) as pool:
        values = [1]
        pool.submit(lambda: list(values))
        values.append(2)
        pool.submit(lambda: list(values))
        assert [r.value for r in sorted(pool, key=lambda r: r.index)] == [[1], [1, 2]]


def test_pool_timeout_capture_retry():
    marks = os.memfd_create("marks")

    def f():
        os.write(1, b"words")
        if os.write(marks, b"x") and os.fstat(marks).st_size < 2:
            time.sleep(60)
        return 1

    with prong.Pool(jobs=1, timeout=0.5, capture=True, retries=1) as pool:
        pool.submit(f)
        r = pool.wait()
    os.close(marks)
    assert (r.value, r.attempt, r.stdout) == (1, 2, "words")


def test_pool_left_by_an_exception_kills():
    begin = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        with prong.Pool(jobs=2) as pool:
            pool.submit(time.sleep, 60)
            1 / 0
    assert time.monotonic() - begin < 30


def test_executor_death_costs_one_task():
    with prong.Executor(2) as ex:
        slow = ex.submit(nap, 0.3)
        bad = ex.submit(os._exit, 3)
        assert isinstance(bad.exception(), prong.TaskDied) and bad.exception().exitcode == 3
        assert ex.submit(nap, 0).result() == 0
        assert slow.result() == 0.3


def test_cancel_while_running():
    with prong.Executor(1) as ex:
        f = ex.submit(nap, 60)
        while not f.running():
            time.sleep(0.01)
        assert f.cancel() and f.cancelled() and f.done()
        assert ex.submit(nap, 0).result(timeout=30) == 0


def test_cancelled_await_stops_the_task():
    async def main():
        with prong.Executor(1) as ex:
            assert await ex.submit(nap, 0) == 0
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(ex.submit(nap, 60)), 0.3)
            assert await asyncio.get_running_loop().run_in_executor(ex, nap, 0.01) == 0.01

    begin = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - begin < 30


def test_lambdas_and_closures_in_submit():
    k = threading.Lock()  # nothing pickles it

    def f(x):
        with k:
            return x + 1

    with prong.Executor(2) as ex:
        assert [g.result() for g in [ex.submit(f, i) for i in range(5)]] == [1, 2, 3, 4, 5]


def test_tasks_are_shared_out():
    """Ahead of a long task, nothing waits that another worker could do."""
    with prong.Executor(2) as ex:
        ex.submit(nap, 0).result()
        begin = time.monotonic()
        long = ex.submit(nap, 1.5)
        short = [ex.submit(nap, 0.001) for _ in range(60)]
        for f in short:
            f.result()
        assert not long.done() or time.monotonic() - begin > 1.5
        assert long.result() == 1.5


def test_big_arguments_and_results():
    with prong.Executor(2) as ex:
        data = os.urandom(1 << 20) * 5
        assert all(f.result() == len(data) for f in [ex.submit(len, data) for _ in range(6)])
        assert all(f.result() == data for f in [ex.submit(bytes, data) for _ in range(4)])


def test_broken_by_its_initializer():
    with prong.Executor(1, initializer=nap, initargs=("x",)) as ex:
        with pytest.raises(prong.TaskDied.__mro__[1]):
            ex.submit(nap, 0).result()
        with pytest.raises(prong.TaskDied.__mro__[1]):
            ex.submit(nap, 0)


def test_recycling():
    with prong.Executor(1, max_tasks_per_worker=2) as ex:
        pids = [ex.submit(os.getpid).result() for _ in range(6)]
    assert len(set(pids)) == 3
    assert len(set(prong.map(lambda _: os.getpid(), range(9), jobs=1, max_tasks_per_worker=3))) == 3


def test_executor_timeout():
    with prong.Executor(1, timeout=0.2) as ex:
        with pytest.raises(prong.TaskTimeout):
            ex.submit(nap, 60).result()
        assert ex.submit(nap, 0).result() == 0


def test_commands():
    assert [r.stdout for r in prong.commands([["echo", "a"], "echo b; exit 1"], jobs=2)] == ["a\n", "b\n"]
    r = prong.run(["sh", "-c", "kill -9 $$"])
    assert r.returncode == -signal.SIGKILL and not r.ok and r.certificate.sent == 0
    assert prong.run("cat", input="x").stdout == "x"
    with pytest.raises(prong.CommandFailed):
        prong.run(["false"], check=True)
    assert prong.run("sleep 60", timeout=0.1).timed_out
    assert prong.run(["no such program"]).certificate.how == "notstarted"


def test_fork():
    r, w = os.pipe()
    for i in range(5):
        with prong.fork(jobs=2) as child:
            if child:
                os.write(w, b"%d" % i)
                raise SystemExit(i)
    assert [c.exitcode for c in prong.wait_all()][-1] == 4
    os.close(w)
    with open(r) as f:
        assert sorted(f.read()) == list("01234")


def test_start_forks_at_once():
    with prong.Executor(2).start() as ex:
        end = time.monotonic() + 20
        pids = set()
        while len(pids) < 2 and time.monotonic() < end:
            pids = set(ex._pool.eng.pids())
        assert len(pids) == 2
        assert {ex.submit(os.getpid).result() for _ in range(20)} <= pids
    with prong.Executor(2).start():
        pass


def test_two_threads_wait_for_the_same_child():
    wrong = []

    def wait(child):
        try:
            assert child.wait().how == "exited"
        except BaseException as e:
            wrong.append(e)

    for _ in range(20):
        with prong.fork() as child:
            if child:
                time.sleep(0.02)
        threads = [threading.Thread(target=wait, args=(child,)) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert wrong == []
