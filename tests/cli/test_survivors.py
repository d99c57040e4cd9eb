"""Nothing survives the end of prong: hostile jobs, nested runs, both processes killed."""
import os
import random
import signal
import subprocess
import time

import pytest

from conftest import carriers

JOBS = {
    "setsid": "setsid sleep 300; : {}",
    "double fork": "( ( sleep 300 & ) & ); sleep 300; : {}",
    "setsid double fork": "(setsid sh -c 'sleep 300 & sleep 300' & ) ; sleep 300; : {}",
    "ignores": "trap '' TERM INT QUIT HUP; sleep 300; sleep 300; : {}",
    "closes": "exec <&- >&- 2>&- 3>&-; sleep 300; : {}",
    "forks on": "while :; do sleep 300 & sleep 0.01; done; : {}",
}


def wait_gone(mark, seconds=10):
    end = time.time() + seconds
    while carriers(mark) and time.time() < end:
        time.sleep(0.02)
    return carriers(mark)


def start(prong, *args, **kw):
    return subprocess.Popen([prong, *args], start_new_session=True, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, **kw)


def runner_of(p):
    end = time.time() + 5
    while time.time() < end:
        try:
            with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
                children = f.read().split()
        except FileNotFoundError:
            return None
        if children:
            return int(children[0])
    return None


def end_it(p, how):
    if how == "guardian":
        p.kill()
    elif how == "group":
        os.killpg(p.pid, signal.SIGKILL)
    elif how == "runner":
        pid = runner_of(p)
        if pid:
            os.kill(pid, signal.SIGKILL)
    else:
        p.send_signal(getattr(signal, "SIG" + how))
    p.wait(timeout=20)


@pytest.mark.parametrize("how", ["INT", "TERM", "QUIT", "guardian", "runner", "group"])
@pytest.mark.parametrize("job", list(JOBS))
def test_hostile_jobs(prong, job, how, audit):
    p = start(prong, "-j3", JOBS[job], ":::", "1", "2", "3")
    time.sleep(random.choice([0.0, 0.01, 0.03, 0.05, 0.2]))
    end_it(p, how)
    assert not wait_gone(audit)


@pytest.mark.parametrize("how", ["INT", "TERM", "guardian", "runner", "group"])
def test_prong_inside_prong(prong, how, audit):
    p = start(prong, f"{prong} -j2 'setsid sleep 300; : {{}}' ::: a b; : {{}}", ":::", "1", "2")
    time.sleep(0.3)
    end_it(p, how)
    assert not wait_gone(audit)


def state_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0]


def wait_for(what, seconds=20):
    end = time.time() + seconds
    while not what():
        assert time.time() < end
        time.sleep(0.02)


@pytest.mark.parametrize("mode", ["--group", "--line-buffer", "--ungroup"])
def test_guardian_killed_while_nobody_reads(prong, mode, audit):
    """The runner waits for a reader that never reads, and must see even so."""
    job = "setsid sleep 300 & head -c 3000000 /dev/zero | tr '\\0' '\\n'; : {}"
    p = subprocess.Popen([prong, mode, "-j2", job, ":::", "1", "2"], start_new_session=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wait_for(lambda: any(b"sleep" in open(f"/proc/{q}/cmdline", "rb").read()
                         for q in carriers(audit)))
    time.sleep(0.5)
    p.kill()
    p.wait(timeout=20)
    assert not wait_gone(audit)
    p.stdout.close()


def test_guardian_killed_while_stopped(prong, audit):
    """Ctrl-Z, kill -9 %1."""
    p = start(prong, "-j2", JOBS["setsid"], ":::", "1", "2")
    time.sleep(0.3)
    p.send_signal(signal.SIGTSTP)
    wait_for(lambda: state_of(p.pid) == "T")
    end_it(p, "guardian")
    assert not wait_gone(audit)


def test_both_at_once_are_found_by_the_next_sweep(prong, audit):
    p = start(prong, "-j2", JOBS["setsid"], ":::", "1", "2")
    time.sleep(0.3)
    runner = runner_of(p)
    os.kill(p.pid, signal.SIGSTOP)
    os.kill(runner, signal.SIGSTOP)
    os.kill(runner, signal.SIGKILL)
    os.kill(p.pid, signal.SIGKILL)
    p.wait(timeout=20)
    r = subprocess.run([prong, "--sweep-orphans"], stderr=subprocess.PIPE, timeout=30)
    assert r.returncode == 0
    assert not wait_gone(audit)


def test_exit_status_tells_the_signal(prong):
    for name in ("INT", "TERM"):
        p = start(prong, "sleep", ":::", "300")
        time.sleep(0.2)
        end_it(p, name)
        assert p.returncode == -getattr(signal, "SIG" + name)


@pytest.mark.skipif(os.environ.get("LIB_BACKEND") == "posix",
                    reason="the posix backend cannot find what left the group of a job")
def test_timeout_ends_strays_too(prong, audit):
    r = subprocess.run([prong, "--timeout", "0.3", "setsid sleep 300 & sleep 300; : {}", ":::", "1"],
                       timeout=30, stderr=subprocess.DEVNULL)
    assert r.returncode == 1
    assert not wait_gone(audit)


def test_halt_now_ends_the_others(prong, audit):
    r = subprocess.run([prong, "-j3", "--halt", "now,fail=1", "[ {} = 2 ] && exit 7; setsid sleep 300",
                        ":::", "1", "2", "3"], timeout=30, stderr=subprocess.DEVNULL)
    assert r.returncode == 7
    assert not wait_gone(audit)


def test_sweep_ends_what_a_job_leaves(prong, audit):
    subprocess.run([prong, "--sweep", "sleep 300 & echo {}", ":::", "1", "2"], timeout=30,
                   stdout=subprocess.DEVNULL)
    assert not wait_gone(audit)


def test_a_closed_stdout_frees_nobody(prong):
    """A job that closes its stdout and lives on holds its slot, and only that."""
    t = time.time()
    r = subprocess.run([prong, "-j1", "exec >&-; sleep 0.5; : {}", ":::", "1", "2"], timeout=30)
    assert r.returncode == 0 and time.time() - t >= 1.0


def test_a_background_child_delays_nobody(prong, audit):
    t = time.time()
    r = subprocess.run([prong, "-j1", "sleep 5 & echo {}", ":::", "1", "2"], timeout=30,
                       stdout=subprocess.PIPE)
    assert r.stdout == b"1\n2\n" and time.time() - t < 4
    for pid in carriers(audit):
        os.kill(pid, signal.SIGKILL)
    assert not wait_gone(audit)


def test_a_late_writer_reaches_no_other_job(prong):
    """A child that kept the output file writes into it after the slot was used again."""
    late = "(sleep 0.3; echo LATE{}) & echo {}"
    r = subprocess.run([prong, "-k", "-j1", f"{late}; sleep 0.2", ":::", *map(str, range(8))],
                       stdout=subprocess.PIPE, timeout=60)
    lines = r.stdout.split()
    assert [n for n in lines if not n.startswith(b"LATE")] == [b"%d" % i for i in range(8)]
    # where the machine is slow a job lasts longer than its writer waits
    assert all(lines[i - 1] == n[4:] for i, n in enumerate(lines) if n.startswith(b"LATE"))
    time.sleep(0.5)


MANY = [":::", *map(str, range(3000)), ":::", *map(str, range(3000))]
READING = {
    "filter": ["--filter", '{1} eq "x"', "echo", *MANY],
    "total": ["--plus", "echo {##}"],
    "dry run": ["--dry-run", "echo", *MANY],
    "resume": ["--resume", "--joblog", "log", "--plus", "echo {##}"],
}


@pytest.mark.parametrize("what", list(READING))
def test_signals_are_heeded_while_much_is_read(prong, what, tmp_path):
    with open(tmp_path / "out", "wb") as out:
        yes = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
        p = subprocess.Popen([prong, *READING[what]], stdin=yes.stdout, stdout=out)
        yes.stdout.close()
        time.sleep(0.5)  # it reads by now; if it does not yet, all the better
        p.send_signal(signal.SIGINT)
        try:
            assert p.wait(timeout=10) == -signal.SIGINT
        finally:
            end_reading(p, yes)


def end_reading(p, yes):
    yes.kill()
    yes.wait()
    p.kill()
    p.wait()
