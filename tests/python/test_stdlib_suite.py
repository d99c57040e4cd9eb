"""CPython's tests of concurrent.futures, with prong.Executor as the ProcessPoolExecutor."""
import importlib
import multiprocessing
import pkgutil
import unittest
from concurrent import futures

import prong
import stdlib

base = stdlib.suite("test_concurrent_futures")
modules = [base]  # one file up to 3.11, a package since
if hasattr(base, "__path__"):
    modules = [importlib.import_module(f"{base.__name__}.{m.name}") for m in pkgutil.iter_modules(base.__path__)]

NOT_BROKEN = "by design: a worker that dies costs its own task, the executor goes on"
INHERITED = "by design: what cannot be pickled, or unpickled in a worker, runs in a fork that inherits it"
EXITED = "by design: a task that exits is a TaskDied, not a SystemExit in the caller"
PRIVATE = "is about a private part of ProcessPoolExecutor"
LEFT_OUT = {
    "test_killed_child": NOT_BROKEN,
    "test_error_at_task_pickle": INHERITED,
    "test_error_at_task_unpickle": INHERITED,
    "test_exit_at_task_unpickle": INHERITED,
    "test_shutdown_deadlock_pickle": INHERITED,
    "test_exit_during_func_exec_on_worker": EXITED,
    "test_exit_during_result_pickle_on_worker": EXITED,
    "test_error_during_result_unpickle_in_result_handler": NOT_BROKEN,
    "test_exit_during_result_unpickle_in_result_handler": NOT_BROKEN,
    "test_max_tasks_per_child_defaults_to_spawn_context": "prong forks",
    "test_del_shutdown": PRIVATE + "; see test_executor.py",
    "test_shutdown_no_wait": PRIVATE + "; see test_executor.py",
    "test_free_reference": "a thread may still be on its way out of set_result(); see test_executor.py",
    "test_python_finalization_error": PRIVATE,
    "test_gh105829_should_not_deadlock_if_wakeup_pipe_full": PRIVATE,
}
ON_DEMAND = ("ProcessPoolExecutorTest", "ProcessPoolShutdownTest")  # would skip, or expect more, with fork

for module in modules:
    swaps = [(futures, "ProcessPoolExecutor", stdlib.Executor)]
    if hasattr(module, "assert_python_ok"):
        swaps.append((module, "assert_python_ok", stdlib.python_ok))
    for name, cls in list(vars(module).items()):
        if not isinstance(cls, type) or not issubclass(cls, unittest.TestCase):
            continue
        if name.startswith("ProcessPoolFork") and not name.startswith("ProcessPoolForkserver"):
            context = stdlib.Context() if name.endswith(ON_DEMAND) else multiprocessing.get_context("fork")
            stdlib.adopt(globals(), module, name, swaps, LEFT_OUT,
                         {"executor_type": stdlib.Executor, "get_context": lambda self, c=context: c})
        elif name == "FutureTests":
            both = [(m, "Future", prong.Future) for m in modules if hasattr(m, "Future")]
            stdlib.adopt(globals(), module, name, both, {}, {})
del cls
