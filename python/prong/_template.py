"""template(): a process without threads, from which workers are forked later."""

from __future__ import annotations

import atexit
import io
import os
import pickle
import socket
import sys
import threading
import warnings
from types import FunctionType, TracebackType
from typing import Any

import _prong

from ._worker import Entry

_current: Template | None = None


class Template:
    """What template() returns: a context, if its end is to be with a block."""

    def __init__(self, objects: tuple[Any, ...]) -> None:
        self._owner = os.getpid()
        self._objects = objects
        self._index = {id(o): i for i, o in enumerate(objects)}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        _prong.flush()
        self.pid = _prong.fork()
        if self.pid == 0:
            _be_template(ours, theirs, objects)
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether it still runs (and is this process's own)."""
        if self._owner != os.getpid() or self._socket.fileno() < 0:
            return False
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def close(self) -> None:
        """End it.  Workers it has forked run on; pools opened later fork their own, and those that
        were opened with it can start no more."""
        global _current
        if _current is self:
            _current = None
        if self._owner != os.getpid() or self._socket.fileno() < 0:
            return
        try:
            self._socket.send(b"end")
        except OSError:
            pass  # it is gone
        self._socket.close()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass

    def __enter__(self) -> Template:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<prong.Template pid {self.pid}{'' if self.alive else ', ended'}>"

    # ---- for the pools of this package ----

    def fileno(self) -> int:
        """Of the socket through which it is asked for workers."""
        return self._socket.fileno()

    def known(self, obj: Any) -> Any:
        """An object that was given to template(): its number instead, on the way to a worker."""
        i = self._index.get(id(obj))
        return obj if i is None else Known(i)

    def call(self, f: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """A call, with numbers for what the template knows."""
        if not self._index:
            return f, args, kwargs
        k = self.known
        return k(f), tuple(k(a) for a in args), {n: k(a) for n, a in kwargs.items()}

    def payload(self, entry: Entry, single: bool = False) -> bytes:
        """What a worker begins with.  single: it is for one task, which fails if this cannot be
        rebuilt; else the worker does."""
        try:
            cwd = os.getcwd()
        except OSError:
            cwd = ""
        try:
            return pickle.dumps((sys.path, cwd, single, dumps(entry, self._index)), 5)
        except Exception as e:
            e.add_note(
                "with prong.template(), functions made later have to be pickled"
                + ("" if _pickler() is not pickle.Pickler else " (installing cloudpickle helps)")
                + ", or given to template() before"
            )
            raise


class Known:
    """Stands for an object that the template has."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __reduce__(self) -> tuple[Any, ...]:
        return _known, (self.index,)


_given: tuple[Any, ...] = ()  # in the template and its workers


def _known(index: int) -> Any:
    return _given[index]


def _pickler() -> Any:
    try:
        from cloudpickle import Pickler
    except ImportError:
        return pickle.Pickler
    return Pickler


def dumps(obj: Any, index: dict[int, int]) -> bytes:
    base = _pickler()

    class Inheriting(base):  # type: ignore[misc,valid-type]
        def persistent_id(self, obj: Any) -> int | None:
            return index.get(id(obj))

    buffer = io.BytesIO()
    (Inheriting if index else base)(buffer, 5).dump(obj)
    return buffer.getvalue()


class _Loading(pickle.Unpickler):
    def persistent_load(self, pid: int) -> Any:
        return _given[pid]


def _load(payload: bytes) -> Entry:
    """In a worker.  What cannot be rebuilt is an initializer that fails."""
    try:
        sys.path[:], cwd, single, data = pickle.loads(payload)
        if cwd and cwd != _cwd():
            os.chdir(cwd)
        entry: Entry = _Loading(io.BytesIO(data)).load()
    except Exception as e:
        e.add_note("in a worker of prong.template(), which knows what there was when it was called")
        return _Failing(e) if single else Entry(None, initializer=_raise, initargs=(e,))
    return entry


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


class _Failing(Entry):
    def __init__(self, exc: BaseException) -> None:
        super().__init__(None)
        self.exc = exc

    def single(self, index: int) -> Any:
        raise self.exc


def _raise(exc: BaseException) -> None:
    raise exc


def _be_template(ours: socket.socket, theirs: socket.socket, objects: tuple[Any, ...]) -> None:
    global _given, _current
    try:
        import gc

        ours.close()
        _given, _current = objects, None
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        if null:
            os.close(null)
        gc.collect()
        gc.freeze()
        _prong.template_serve(theirs.fileno(), _load)
    finally:
        os._exit(1)


def _of_main() -> list[Any]:
    """Functions and classes of the program itself: cloudpickle would take copies of them, with
    all the globals they use."""
    main = vars(sys.modules["__main__"]).values() if "__main__" in sys.modules else ()
    return [v for v in main if isinstance(v, (FunctionType, type)) and v.__module__ == "__main__"]


def template(*objects: Any) -> Template:
    """Fork a process without threads now; all workers from now on are forked from it.

    Call it once, early: after the imports and the loading of data, before anything starts
    threads, or uses OpenMP.  What the program's threads do or hold later then cannot hurt the
    workers of map(), imap(), starmap(), Executor and Pool.

    The price: workers know the program as it was now.  Functions and data made later are
    pickled (by cloudpickle if it is installed), as are the items of sequences.  `objects` are
    those that workers inherit though they cannot be pickled or are big: as the function, or as
    an argument, they are passed by number.

        model = load()
        prong.template(model, model.predict)
        ...
        prong.map(lambda x: model.predict(x), inputs)    # the lambda by cloudpickle

    A second call replaces the template.  The environment and open files are those of now, the
    current directory, sys.path, stdout and stderr those of the start of a worker.
    prong.fork() has nothing to do with it.  In a worker there is no template.
    """
    global _current
    if _current is not None:
        _current.close()
    others = [t.name for t in threading.enumerate() if t is not threading.current_thread()]
    if others:
        warnings.warn(
            f"prong.template() is called while other threads run ({', '.join(others[:3])}): locks they "
            "hold now stay locked in every worker; call it before they are started",
            RuntimeWarning,
            stacklevel=2,
        )
    _current = Template((*objects, *_of_main()))
    return _current


freeze = template


def current() -> Template | None:
    """The template of this process."""
    t = _current
    if t is None or t._owner != os.getpid():
        return None
    if not t.alive:
        raise RuntimeError(f"the template process (pid {t.pid}) has ended: call prong.template() again")
    return t


def _at_exit() -> None:
    if _current is not None:
        _current.close()


atexit.register(_at_exit)
