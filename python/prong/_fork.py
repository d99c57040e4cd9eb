"""fork(): a block of code in a child process, that cannot run on into its parent's code."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections import deque
from types import TracebackType
from typing import Any

import _prong

from ._engine import check_jobs
from ._errors import Certificate, certificate
from ._worker import Entry

_running: dict[int, Child] = {}
_started: deque[Child] = deque(maxlen=100_000)  # since wait_all()
_reaping = threading.Lock()  # two threads may wait for the same child


class Child:
    """A context: in the child process it is true, and the process ends with the block.

        for i in range(7):
            with prong.fork() as child:
                if child:
                    work(i)          # the child only
                                     # the parent only, from here on
        for c in prong.wait_all():
            print(c)
    """

    def __init__(self, jobs: int | None = None) -> None:
        self.jobs = jobs
        self.pid = 0
        self.in_child = False
        self._end: Certificate | None = None
        self._sent = 0

    def __bool__(self) -> bool:
        return self.in_child

    def __enter__(self) -> Child:
        if self.jobs is not None:
            while len(_running) >= self.jobs:
                _wait_any(None)
        _prong.flush()
        self._start = time.time()
        pid = _prong.fork()
        if pid == 0:
            self.in_child = True
            self.pid = os.getpid()
            global _reaping
            _reaping = threading.Lock()  # another thread may have held it
            _running.clear()
            _started.clear()
            Entry(None)(0)
            return self
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        _running[pid] = self
        _started.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if not self.in_child:
            return
        status = 0
        try:
            if isinstance(exc, SystemExit):
                status = Entry(None).exit_status(exc)
            elif exc is not None:
                status = 1
                traceback.print_exception(kind, exc, tb)
            _wait_for_all()
            Entry(None).leave()
            _prong.flush()
        finally:
            os._exit(status)

    def poll(self) -> Certificate | None:
        """How it ended, or None while it runs."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> Certificate | None:
        """Wait up to so many seconds; None if it still runs then."""
        if self._end is None and select.select([self._fd], [], [], timeout)[0]:
            self._reap()
        return self._end

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Send a signal to it and to what it has started."""
        if self._end is None and self.poll() is None:
            if sig == signal.SIGKILL:
                _prong.sweep(self.pid)
            os.killpg(self.pid, sig)
            self._sent = sig

    def _reap(self) -> None:
        with _reaping:
            if self._end is None:
                self._reap_once()

    def _reap_once(self) -> None:
        end = time.time()
        raw: tuple[Any, ...]
        try:
            _, status, use = os.wait4(self.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            raw = (1 if code >= 0 else 2, abs(code), self._sent, os.WCOREDUMP(status), self.pid,
                   int(self._start * 1e9), int(end * 1e9), use.ru_utime, use.ru_stime, use.ru_maxrss)
        except ChildProcessError:
            raw = (6, 0, self._sent, 0, self.pid, int(self._start * 1e9), int(end * 1e9), 0, 0, 0)
        self._end = certificate((*raw, b"", 0, 0, -1))
        os.close(self._fd)
        _running.pop(self.pid, None)


def fork(jobs: int | None = None) -> Child:
    """`with prong.fork() as child: if child: ...` - see Child.  With `jobs`, wait first until
    fewer than so many children of fork() run."""
    return Child(None if jobs is None else check_jobs(jobs))


def _wait_any(timeout: float | None) -> None:
    fds = {c._fd: c for c in _running.values()}
    for fd in select.select(list(fds), [], [], timeout)[0]:
        fds[fd]._reap()


def wait_all(timeout: float | None = None) -> list[Certificate]:
    """Wait for all children of fork() since the last wait_all(), and return how they ended, in
    the order of their start.  With a timeout in seconds, those that have ended by then."""
    until = None if timeout is None else time.monotonic() + timeout
    while _running:
        left = None if until is None else max(0.0, until - time.monotonic())
        _wait_any(left)
        if left == 0:
            break
    ended = [c._end for c in _started if c._end is not None]
    _started.clear()
    _started.extend(_running.values())
    return ended


def _wait_for_all() -> None:
    """A parent that just ends would take its children with it."""
    try:
        wait_all()
    except KeyboardInterrupt:
        sys.exit(130)


atexit.register(_wait_for_all)
