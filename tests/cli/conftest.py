"""Fixtures: the program under test, and an audit of what a test leaves behind."""
import os
import pathlib
import re
import signal
import subprocess
import uuid

import pytest

# a shell's background and nohup start us with some of these ignored, which exec keeps
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in (signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    signal.signal(name, signal.SIG_DFL)

ROOT = pathlib.Path(__file__).resolve().parents[2]


def carriers(mark):
    found = []
    for d in pathlib.Path("/proc").iterdir():
        try:
            if d.name.isdigit() and mark in (d / "environ").read_bytes().split(b"\0"):
                found.append(int(d.name))
        except OSError:
            pass
    return [p for p in found if p != os.getpid()]


def between_names(f, request):
    """POSIX has no files without names: SIGKILL may come between making and unlinking one, which
    is empty then (docs/portability.md).  Linux has O_TMPFILE, unless a test denies it."""
    named = os.environ.get("LIB_BACKEND") == "posix" or "fallbacks" in request.module.__name__
    return named and re.fullmatch(r"prong\w{6}", f.name) and f.stat().st_size == 0


@pytest.fixture
def prong():
    return os.environ.get("PRONG", str(ROOT / "build" / "prong"))


@pytest.fixture(autouse=True)
def audit(tmp_path, monkeypatch, request):
    """Fail a test that leaves a process or a file in TMPDIR."""
    mark = "PRONG_TEST=" + uuid.uuid4().hex
    tmpdir = tmp_path / "tmpdir"
    tmpdir.mkdir()
    monkeypatch.setenv("TMPDIR", str(tmpdir))
    monkeypatch.setenv("PARALLEL_SHELL", "/bin/sh")
    monkeypatch.setenv(*mark.split("="))
    monkeypatch.chdir(tmp_path)
    yield mark.encode()
    left = carriers(mark.encode())
    for pid in left:
        subprocess.run(["kill", "-9", str(pid)], check=False)
    assert not left, "processes left behind"
    assert not [f for f in tmpdir.iterdir() if not between_names(f, request)], "files left in TMPDIR"
