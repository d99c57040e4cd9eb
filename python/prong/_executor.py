"""Executor: concurrent.futures.Executor on prong's workers; one dead worker is one failed task."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Future as _BaseFuture
from concurrent.futures import Executor as _BaseExecutor
from concurrent.futures import _base
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, Callable, Iterable, Iterator

import _prong

from . import _errors
from ._cpus import cpus
from ._map import BAD, DEATHS_MAX, DIED, ENDED, ERROR, INIT_FAILED, RESULT, UNREADABLE, check_seconds, engine_options, rss_kb
from ._worker import Entry, describe, show_initialized, template, warn_of_openmp

SPIN_US = 50
PENDING, RUNNING, FINISHED = _base.PENDING, _base.RUNNING, _base.FINISHED

_all: weakref.WeakSet[_State] = weakref.WeakSet()
_interpreter_ends = False


def _python_exit() -> None:
    """As concurrent.futures: what was submitted is done before the interpreter ends; unless it
    ends by Ctrl-C."""
    global _interpreter_ends
    _interpreter_ends = True
    states = list(_all)
    for state in states:
        if state.pid != os.getpid():
            continue
        state.eng.accepting = False
        if getattr(sys, "last_type", None) is KeyboardInterrupt:
            state.abort()
        state.wake()
    for state in states:
        thread = state.thread
        if thread is not None:
            thread.join()


threading._register_atexit(_python_exit)  # type: ignore[attr-defined]


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
        self._state_of_pool: _State | None = None
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


_new = Future.__new__


class _CallEntry(Entry):
    """What a standing worker runs, and what one forked for a single task finds of it."""

    singles: dict[int, tuple[Any, ...]]

    def initialize(self) -> None:
        """The parent logs a failure; the worker too, if its initializer has set up a log there."""
        assert self.initializer is not None
        call, had = self.initializer, list(_base.LOGGER.handlers)

        def initializer(*args: Any) -> None:
            try:
                call(*args)
            except BaseException:
                if _base.LOGGER.handlers != had:
                    _base.LOGGER.critical("Exception in initializer:", exc_info=True)
                raise

        initializer.__wrapped__ = call  # type: ignore[attr-defined]
        self.initializer = initializer
        super().initialize()

    def single(self, index: int) -> Any:
        f, args, kwargs = self.singles[index]
        self.singles.clear()
        return f(*args, **kwargs)


def _load_and_call(data: bytes) -> Any:
    """For what cloudpickle has pickled."""
    import pickle

    f, args, kwargs = pickle.loads(data)
    show_initialized(f)
    for value in (*getattr(f, "args", ()), *args):
        show_initialized(value)
    return f(*args, **kwargs)


class _State:
    """All of an executor but the executor, which may be collected while tasks run."""

    def __init__(self, jobs: int, entry: _CallEntry, timeout: float, max_tasks: int, max_rss: int):
        flags = _prong.FLUSH | _prong.TEE | _prong.FORKS | (_prong.TIMED if timeout else 0)
        self.pid = os.getpid()
        self.jobs = jobs
        self.entry = entry
        self.timeout = timeout
        self.template = t = template()
        self.eng = _prong.Engine(jobs, entry, (), 0, flags, 0, **engine_options(t, entry, None))
        self.eng.timeout = timeout
        self.eng.max_tasks = max_tasks
        self.eng.max_rss_kb = max_rss
        self.lock = threading.RLock()
        self.futures: dict[int, Future] = {}
        self.eng.futures = self.futures
        self.push = self.eng.submit
        self.next_id = itertools.count().__next__
        self.ready: deque[Any] = deque()
        self.to_fork: deque[int] = deque()
        self.idle = threading.Event()
        self.shutdown = False
        self.executor_gone = False
        self.broken: BaseException | str | None = None
        self.early_deaths = 0
        self.done_before = 0
        self.spin_us = SPIN_US
        self.thread: threading.Thread | None = None

    # ---- tasks in ----

    def attend(self) -> None:
        """See to it that somebody does what was submitted."""
        with self.lock:
            if self.thread is None and _interpreter_ends:
                self.futures.clear()
                self.refuse()
            live = self.eng.live
            if live < self.jobs and live < len(self.futures):
                self.start_workers(1)
            if self.thread is None:
                self._start_thread()
            elif not live:
                self.idle.set()

    def refuse(self) -> None:
        """submit() may not: why?"""
        if self.broken is not None:
            raise BrokenProcessPool(f"the executor is broken: {describe(self.broken)}") from (
                self.broken if isinstance(self.broken, BaseException) else None
            )
        if _interpreter_ends and not self.shutdown:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self.pid != os.getpid():
            raise RuntimeError("this executor was made by another process, before a fork: make one here")
        raise RuntimeError("cannot schedule new futures after shutdown")

    def submit_unpicklable(self, f: Future, call: tuple[Any, ...], why: BaseException) -> None:
        if not isinstance(why, Exception):
            self.futures.pop(f._id, None)
            raise why
        try:
            import cloudpickle

            self.eng.call(f._id, (_load_and_call, (cloudpickle.dumps(call, 5),), {}))
        except Exception:
            with self.lock:
                self._fork_for(f._id)
                if self.thread is None:
                    self._start_thread()
                self.idle.set()
        else:
            self.attend()

    def _fork_for(self, index: int) -> None:
        self.to_fork.append(index)
        self._fork_some()
        self.wake()

    def _fork_some(self) -> None:
        """Processes for tasks that nothing could pickle, as many as may run."""
        with self.lock:
            while self.to_fork:
                index = self.to_fork[0]
                f = self.futures.get(index)
                if f is None:
                    self.to_fork.popleft()
                    continue
                try:
                    if not self._fork_one(index, f._call or ()):
                        break
                    self.to_fork.popleft()
                    self.ready.extend(self._fork_now())
                finally:
                    self.entry.singles = {}

    def _fork_one(self, index: int, call: tuple[Any, ...]) -> bool:
        self.entry.singles = {index: call}
        if self.template is None:
            return bool(self.eng.fork_task(index))
        try:
            payload = self.template.payload(self.entry, single=True)
        except Exception as e:
            f = self.futures.pop(index)
            self._finish(f, f.set_exception, e)
            return True
        return bool(self.eng.fork_task(index, payload))

    def _fork_now(self) -> list[Any]:
        import gc

        frozen = gc.get_freeze_count()
        _prong.flush()
        gc.freeze()
        try:
            events = self.eng.poll(0)
            warn_of_openmp(self.entry.blas_threads)
            return events
        finally:
            if not frozen:
                gc.unfreeze()

    def start_workers(self, n: int) -> None:
        with self.lock:
            self.eng.start(n)
            self.ready.extend(self._fork_now())

    def _start_thread(self) -> None:
        self.thread = threading.Thread(target=_serve, args=(self,), name="prong-executor")
        _all.add(self)
        self.thread.start()
        self.eng.served = True

    def wake(self) -> None:
        self.idle.set()
        if not self.eng.closed and self.pid == os.getpid():
            self.eng.wake()

    # ---- results out ----

    def deliver(self) -> None:
        """Hand out events.  Any thread; a callback may come back here for the next one."""
        while True:
            try:
                ev = self.ready.popleft()
            except IndexError:
                return
            try:
                self._event(ev)
            except Exception as e:
                self._break(e, "a result cannot be handed out")
            except BaseException:
                self.ready.appendleft(ev)  # Ctrl-C: a future must not go without its end
                raise

    def _event(self, ev: tuple[Any, ...]) -> None:
        kind, index, what = ev
        if kind == RESULT:
            f = self.futures.get(index)
            if f is not None:
                self._finish(f, f.set_result, what)
                f._call = None
                self.futures.pop(index, None)
            return
        if kind == INIT_FAILED:
            self._break(_errors.unpack_error(what))
        elif kind == UNREADABLE:
            if index in self.futures:
                self._fork_for(index)  # a function its worker is too old to know
        elif index is None:
            if kind == DIED:
                self._died_early(what)
        else:
            f = self.futures.get(index)
            if f is not None:
                self._finish(f, f.set_exception, self._error(kind, index, what, f))
                f._call = None
                self.futures.pop(index, None)
        if kind in (DIED, ENDED):
            self._refill()

    @staticmethod
    def _finish(f: Future, setter: Callable[[Any], None], what: Any) -> None:
        try:
            setter(what)
        except _base.InvalidStateError:
            pass  # cancelled a moment ago

    def _error(self, kind: int, index: int, what: Any, f: Future) -> BaseException:
        if kind == ERROR:
            return _errors.unpack_error(what)
        if kind == BAD:
            return _errors.undecodable(what, index)
        return _errors.died(what, index, _call_repr(f._call), self.timeout)

    def _died_early(self, raw: Any) -> None:
        done = self.eng.done
        self.early_deaths = self.early_deaths + 1 if done == self.done_before else 1
        self.done_before = done
        if self.early_deaths >= DEATHS_MAX:
            self._break(_errors.died(raw, None, "that had not begun a task", None))

    def _break(self, why: BaseException, what: str = "a worker of the executor cannot begin") -> None:
        """Nothing can run here any more."""
        if self.broken is None:
            self.broken = why
            self.eng.accepting = False
            _base.LOGGER.critical("%s:", what, exc_info=why)
        while True:
            try:
                f = self.futures.popitem()[1]  # the engine has the same dict
            except KeyError:
                return
            error = BrokenProcessPool(f"{what}: {describe(why)}")
            error.__cause__ = why
            self._finish(f, f.set_exception, error)

    def _refill(self) -> None:
        if self.broken is None and not self.eng.closed:
            missing = min(self.jobs, len(self.futures)) - self.eng.live
            if missing > 0:
                self.start_workers(missing)

    def hurry(self, f: Future, timeout: float | None) -> None:
        """For a thread that waits for f: take replies as they come, for as long as it pays."""
        if self.pid != os.getpid() or self.eng.closed:
            return
        try:
            while f._state == PENDING:
                self.ready.extend(self.eng.take())
                if self.to_fork:
                    self._fork_some()
                if self.ready:
                    self.deliver()
                    continue
                if timeout is not None and timeout <= 0:
                    return
                if not self.eng.spin(self.spin_us):
                    self.spin_us = max(2, self.spin_us // 2)
                    return
                self.spin_us = SPIN_US
        except ValueError:
            pass  # it was closed meanwhile: the thread has delivered all

    # ---- cancelling ----

    def runs(self, index: int) -> bool:
        try:
            return bool(self.eng.running(index))
        except (ValueError, RuntimeError):
            return False

    def cancel(self, f: Future) -> bool:
        try:
            self.ready.extend(self.eng.take())
            self.deliver()
            if f._state == PENDING and not self._take_away(f):
                return False
        except (ValueError, RuntimeError):
            pass
        if not _BaseFuture.cancel(f):
            return False
        self.futures.pop(f._id, None)
        f._call = None
        with f._condition:
            notify = f._state == _base.CANCELLED
        if notify:
            f.set_running_or_notify_cancel()
        self.wake()
        return True

    def _take_away(self, f: Future) -> bool:
        """From the queue, or from the worker that runs it."""
        index = f._id
        while f._state == PENDING:
            if index in self.to_fork:
                self.to_fork.remove(index)
                return True
            if self.eng.revoke(index) or self.eng.kill(index, 2):
                return True
            # it is between two states: taken and not begun, or replied and not read
            self.ready.extend(self.eng.poll(0))
            self.deliver()
            time.sleep(0)
        return f._state in (_base.CANCELLED, _base.CANCELLED_AND_NOTIFIED)

    def cancel_pending(self) -> None:
        for index, f in list(self.futures.items()):
            if index in self.to_fork or self.eng.revoke(index):
                try:
                    self.to_fork.remove(index)
                except ValueError:
                    pass
                if _BaseFuture.cancel(f):
                    self.futures.pop(index, None)
                    f.set_running_or_notify_cancel()

    def abort(self) -> None:
        """Kill what runs, forget what waits."""
        for f in list(self.futures.values()):
            f.cancel()

    # ---- the end ----

    def finished(self) -> bool:
        return (self.shutdown or self.executor_gone or _interpreter_ends) and not self.futures

    def close(self) -> None:
        if self.broken is None:
            self.eng.quit()
            end = time.monotonic() + 60
            while (self.eng.live or self.eng.singles) and time.monotonic() < end:
                self.eng.poll(1)
        self.eng.close()


def _call_repr(call: tuple[Any, ...] | None) -> str:
    if call is None:
        return ""
    f, args, kwargs = call
    parts = [describe(a, 80) for a in args] + [f"{k}={describe(v, 80)}" for k, v in kwargs.items()]
    text = f"{getattr(f, '__qualname__', None) or describe(f, 60)}({', '.join(parts)})"
    return text if len(text) <= 300 else text[:297] + "..."


def _serve(state: _State) -> None:
    """The executor's thread: asleep but for what nobody else takes."""
    try:
        _serve_all(state)
    except BaseException as e:  # no future may wait for a thread that is gone
        state._break(e, "the executor's thread failed")
        raise
    finally:
        state.close()
        state.deliver()
        _all.discard(state)


def _serve_all(state: _State) -> None:
    eng = state.eng
    while True:
        if state.finished():
            break
        if not eng.live and not eng.singles and not state.ready:
            state._fork_some()
            state._refill()
            if not eng.live and not eng.singles and not state.ready and not state.finished():
                state.idle.wait()
                state.idle.clear()
                continue
        state.ready.extend(eng.poll(0 if state.ready else None))  # a fork has brought some?
        state.deliver()
        if state.to_fork:
            state._fork_some()
            state.deliver()  # what came meanwhile


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
        entry = _CallEntry(
            None,
            initializer=initializer,
            initargs=tuple(initargs),
            blas_threads=blas_threads,  # type: ignore[arg-type]
        )
        self._pool = _State(self._max_workers, entry, check_seconds("timeout", timeout), limit or 0, rss_kb(max_rss))
        state = self._pool

        def gone(_: Any, state: _State = state) -> None:
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
                    state._start_thread()
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
