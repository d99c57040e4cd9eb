import os
import time

import prong
import pytest


def test_order_and_closures():
    k = 3
    assert prong.map(lambda x: x * k, range(1000), jobs=2) == [x * 3 for x in range(1000)]


@pytest.mark.parametrize("chunk", ["auto", 1, 7])
@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_item_once(chunk, jobs):
    assert prong.map(lambda x: x, range(5000), jobs=jobs, chunk=chunk) == list(range(5000))


def test_several_iterables_stop_at_the_shortest():
    assert prong.map(lambda a, b: a + b, [1, 2, 3], (10, 20), jobs=2) == [11, 22]
    assert list(prong.imap(lambda a, b: a + b, [1, 2], iter([10, 20, 30]), jobs=2)) == [11, 22]


def test_starmap():
    assert prong.starmap(divmod, [(7, 2), (9, 4)], jobs=2) == [(3, 1), (2, 1)]


def test_nothing_to_do():
    assert prong.map(str, []) == []
    assert list(prong.imap(str, iter([]))) == []
    assert list(prong.imap(str, [])) == []


def test_unordered_gives_all():
    assert sorted(prong.map(lambda x: x, range(300), jobs=3, ordered=False)) == list(range(300))
    assert sorted(prong.imap_unordered(lambda x: x, range(3000), jobs=3)) == list(range(3000))


def test_imap_is_in_order_and_lazy():
    read = []

    def source():
        for i in range(100000):
            read.append(i)
            yield i

    it = prong.imap(lambda x: x + 1, source(), jobs=2)
    assert [next(it) for _ in range(10)] == list(range(1, 11))
    time.sleep(0.2)
    assert len(read) < 100
    it.close()


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -1, 2**62, -(2**63), 2**64, 1.5, float("inf"), "", "ä\0€", "\ud800", b"", b"\0x",
     bytearray(b"abc"), [1, [2]], {"a": (1,)}, {1, 2}, (), 1j, ("x", b"y" * 50000, bytearray(70000)),
     b"z" * 3_000_000, "s" * 2_000_000, bytearray(1_500_000), ["q" * 700_000, b"r" * 900_000]],
    ids=lambda v: type(v).__name__,
)
def test_values_arrive_as_they_are(value):
    for back in (prong.map(lambda _: value, [0], jobs=1)[0], next(prong.imap(lambda v: v, iter([value]), jobs=1))):
        assert back == value and type(back) is type(value)


def test_a_killed_worker_costs_one_task():
    def f(x):
        if x == 50:
            os.kill(os.getpid(), 9)
        return x

    got = prong.map(f, range(200), jobs=2, on_error="return")
    assert isinstance(got[50], prong.TaskDied)
    assert [g for i, g in enumerate(got) if i != 50] == [x for x in range(200) if x != 50]


def test_each_task_begins_once():
    with open("/dev/null"):
        r, w = os.pipe()

    def f(x):
        os.write(w, b"%d\n" % x)
        if x % 10 == 3:
            os._exit(4)
        return x

    prong.map(f, range(100), jobs=3, on_error="skip")
    os.close(w)
    with open(r) as f:
        assert sorted(int(line) for line in f) == list(range(100))


def test_any_length_through_the_ring():
    import random

    dice = random.Random(5)
    for _ in range(25):
        sizes = [dice.choice([1, 7, 40000, 300000, 700000, 1500000]) + dice.randrange(8) for _ in range(3)]
        v = dice.choice([list, tuple])(dice.choice([bytes, bytearray])(n) for n in sizes)
        assert prong.map(lambda _: v, range(3), jobs=2) == [v] * 3
        assert list(prong.imap(lambda x: x, iter([v, v]), jobs=2)) == [v] * 2


@pytest.mark.parametrize("seconds", [float("inf"), 1e10])
def test_a_limit_of_ages_is_none(seconds):
    assert prong.map(lambda x: sum(range(100_000)) + x, range(3), timeout=seconds, jobs=1)[0] > 0
    with prong.Executor(1, timeout=seconds) as ex:
        assert ex.submit(sum, range(1_000_000)).result() > 0


@pytest.mark.parametrize("details", [True, False])
def test_deaths_at_the_beginning_that_are_not_in_a_row(tmp_path, details):
    log = tmp_path / "log"

    def every_other_dies():
        with open(log, "a") as f:
            f.write("x")
        if os.path.getsize(log) % 2 == 0:
            os._exit(9)

    assert len(prong.map(abs, range(8), jobs=1, max_tasks_per_worker=1, initializer=every_other_dies,
                         details=details)) == 8


def test_an_initializer_that_exits():
    with pytest.raises(prong.TaskError, match="initializer"):
        prong.map(len, ["a"], jobs=1, initializer=os.sys.exit, initargs=(3,))
