"""What map, pools, executors, forks and commands share: options in the same words; an engine's events."""

from __future__ import annotations

from ._cpus import cpus
from ._worker import describe

TYPE_CHECKING = False  # typing itself costs 5 ms
if TYPE_CHECKING:
    from typing import Any

    from ._worker import Entry

RESULT, ERROR, DIED, INIT_FAILED, BAD, COMMAND, ENDED, UNREADABLE = range(8)
"""What an event begins with: enum event_kind of src/engine.h."""

DEATHS_MAX = 3
"""Workers in a row that die before they begin a task: then it will not get better."""

ELSEWHERE = {
    "chunksize": "chunk", "processes": "jobs", "n_jobs": "jobs", "max_workers": "jobs", "workers": "jobs",
    "nproc": "jobs", "maxtasksperchild": "max_tasks_per_worker", "max_tasks_per_child": "max_tasks_per_worker",
    "buffersize": "lookahead", "worker_lifespan": "max_tasks_per_worker", "progress_bar": "progress",
    "return_exceptions": "on_error='return'",
}


def unknown_option(name: str) -> str:
    """For a TypeError."""
    here = ELSEWHERE.get(name)
    return f"there is no option {name!r}" + (f": it is called {here} here" if here else "")


def check_jobs(jobs: Any) -> int:
    if jobs is None:
        return cpus()
    if isinstance(jobs, bool) or not hasattr(jobs, "__index__"):
        raise TypeError(f"jobs must be a whole number or None, not {describe(jobs)}")
    if jobs < 1:
        hint = "; None means all CPUs" if jobs == -1 else ""
        raise ValueError(f"jobs must be at least 1, not {jobs}{hint}")
    return int(jobs)


def check_seconds(name: str, value: Any) -> float:
    """0.0: none."""
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be seconds or None, not {describe(value)}")
    if not value > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {value}")
    return 0.0 if value > 1e9 else float(value)  # 30 years: for ever


def rss_kb(value: Any) -> int:
    """'500M', '2G' or bytes, in KB."""
    if value is None:
        return 0
    if isinstance(value, str):
        text = value.strip().upper().removesuffix("B").removesuffix("I")
        unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(text[-1:], 0)
        try:
            value = float(text[:-1]) * unit if unit else float(text)
        except ValueError:
            raise ValueError(f"a size is bytes or like '500M', not {value!r}") from None
    if value <= 0:
        raise ValueError(f"a size must be more than 0, not {value}")
    return max(1, int(value) // 1024)


def engine_options(t: Any, entry: Entry, captures: Any) -> dict[str, Any]:
    """Of an engine whose workers the template forks."""
    if t is None:
        return {}
    return {"template": t.fileno(), "payload": t.payload(entry), "std": captures}
