#!/usr/bin/env python3
"""Memory and time of --results with many jobs: bench/bench_results.py [JOBS] [PRONG]

Prints for each kind of --results the peak resident memory of the largest process of the run
(prong or a job) and the jobs per second."""
import os
import resource
import shutil
import sys
import tempfile
import time

jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
prong = os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else "build/prong")

for name in ("d", "d/{#}", "o.csv", "o.json", "o.sqlite"):
    work = tempfile.mkdtemp()
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.chdir(work)
        r, w = os.pipe()
        if os.fork() == 0:
            os.close(r)
            with os.fdopen(w, "w") as out:
                out.writelines(f"{i}\n" for i in range(jobs))
            os._exit(0)
        os.dup2(r, 0)
        os.close(r)
        os.close(w)
        os.execv(prong, [prong, "--results", name, "echo"])
    _, status, _ = os.wait4(pid, 0)
    spent = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert os.waitstatus_to_exitcode(status) == 0
    print(f"--results {name:9} {jobs} jobs: {peak / 1024:.1f} MB at most so far, {jobs / spent:.0f} jobs/s",
          flush=True)
    shutil.rmtree(work)
