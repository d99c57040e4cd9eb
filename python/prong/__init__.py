"""prong: run Python functions and commands in many processes; nothing lost, nothing hung."""

from __future__ import annotations

import sys as _sys

if not hasattr(_sys, "getsizeof") or _sys.platform != "linux":
    raise ImportError("prong for Python needs CPython on Linux")
if not getattr(_sys, "_is_gil_enabled", lambda: True)():
    raise ImportError("prong does not support free-threaded builds of Python: use one with the GIL")

_HOME = {
    "map": "_map", "imap": "_map", "imap_unordered": "_map", "starmap": "_map",
    "cpus": "_cpus",
    "TaskDied": "_errors", "TaskTimeout": "_errors", "TaskError": "_errors",
    "TaskResult": "_errors", "Certificate": "_errors", "RemoteTraceback": "_errors",
    "Executor": "_executor", "Pool": "_pool", "run": "_command", "commands": "_command",
    "CommandResult": "_command", "CommandFailed": "_command",
    "fork": "_fork", "wait_all": "_fork", "Child": "_fork",
    "Future": "_future",
    "template": "_template", "freeze": "_template", "Template": "_template",
}
__all__ = sorted(_HOME)
__version__ = "0.1.0"

_INSTEAD = {
    "Queue": "results come back by themselves; for other traffic multiprocessing.Queue works in prong's workers",
    "SimpleQueue": "use multiprocessing.SimpleQueue, which works in prong's workers",
    "JoinableQueue": "use multiprocessing.JoinableQueue, which works in prong's workers",
    "Manager": "use multiprocessing.Manager(), whose proxies work in prong's workers",
    "Lock": "use multiprocessing.Lock(), made before the workers are",
    "RLock": "use multiprocessing.RLock(), made before the workers are",
    "Semaphore": "use multiprocessing.Semaphore(), made before the workers are",
    "Event": "use multiprocessing.Event(), made before the workers are",
    "Condition": "use multiprocessing.Condition(), made before the workers are",
    "Barrier": "use multiprocessing.Barrier(), made before the workers are",
    "Value": "use multiprocessing.Value(), made before the workers are",
    "Array": "use multiprocessing.Array(), made before the workers are",
    "Pipe": "use multiprocessing.Pipe()",
    "Process": "use prong.fork(), or prong.Executor().submit()",
    "ProcessPoolExecutor": "it is called prong.Executor here",
    "ThreadPoolExecutor": "prong runs processes; for threads use concurrent.futures",
    "cpu_count": "use prong.cpus(), which heeds affinity and the container's quota",
    "process_cpu_count": "use prong.cpus(), which heeds affinity and the container's quota",
    "get_context": "prong's workers are always forked",
    "set_start_method": "prong's workers are always forked",
    "set_forkserver_preload": "use prong.template()",
    "current_process": "use multiprocessing.current_process()",
    "active_children": "see `running` of prong.Pool, and prong.wait_all() for prong.fork()",
    "Parallel": "use prong.map(), or the joblib backend: import prong.joblib",
    "delayed": "use prong.map(), or the joblib backend: import prong.joblib",
    "ProcessPool": "use prong.Executor(), whose futures can be cancelled and have a time limit",
    "WorkerPool": "use prong.map(), prong.imap() or prong.Executor()",
    "shared_memory": "workers inherit memory; to write to it use multiprocessing.shared_memory or prong's results",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is not None:
        from importlib import import_module

        value = getattr(import_module("prong." + home), name)
        globals()[name] = value
        return value
    if name in _INSTEAD:
        raise AttributeError(f"prong has no {name}: {_INSTEAD[name]}")
    raise AttributeError(f"module 'prong' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
