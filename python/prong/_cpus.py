"""How many CPUs this process may use: affinity and the cgroup's quota."""

from __future__ import annotations

import math
import os
import time

_asked = -math.inf  # when the quota was read last: that takes as long as starting a worker's thread
_last = math.inf


def _quota_at(directory: str) -> float:
    try:
        with open(directory + "/cpu.max") as f:
            quota, period = f.read().split()
    except OSError:
        try:
            with open(directory + "/cpu.cfs_quota_us") as f:
                quota = f.read()
            with open(directory + "/cpu.cfs_period_us") as f:
                period = f.read()
        except OSError:
            return math.inf
    except ValueError:
        return math.inf
    try:
        n = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return math.inf  # "max"
    return n if n > 0 else math.inf


def _quota() -> float:
    """The least from our cgroup up to the root of its hierarchy."""
    least = math.inf
    try:
        with open("/proc/self/cgroup") as f:
            lines = f.read().splitlines()
    except OSError:
        return least
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            mount = "/sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mount = "/sys/fs/cgroup/cpu"
        else:
            continue
        path = (mount + group).rstrip("/")
        while len(path) >= len(mount):
            least = min(least, _quota_at(path))
            path = path.rpartition("/")[0]
    return least


def cpus() -> int:
    """At least 1."""
    n = len(os.sched_getaffinity(0))
    global _asked, _last
    now = time.monotonic()
    if now - _asked > 1:
        _asked, _last = now, _quota()
    quota = _last
    return max(1, min(n, math.ceil(quota))) if quota < n else max(1, n)
