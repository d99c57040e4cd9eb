"""The channel between parent and workers: big arguments, workers that go, closing in its midst."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import prong
import pytest

BIG = 300_000  # more than what goes through the ring in one piece


def script(code, *args, timeout=60):
    """A program of its own, since it may crash or hang."""
    p = subprocess.run([sys.executable, "-c", textwrap.dedent(code), *args], timeout=timeout,
                       capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return p.stdout


@pytest.mark.parametrize("size", [100, 3 << 20])
def test_an_item_is_as_it_was_when_it_was_given(size):
    def items():
        buf = bytearray(size)
        for k in range(6):
            buf[:] = bytes([k]) * size
            yield buf
            buf[:] = b"?" * size

    assert list(prong.imap(set, items(), jobs=2)) == [{k} for k in range(6)]


def test_a_bytearray_that_is_cleared():
    out = script("""
        import prong
        def items():
            for k in range(6):
                buf = bytearray(b"x") * (3 << 20)
                yield buf
                buf.clear()
        print([len(x) for x in prong.imap(bytes, items(), jobs=1)])
    """)
    assert out == f"{[3 << 20] * 6}\n"


def test_an_array_that_is_filled_again():
    numpy = pytest.importorskip("numpy")

    def items():
        a = numpy.zeros(1_000_000, dtype="u1")
        for k in range(6):
            a[:] = k
            yield a

    assert list(prong.imap(lambda a: set(a.tolist()), items(), jobs=2)) == [{k} for k in range(6)]


def close_at_once(flag):
    """An initializer of which the first dies, after its worker was given something."""
    time.sleep(0.2)
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os._exit(1)


@pytest.mark.parametrize("size", [10, BIG, 3_000_000])
def test_a_big_argument_outlives_a_worker_that_has_not_begun(tmp_path, size):
    with prong.Executor(1, initializer=close_at_once, initargs=(str(tmp_path / "f"),)) as ex:
        first, second = ex.submit(len, b"x" * size), ex.submit(int, "7")
        assert first.result(timeout=30) == size
        assert second.result(timeout=30) == 7


def test_a_big_argument_behind_a_cancelled_call_outlives_its_worker(tmp_path):
    with prong.Executor(1, initializer=close_at_once, initargs=(str(tmp_path / "f"),)) as ex:
        small = ex.submit(int, "7")
        assert small.cancel()
        assert ex.submit(len, b"x" * BIG).result(timeout=30) == BIG


def test_a_big_argument_that_was_taken_back_is_no_task_that_died(tmp_path):
    with prong.Executor(1, initializer=close_at_once, initargs=(str(tmp_path / "f"),)) as ex:
        assert ex.submit(len, b"x" * BIG).cancel()
        assert ex.submit(int, "7").result(timeout=30) == 7
        assert ex._pool.eng.done == 1


def test_big_arguments_and_workers_that_are_renewed():
    def grow(b, keep=[]):
        keep.append(bytearray(b"x") * (10 << 20))
        return len(b)

    with prong.Executor(2, max_rss="100M") as ex:
        results = [ex.submit(grow, b"x" * BIG) for _ in range(150)]
        assert [f.result(timeout=60) for f in results] == [BIG] * 150


@pytest.mark.parametrize("size", [10, BIG])
def test_calls_that_are_waiting_can_be_cancelled(size):
    gate_r, gate_w = os.pipe()
    with prong.Executor(1, initializer=os.read, initargs=(gate_r, 1)) as ex:
        first, second = ex.submit(len, b"x" * size), ex.submit(int, "7")
        third = ex.submit(int, "8")
        assert first.cancel() and second.cancel()
        os.write(gate_w, b"x")
        assert third.result(timeout=30) == 8
    os.close(gate_r)
    os.close(gate_w)


def test_what_was_cancelled_is_no_task_of_its_worker():
    gate_r, gate_w = os.pipe()
    with prong.Executor(1, max_tasks_per_child=2) as ex:
        first, second = ex.submit(os.read, gate_r, 1), ex.submit(int, "7")
        while not first.running():
            time.sleep(0.01)
        assert second.cancel()
        os.write(gate_w, b"x")
        assert first.result(timeout=30) == b"x"
        assert ex.submit(int, "8").result(timeout=30) == 8
    os.close(gate_r)
    os.close(gate_w)


def test_max_rss_below_what_the_program_has():
    out = script("""
        import prong
        model = bytearray(b"x") * (150 << 20)
        print(prong.map(abs, range(4), jobs=1, max_rss="100M"))
    """)
    assert out == "[0, 1, 2, 3]\n"


def test_stderr_read_by_a_thread_of_this_process():
    out = script("""
        import os, prong, threading
        r, w = os.pipe()
        os.dup2(w, 2)
        os.close(w)
        def reader():
            while os.read(r, 65536):
                pass
        threading.Thread(target=reader, daemon=True).start()
        def noisy(i):
            os.write(2, b"e" * 400000)
            return i
        print(prong.map(noisy, range(2), jobs=1), flush=True)
        os._exit(0)
    """)
    assert out == "[0, 1]\n"


@pytest.mark.parametrize("who", ["thread", "handler"])
def test_a_pool_is_closed_while_a_result_is_rebuilt(who):
    out = script("""
        import os, prong, signal, sys, threading, time
        parent = os.getpid()
        rebuilding = threading.Event()
        class R:
            def __setstate__(self, state):
                if os.getpid() == parent:
                    rebuilding.set()
                    if sys.argv[1] == "handler":
                        signal.raise_signal(signal.SIGTERM)
                    time.sleep(0.5)
        def f():
            r = R()
            r.a = 1
            return r
        pool = prong.Pool(2)
        signal.signal(signal.SIGTERM, lambda *a: pool.terminate())
        if sys.argv[1] == "thread":
            threading.Thread(target=lambda: (rebuilding.wait(), pool.terminate())).start()
        pool.submit(f)
        try:
            pool.wait()
        except Exception as e:
            print(type(e).__name__, file=sys.stderr)
        pool.terminate()
        print("whole")
    """, who)
    assert out == "whole\n"


def test_a_template_that_was_closed_leaves_no_number_of_a_descriptor():
    out = script("""
        import os, prong, socket
        t = prong.template()
        ex = prong.Executor(1)
        ex.submit(int).result()
        t.close()
        a, b = socket.socketpair()  # it has the number that the template's socket had
        os.kill(next(iter(ex._processes)), 9)
        try:
            ex.submit(int).result(timeout=30)
        except Exception as e:
            print("told")
        b.setblocking(False)
        try:
            print("disturbed", b.recv(100))
        except BlockingIOError:
            print("left alone", flush=True)
        os._exit(0)
    """)
    assert out.endswith("left alone\n")


def test_a_zero_byte_in_a_word():
    with pytest.raises(ValueError, match="null byte"):
        prong.run(["printf", "a\0b"])


class Interrupts:
    """Ctrl-C arrives while one of these is rebuilt."""

    parent = os.getpid()

    def __setstate__(self, state):
        self.__dict__.update(state)
        if os.getpid() == self.parent and self.i == 1:
            signal.raise_signal(signal.SIGINT)


def interrupting(i):
    r = Interrupts()
    r.i = i
    return r


def test_ctrl_c_while_a_result_is_rebuilt_is_no_bad_result():
    with pytest.raises(KeyboardInterrupt):
        prong.map(interrupting, range(4), jobs=1, on_error="return")


def test_ctrl_c_while_a_result_is_rebuilt_loses_no_other():
    seen, interrupted = [], 0
    with prong.Pool(1) as pool:
        for i in range(3):
            pool.submit(interrupting, i)
        while len(seen) < 3:
            try:
                seen.append(pool.wait().index)
            except KeyboardInterrupt:
                interrupted += 1
    assert sorted(seen) == [0, 1, 2] and interrupted == 1
