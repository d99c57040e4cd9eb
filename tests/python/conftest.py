"""A test that leaves a process, a descriptor, or a zombie fails."""

import os
import sys
import signal
import time

import pytest

# a shell starts what runs in its background with these ignored, which exec keeps
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def tracker(pid):
    """Of multiprocessing: it stays."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return b"multiprocessing.resource_tracker" in f.read()
    except OSError:
        return True


def children():
    """Processes below us, zombies too: pid -> command."""
    below, parent, name = {}, {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                comm, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        parent[int(pid)] = int(rest.split()[1])
        name[int(pid)] = f"{comm} {rest.split()[0]}"
    for pid in parent:
        at = pid
        while at in parent and at != os.getpid():
            at = parent[at]
        if at == os.getpid() and pid != os.getpid() and not tracker(pid):
            below[pid] = name[pid]
    return below


def descriptors():
    fds = {}
    of_tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    for fd in os.listdir("/proc/self/fd"):
        if of_tracker is not None and int(fd) == of_tracker._fd:
            continue
        try:
            fds[int(fd)] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            pass
    return fds


@pytest.fixture(autouse=True)
def leaves_nothing():
    import prong

    prong.map(int, "1", jobs=1)  # what is made once stays
    had = children()
    before = descriptors()
    yield
    end = time.monotonic() + 10
    while children().keys() - had.keys() and time.monotonic() < end:
        time.sleep(0.01)
    left = {p: c for p, c in children().items() if p not in had}
    assert not left, f"processes left: {left}"
    while len(descriptors()) > len(before) and time.monotonic() < end:
        time.sleep(0.01)
    after = descriptors()
    assert len(after) <= len(before), f"descriptors left: {set(after.items()) - set(before.items())}"


def pytest_sessionfinish(session, exitstatus):
    """A file that skips as a whole is skipped (77 to Meson), not failed."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = 77
