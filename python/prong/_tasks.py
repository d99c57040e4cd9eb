"""What an executor has its workers do, and its thread, which goes on when the executor is gone."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import weakref
from collections import deque
from concurrent.futures import _base
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable

import _prong

from . import _errors
from ._engine import BAD, DEATHS_MAX, DIED, ENDED, ERROR, INIT_FAILED, RESULT, UNREADABLE, engine_options
from ._future import PENDING, Future
from ._worker import Entry, describe, show_initialized, template, warn_of_openmp

SPIN_US = 50

_all: weakref.WeakSet[State] = weakref.WeakSet()
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


class CallEntry(Entry):
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


class State:
    """All of an executor but the executor, which may be collected while tasks run."""

    def __init__(self, jobs: int, entry: CallEntry, timeout: float, max_tasks: int, max_rss: int):
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
                self.start_thread()
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
                    self.start_thread()
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

    def start_thread(self) -> None:
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
        if not _base.Future.cancel(f):
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
                if _base.Future.cancel(f):
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


def _serve(state: State) -> None:
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


def _serve_all(state: State) -> None:
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
