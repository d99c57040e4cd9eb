"""What runs in a worker: set-up, the task's surroundings, exceptions made fit for travel."""

from __future__ import annotations

import os
import sys

import _prong

TYPE_CHECKING = False  # typing itself costs 5 ms
if TYPE_CHECKING:
    from typing import Any, Callable


def describe(obj: object, limit: int = 200) -> str:
    """repr() that neither raises nor grows."""
    try:
        text = repr(obj)
    except BaseException as e:  # a broken __repr__ must not hide the failure it describes
        text = f"<{type(obj).__name__}, whose repr() raises {type(e).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


_HERE = os.path.dirname(__file__)


def _own(tb: Any) -> Any:
    """Without the frames that are prong's."""
    while tb is not None and os.path.dirname(tb.tb_frame.f_code.co_filename) == _HERE:
        tb = tb.tb_next
    return tb


def template() -> Any:
    """The process that forks workers for us, or None.  See _template."""
    module = sys.modules.get("prong._template")
    return module.current() if module is not None else None


_warned = False


def warn_of_openmp(threads: int | None) -> None:
    """After a fork: if the program has used OpenMP, which workers can now use only alone."""
    global _warned
    if _warned or threads == 1 or not _prong.openmp_used():
        return
    _warned = True
    import warnings

    warnings.warn(
        "this process has used OpenMP (libgomp) before the fork: workers can use one thread of it only; "
        "call prong.template() before OpenMP is used, or set blas_threads=1",
        RuntimeWarning,
        stacklevel=4,
    )


def pack_error(exc: BaseException) -> tuple[str, bytes | None, str, str]:
    """(traceback, pickle or None, type name, text).  The pickle is known to load again."""
    import pickle
    import traceback

    try:
        tb = "".join(traceback.format_exception(type(exc), exc, _own(exc.__traceback__)))
    except Exception as e:
        tb = f"(the traceback could not be formatted: {e!r})\n"
    data: bytes | None = None
    why = ""
    try:
        data = pickle.dumps(exc, 5)
        if type(pickle.loads(data)) is not type(exc):
            data, why = None, "it loads as something else"
    except BaseException as e:
        data, why = None, f"{type(e).__name__}: {describe(str(e))}"
    name = f"{type(exc).__module__}.{type(exc).__qualname__}".removeprefix("builtins.")
    try:
        text = str(exc)
    except Exception:
        text = describe(exc)
    return tb + (f"(it could not be pickled: {why})\n" if why else ""), data, name, text


def read_all(fd: int) -> bytes:
    """What is in the file, which is then empty."""
    size = os.fstat(fd).st_size
    data = b""
    while len(data) < size:
        piece = os.pread(fd, size - len(data), len(data))
        if not piece:
            break
        data += piece
    if size:
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
    return data


def seed_all(seed: Any, index: int) -> None:
    """random and numpy.random from (seed, index): the same whatever worker runs it."""
    import hashlib
    import random

    digest = hashlib.blake2b(repr((seed, index)).encode(), digest_size=32).digest()
    random.seed(digest)
    np = sys.modules.get("numpy")
    if np is not None:
        np.random.seed([int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)])


def _reseed_numpy() -> None:
    """Python renews `random` in a forked child; numpy's global generator it does not know."""
    np = sys.modules.get("numpy")
    if np is not None and "numpy.random" in sys.modules:
        np.random.seed(int.from_bytes(os.urandom(4), "little"))


def _line_buffered() -> None:
    """A killed worker loses what its streams hold: let them hold no whole line; and let the
    lines of several workers not mix."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
        except (AttributeError, ValueError, OSError):
            pass  # a replaced stream, or none


def _renew_faulthandler() -> None:
    """Its signal handlers are not inherited."""
    faulthandler = sys.modules.get("faulthandler")
    if faulthandler is not None and faulthandler.is_enabled():
        try:
            faulthandler.enable(2)
        except (OSError, ValueError, RuntimeError):
            pass


def _forget_parent() -> None:
    """What multiprocessing and atexit hold for the parent is not a worker's to end: queues,
    connections of proxies, temporary directories."""
    atexit = sys.modules.get("atexit")
    if atexit is not None:
        atexit._clear()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        process = sys.modules["multiprocessing.process"]
        process._children = set()  # type: ignore[attr-defined]
        util._finalizer_registry.clear()
        util._run_after_forkers()


def _orderly_end() -> None:
    """What tasks leave to be done at the end of the process, as multiprocessing does it: queues
    are written out."""
    atexit = sys.modules.get("atexit")
    if atexit is not None:
        atexit._run_exitfuncs()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._exit_function()


_initialized: dict[str, Any] = {}  # globals that the initializer has set


def show_initialized(f: object) -> None:
    """A function that cloudpickle brought has copies of its module's globals, of the parent's."""
    if not _initialized or not hasattr(f, "__globals__") or f.__module__ != _initialized["__name__"]:
        return
    own = sys.modules.get(f.__module__)
    if own is None or f.__globals__ is not vars(own):
        f.__globals__.update(_initialized)


class Entry:
    """Called in each new worker; gives the function its loop calls."""

    def __init__(
        self,
        fn: Callable[..., Any] | None,
        *,
        star: bool = False,
        seed: Any = None,
        details: bool = False,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        blas_threads: int | None = None,
        captures: list[tuple[int, int]] | None = None,
    ) -> None:
        self.fn = fn
        self.star = star
        self.seed = seed
        self.details = details
        self.initializer = initializer
        self.initargs = initargs
        self.blas_threads = blas_threads
        self.captures = captures
        self.capture: tuple[int, int] | None = None
        self.captured = captures is not None
        self.singles: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """To a worker of the template, whose stdout and stderr are the files of capture=True."""
        return {**self.__dict__, "captures": None}

    @property
    def measured(self) -> bool:
        """The loop sends more than the value."""
        return self.details or self.captured

    @property
    def indexed(self) -> bool:
        """The loop passes (index, item)."""
        return self.seed is not None or self.measured

    def __call__(self, index: int) -> Callable[..., Any]:
        _forget_parent()
        _line_buffered()
        _reseed_numpy()
        _renew_faulthandler()
        _prong.blas_limit(self.blas_threads or 0)
        if self.captures is not None:
            self.capture = self.captures[index]
            for fd, to in zip(self.capture, (1, 2)):
                os.dup2(fd, to)
        elif self.captured:
            self.capture = (1, 2)
        if self.initializer is not None:
            self.initialize()
        if self.indexed:
            return self.run
        return self.fn if self.fn is not None else _no_function

    def initialize(self) -> None:
        assert self.initializer is not None
        known = getattr(getattr(self.initializer, "__wrapped__", self.initializer), "__globals__", {})
        before = dict(known)
        try:
            self.initializer(*self.initargs)
        except Exception:
            _orderly_end()
            raise
        _initialized.update((k, v) for k, v in known.items() if k not in before or before[k] is not v)
        _initialized.setdefault("__name__", known.get("__name__"))

    def run(self, index: int, item: Any) -> Any:
        if self.seed is not None:
            seed_all(self.seed, index)
        return self._measured(item) if self.measured else self._call(item)

    def _call(self, item: Any) -> Any:
        if self.fn is None:
            f, args, kwargs = item
            return f(*args, **kwargs) if kwargs else f(*args)
        return self.fn(*item) if self.star else self.fn(item)

    def _measured(self, item: Any) -> tuple[Any, ...]:
        import resource
        import time

        usage = resource.getrusage(resource.RUSAGE_SELF)
        wall = time.perf_counter()
        error = None
        value = None
        try:
            value = self._call(item)
        except SystemExit:
            raise
        except BaseException as e:
            error = pack_error(e)
        wall = time.perf_counter() - wall
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
        out = err = None
        if self.capture is not None:
            _prong.flush()
            out, err = (read_all(fd) for fd in self.capture)
        return (value, error, wall, cpu, after.ru_maxrss * 1024, out, err, os.getpid())

    # ---- called by the loop ----

    def single(self, index: int) -> Any:
        """In a process forked for this task alone."""
        item = self.singles[index]
        self.singles = {}
        return self.run(index, item) if self.indexed else self._call(item)

    def error(self, exc: BaseException) -> tuple[str, bytes | None, str, str]:
        return pack_error(exc)

    def exit_status(self, exc: SystemExit) -> int:
        """As the interpreter does at its own end."""
        code = exc.code
        if code is None:
            return 0
        if isinstance(code, int):
            return code & 0xFF
        print(code, file=sys.stderr)
        return 1

    def unsent(self, exc: BaseException, result: object) -> None:
        """exc was raised when the result was pickled."""
        text = describe(result)
        exc.add_note(f"(while the result of the task was pickled: {text})")
        exc._prong_result = text  # type: ignore[attr-defined]  # for prong.multiprocessing

    def leave(self) -> None:
        _orderly_end()


def _no_function(*args: Any) -> Any:
    raise RuntimeError("prong: this worker has no function of its own")
