"""prong.multiprocessing.Pool does what multiprocessing.Pool does, but for deaths."""
import os
import threading
import time

import prong
import pytest
from prong.multiprocessing import Pool, TimeoutError


def square(x):
    return x * x


def fail_at_3(x):
    if x == 3:
        raise ValueError(x)
    return x


def die_at_3(x):
    if x == 3:
        os.kill(os.getpid(), 9)
    return x


def set_level(level):
    global LEVEL
    LEVEL = level


def get_level(_=None):
    return LEVEL


def test_calls():
    with Pool(2) as pool:
        assert pool.apply(pow, (2, 8)) == 256
        assert pool.apply(int, ("ff",), {"base": 16}) == 255
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
        assert pool.map(square, []) == []
        assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
        assert list(pool.imap(square, range(50), chunksize=7)) == [x * x for x in range(50)]
        assert sorted(pool.imap_unordered(square, range(50))) == [x * x for x in range(50)]


def test_async_results_and_callbacks():
    got, errors, seen = [], [], threading.Event()

    def on_error(e):
        errors.append(e)
        seen.set()

    with Pool(2) as pool:
        r = pool.map_async(square, range(10), callback=got.append)
        assert r.get(60) == [x * x for x in range(10)] and r.ready() and r.successful()
        r = pool.apply_async(fail_at_3, (3,), error_callback=on_error)
        with pytest.raises(ValueError):
            r.get(60)
        assert not r.successful()
        assert seen.wait(60)
        slow = pool.apply_async(time.sleep, (30,))
        with pytest.raises(TimeoutError):
            slow.get(0.05)
        with pytest.raises(ValueError):
            slow.successful()
    assert got == [[x * x for x in range(10)]] and len(errors) == 1


def test_a_death_costs_one_chunk():
    with Pool(2) as pool:
        it = pool.imap(die_at_3, range(6))
        assert [next(it) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(prong.TaskDied):
            next(it)
        assert list(it) == [4, 5]
        assert pool.apply(square, (3,)) == 9


def test_initializer_and_recycling():
    with Pool(1, set_level, (5,)) as pool:
        assert pool.map(get_level, range(3)) == [5, 5, 5]
    with Pool(1, maxtasksperchild=1) as pool:
        pids = {pool.apply(os.getpid) for _ in range(3)}
    assert len(pids) == 3


def test_imap_is_lazy_and_times_out():
    read = []

    def source():
        for i in range(10_000):
            read.append(i)
            yield i

    with Pool(2) as pool:
        it = pool.imap(square, source())
        assert next(it) == 0
        assert len(read) < 100
        slow = pool.imap(time.sleep, [30])
        with pytest.raises(TimeoutError):
            slow.next(0.05)


def test_ends():
    pool = Pool(2)
    r = pool.map_async(square, range(1000))
    with pytest.raises(ValueError):
        pool.join()
    pool.close()
    with pytest.raises(ValueError):
        pool.apply(square, (1,))
    pool.join()
    assert r.get(0) == [x * x for x in range(1000)]
    begin = time.monotonic()
    pool = Pool(2)
    r = pool.apply_async(time.sleep, (60,))
    pool.terminate()
    pool.join()
    assert time.monotonic() - begin < 30
    with pytest.raises(BaseException):
        r.get(10)


def test_bad_arguments():
    with pytest.raises(ValueError):
        Pool(0)
    with pytest.raises(ValueError, match="fork"):
        Pool(1, context="spawn")


def test_map_in_chunks_of_nothing():
    with Pool(1) as pool:
        for size in (0, -2):
            with pytest.raises(ValueError, match="Chunksize"):
                pool.map(abs, range(5), chunksize=size)
