"""Older kernels, seccomp, containers: the same results where calls are missing or refused."""
import errno
import os
import pathlib
import subprocess

import pytest

from conftest import ROOT
from test_survivors import end_it, start, wait_gone

BUILD = pathlib.Path(os.environ.get("EXAMPLES", ROOT / "build"))
DENY = os.environ.get("DENY", str(BUILD / "deny"))
OLD = ["clone-vm=38", "pidfd_open=38", "pidfd_send_signal=38", "waitid-pidfd=22",
       "close_range=38", "tmpfile=95", "lease=22", "pwritev2=38"]
KERNELS = {
    "clone refused": [f"clone-vm={errno.EPERM}"],
    "clone unknown": [f"clone-vm={errno.ENOSYS}"],
    "no CLONE_PIDFD": [f"clone-pidfd={errno.EINVAL}"],
    "no pidfd at all": ["clone-vm=38", "pidfd_open=38", "pidfd_send_signal=38"],
    "no waitid for pidfds": ["waitid-pidfd=22"],
    "no close_range": ["close_range=38"],
    "no O_TMPFILE": ["tmpfile=95"],
    "no leases": ["lease=22"],
    "leases refused": ["lease=13"],
    "no pwritev2": ["pwritev2=38"],
    "nothing splices": ["splice=22", "sendfile=22", "copy_file_range=18"],
    "all of it": OLD,
}


def works():
    return os.path.exists(DENY) and subprocess.run([DENY, "--", "true"], stderr=subprocess.DEVNULL,
                                                   check=False).returncode == 0


pytestmark = pytest.mark.skipif(not works(), reason="no seccomp filters here")


@pytest.fixture(params=list(KERNELS))
def kernel(request):
    return [DENY, *KERNELS[request.param], "--"]


def run(*args):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                          check=False)


def test_results(kernel, prong):
    r = run(*kernel, prong, "-k", "-j4", "echo {}; echo e{} >&2; exit {}", ":::", *"0123")
    assert r.stdout == b"0\n1\n2\n3\n" and r.returncode == 3
    assert r.stderr.split() == [b"e0", b"e1", b"e2", b"e3"]


def test_what_cannot_start_is_told_alike(kernel, prong):
    for words in (["./no-such-command"], ["/etc/passwd"], ["-j2", "--wd", "/proc/none", "pwd"]):
        here = run(prong, *words, ":::", "1")
        there = run(*kernel, prong, *words, ":::", "1")
        assert here.returncode != 0
        assert (here.returncode, here.stderr) == (there.returncode, there.stderr)


def test_timeouts_and_what_left_the_group(kernel, prong, audit):
    if os.environ.get("LIB_BACKEND") == "posix":
        pytest.skip("the posix backend cannot find what left the group of a job")
    r = run(*kernel, prong, "--timeout", "0.3", "setsid sleep 300 & sleep 300; : {}", ":::", "1")
    assert r.returncode == 1
    assert not wait_gone(audit)


@pytest.mark.parametrize("how", ["INT", "guardian", "runner"])
def test_nothing_survives(kernel, how, audit, prong):
    p = start(kernel[0], *kernel[1:], prong, "-j2", "setsid sleep 300; : {}", ":::", "1", "2")
    end_it(p, how)
    assert not wait_gone(audit)


@pytest.mark.parametrize("unit", ["pool", "watch", "sigchld"])
def test_the_library(kernel, unit):
    r = run(*kernel, str(BUILD / f"test_{unit}"))
    assert r.returncode == 0, r.stderr.decode()


@pytest.mark.parametrize("how", ["fork", "vfork"])
def test_spawn_on_request(how, prong, monkeypatch):
    monkeypatch.setenv("PRONG_SPAWN", how)
    r = run(prong, "-k", "echo", ":::", *"123")
    assert r.stdout == b"1\n2\n3\n" and r.returncode == 0
    assert run(prong, "./no-such-command", ":::", "1").returncode == 1


@pytest.mark.skipif(os.environ.get("SANITIZED", "none") != "none", reason="sanitizers need /proc")
def test_without_proc(prong):
    """Jobs run; what needs /proc (strays, the shell that started us) does without."""
    hide = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if subprocess.run([*hide, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("cannot hide /proc here")
    r = run(*hide, prong, "-k", "-j3", "echo {}; sleep 0", ":::", *"123")
    assert r.stdout == b"1\n2\n3\n" and r.returncode == 0, r
    assert run(*hide, prong, "--timeout", "0.3", "sleep 300; : {}", ":::", "1").returncode == 1
    for unit in ("pool", "watch", "sigchld"):
        r = run(*hide, str(BUILD / f"test_{unit}"))
        assert r.returncode == 0, r.stderr.decode()
