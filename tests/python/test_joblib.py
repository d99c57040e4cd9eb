import os

import prong
import pytest

joblib = pytest.importorskip("joblib")
import prong.joblib  # noqa: E402: registers the backend


def test_results_in_order_with_closures():
    k = 3
    with joblib.parallel_backend("prong"):
        got = joblib.Parallel(n_jobs=2)(joblib.delayed(lambda x: x * k)(i) for i in range(500))
    assert got == [i * 3 for i in range(500)]


def test_one_job_and_all_jobs():
    assert joblib.Parallel(n_jobs=1, backend="prong")(joblib.delayed(abs)(-i) for i in range(5)) == list(range(5))
    assert joblib.Parallel(n_jobs=-1, backend="prong")(joblib.delayed(abs)(-i) for i in range(5)) == list(range(5))


def test_exception_reaches_the_caller_and_the_next_call_works():
    def f(x):
        if x == 3:
            raise KeyError(x)
        return x

    with pytest.raises(KeyError):
        joblib.Parallel(n_jobs=2, backend="prong")(joblib.delayed(f)(i) for i in range(20))
    assert joblib.Parallel(n_jobs=2, backend="prong")(joblib.delayed(f)(i) for i in range(3)) == [0, 1, 2]


def test_a_death_is_named():
    with pytest.raises(prong.TaskDied):
        joblib.Parallel(n_jobs=2, backend="prong")(joblib.delayed(os._exit)(3) for _ in range(2))
