"""Executor: concurrent.futures.Executor on prong's workers; one dead worker is one failed task."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Executor as _BaseExecutor
from functools import partial
from typing import Any, Callable, Iterable, Iterator

from ._cpus import cpus
from ._engine import check_seconds, rss_kb
from ._future import PENDING, Future
from ._tasks import CallEntry, State
from ._worker import describe

_new = Future.__new__


class Worker:
    """A worker process, as far as others may touch it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def is_alive(self) -> bool:
        try:
            with open(f"/proc/{self.pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def join(self, timeout: float | None = None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        while self.is_alive() and (end is None or time.monotonic() < end):
            time.sleep(0.005)


def _process_chunk(fn: Callable[..., Any], chunk: list[tuple[Any, ...]]) -> list[Any]:
    return [fn(*args) for args in chunk]


def _chunks(it: Iterable[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    iterator = iter(it)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


class Executor(_BaseExecutor):
    """A concurrent.futures.Executor in forked workers.

    Compared with ProcessPoolExecutor: a worker that dies fails its own task only (TaskDied, with
    a certificate) and is replaced; futures can be cancelled while they run; `timeout` (seconds of
    one task) kills; a function that cannot be pickled is sent by cloudpickle if that is
    installed, else run in a fresh fork that inherits it.

    max_workers: at most so many processes; default: the CPUs this process may use.
    initializer, initargs: called first in each worker; if it raises, the executor is broken.
    max_tasks_per_worker (max_tasks_per_child): then a fresh one.
    max_rss: bytes, or like '500M': a worker that has more between two tasks is replaced.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        max_tasks_per_worker: int | None = None,
        max_rss: int | str | None = None,
        timeout: float | None = None,
        blas_threads: int | str | None = "auto",
    ) -> None:
        if max_workers is None:
            max_workers = cpus()
        elif max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if mp_context is not None and mp_context.get_start_method() != "fork":
            raise ValueError("prong's workers are forked: leave mp_context out")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        limit = max_tasks_per_worker if max_tasks_per_worker is not None else max_tasks_per_child
        if limit is not None:
            if not isinstance(limit, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if limit <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        if blas_threads == "auto":
            blas_threads = max(1, cpus() // max_workers)
        self._max_workers = int(max_workers)
        entry = CallEntry(
            None,
            initializer=initializer,
            initargs=tuple(initargs),
            blas_threads=blas_threads,  # type: ignore[arg-type]
        )
        self._pool = State(self._max_workers, entry, check_seconds("timeout", timeout), limit or 0, rss_kb(max_rss))
        state = self._pool

        def gone(_: Any, state: State = state) -> None:
            state.executor_gone = True
            if state.thread is not None:
                state.wake()

        self._ref = weakref.ref(self, gone)
        _gone_refs[id(state)] = self._ref
        weakref.finalize(state, _gone_refs.pop, id(state), None)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Schedule fn(*args, **kwargs); returns its Future."""
        state = self._pool
        f: Future = _new(Future)
        f._plain = True
        f._state = PENDING
        f._result = f._exception = None
        f._state_of_pool = state
        f._id = index = state.next_id()
        f._call = (fn, args, kwargs)
        try:
            if state.template is not None:
                fn, args, kwargs = state.template.call(fn, args, kwargs)
            how = state.push(index, f, fn, args, kwargs)
        except BaseException as e:
            if not state.eng.accepting:
                state.refuse()
            state.futures[index] = f
            state.submit_unpicklable(f, f._call, e)
            how = 0
        if how:
            state.refuse() if how < 0 else state.attend()
        if state.ready:
            state.deliver()
        return f

    # Names that programs and tests take from ProcessPoolExecutor, though they are private there.

    @property
    def _broken(self) -> Any:
        why = self._pool.broken
        return describe(why) if why is not None else False

    @property
    def _processes(self) -> dict[int, Worker]:
        eng = self._pool.eng
        end = time.monotonic() + 5
        while not eng.closed:
            pids = eng.pids()
            if len(pids) >= eng.live + eng.singles or time.monotonic() > end:
                return {pid: Worker(pid) for pid in pids}
            time.sleep(0.0005)  # one is just being forked
        return {}

    @property
    def _executor_manager_thread(self) -> threading.Thread | None:
        return self._pool.thread

    def start(self) -> Executor:
        """Fork all workers now, not one by one as tasks come: before threads are started, say.
        Returns itself."""
        state = self._pool
        with state.lock:
            if not state.shutdown and state.broken is None:
                state.start_workers(state.jobs)
                if state.thread is None:
                    state.start_thread()
        state.deliver()
        return self

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """As concurrent.futures.Executor.map.  For big inputs and speed see prong.map."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None:
            if not isinstance(buffersize, int):
                raise TypeError("buffersize must be an integer or None")
            if buffersize < 1:
                raise ValueError("buffersize must be None or > 0")
            return self._map_buffered(fn, zip(*iterables), timeout, chunksize, buffersize)
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        results = super().map(partial(_process_chunk, fn), _chunks(zip(*iterables), chunksize), timeout=timeout)
        return _flatten(results)

    def _map_buffered(
        self, fn: Callable[..., Any], items: Iterable[Any], timeout: float | None, size: int, ahead: int
    ) -> Iterator[Any]:
        end = None if timeout is None else time.monotonic() + timeout
        chunks = _chunks(items, size)
        call = partial(_process_chunk, fn)
        futures = deque(self.submit(call, c) for c in itertools.islice(chunks, ahead))

        def results() -> Iterator[Any]:
            try:
                while futures:
                    values = futures[0].result(None if end is None else end - time.monotonic())
                    futures.popleft()
                    futures.extend(self.submit(call, c) for c in itertools.islice(chunks, 1))
                    yield from values
            finally:
                for f in futures:
                    f.cancel()

        return results()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No more tasks.  wait: return when all are done and the workers are gone."""
        state = self._pool
        if state.pid != os.getpid():
            return
        with state.lock:
            state.shutdown = True
            state.eng.accepting = False
            if cancel_futures and not state.eng.closed:
                state.cancel_pending()
            thread = state.thread
            if thread is None:
                state.eng.close()
            else:
                state.wake()
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def kill_workers(self) -> None:
        """Kill what runs, cancel what waits, and shut down."""
        self._pool.abort()
        self.shutdown(wait=True, cancel_futures=True)

    terminate_workers = kill_workers

    def __exit__(self, kind: Any, exc: Any, tb: Any) -> bool | None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._pool.abort()  # Ctrl-C means now
        self.shutdown(wait=True)
        return None


_gone_refs: dict[int, Any] = {}


def _flatten(lists: Iterator[list[Any]]) -> Iterator[Any]:
    for values in lists:
        values.reverse()
        while values:
            yield values.pop()
