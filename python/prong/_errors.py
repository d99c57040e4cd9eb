"""Exceptions, and what is known of a task's end.  Imports concurrent.futures: loaded when used."""

from __future__ import annotations

import concurrent.futures.process
import os
import pickle
import signal as _signal
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

HOW = ("", "exited", "signaled", "timedout", "cancelled", "notstarted", "lost")
REASONS = ("", "timeout", "cancelled", "max_rss")


@dataclass(frozen=True)
class Certificate:
    """How a process ended.  Times in seconds, sizes in bytes."""

    how: str
    """'exited', 'signaled', 'timedout', 'cancelled', 'notstarted' or 'lost'."""
    status: int
    """Exit code, signal number, or errno, according to `how`."""
    pid: int = 0
    sent: int = 0
    """The last signal prong itself sent to it; 0: none."""
    core: bool = False
    wall: float = 0.0
    cpu: float = 0.0
    max_rss: int = 0
    stderr: str = ""
    """The last lines it wrote to stderr."""
    reason: str = ""
    """Why prong killed it: 'timeout', 'cancelled'; '' if it did not."""
    start: float = 0.0
    """Seconds since the epoch."""

    @property
    def oom(self) -> bool:
        """Probably the kernel's out-of-memory killer: a SIGKILL nobody here sent."""
        return self.signal == _signal.SIGKILL and not self.sent

    @property
    def signal(self) -> int:
        """The signal that ended it, or 0."""
        return self.status if self.how in ("signaled", "timedout", "cancelled") else 0

    @property
    def exitcode(self) -> int | None:
        """As multiprocessing gives it: exit code, or minus the signal."""
        if self.how == "exited":
            return self.status
        return -self.signal if self.signal else None

    def _end(self) -> str:
        if self.how == "exited":
            return f"exit code {self.status}"
        if self.how == "notstarted":
            return f"could not be started: {os.strerror(self.status)}"
        if not self.signal:
            return self.how
        try:
            text = f"killed by {_signal.Signals(self.signal).name}"
        except ValueError:
            text = f"killed by signal {self.signal}"
        if self.sent == self.signal:
            text += " (sent by prong)"
        elif self.oom:
            text += " (not sent by prong: perhaps out of memory)"
        return text + (", core dumped" if self.core else "")

    def __str__(self) -> str:
        text = f"{self._end()}, pid {self.pid}, {self.wall:.3f} s, CPU {self.cpu:.3f} s"
        return text + f", peak memory {self.max_rss / 1e6:.1f} MB"


def certificate(raw: tuple[Any, ...]) -> Certificate:
    """From the tuple the extension gives."""
    how, status, sent, core, pid, start, end, utime, stime, rss, tail, reason, _step, _seat = raw
    return Certificate(
        how=HOW[how],
        status=status,
        pid=pid,
        sent=sent,
        core=bool(core),
        wall=(end - start) / 1e9 if end else 0.0,
        cpu=utime + stime,
        max_rss=rss * 1024,
        stderr=tail.decode("utf-8", "replace"),
        reason=REASONS[reason],
        start=start / 1e9,
    )


class TaskDied(BrokenProcessPool):
    """The process that ran a task ended without giving its result.

    Only this task has failed; the pool goes on.  Attributes: `certificate` (how the process
    ended; its fields can be read from the exception as well: `e.signal`, `e.exitcode`,
    `e.max_rss`, `e.stderr` ...), `index` (of the task), `args_repr` (its arguments, shortened).
    """

    def __init__(
        self,
        message: str = "",
        certificate: Certificate | None = None,
        index: int | None = None,
        args_repr: str = "",
    ) -> None:
        super().__init__(message)
        self.certificate = certificate
        self.index = index
        self.args_repr = args_repr

    def __getattr__(self, name: str) -> Any:
        c = None if name.startswith("_") else self.__dict__.get("certificate")
        if c is None:
            raise AttributeError(name)
        return getattr(c, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.certificate, self.index, self.args_repr)


class TaskTimeout(TaskDied, TimeoutError):
    """A task ran longer than its timeout, and was killed for it."""


class TaskError(Exception):
    """An exception or result of a task that could not be brought here as itself.

    Attributes: `type_name`, `text`, `traceback` (all strings).
    """

    def __init__(self, message: str, type_name: str = "", text: str = "", traceback: str = ""):
        super().__init__(message)
        self.type_name = type_name
        self.text = text
        self.traceback = traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.type_name, self.text, self.traceback)


# What asks the standard pool's exceptions for their cause finds it here too.
RemoteTraceback: Any = concurrent.futures.process._RemoteTraceback
"""The traceback of a worker, as the cause of the exception it belongs to."""


def _text(exc: BaseException) -> str:
    """str() that does not raise."""
    try:
        return str(exc)
    except Exception as e:
        return f"(its str() raises {type(e).__name__})"


def unpack_error(packed: Any) -> BaseException:
    """The exception a worker packed, with its traceback as the cause."""
    if not isinstance(packed, tuple):
        return TaskError(str(packed))
    tb, data, name, text = packed
    exc: BaseException | None = None
    if data is not None:
        try:
            exc = pickle.loads(data)
        except BaseException as e:
            text += f" (it could not be rebuilt here: {type(e).__name__}: {_text(e)})"
    if not isinstance(exc, BaseException):
        exc = TaskError(f"{name}: {text}", name, text, tb)
    exc.__cause__ = RemoteTraceback(f'\n"""\n{tb}"""')
    return exc


def died(raw: tuple[Any, ...], index: int | None, args_repr: str, limit: float | None) -> TaskDied:
    """The exception for a dead worker."""
    c = certificate(raw)
    where = f"task {index}" if index is not None else "a worker"
    if args_repr:
        where += f" {args_repr}"
    last = "".join(f"\n  {line}" for line in c.stderr.strip().splitlines()[-10:])
    last = f"; its last words on stderr:{last}" if last else ""
    if c.reason == "timeout":
        text = f"{where} ran longer than {limit or 0:g} s and was killed: {c}{last}"
        return TaskTimeout(text, c, index, args_repr)
    return TaskDied(f"{where} died: {c}{last}", c, index, args_repr)


def undecodable(exc: BaseException, index: int) -> BaseException:
    """A result that was sent but cannot be rebuilt in the parent."""
    if isinstance(exc, MemoryError):
        return exc
    name = f"{type(exc).__module__}.{type(exc).__qualname__}".removeprefix("builtins.")
    text = f"the result of task {index} could not be unpickled: {name}: {_text(exc)}"
    error = TaskError(text, name, _text(exc))
    error.__cause__ = exc
    return error


@dataclass
class TaskResult:
    """The end of one task.  Times in seconds, sizes in bytes."""

    index: int
    value: Any = None
    error: BaseException | None = None
    wall: float = 0.0
    cpu: float = 0.0
    max_rss: int = 0
    stdout: str | None = None
    """What the task wrote, with capture=True; else None."""
    stderr: str | None = None
    pid: int = 0
    attempt: int = 1
    certificate: Certificate | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """It gave a value."""
        return self.error is None

    def result(self) -> Any:
        """The value; or the error is raised."""
        if self.error is not None:
            raise self.error
        return self.value
