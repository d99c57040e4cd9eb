"""Pool: a fresh process for each task; nothing is pickled but what it returns."""

from __future__ import annotations

import os
from collections import deque
from types import TracebackType
from typing import Any, Callable, Iterator

import _prong

from ._cpus import cpus
from ._engine import INIT_FAILED, check_jobs, engine_options, unknown_option
from ._errors import TaskResult
from ._map import Run
from ._worker import Entry


class _PoolEntry(Entry):
    calls: dict[int, tuple[Any, ...]] = {}

    def single(self, index: int) -> Any:
        call = self.calls[index]
        self.calls = {}
        return self.run(index, call)


_FACE = "use prong.multiprocessing.Pool, which has multiprocessing's methods"
_ELSEWHERE = {name: _FACE for name in ("apply", "apply_async", "map_async", "starmap_async")} | {
    name: f"use prong.{name}(), or {_FACE.removeprefix('use ')}" for name in ("map", "imap", "imap_unordered", "starmap")
} | {"join": "close() waits for all tasks", "shutdown": "use close(), or terminate()", "schedule": "use submit()"}


class Pool:
    """At most `jobs` processes at once, each forked for one task at the moment it starts.

        with prong.Pool(jobs=5) as pool:
            for page in pages:
                pool.submit(fetch, page)         # never waits
                print(pool.running, pool.waiting)
                for r in pool.poll():            # what has ended since; does not wait either
                    print(r.index, r.result())
            for r in pool:                       # the rest, as they end
                print(r.index, r.result())

    A task sees the memory of its parent as it is when the task starts.  Results are TaskResult
    objects.  Tasks start and end inside the methods of the pool (submit, poll, wait, running,
    iteration); leaving the block waits for them, leaving it by an exception kills them.

    timeout: seconds of one task.  retries: more tries for one that fails.  seed: as for map.
    capture: stdout and stderr of each task are in its result.
    """

    def __init__(
        self,
        jobs: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        seed: Any = None,
        capture: bool = False,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        blas_threads: int | str | None = "auto",
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(unknown_option(next(iter(unknown))))
        self.jobs = check_jobs(jobs)
        run = Run.__new__(Run)  # its way of making results of events
        Run.__init__(run, _unused, ([],), False, timeout=timeout, retries=retries, seed=seed,
                     details=True, initializer=initializer, initargs=initargs, jobs=1)
        self._run = run
        self._pid = os.getpid()
        if blas_threads == "auto":
            blas_threads = max(1, cpus() // self.jobs)
        captures = None
        if capture:
            flag = os.MFD_CLOEXEC
            captures = [(os.memfd_create("out", flag), os.memfd_create("err", flag)) for _ in range(2 * self.jobs)]
        run.captures = captures
        self._entry = _PoolEntry(None, seed=seed, details=True, initializer=initializer,
                                 initargs=tuple(initargs), captures=captures,
                                 blas_threads=blas_threads)  # type: ignore[arg-type]
        flags = _prong.FORKS | (0 if capture else _prong.TEE) | (_prong.TIMED if timeout else 0)
        self._eng = run.eng = _prong.Engine(
            self.jobs, self._entry, (), 0, flags, 0, **engine_options(run.template, self._entry, captures)
        )
        self._eng.timeout = run.timeout
        self._calls: dict[int, tuple[Any, ...]] = {}
        self._waiting: deque[int] = deque()
        self._ended: deque[TaskResult] = deque()
        self._next = 0
        self._closed = False
        run._again = self._again  # type: ignore[method-assign,assignment]
        run._item = lambda i: self._calls[i][1]  # type: ignore[method-assign]
        run.star = True

    # ---- tasks ----

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> int:
        """Queue fn(*args, **kwargs); returns its index: 0, 1, 2, ..."""
        if self._closed:
            raise RuntimeError("cannot submit to a closed pool")
        if not callable(fn):
            raise TypeError("the function is not callable")
        index = self._next
        self._next += 1
        self._calls[index] = (fn, args, kwargs)
        self._waiting.append(index)
        self._turn(0)
        return index

    def cancel(self, index: int) -> bool:
        """End a task.  It runs: it is killed, and its result says so.  It waits: it never
        begins, and has no result.  False: it has ended."""
        if index in self._waiting:
            self._waiting.remove(index)
            del self._calls[index]
            return True
        return index in self._calls and bool(self._eng.kill(index, 2))

    def _again(self, index: int) -> bool:
        n = self._run.attempts.get(index, 0)
        if n >= self._run.retries:
            return False
        self._run.attempts[index] = n + 1
        self._waiting.appendleft(index)
        return True

    def __getattr__(self, name: str) -> Any:
        where = _ELSEWHERE.get(name)
        raise AttributeError(f"prong.Pool has no {name}" + (f": {where}" if where else ""), name=name, obj=self)

    def _start(self) -> None:
        while self._waiting:
            index = self._waiting[0]
            self._entry.calls = {index: self._calls[index]}
            _prong.flush()
            try:
                if not self._fork(index):
                    return
                self._waiting.popleft()
                self._take(self._eng.poll(0))
            finally:
                self._entry.calls = {}

    def _fork(self, index: int) -> bool:
        t = self._run.template
        if t is None:
            return bool(self._eng.fork_task(index))
        try:
            payload = t.payload(self._entry, single=True)
        except Exception as e:
            call = self._calls.pop(index)
            self._ended.append(TaskResult(index, None, e))
            return bool(call)
        return bool(self._eng.fork_task(index, payload))

    def _take(self, events: list[Any]) -> None:
        for ev in events:
            if ev[0] == INIT_FAILED:
                self._kill()
            end = self._run._settle(ev)
            if end is not None:
                self._calls.pop(end[0], None)
                self._ended.append(end[1])

    def _turn(self, timeout: float | None) -> None:
        if self._pid != os.getpid():
            raise RuntimeError("this pool was made by another process, before a fork: make one here")
        if self._closed:
            return
        self._start()
        self._take(self._eng.poll(timeout))
        self._start()

    # ---- what the caller asks ----

    @property
    def running(self) -> int:
        """How many tasks run now."""
        self._turn(0)
        return len(self._calls) - len(self._waiting)

    @property
    def waiting(self) -> int:
        """How many tasks have not begun."""
        self._turn(0)
        return len(self._waiting)

    def poll(self) -> list[TaskResult]:
        """Results of tasks that have ended and were not given yet.  Never waits."""
        self._turn(0)
        results = list(self._ended)
        self._ended.clear()
        return results

    def wait(self, timeout: float | None = None) -> TaskResult | None:
        """The next result; None if no task is left, or after so many seconds."""
        import time

        until = None if timeout is None else time.monotonic() + timeout
        while not self._ended and self._calls:
            left = None if until is None else max(0.0, until - time.monotonic())
            self._turn(left)
            if left == 0:
                break
        return self._ended.popleft() if self._ended else None

    def __iter__(self) -> Iterator[TaskResult]:
        """Results as tasks end, until none is left.  More may be submitted meanwhile."""
        while (r := self.wait()) is not None:
            yield r

    def __len__(self) -> int:
        """Tasks that have not ended."""
        return len(self._calls)

    # ---- the end ----

    def close(self) -> None:
        """Wait for all tasks, then free everything.  Results stay for poll() and wait()."""
        while self._calls and not self._closed:
            self._turn(None)
        self._kill()

    def terminate(self) -> None:
        """Kill all tasks."""
        self._kill()

    def _kill(self) -> None:
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        self._calls.clear()
        self._waiting.clear()
        while self._eng.singles and not self._eng.closed and not self._calls and self._eng.poll(0):
            pass
        self._run.close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._kill()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self._kill()


def _unused(*args: Any) -> None:
    raise AssertionError
