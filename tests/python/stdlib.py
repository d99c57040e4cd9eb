"""CPython's own tests, with prong in the place of what they test.

They come with the interpreter (on Debian libpython3.11-testsuite).  Some installations leave out
just these files: then another interpreter's are taken, of the same version if there is one.
"""
import contextlib
import glob
import importlib
import multiprocessing
import os
import re
import sys
import unittest

import pytest

import prong

try:
    import test
    from test.support import script_helper
except ImportError:
    pytest.skip("this interpreter has no package test", allow_module_level=True)


def suite(name):
    """Module test.NAME: this interpreter's, or another's of 3.11 and later."""
    home = os.path.dirname(os.path.dirname(os.path.realpath(sys.base_prefix)))
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    lib = [d for at in (home + "/*", root + "/versions/*", "/usr", "/usr/local")
           for d in glob.glob(at + "/lib/python3.*/test")]
    fit = [d for d in lib if int(re.search(r"python3\.(\d+)/test", d)[1]) >= 11]

    def unlike(d):  # older ones go with a newer interpreter, not the other way
        ahead = int(re.search(r"python3\.(\d+)/test", d)[1]) - sys.version_info[1]
        return ahead > 0, abs(ahead), d

    for place in [None] + sorted(fit, key=unlike):
        if place and not glob.glob(f"{place}/{name}*"):
            continue
        if place:
            test.__path__.append(place)
        try:
            return importlib.import_module("test." + name)
        except ImportError:
            if place:
                test.__path__.remove(place)
    pytest.skip(f"no interpreter here has test.{name}", allow_module_level=True)


class Executor(prong.Executor):
    """Takes the suite's context, which see, and leaves it."""

    def __init__(self, max_workers=None, mp_context=None, **kwargs):
        super().__init__(max_workers, **kwargs)


class Context(type(multiprocessing.get_context("fork"))):
    """The fork context; where the suite asks, workers are started on demand, as prong's are."""

    def get_start_method(self, allow_none=False):
        return "forkserver"


def python_ok(*args, **env):
    """assert_python_ok of a program that names the executor."""
    code = args[-1].replace("from concurrent.futures import Executor",
                            "from prong import Executor").replace("context = 'fork'", "context = ''")
    at = f"import sys; sys.path[:0] = {[os.path.abspath(p) for p in sys.path if p]!r}\n"
    at += f"import test; test.__path__[:] = {list(test.__path__)!r}\n"
    return script_helper.assert_python_ok(*args[:-1], at + "exec(" + repr(code) + ")", **env)


@contextlib.contextmanager
def replaced(*what):
    """(object, attribute, value) ..., as long as the block runs."""
    before = [(o, a, getattr(o, a)) for o, a, _ in what]
    for o, a, v in what:
        setattr(o, a, v)
    try:
        yield
    finally:
        for o, a, v in before:
            setattr(o, a, v)


def adopt(into, module, name, swaps, left_out, attributes):
    """Class NAME of the suite, with `swaps` in force, less tests left out, into a namespace."""
    theirs = getattr(module, name)

    class Adopted(theirs):
        @classmethod
        def setUpClass(cls):
            cls.enterClassContext(replaced(*swaps))
            super().setUpClass()

        def tearDown(self):
            super().tearDown()
            if hasattr(self, "log_queue"):
                self.log_queue = self.executor_kwargs = None

    for at, value in attributes.items():
        setattr(Adopted, at, value)
    for at, why in left_out.items():
        if hasattr(theirs, at):
            setattr(Adopted, at, unittest.skip(why)(lambda self: None))
    Adopted.__name__ = Adopted.__qualname__ = name
    Adopted.__module__ = into["__name__"]
    into[name] = Adopted
