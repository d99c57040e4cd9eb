"""Future: a concurrent.futures.Future that is made quickly, and can be cancelled while it runs."""

from __future__ import annotations

import threading
from concurrent.futures import Future as _BaseFuture
from concurrent.futures import _base
from typing import TYPE_CHECKING, Any

import _prong

if TYPE_CHECKING:
    from ._tasks import State

PENDING, RUNNING, FINISHED = _base.PENDING, _base.RUNNING, _base.FINISHED


class Future(_BaseFuture):  # type: ignore[type-arg]
    """A concurrent.futures.Future whose task can be cancelled while it runs.

    Its condition and its lists are made when somebody asks for them: making them takes longer
    than a short task.  As long as nobody has (`_plain`), the engine may finish it by hand, under
    the GIL; see future.c."""

    __slots__ = ("_plain", "_id", "_call", "_state_of_pool", "_state", "_result", "_exception",
                 "_condition", "_waiters", "_done_callbacks")  # fmt: skip

    def __init__(self) -> None:
        self._plain = False
        self._id = -1
        self._call: tuple[Any, ...] | None = None
        self._state_of_pool: State | None = None
        super().__init__()

    def __getattr__(self, name: str) -> Any:
        """For what submit() has left out."""
        if name not in ("_condition", "_waiters", "_done_callbacks"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        _prong.equip(self, threading.Condition())
        return object.__getattribute__(self, name)

    def cancel(self) -> bool:
        """Cancel the task; if it runs, its worker is killed.  False: it is finished."""
        pool = self._state_of_pool
        if pool is None or self._state == FINISHED:
            return super().cancel()
        return pool.cancel(self)

    def running(self) -> bool:
        """True while a worker executes it."""
        pool = self._state_of_pool
        if pool is not None and self._state == PENDING and pool.runs(self._id):
            return True
        return self._state == RUNNING

    def done(self) -> bool:
        """True if it is finished or cancelled."""
        return self._state not in (PENDING, RUNNING)

    def result(self, timeout: float | None = None) -> Any:
        """What the call returned, or its exception is raised; TaskDied (a BrokenProcessPool) if
        its process died; TimeoutError after so many seconds, CancelledError if cancelled."""
        if self._state == PENDING and self._state_of_pool is not None:
            self._state_of_pool.hurry(self, timeout)
        if self._state == FINISHED and self._exception is None:
            return self._result
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None; else as result()."""
        if self._state == PENDING and self._state_of_pool is not None:
            self._state_of_pool.hurry(self, timeout)
        return super().exception(timeout)

    def __await__(self) -> Any:
        """In asyncio; cancelling the await cancels the task."""
        import asyncio

        return asyncio.wrap_future(self).__await__()
