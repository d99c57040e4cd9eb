"""The command as a user sees it."""
import os
import signal
import subprocess
import time

import pytest
from conftest import carriers


def run(prong, *args, stdin=b"", env=None):
    e = dict(os.environ, **(env or {}))
    return subprocess.run([prong, *args], input=stdin, capture_output=True, timeout=60, env=e)


@pytest.mark.parametrize("args,stdin,want", [
    (["-k", "echo", ":::", "a", "b"], b"", b"a\nb\n"),
    (["-k", "echo", ":::", "1", "2", ":::", "x", "y"], b"", b"1 x\n1 y\n2 x\n2 y\n"),
    (["-k", "echo", ":::", "a", "b", ":::+", "1", "2"], b"", b"a 1\nb 2\n"),
    (["-k", "echo", "{/.}-{//}-{.}-{#}", ":::", "d/e.f"], b"", b"e-d-d/e-1\n"),
    (["-k", "-0", "printf", "[%s]", "{}"], b"a\nb\0c\0", b"[a\nb][c]"),
    (["-k", "--tag", "echo", "x", ":::", "p"], b"", b"p\tx p\n"),
    (["--dry-run", "-k", "echo", ":::", "it's", ""], b"", b"echo 'it'\"'\"'s'\necho ''\n"),
    ([], b"echo one\n", b"one\n"),
])
def test_output(prong, args, stdin, want):
    r = run(prong, *args, stdin=stdin)
    assert (r.returncode, r.stdout) == (0, want)


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "ksh"])
def test_bytes_arrive(prong, shell, tmp_path):
    """Every byte but NUL, through the shell and by direct exec."""
    data = b"".join(bytes([b, 65, b]) + b"\0" for b in range(1, 256))
    path = subprocess.run(["which", shell], capture_output=True, check=True).stdout.decode().strip()
    for command in (["printf", "%s,", "{}"], ["/usr/bin/printf", "%s,", "{}"]):
        r = run(prong, "-k", "-0", "-j1", *command, stdin=data, env={"PARALLEL_SHELL": path})
        assert r.stdout == data.replace(b"\0", b",")


def test_exit_status_counts_failures(prong):
    assert run(prong, "exit {}", ":::", "0", "1", "2").returncode == 2
    assert run(prong, "-j8", "false", ":::", *map(str, range(110))).returncode == 101
    assert run(prong, "--no-such-option").returncode == 255
    assert run(prong, "--halt", "now,fail=1", "-j1", "exit {}", ":::", "0", "7").returncode == 7


def test_order_of_many(prong):
    numbers = b"".join(b"%d\n" % i for i in range(3000))
    assert run(prong, "-j8", "-k", "/bin/echo", stdin=numbers).stdout == numbers


def test_retries_show_the_last_try(prong):
    r = run(prong, "--retries", "3", "echo {} >> n; wc -l < n; false", ":::", "x")
    assert (r.returncode, r.stdout.split()) == (1, [b"3"])


HOSTILE = "trap '' TERM INT; (setsid sleep 300 &) ; sleep 300 & (sleep 300 &) ; sleep 300; : {}"


@pytest.mark.parametrize("pause", [0.003, 0.02, 0.05, 0.5])
@pytest.mark.parametrize("how", ["INT", "TERM", "QUIT", "guardian", "runner", "group"])
def test_nothing_survives(prong, how, pause, audit):
    p = subprocess.Popen([prong, "-j3", HOSTILE, ":::", "1", "2", "3"], start_new_session=True,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(pause)
    if how == "guardian":
        p.kill()
    elif how == "group":
        os.killpg(p.pid, signal.SIGKILL)
    elif how == "runner":
        with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
            children = f.read().split()
        os.kill(int(children[0]) if children else p.pid, signal.SIGKILL)
    else:
        p.send_signal(getattr(signal, "SIG" + how))
    p.wait(timeout=20)
    end = time.time() + 5
    while carriers(audit) and time.time() < end:
        time.sleep(0.02)
    assert not carriers(audit)


def test_background_jobs_live_on(prong, tmp_path):
    r = run(prong, "(sleep 0.3; echo late > f) >/dev/null 2>&1 & echo {}", ":::", "a")
    assert r.stdout == b"a\n"
    end = time.time() + 10
    while not (tmp_path / "f").exists() and time.time() < end:
        time.sleep(0.05)
    time.sleep(0.2)
    assert (tmp_path / "f").read_text() == "late\n"
