"""What those try who come from multiprocessing, joblib or pebble."""

import math
import os
import subprocess
import sys
import textwrap
import threading

import prong
import pytest


@pytest.mark.parametrize("name, word", [
    ("Queue", "multiprocessing.Queue"), ("Manager", "multiprocessing.Manager"), ("Lock", "multiprocessing.Lock"),
    ("Process", "prong.fork"), ("cpu_count", "prong.cpus"), ("Parallel", "prong.joblib"),
    ("set_start_method", "forked"), ("Nonsense", "no attribute"),
])
def test_names_of_others(name, word):
    with pytest.raises(AttributeError, match=word):
        getattr(prong, name)


def test_names_of_the_face():
    import prong.multiprocessing as face

    with pytest.raises(AttributeError, match="use multiprocessing.Queue"):
        face.Queue


@pytest.mark.parametrize("option, here", [("chunksize", "chunk"), ("n_jobs", "jobs"), ("processes", "jobs"),
                                          ("maxtasksperchild", "max_tasks_per_worker")])
def test_options_of_others(option, here):
    with pytest.raises(TypeError, match=f"called {here} here"):
        prong.map(str, [1], **{option: 2})
    with pytest.raises(TypeError, match="no option 'speed'"):
        prong.map(str, [1], speed=2)
    with pytest.raises(TypeError, match="called jobs here"):
        prong.Pool(processes=2)


def test_methods_of_others():
    with prong.Pool(1) as pool:
        with pytest.raises(AttributeError, match="prong.multiprocessing.Pool"):
            pool.apply_async
        assert not hasattr(pool, "nonsense")


# ---- a generator's items that cannot be pickled get a fork of their own ----


def locks(n):
    return ((threading.Lock(), i) for i in range(n))


def test_unpicklable_items():
    assert prong.map(lambda t: t[1], locks(20), jobs=2) == list(range(20))
    assert sorted(prong.imap_unordered(lambda t: t[1], locks(20), jobs=2)) == list(range(20))
    mixed = (x if x % 2 else (threading.Lock(), x) for x in range(20))
    assert prong.map(lambda x: x if isinstance(x, int) else x[1], mixed, jobs=2) == list(range(20))
    assert prong.starmap(lambda lock, i: i, locks(5), jobs=2) == list(range(5))
    assert prong.map(lambda lock, i: i, (t[0] for t in locks(5)), iter(range(5)), jobs=2) == list(range(5))
    r = prong.map(lambda t: os.write(1, b"%d" % t[1]), locks(4), jobs=2, capture=True, seed=1)
    assert [x.stdout for x in r] == ["0", "1", "2", "3"]


def test_unpicklable_items_that_fail():
    def f(t):
        if t[1] == 1:
            os._exit(3)
        if t[1] == 2:
            return 1 // 0
        return t[1]

    r = prong.map(f, locks(4), jobs=2, on_error="return")
    assert (r[0], r[1].exitcode, type(r[2]), r[3]) == (0, 3, ZeroDivisionError, 3)
    tries = []
    for result in prong.imap(f, locks(4), jobs=2, on_error="return", details=True, retries=2):
        tries.append(result.attempt)
    assert tries == [1, 3, 3, 1]


def test_a_class_that_is_newer_than_the_workers():
    def later():
        for i in range(4):
            class Made:
                value = i

            yield Made()

    assert prong.map(lambda o: o.value, later(), jobs=2) == [0, 1, 2, 3]


def test_a_generator_that_raises():
    def broken():
        yield 1
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        prong.map(str, broken(), jobs=2)


# ---- others ----


def test_globals_that_an_initializer_sets():
    """Also for what cloudpickle sends, which has copies of globals."""
    code = """
        import prong
        model = None
        def load(x):
            global model, other
            model, other = x, x + 1
        with prong.Executor(1, initializer=load, initargs=(40,)) as ex:
            ex.submit(int).result()
            print(ex.submit(lambda: (model, other)).result())
            print(list(ex.map(lambda x: x + model, [1, 2], chunksize=2)))
    """
    r = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert (r.stdout, r.stderr) == ("(40, 41)\n[41, 42]\n", "")


def test_every_child_of_fork_is_reported():
    for i in range(5):
        with prong.fork(jobs=2) as child:
            if child:
                os._exit(i)
    assert [c.exitcode for c in prong.wait_all()] == [0, 1, 2, 3, 4]
    assert prong.wait_all() == []


def test_quota_of_a_container(tmp_path, monkeypatch):
    from prong import _cpus

    for text, want in (("150000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 8), ("junk", 8)):
        (tmp_path / "cpu.max").write_text(text)
        monkeypatch.setattr(_cpus, "_quota", lambda: _cpus._quota_at(str(tmp_path)))
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
        monkeypatch.setattr(_cpus, "_asked", -math.inf)  # it is read once a second
        assert prong.cpus() == want
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    monkeypatch.setattr(_cpus, "_asked", -math.inf)
    assert prong.cpus() == 3


def test_affinity():
    cpu = next(iter(os.sched_getaffinity(0)))

    def pinned(_):
        os.sched_setaffinity(0, {cpu})
        return prong.cpus(), len(set(prong.map(lambda _: os.getpid(), range(20), chunk=1)))

    assert prong.map(pinned, [0]) == [(1, 1)]


@pytest.mark.parametrize("lie, word", [
    ("sys.platform = 'darwin'", "Linux"), ("sys.platform = 'win32'", "Linux"),
    ("sys._is_gil_enabled = lambda: False", "free-threaded"),
])
def test_where_it_refuses(lie, word):
    r = subprocess.run([sys.executable, "-c", f"import sys; {lie}; import prong"], capture_output=True, text=True)
    assert r.returncode == 1 and word in r.stderr.splitlines()[-1] and "ImportError" in r.stderr
