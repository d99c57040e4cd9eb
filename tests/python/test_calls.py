"""What submit() does by hand: calls of global functions, futures, and who gets which task."""
import concurrent.futures as cf
import importlib
import math
import os
import sys
import threading
import time

import pytest

import prong


def echo(*args, **kwargs):
    return args, kwargs


def add(a, b):
    return a + b


def nap(s):
    time.sleep(s)
    return os.getpid()


class Thing:
    @staticmethod
    def double(x):
        return 2 * x


@pytest.fixture
def ex():
    with prong.Executor(2) as e:
        yield e


ARGS = [(), (None, True, False), (1, -1, 2**63 - 1, -(2**63)), (2**63, -(2**70)), (1.5, float("inf")),
        ("", "a\0b", "ä€😀", "\ud800", "x" * 3000), (b"", b"\0\xff", b"y" * 3000, bytearray(b"z")),
        ((1, 2), [3], {"k": 4}, {5}), tuple(range(300))]  # fmt: skip


@pytest.mark.parametrize("args", ARGS, ids=range(len(ARGS)))
def test_arguments_arrive_as_they_are(ex, args):
    got, kwargs = ex.submit(echo, *args).result()
    assert got == args and not kwargs
    assert [type(x) for x in got] == [type(x) for x in args]
    got, kwargs = ex.submit(echo, *args, k=1).result()
    assert got == args and kwargs == {"k": 1}


def test_sorts_of_functions(ex):
    assert ex.submit(pow, 2, 10).result() == 1024
    assert ex.submit(math.gcd, 12, 18).result() == 6
    assert ex.submit(Thing.double, 4).result() == 8
    assert ex.submit("a-b".split, "-").result() == ["a", "b"]
    assert ex.submit(int, "7").result() == 7
    assert ex.submit(lambda x: x + 1, 1).result() == 2
    local = 5

    def closure(x):
        return x + local

    assert ex.submit(closure, 1).result() == 6


def test_the_function_is_the_one_its_module_has_now(ex, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "versions_of_f.py"
    file.write_text("def f(): return 1\n")
    with prong.Executor(1) as one:
        mod = importlib.import_module("versions_of_f")
        assert one.submit(mod.f).result() == 1
        file.write_text("def f(): return 'two'\n")
        one.submit(reload_by_name, "versions_of_f").result()
        assert one.submit(mod.f).result() == "two"


def reload_by_name(name):
    importlib.invalidate_caches()
    importlib.reload(sys.modules[name])


def test_imported_after_the_fork(ex, tmp_path, monkeypatch):
    assert ex.submit(add, 1, 2).result() == 3  # the workers are there
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "made_later_on.py").write_text("def g(x): return x * 3\n")
    mod = importlib.import_module("made_later_on")
    assert [ex.submit(mod.g, i).result() for i in range(6)] == [0, 3, 6, 9, 12, 15]


def test_a_function_that_was_replaced(ex, monkeypatch):
    old = add
    monkeypatch.setitem(globals(), "add", lambda a, b: "new")
    assert ex.submit(old, 1, 2).result() == 3  # not what the name stands for now


def test_long_tasks_do_not_wait_behind_short_ones(ex):
    """However short the tasks before them, two long ones run side by side."""
    for f in [ex.submit(add, i, 1) for i in range(3000)]:
        f.result()
    pids = {f.result() for f in [ex.submit(nap, 0.5) for _ in range(2)]}
    assert len(pids) == 2


def test_short_tasks_do_not_wait_behind_a_long_one(ex):
    for f in [ex.submit(add, i, 1) for i in range(3000)]:
        f.result()
    long = ex.submit(nap, 3)
    short = [ex.submit(add, i, 1) for i in range(200)]
    assert [f.result(timeout=60) for f in short] == list(range(1, 201))
    assert not long.done()
    assert long.cancel()


def test_futures_that_are_waited_for_in_every_way(ex):
    """Threads look at futures while they are being finished: none of them misses it."""
    wrong = []

    def look(futures, how):
        try:
            if how == 0:
                for f in cf.as_completed(futures, timeout=60):
                    f.result()
            elif how == 1:
                assert not cf.wait(futures, timeout=60).not_done
            else:
                hit = threading.Semaphore(0)
                for f in futures:
                    f.add_done_callback(lambda f: hit.release())
                for _ in futures:
                    assert hit.acquire(timeout=60)
        except BaseException as e:
            wrong.append(repr(e))

    for _ in range(10):
        futures = [ex.submit(add, i, 0) for i in range(300)]
        threads = [threading.Thread(target=look, args=(futures, k % 3)) for k in range(6)]
        for t in threads:
            t.start()
        assert [f.result() for f in futures] == list(range(300))
        for t in threads:
            t.join(60)
    assert not wrong


def test_a_future_of_its_own():
    f = type(prong.Executor(1).submit(add, 1, 2))()
    assert isinstance(f, cf.Future) and not f.done()
    f.set_result(3)
    assert f.done() and f.result() == 3 and "finished" in repr(f)
    with pytest.raises(AttributeError):
        f.no_such_name


def test_many_tasks_leave_nothing_behind(ex):
    import gc

    for _ in range(2):
        for f in [ex.submit(add, i, 1) for i in range(2000)]:
            f.result()
    del f
    gc.collect()
    before = len(gc.get_objects())
    for f in [ex.submit(add, i, 1) for i in range(5000)]:
        f.result()
    del f
    gc.collect()
    assert len(gc.get_objects()) - before < 500
