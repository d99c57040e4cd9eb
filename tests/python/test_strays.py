"""Processes that a task has started and that made a session of their own."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import prong
import pytest

from test_life import gone

STRAY = """
import os, subprocess, sys, time
def stray(x):
    # a session of its own; and one whose parent is gone as well
    a = subprocess.Popen(["sleep", "300"], start_new_session=True)
    b = subprocess.run(["sh", "-c", "setsid sleep 300 >/dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE, text=True)
    with open(sys.argv[1] + "/pids." + str(x), "w") as f:
        f.write(f"{a.pid} {b.stdout} {os.getpid()}\\n")
    os.rename(sys.argv[1] + "/pids." + str(x), sys.argv[1] + "/" + str(x))
    if os.path.exists(sys.argv[1] + "/quick"): return x
    time.sleep(300)
"""
WAYS = {
    "map": "prong.map(stray, range(2), jobs=2)",
    "executor": "ex = prong.Executor(2); [f.result() for f in [ex.submit(stray, i) for i in range(2)]]",
    "pool": "p = prong.Pool(2); [p.submit(stray, i) for i in range(2)]; list(p)",
    "fork": """
for i in range(2):
    with prong.fork() as c:
        if c: stray(i)
prong.wait_all()""",
    "template": "prong.template(); prong.map(stray, range(2), jobs=2)",
}


def pids(directory, n=2):
    end = time.monotonic() + 60
    while len(found := [f for f in os.listdir(directory) if f.isdigit()]) < n:
        assert time.monotonic() < end
        time.sleep(0.02)
    return [int(p) for f in found for p in (directory / f).read_text().split()]


@pytest.mark.parametrize("way", WAYS)
def test_parent_killed(way, tmp_path):
    code = "import prong\n" + STRAY + WAYS[way]
    p = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.DEVNULL)
    found = pids(tmp_path)
    assert len(found) == 6 and all(os.path.exists(f"/proc/{q}") for q in found)
    p.kill()
    p.wait()
    gone(found)


def stray_code(tmp_path, rest):
    code = "import prong\n" + STRAY + textwrap.dedent(rest)
    r = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert r.stderr == ""
    return r.stdout


@pytest.mark.parametrize("way", ["map", "template"])
def test_timeout(way, tmp_path):
    out = stray_code(tmp_path, f"""
        if {way!r} == "template": prong.template()
        for e in prong.map(stray, range(2), jobs=2, timeout=8, on_error="return"):
            print(type(e).__name__, e.certificate.sent)
    """)
    assert out == "TaskTimeout 9\nTaskTimeout 9\n"
    gone(pids(tmp_path))


def test_cancel(tmp_path):
    out = stray_code(tmp_path, """
        with prong.Executor(1) as ex:
            f = ex.submit(stray, 0)
            while not os.path.exists(sys.argv[1] + "/0"): time.sleep(.01)
            print(f.cancel(), ex.submit(int, "3").result())
    """)
    assert out == "True 3\n"
    gone(pids(tmp_path, 1))


def test_somebody_elses_failure(tmp_path):
    """The first failure ends map: what the other tasks have started as well."""
    out = stray_code(tmp_path, """
        def f(x):
            if x < 2: stray(x)
            while not all(os.path.exists(f"{sys.argv[1]}/{i}") for i in range(2)): time.sleep(.01)
            raise KeyError(x)
        try: prong.map(f, range(3), jobs=3, chunk=1)
        except KeyError as e: print(e)
    """)
    assert out == "2\n"
    gone(pids(tmp_path))


def test_killed_child_of_fork(tmp_path):
    out = stray_code(tmp_path, """
        with prong.fork() as c:
            if c: stray(0)
        while not os.path.exists(sys.argv[1] + "/0"): time.sleep(.01)
        c.kill()
        print(c.wait().signal)
    """)
    assert out == "9\n"
    gone(pids(tmp_path, 1))


def test_a_task_may_wait_for_its_own_children():
    def f(_):
        subprocess.run(["sh", "-c", "true & setsid true"], check=True)
        p = subprocess.Popen(["true"])
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        return p.wait()

    assert prong.map(f, range(6), jobs=2) == [0] * 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
