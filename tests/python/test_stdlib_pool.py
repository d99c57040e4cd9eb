"""CPython's tests of multiprocessing.Pool, with prong.multiprocessing.Pool in its place."""
import multiprocessing
import unittest

import prong.multiprocessing
import stdlib

base = stdlib.suite("_test_multiprocessing")

LEFT_OUT = {
    "test_map_unplicklable": "by design: what cannot be pickled runs in a fork that inherits it",
}


class Processes(base.ProcessesMixin, unittest.TestCase):
    Pool = staticmethod(prong.multiprocessing.Pool)


for name in ("_TestPool", "_TestPoolWorkerErrors", "_TestPoolWorkerLifetime"):
    mixed = type(name[1:], (getattr(base, name), Processes), {})
    stdlib.adopt(globals(), type("module", (), {name[1:]: mixed}), name[1:],
                 [(multiprocessing, "Pool", prong.multiprocessing.Pool)], LEFT_OUT, {})
del mixed, Processes
