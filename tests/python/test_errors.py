import os
import pickle
import signal
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import prong
import pytest


def one(f, **options):
    with pytest.raises(BaseException) as e:
        prong.map(lambda _: f(), [7], jobs=1, **options)
    return e.value


def test_exception_with_traceback():
    def deep():
        raise KeyError("x")

    e = one(deep)
    assert type(e) is KeyError and e.args == ("x",)
    assert "in deep" in str(e.__cause__)


class NeedsTwo(Exception):
    def __init__(self, a, b):
        super().__init__("only one")


class NoPickle(Exception):
    def __reduce__(self):
        raise TypeError("never")


class BadRepr(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("make", [lambda: NeedsTwo(1, 2), lambda: NoPickle("n"), lambda: BadRepr("x")])
def test_exceptions_that_cannot_travel_come_as_text(make):
    name = type(make()).__name__

    def f():
        raise make()

    e = one(f)
    assert type(e).__name__ == name or name in str(e)


def test_result_that_cannot_be_pickled():
    e = one(lambda: lambda: 1)
    assert "pickle" in str(e).lower()


class Unbuilt:
    def __reduce__(self):
        return int, ("x",)


def test_result_that_cannot_be_rebuilt():
    assert isinstance(one(Unbuilt), prong.TaskError)


def test_exit_codes_and_signals():
    e = one(lambda: os._exit(3))
    assert isinstance(e, prong.TaskDied) and isinstance(e, BrokenProcessPool)
    assert (e.exitcode, e.index, e.args_repr, e.sent) == (3, 0, "(7)", 0)
    assert one(lambda: sys.exit(4)).exitcode == 4
    e = one(lambda: os.kill(os.getpid(), signal.SIGSEGV))
    assert e.signal == signal.SIGSEGV and not e.oom
    e = one(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert e.oom and e.max_rss > 1e6 and "SIGKILL" in str(e)
    assert pickle.loads(pickle.dumps(e)).certificate == e.certificate


def test_last_words(capfd):
    def f():
        os.write(2, b"the last words\n")  # pytest has replaced sys.stderr
        os._exit(1)

    e = one(f)
    assert "the last words" in e.stderr and "the last words" in str(e)
    assert capfd.readouterr().err == "the last words\n"


def test_death_is_known_at_once():
    def f():
        with open(path, "w") as file:
            file.write(repr(time.monotonic()))
        os.kill(os.getpid(), 9)

    path = f"/dev/shm/prong-test-{os.getpid()}"
    best = 9.0
    try:
        for _ in range(5):
            one(f)
            with open(path) as file:
                best = min(best, time.monotonic() - float(file.read()))
    finally:
        os.unlink(path)
    assert best < 1


def test_timeout_kills():
    def f(x):
        time.sleep(60 if x == 1 else 0)
        return x

    begin = time.monotonic()
    got = prong.map(f, range(4), jobs=2, timeout=0.3, on_error="return")
    assert isinstance(got[1], prong.TaskTimeout) and isinstance(got[1], TimeoutError)
    assert got[1].sent == signal.SIGKILL and got[1].reason == "timeout"
    assert [got[0], got[2], got[3]] == [0, 2, 3]
    assert time.monotonic() - begin < 20


def test_retries():
    marks = os.memfd_create("marks")

    def f(x):
        os.write(marks, b"x")
        if os.fstat(marks).st_size < 3:
            os._exit(1)
        return x

    assert prong.map(f, [5], jobs=1, retries=3) == [5]
    os.close(marks)


def test_skip_and_raise():
    def f(x):
        if x % 2:
            raise ValueError(x)
        return x

    assert prong.map(f, range(6), jobs=2, on_error="skip") == [0, 2, 4]
    with pytest.raises(ValueError):
        prong.map(f, range(6), jobs=2)


def test_initializer_that_raises():
    def bad():
        raise OSError("no licence")

    with pytest.raises(OSError, match="no licence"):
        prong.map(str, range(5), jobs=2, initializer=bad)


@pytest.mark.parametrize(
    "options", [{"jobs": 0}, {"jobs": -1}, {"chunk": 0}, {"timeout": -1}, {"on_error": "no"}, {"retries": -1}]
)
def test_bad_options(options):
    with pytest.raises(ValueError):
        prong.map(str, [1], **options)


def test_names_of_multiprocessing_are_refused():
    for name in ("Queue", "Manager", "Lock"):
        with pytest.raises(AttributeError, match="multiprocessing"):
            getattr(prong, name)
