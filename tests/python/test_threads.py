"""Hosts whose other threads are inside OpenBLAS, or that have used OpenMP, at a fork."""

import subprocess
import sys
import textwrap

import pytest


def run(code, env=None, warn="error"):
    import os

    r = subprocess.run([sys.executable, "-W", warn, "-c", textwrap.dedent(code)], capture_output=True, text=True,
                       timeout=300, start_new_session=True, env={**os.environ, **(env or {})})
    return r.stdout, r.stderr


def test_fork_while_another_thread_is_in_openblas():
    pytest.importorskip("numpy")
    out, err = run("""
        import threading, prong, numpy as np
        a = np.random.rand(400, 400)
        def busy():
            while not done: a @ a
        done = False
        t = threading.Thread(target=busy)
        t.start()
        def product(x): return float((a @ a)[0, 0])
        right = product(0)
        for i in range(10):
            assert all(abs(r - right) < 1e-6 for r in prong.map(product, range(4), jobs=2))
        done = True
        t.join()
        print("fine")
    """, {"OPENBLAS_NUM_THREADS": "3"})
    assert (out, err) == ("fine\n", "")


def test_template_and_openblas():
    pytest.importorskip("numpy")
    out, err = run("""
        import threading, prong, numpy as np
        a = np.random.rand(400, 400)
        a @ a
        prong.template(a)
        def busy():
            while not done: a @ a
        done = False
        t = threading.Thread(target=busy)
        t.start()
        with prong.Executor(2) as ex:
            for i in range(10):
                assert ex.submit(np.dot, a, a).result().shape == (400, 400)
        done = True
        t.join()
        print("fine")
    """, {"OPENBLAS_NUM_THREADS": "3"})
    assert (out, err) == ("fine\n", "")


OMP = """
int threads(int n)
{
	int most = 0;
#pragma omp parallel for reduction(max : most)
	for (int i = 0; i < n; i++) {
		int k = omp_get_num_threads();
		most = k > most ? k : most;
	}
	return most;
}
"""


@pytest.fixture(scope="module")
def omp(tmp_path_factory):
    d = tmp_path_factory.mktemp("omp")
    (d / "omp.c").write_text("#include <omp.h>\n" + OMP)
    try:
        subprocess.run(["gcc", "-fopenmp", "-shared", "-fPIC", "-o", d / "libomp-test.so", d / "omp.c"], check=True,
                       capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no gcc with OpenMP")
    return str(d / "libomp-test.so")


def test_openmp_used_before_the_fork(omp):
    """More than one thread would hang in the worker: it gets one, and the caller is told once."""
    code = f"""
        import ctypes, prong
        lib = ctypes.CDLL({omp!r})
        assert lib.threads(100) == 3
        for _ in range(2):
            print(prong.map(lambda x: lib.threads(100), range(2), jobs=1, blas_threads=3))
    """
    out, err = run(code, {"OMP_NUM_THREADS": "3"}, "always")
    assert out == "[1, 1]\n[1, 1]\n"
    assert err.count("RuntimeWarning") == 1 and "prong.template()" in err


def test_openmp_and_the_template(omp):
    code = f"""
        import ctypes, prong
        lib = ctypes.CDLL({omp!r})
        def f(x): return lib.threads(100)
        prong.template()
        assert f(0) == 3
        print(prong.map(f, range(2), jobs=1, blas_threads=3))
    """
    assert run(code, {"OMP_NUM_THREADS": "3"}) == ("[3, 3]\n", "")
