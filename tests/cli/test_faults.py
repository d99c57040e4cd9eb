"""The k-th system call of a kind fails, for every k: no zombie, no lost job, no hang."""
import os
import re
import shutil
import subprocess

import pytest

# What is made to fail, with which errors; the calls of starting, watching and collecting.
FAULTS = [
    ("clone,clone3,vfork", "EAGAIN"), ("clone,clone3,vfork", "ENOMEM"),
    ("pipe2", "EMFILE"), ("openat", "EMFILE"), ("openat", "ENFILE"),
    ("epoll_create1", "EMFILE"), ("epoll_ctl", "ENOMEM"), ("timerfd_create", "EMFILE"),
    ("signalfd4", "EMFILE"), ("eventfd2", "EMFILE"), ("socketpair", "EMFILE"),
    ("pidfd_open", "ENOSYS"), ("waitid", "ENOSYS"),
    ("ftruncate", "EIO"), ("pread64", "EIO"), ("write", "ENOSPC"), ("fcntl", "EINVAL"),
    ("dup3,dup2", "EMFILE"), ("fstat,newfstatat", "EIO"), ("lseek", "EINVAL"), ("setsid", "EPERM"),
    ("epoll_wait,epoll_pwait", "EINTR"), ("read", "EINTR"),
]
MAX_K = int(os.environ.get("PRONG_FAULTS", "12"))


def works():
    if not shutil.which("strace"):
        return False
    r = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL)
    return r.returncode == 0


@pytest.mark.skipif(not works(), reason="strace cannot trace here")
@pytest.mark.parametrize("calls,error", FAULTS)
def test_kth_call_fails(prong, calls, error, tmp_path):
    known = [c for c in calls.split(",")
             if subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", f"trace={c}", "true"],
                               stderr=subprocess.DEVNULL).returncode == 0]
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")  # it cannot under a tracer
    for k in range(1, MAX_K + 1):
        trace = tmp_path / "trace"
        r = subprocess.run(
            ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={','.join(known)}",
             "-e", f"inject={','.join(known)}:error={error}:when={k}",
             prong, "-k", "-j2", "--joblog", "log", "echo", ":::", "1", "2", "3"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, env=env)
        text = trace.read_text(errors="replace")
        if "INJECTED" not in text:
            break  # there is no k-th call
        # Either it all worked (there is a fallback), or it was told.
        whole = r.stdout == b"1\n2\n3\n" and r.returncode == 0
        assert whole or r.returncode != 0, (calls, error, k, r)
        assert whole or r.stderr, (calls, error, k, r)
        assert b"Traceback" not in r.stderr and not re.search(r"SIGSEGV|SIGABRT", text)


@pytest.mark.skipif(not works(), reason="strace cannot trace here")
def test_a_runner_that_ends_while_the_guardian_looks(prong):
    """The guardian is slow in its first look, and the runner waits for nothing."""
    r = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=wait4:delay_exit=300000:when=1",
         prong, "--dry-run", "echo", ":::", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
        env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
    assert r.stdout == b"echo 1\n" and r.returncode == 0, r
