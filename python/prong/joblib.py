"""joblib on prong's workers:

    import prong.joblib                      # registers the backend
    with joblib.parallel_config("prong"):    # or Parallel(backend="prong")
        Parallel(n_jobs=4)(delayed(f)(x) for x in data)

A worker that dies costs its batch of calls, which raises prong.TaskDied.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Callable

from joblib import register_parallel_backend
from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, ParallelBackendBase, SequentialBackend

from ._cpus import cpus
from ._executor import Executor


class ProngBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """One prong.Executor for each Parallel."""

    supports_retrieve_callback = True
    supports_timeout = True
    uses_threads = False
    supports_sharedmem = False
    supports_inner_max_num_threads = False

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return max(cpus() + 1 + n_jobs, 1) if n_jobs < 0 else n_jobs

    def configure(self, n_jobs: int = 1, parallel: Any = None, prefer: Any = None, require: Any = None, **options: Any) -> int:
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._executor = Executor(n_jobs)
        return n_jobs

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None) -> Future[Any]:
        future = self._executor.submit(func)
        future.get = future.result  # type: ignore[attr-defined]
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit  # joblib before 1.5

    @staticmethod
    def retrieve_result_callback(out: Future[Any]) -> Any:
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Somebody's call failed: end the others."""
        self._executor.kill_workers()
        if ensure_ready:
            self._executor = Executor(self.effective_n_jobs(self.parallel.n_jobs))

    def terminate(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        self.reset_batch_stats()


register_parallel_backend("prong", ProngBackend)
