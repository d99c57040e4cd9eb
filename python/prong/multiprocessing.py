"""multiprocessing.Pool's face on prong's workers, for code that moves over:

    from prong.multiprocessing import Pool

What differs: a worker that dies costs its own task (prong.TaskDied), the pool goes on; workers
die with their parent; a task may have a pool of its own.
"""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import Future
from itertools import islice, starmap
from multiprocessing import TimeoutError
from multiprocessing.pool import CLOSE, RUN, TERMINATE, MaybeEncodingError, RemoteTraceback  # type: ignore[attr-defined]
from typing import Any, Callable, Iterable, Iterator, Sequence

from . import _errors
from ._executor import Executor, Worker

__all__ = ["AsyncResult", "MaybeEncodingError", "Pool", "TimeoutError"]


def __getattr__(name: str) -> Any:
    import multiprocessing

    if not name.startswith("_") and hasattr(multiprocessing, name):
        raise AttributeError(f"prong.multiprocessing has no {name}: use multiprocessing.{name}, which works in its workers")
    raise AttributeError(f"module 'prong.multiprocessing' has no attribute {name!r}")


def _call_each(fn: Callable[..., Any], star: bool, items: list[Any]) -> list[Any]:
    return list(starmap(fn, items) if star else map(fn, items))


class _Text(str):
    __repr__ = str.__str__


def _as_theirs(e: BaseException | None) -> BaseException | None:
    """The exception that multiprocessing.Pool would have given."""
    result = getattr(e, "_prong_result", None)
    if isinstance(result, str):
        wrapped: BaseException = MaybeEncodingError(e, _Text(result))
        wrapped.__cause__ = e.__cause__ if e is not None else None
        e = wrapped
    if e is not None and isinstance(e.__cause__, _errors.RemoteTraceback):
        e.__cause__ = RemoteTraceback(e.__cause__.tb)
    return e


class AsyncResult:
    """What apply_async() and map_async() return."""

    def __init__(
        self,
        futures: Sequence[Future[Any]],
        join: Callable[[list[Any]], Any],
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._join = join
        self._callback = callback
        self._error_callback = error_callback
        self._lock = threading.Lock()
        self._left = len(futures)
        self._event = threading.Event()
        self._futures = futures
        self._value: Any = None
        self._error: BaseException | None = None
        if not futures:
            self._finish()
        for f in futures:
            f.add_done_callback(self._one_done)

    def _one_done(self, f: Future[Any]) -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self._finish()

    def _finish(self) -> None:
        futures, self._futures = self._futures, ()
        errors = [f.exception() if not f.cancelled() else _terminated() for f in futures]
        self._error = _as_theirs(next((e for e in errors if e is not None), None))
        if self._error is None:
            self._value = self._join([f.result() for f in futures])
        self._event.set()
        if self._error is not None and self._error_callback:
            self._error_callback(self._error)
        elif self._error is None and self._callback:
            self._callback(self._value)

    def ready(self) -> bool:
        """Has the call ended?"""
        return self._event.is_set()

    def successful(self) -> bool:
        """Did it end without an exception?  ValueError if it has not ended."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def wait(self, timeout: float | None = None) -> None:
        """Wait up to so many seconds for its end."""
        self._event.wait(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """The result, or its exception is raised; multiprocessing.TimeoutError after so many
        seconds."""
        if not self._event.wait(timeout):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._value


def _terminated() -> BaseException:
    from concurrent.futures import CancelledError

    return CancelledError("the pool was terminated")


class Pool:
    """As multiprocessing.Pool; `context` is accepted only as None or "fork": workers are forked."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        method = context if isinstance(context, str) or context is None else context.get_start_method()
        if method not in (None, "fork"):
            raise ValueError(f"prong's workers are forked: context cannot be {method!r}")
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild < 1):
            raise ValueError("maxtasksperchild must be a positive int or None")
        self._state = CLOSE
        self._executor = Executor(
            processes, initializer=initializer, initargs=tuple(initargs), max_tasks_per_worker=maxtasksperchild
        ).start()
        self._processes = self._executor._max_workers
        self._state = RUN

    @property
    def _pool(self) -> list[Worker]:
        """The workers."""
        return list(self._executor._processes.values())

    def _repopulate_pool(self) -> None:
        """Dead workers are replaced by themselves."""

    def __repr__(self) -> str:
        return f"<prong.multiprocessing.Pool state={self._state} pool_size={self._processes}>"

    def __del__(self, _warn: Any = warnings.warn, _run: str = RUN) -> None:
        if getattr(self, "_state", None) == _run:
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)

    # ---- one call ----

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        self._check()
        future = self._executor.submit(func, *args, **(kwds or {}))
        return AsyncResult([future], lambda v: v[0], callback, error_callback)

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: dict[str, Any] | None = None) -> Any:
        return self.apply_async(func, args, kwds).get()

    # ---- many ----

    def _map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
        star: bool,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> AsyncResult:
        self._check(1 if chunksize is None else chunksize)
        items = list(iterable)
        if chunksize is None:
            chunksize = -(-len(items) // (self._processes * 4)) or 1
        futures = [
            self._executor.submit(_call_each, func, star, items[i : i + chunksize])
            for i in range(0, len(items), chunksize)
        ]
        return AsyncResult(futures, lambda lists: [x for v in lists for x in v], callback, error_callback)

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        return self._map_async(func, iterable, chunksize, False, callback, error_callback)

    def map(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        result: list[Any] = self.map_async(func, iterable, chunksize).get()
        return result

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        return self._map_async(func, iterable, chunksize, True, callback, error_callback)

    def starmap(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[Any]:
        result: list[Any] = self.starmap_async(func, iterable, chunksize).get()
        return result

    def _chunks(self, func: Callable[[Any], Any], iterable: Iterable[Any], size: int) -> Iterator[Future[Any]]:
        it = iter(iterable)
        try:
            while chunk := list(islice(it, size)):
                yield self._executor.submit(_call_each, func, False, chunk)
        except Exception as e:  # of the iterable: it comes where its result would
            failed: Future[Any] = Future()
            failed.set_exception(e)
            yield failed

    def imap(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1) -> _Results:
        """Results in order, as they come.  The input is read as results are taken, a few chunks
        for each worker ahead."""
        self._check(chunksize)
        return _Results(self._chunks(func, iterable, chunksize), self._processes * 4, ordered=True)

    def imap_unordered(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1) -> _Results:
        self._check(chunksize)
        return _Results(self._chunks(func, iterable, chunksize), self._processes * 4, ordered=False)

    # ---- its end ----

    def _check(self, chunksize: int = 1) -> None:
        if self._state != RUN:
            raise ValueError("Pool not running")
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")

    def close(self) -> None:
        """No more calls; what was asked for is done."""
        if self._state == RUN:
            self._state = CLOSE
        self._executor.shutdown(wait=False)

    def terminate(self) -> None:
        """Kill the workers; calls that have not ended raise CancelledError."""
        self._state = TERMINATE
        self._executor.kill_workers()

    def join(self) -> None:
        """Wait for the workers to end, after close() or terminate()."""
        if self._state == RUN:
            raise ValueError("Pool is still running")
        self._executor.shutdown(wait=True)

    def __enter__(self) -> Pool:
        self._check()
        return self

    def __exit__(self, *exc: object) -> None:
        self.terminate()


class _Results:
    """The iterator of imap(): next(timeout) as in multiprocessing."""

    def __init__(self, futures: Iterator[Future[Any]], ahead: int, ordered: bool) -> None:
        self._source = futures
        self._ahead = ahead
        self._ordered = ordered
        self._ready: list[Any] = []
        self._cond = threading.Condition()
        self._running: list[Future[Any]] = []
        self._fill()

    def _fill(self) -> None:
        for f in islice(self._source, self._ahead - len(self._running)):
            self._running.append(f)
            f.add_done_callback(self._wake)

    def _wake(self, _: Future[Any]) -> None:
        with self._cond:
            self._cond.notify_all()

    def _done(self) -> Future[Any] | None:
        some = self._running[:1] if self._ordered else self._running
        return next((f for f in some if f.done()), None)

    def __iter__(self) -> _Results:
        return self

    def next(self, timeout: float | None = None) -> Any:
        if not self._ready:
            if not self._running:
                raise StopIteration
            with self._cond:
                if not self._cond.wait_for(lambda: self._done() is not None, timeout):
                    raise TimeoutError
            f = self._done()
            assert f is not None
            self._running.remove(f)
            self._fill()
            error = _as_theirs(f.exception())
            if error is not None:
                raise error
            self._ready = f.result()[::-1]
        return self._ready.pop()

    __next__ = next
