"""map, imap, imap_unordered, starmap: a function over many inputs, in forked workers."""

from __future__ import annotations

import os
import sys
from itertools import islice

import _prong

from ._cpus import cpus
from ._engine import (
    BAD, DEATHS_MAX, DIED, ERROR, INIT_FAILED, RESULT, UNREADABLE,
    check_jobs, check_seconds, engine_options, rss_kb, unknown_option,
)
from ._worker import Entry, describe, read_all, template, warn_of_openmp

TYPE_CHECKING = False  # typing itself costs 5 ms
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator

LOOKAHEAD_SEQUENCE = 1024
LOOKAHEAD_PER_JOB = 8
CO_COROUTINE = 0x80


def indexable(it: Any) -> Any:
    """A sequence workers can take items of by number, or None: it has to be iterated."""
    if type(it) in (list, tuple, range, str, bytes, bytearray):
        return it
    if isinstance(it, (set, frozenset, dict)) or type(it).__name__ in ("dict_keys", "dict_values", "dict_items"):
        return list(it)
    np = sys.modules.get("numpy")
    if np is not None and isinstance(it, np.ndarray) and it.ndim:
        return it
    abc = sys.modules.get("collections.abc")
    if abc is not None and isinstance(it, abc.Sequence):
        return list(it) if type(it).__name__ == "deque" else it
    return None


class Pickled:
    """On its way it becomes what was pickled."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        import pickle

        return pickle.loads, (self.data,)


class Run:
    """One call of map and its kin: an engine, and what is known of its tasks."""

    def __init__(
        self,
        fn: Callable[..., Any],
        iterables: tuple[Any, ...],
        star: bool,
        *,
        jobs: int | None = None,
        chunk: int | str = "auto",
        timeout: float | None = None,
        retries: int = 0,
        on_error: str = "raise",
        progress: Any = False,
        seed: Any = None,
        capture: bool = False,
        details: bool = False,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_worker: int | None = None,
        max_rss: int | str | None = None,
        blas_threads: int | str | None = "auto",
        lookahead: int | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(unknown_option(next(iter(unknown))))
        if not callable(fn):
            raise TypeError(f"the function is not callable: {describe(fn)}")
        if not iterables:
            raise TypeError("nothing to map over: give at least one iterable")
        if getattr(getattr(fn, "__code__", None), "co_flags", 0) & CO_COROUTINE:
            raise TypeError("the function is async, and workers have no event loop: map one that calls asyncio.run()")
        for name, value in (("initializer", initializer),):
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be callable")
        if on_error not in ("raise", "return", "skip"):
            raise ValueError(f"on_error is 'raise', 'return' or 'skip', not {on_error!r}")
        if chunk != "auto" and (not isinstance(chunk, int) or chunk < 1):
            raise ValueError(f"chunk is 'auto' or at least 1, not {chunk!r}")
        if not isinstance(retries, int) or retries < 0:
            raise ValueError(f"retries must be at least 0, not {retries!r}")
        if max_tasks_per_worker is not None and max_tasks_per_worker < 1:
            raise ValueError("max_tasks_per_worker must be at least 1")
        if lookahead is not None and lookahead < 1:
            raise ValueError("lookahead must be at least 1")
        self.jobs = check_jobs(jobs)
        self.timeout = check_seconds("timeout", timeout)
        self.retries = retries
        self.on_error = on_error
        self.progress = progress
        self.details = details or capture
        self.lookahead = lookahead
        self.attempts: dict[int, int] = {}
        self.args: dict[int, Any] = {}
        self.early_deaths = self.done_before = 0
        self.total: int | None = None
        self.sized: int | None = None
        self.source: Iterator[Any] | None = None
        self.forks: list[int] = []
        self.template = template()
        self.seqs: tuple[Any, ...] = ()
        self.star = star or len(iterables) > 1
        self._set_inputs(iterables)
        size = self.total if self.total is not None else self.sized
        if size is not None:
            self.jobs = max(1, min(self.jobs, size))
        self.captures = self._capture_files() if capture else None
        if blas_threads == "auto":
            blas_threads = max(1, cpus() // self.jobs)
        self.entry = Entry(
            fn,
            star=self.star,
            seed=seed,
            details=self.details,
            initializer=initializer,
            initargs=tuple(initargs),
            blas_threads=blas_threads,  # type: ignore[arg-type]
            captures=self.captures,
        )
        self.chunk = 0 if chunk == "auto" else int(chunk)
        self.max_tasks = max_tasks_per_worker or 0
        self.max_rss_kb = rss_kb(max_rss)
        self.eng: Any = None

    # ---- inputs ----

    def _set_inputs(self, iterables: tuple[Any, ...]) -> None:
        seqs = [indexable(it) for it in iterables]
        if self.template is not None:
            # its workers do not know them: they are sent
            known = [len(it) for it in iterables if hasattr(it, "__len__")]
            self.sized = min(known) if len(known) == len(iterables) else None
            self.source = zip(*iterables) if len(iterables) > 1 else iter(iterables[0])
        elif all(s is not None for s in seqs):
            self.seqs = tuple(seqs)
            self.total = min(len(s) for s in seqs)
        else:
            self.source = zip(*iterables) if len(iterables) > 1 else iter(iterables[0])

    def _item(self, i: int) -> Any:
        if self.source is not None:
            return self.args.get(i)
        return self.seqs[0][i] if len(self.seqs) == 1 else tuple(s[i] for s in self.seqs)

    def _args_repr(self, i: int) -> str:
        try:
            item = self._item(i)
        except Exception:
            return ""
        text = describe(item)
        return text if self.star and isinstance(item, tuple) else f"({text})"

    def _capture_files(self) -> list[tuple[int, int]]:
        flags = os.MFD_CLOEXEC
        n = self.jobs if self.source is None else 2 * self.jobs
        return [(os.memfd_create("out", flags), os.memfd_create("err", flags)) for _ in range(n)]

    # ---- the engine ----

    def open(self, autoquit: bool) -> None:
        flags = _prong.TEE if self.captures is None else 0
        if self.entry.indexed:
            flags |= _prong.INDEXED
        elif self.star:
            flags |= _prong.STAR
        if self.timeout:
            flags |= _prong.TIMED
        if autoquit:
            flags |= _prong.AUTOQUIT
        if self.source is not None:
            flags |= _prong.FLUSH | _prong.FORKS
            self.entry.singles = self.args
        _prong.flush()
        self.eng = _prong.Engine(
            self.jobs, self.entry, self.seqs, self.total or 0, flags, self.chunk,
            **engine_options(self.template, self.entry, self.captures),
        )
        self.eng.timeout = self.timeout
        self.eng.max_tasks = self.max_tasks
        self.eng.max_rss_kb = self.max_rss_kb

    def start(self, n: int) -> None:
        """Fork so many workers; the collector leaves shared pages alone."""
        import gc

        frozen = gc.get_freeze_count()
        gc.freeze()
        try:
            self.eng.start(n)
            self.first = self.eng.poll(0)
            warn_of_openmp(self.entry.blas_threads)
        finally:
            if not frozen:
                gc.unfreeze()

    def close(self) -> None:
        if self.eng is not None:
            self.eng.close()
        for pair in self.captures or ():
            for fd in pair:
                os.close(fd)
        self.captures = None

    # ---- events ----

    def _unpack(self, i: int, value: Any) -> Any:
        """What the worker measured -> a TaskResult."""
        from ._errors import TaskResult, unpack_error

        value, error, wall, cpu, rss, out, err, pid = value
        return TaskResult(
            i,
            value,
            unpack_error(error) if error is not None else None,
            wall,
            cpu,
            rss,
            None if out is None else out.decode("utf-8", "replace"),
            None if err is None else err.decode("utf-8", "replace"),
            pid,
            self.attempts.get(i, 0) + 1,
        )

    def _error_of(self, ev: tuple[Any, ...]) -> BaseException:
        from . import _errors

        kind, i, what = ev
        if kind in (ERROR, UNREADABLE):
            return _errors.unpack_error(what)
        if kind == BAD:
            return _errors.undecodable(what, i)
        return _errors.died(what, i, self._args_repr(i), self.timeout)

    def _dead_result(self, i: int, error: BaseException, raw: tuple[Any, ...] | None) -> Any:
        """A TaskResult for a task whose worker did not live to measure it."""
        from ._errors import TaskDied, TaskResult

        result = TaskResult(i, None, error, attempt=self.attempts.get(i, 0) + 1)
        c = error.certificate if isinstance(error, TaskDied) else None
        if c is not None:
            result.certificate = c
            result.wall, result.cpu, result.max_rss, result.pid = c.wall, c.cpu, c.max_rss, c.pid
        if raw is not None and self.captures is not None:
            out, err = (read_all(fd) for fd in self.captures[raw[-1]])
            result.stdout, result.stderr = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        return result

    def _settle(self, ev: tuple[Any, ...]) -> tuple[int, Any, BaseException | None] | None:
        """(index, value, error) of a task that has its end; None if it is tried again, or the
        event is about no task."""
        kind, i = ev[0], ev[1]
        if kind == RESULT:
            if not self.details:
                return i, ev[2], None
            result = self._unpack(i, ev[2])
            error = result.error
            value = result
        elif kind == UNREADABLE and self.template is None and i in self.args:
            self.eng.done -= 1
            self.forks.append(i)  # its class is newer than the worker
            return None
        elif kind == INIT_FAILED:
            from ._errors import TaskError, unpack_error

            error = unpack_error(ev[2])
            if isinstance(error, Exception):
                raise error
            name = type(error).__name__  # sys.exit() there is not our end
            raise TaskError(f"the initializer of a worker raised {error!r}", name, str(error)) from error
        elif i is None:
            if kind == DIED:
                self._died_early(ev)
            return None
        else:
            error = self._error_of(ev)
            value = self._dead_result(i, error, ev[2] if kind == DIED else None) if self.details else None
        if error is not None and self._again(i):
            return None
        return i, value, error

    def _died_early(self, ev: tuple[Any, ...]) -> None:
        done = self.eng.done
        self.early_deaths = self.early_deaths + 1 if done == self.done_before else 1
        self.done_before = done
        if self.early_deaths >= DEATHS_MAX:
            from ._errors import died

            raise died(ev[2], None, "that had not begun a task", None)

    def _again(self, i: int) -> bool:
        n = self.attempts.get(i, 0)
        if n >= self.retries:
            return False
        self.attempts[i] = n + 1
        self.eng.done -= 1
        if self.source is None:
            self.eng.range(i, i + 1)
        else:
            self._put(i, self.args[i])
        return True

    def _put(self, i: int, item: Any) -> None:
        """To a standing worker; an item that cannot be pickled gets a process of its own."""
        t = self.template
        if t is not None and t._index:
            item = tuple(t.known(x) for x in item) if self.star and type(item) is tuple else t.known(item)
        try:
            self.eng.put(i, item)
        except Exception:
            if not self._put_by_value(i, item):
                if t is not None:
                    raise
                self.forks.append(i)

    def _put_by_value(self, i: int, item: Any) -> bool:
        try:
            import cloudpickle

            self.eng.put(i, Pickled(cloudpickle.dumps(item, 5)))
        except Exception:
            return False
        return True

    def _fork_some(self) -> None:
        """The items that nothing could pickle, as many as may run."""
        while self.forks and self.eng.fork_task(self.forks[0]):
            del self.forks[0]
            _prong.flush()

    def _outcome(self, value: Any, error: BaseException | None) -> Any:
        """What the caller gets in place i."""
        if error is None or self.details:
            return value
        return error

    def _refill(self, outstanding: int) -> None:
        """Replace workers that are gone while there is work for them."""
        missing = min(self.jobs, outstanding) - self.eng.live
        if missing > 0 and self.eng.work():
            self.eng.start(min(missing, self.eng.work()))

    # ---- map ----

    def run_all(self, ordered: bool) -> list[Any]:
        if self.source is not None:
            it = self.iterate(ordered)
            return list(it)
        n = self.total or 0
        if n == 0:
            return []
        results: list[Any] = [None] * n
        order: list[Any] = []
        skipped: set[int] = set()
        # with a progress bar or the order of completion, results are wanted one by one
        sink = results if ordered and not self.details and not self.progress else None
        bar = _bar(self.progress, n)
        try:
            self.open(autoquit=True)
            self.eng.limit(n)
            self.start(self.jobs)
            events = self.first
            while True:
                for ev in events:
                    end = self._settle(ev)
                    if end is None:
                        continue
                    i, value, error = end
                    if error is not None and self.on_error == "raise":
                        raise error
                    if error is not None and self.on_error == "skip":
                        skipped.add(i)
                    elif ordered:
                        results[i] = self._outcome(value, error)
                    else:
                        order.append(self._outcome(value, error))
                if bar is not None:
                    bar.update(self.eng.done)
                if self.eng.done >= n:
                    break
                self._refill(n - self.eng.done)
                events = self.eng.poll(0.1 if bar is not None else None, sink)
            self.eng.quit()
            while self.eng.live:
                for ev in self.eng.poll(None):
                    if ev[0] == INIT_FAILED:
                        self._settle(ev)
        finally:
            if bar is not None:
                bar.close()
            self.close()
        if not ordered:
            return order
        return [r for i, r in enumerate(results) if i not in skipped] if skipped else results

    # ---- imap ----

    def iterate(self, ordered: bool) -> Iterator[Any]:
        bar = _bar(self.progress, self.total if self.total is not None else self.sized)
        try:
            yield from self._iterate(ordered, bar)
        finally:
            if bar is not None:
                bar.close()
            self.close()

    def _iterate(self, ordered: bool, bar: Any) -> Iterator[Any]:
        lazy = self.source is not None
        window = self.lookahead or (LOOKAHEAD_PER_JOB * self.jobs if lazy and self.sized is None else LOOKAHEAD_SEQUENCE)
        ready: dict[int, Any] = {}
        given = sent = 0  # tasks handed to the caller (or skipped); handed to workers
        limit = 0
        exhausted = False
        nothing = object()
        self.open(autoquit=False)
        while True:
            if self.source is not None and not exhausted:
                for item in islice(self.source, max(0, window - (sent - given))):
                    self.args[sent] = item
                    self._put(sent, item)
                    sent += 1
                    if self.eng.live < self.jobs and self.eng.live < sent - given:
                        self.start(1)
                        self._keep(self.first, ready, nothing)
                else:
                    exhausted = sent - given < window
            elif not lazy and limit < (self.total or 0) and limit - given <= window // 2:
                limit = sent = min(self.total or 0, given + window)
                self.eng.limit(limit)
                if not self.eng.live:
                    self.start(min(self.jobs, limit))
                    self._keep(self.first, ready, nothing)
                exhausted = limit == self.total
            if exhausted and given == sent:
                break
            if not lazy and not self.total:
                break
            if not ready or (ordered and given not in ready):
                self._fork_some()
                self._refill(sent - given)
                self._keep(self.eng.poll(), ready, nothing)
                if bar is not None:
                    bar.update(self.eng.done)
            if ordered:
                while given in ready:
                    value = ready.pop(given)
                    given += 1
                    if value is not nothing:
                        yield value
                    if lazy or limit - given <= window // 2:
                        break
            else:
                while ready:
                    value = ready.pop(next(iter(ready)))
                    given += 1
                    if value is not nothing:
                        yield value
                    if lazy or limit - given <= window // 2:
                        break
        self.eng.quit()
        while self.eng.live:
            self.eng.poll(None)

    def _keep(self, events: list[Any], ready: dict[int, Any], nothing: object) -> None:
        for ev in events:
            end = self._settle(ev)
            if end is None:
                continue
            i, value, error = end
            self.args.pop(i, None)
            if error is not None and self.on_error == "raise":
                raise error
            skip = error is not None and self.on_error == "skip"
            ready[i] = nothing if skip else self._outcome(value, error)


def _bar(progress: Any, total: int | None) -> Any:
    if not progress:
        return None
    from ._progress import Bar

    return Bar(progress, total)


# ---- the public functions ----


def map(fn: Callable[..., Any], *iterables: Iterable[Any], ordered: bool = True, **options: Any) -> list[Any]:
    """Call fn(item) for every item, in forked workers, and return the list of results.

    Workers are forked now: fn may be anything callable (lambda, closure, bound method of an open
    model), and what the process holds in memory is there in the workers without being copied.
    Items of sequences are not sent either; other iterables are read a little ahead and pickled.
    With several iterables fn gets an item of each; the shortest ends it.

    ordered: False gives the results in the order in which tasks end.
    jobs: processes at once (default: the CPUs this process may use; cpus()).
    chunk: items a worker claims at once; 'auto' measures.
    timeout: seconds of one task; it is killed then, with TaskTimeout.
    retries: more tries for a task that fails.
    on_error: 'raise' the first failure at once (the rest is killed), 'return' the exception in
        the place of the result, or 'skip' it.
    seed: of random and numpy.random, for each task from (seed, index): the same results for any
        number of workers.  Without it every worker has its own random numbers.
    details: TaskResult objects (value, error, wall, cpu, max_rss ...) instead of values.
    capture: details, with what each task wrote to stdout and stderr.
    progress: a bar (tqdm's if installed); a string is its title.
    initializer, initargs: called first in each worker.
    max_tasks_per_worker: then a fresh worker.  max_rss: bytes, or like '500M': a fresh worker
        when one has more than that between two tasks.
    blas_threads: of BLAS and OpenMP in each worker; 'auto': its share of the CPUs; None: as is.
    lookahead: (imap) tasks begun ahead of what the caller has taken.

    A task may raise anything: the exception arrives with the worker's traceback as its cause, or
    as TaskError (text) if it cannot be pickled.  A worker that dies, whatever of, is one TaskDied.
    """
    return Run(fn, iterables, False, **options).run_all(ordered)


def starmap(fn: Callable[..., Any], iterable: Iterable[Any], *, ordered: bool = True, **options: Any) -> list[Any]:
    """map() for items that are tuples of arguments: fn(*item)."""
    return Run(fn, (iterable,), True, **options).run_all(ordered)


def imap(fn: Callable[..., Any], *iterables: Iterable[Any], ordered: bool = True, **options: Any) -> Iterator[Any]:
    """map() as an iterator: results as soon as they and those before them are there.

    Workers start at the first next().  At most `lookahead` tasks are ahead of the caller, so a
    generator of any length needs little memory.  close() (or dropping it) kills what runs.
    Options as for map().
    """
    return Run(fn, iterables, False, **options).iterate(ordered)


def imap_unordered(fn: Callable[..., Any], *iterables: Iterable[Any], **options: Any) -> Iterator[Any]:
    """imap() with results in the order in which tasks end."""
    return Run(fn, iterables, False, **options).iterate(False)
