"""CPython's own tests of concurrent.futures, run against prong.Executor.

They come with the interpreter (package `test`); where it was left out, this file skips.
What looks into ProcessPoolExecutor's private parts is not taken.
"""
import importlib
import unittest

import pytest

import prong

try:
    from test import support
    base = importlib.import_module("test.test_concurrent_futures")
except ImportError:
    pytest.skip("this interpreter has no test package", allow_module_level=True)


def piece(module, name):
    """A class of the suite: one file up to 3.11, a package since."""
    if hasattr(base, "__path__"):
        return getattr(importlib.import_module(f"{base.__name__}.{module}"), name)
    return getattr(base, name)


class Face:
    """The suite asks for a context that we do not have."""

    @staticmethod
    def executor_type(max_workers=None, mp_context=None, **kwargs):
        return prong.Executor(max_workers, **kwargs)

    def get_context(self):
        return None


class Ours(Face):
    """In place of ThreadPoolMixin and kin."""

    worker_count = 5
    executor_kwargs = {}

    def setUp(self):
        super().setUp()
        self.executor = self.executor_type(max_workers=self.worker_count, **self.executor_kwargs)

    def tearDown(self):
        self.executor.shutdown(wait=True)
        self.executor = None
        super().tearDown()


def without(mixin, *names):
    """The mixin, less tests that need another executor's insides."""
    return type(mixin.__name__, (mixin,), {name: None for name in names})


class Case(unittest.TestCase):
    def tearDown(self):
        support.reap_children()


class TestExecutor(Ours, piece("executor", "ExecutorTest"), Case):
    pass


class TestWait(Ours, piece("test_wait", "WaitTests"), Case):
    pass


class TestAsCompleted(Ours, piece("test_as_completed", "AsCompletedTests"), Case):
    pass


class TestShutdown(Ours, without(piece("test_shutdown", "ExecutorShutdownTest"),
                                 # these name the class in a program text; see test_executor.py
                                 "test_interpreter_shutdown", "test_hang_gh83386", "test_hang_issue39205",
                                 "test_submit_after_interpreter_shutdown"), Case):
    pass


class TestDeadlock(Ours, without(piece("test_deadlock", "ExecutorDeadlockTest"),
                                 "test_shutdown_deadlock_pickle",
                                 "test_gh105829_should_not_deadlock_if_wakeup_pipe_full",
                                 # by design: what does not pickle runs in a fork of its own, a task
                                 # that exits is TaskDied, a bad result costs its own task only
                                 "test_error_at_task_pickle", "test_error_at_task_unpickle",
                                 "test_exit_at_task_unpickle",
                                 "test_exit_during_func_exec_on_worker",
                                 "test_exit_during_result_pickle_on_worker",
                                 "test_error_during_result_unpickle_in_result_handler",
                                 "test_exit_during_result_unpickle_in_result_handler"), Case):
    TIMEOUT = 60

    def _fail_on_deadlock(self, executor):
        executor.shutdown(wait=False, cancel_futures=True)
        self.fail("deadlock")


class TestProcessPool(Ours, without(piece("test_process_pool", "ProcessPoolExecutorTest"),
                                    # a dead worker does not end our executor, and no context
                                    "test_killed_child", "test_ressources_gced_in_workers",
                                    "test_saturation", "test_idle_process_reuse_one",
                                    "test_idle_process_reuse_multiple", "test_max_tasks_per_child",
                                    "test_max_tasks_per_child_defaults_to_spawn_context",
                                    "test_max_tasks_early_shutdown",
                                    "test_python_finalization_error"), Case):
    pass


class TestInitializer(piece("test_init", "InitializerMixin"), Face, Case):
    pass


class TestFailingInitializer(piece("test_init", "FailingInitializerMixin"), Face, Case):
    pass
