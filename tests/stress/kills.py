#!/usr/bin/env python3
"""Kill runs of prong at random moments, in every way; how long until nothing of them is left?

usage: kills.py [--prong build/prong] [--kills 500] [--seed N] [--limit SECONDS]

Each run carries a mark in its environment; what carries it is of that run, wherever it went.
Prints the distribution for each way of killing.  Status 1 if something was left after --limit."""
import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
from conftest import carriers  # noqa: E402
from test_survivors import JOBS, runner_of  # noqa: E402

WAYS = ["guardian", "runner", "group", "INT", "TERM", "QUIT"]


def kill(p, way):
    if way == "guardian":
        p.kill()
    elif way == "group":
        os.killpg(p.pid, signal.SIGKILL)
    elif way == "runner":
        pid = runner_of(p)
        if pid:
            os.kill(pid, signal.SIGKILL)
    else:
        p.send_signal(getattr(signal, "SIG" + way))


def what(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
        name = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")[:60]
        return f"{pid} {stat.rpartition(')')[2].split()[0]} {name!r}"
    except OSError:
        return f"{pid} gone"


def one(prong, rng, number, limit):
    mark = f"PRONG_KILLS={os.getpid()}.{number}"
    job, way = rng.choice(list(JOBS)), rng.choice(WAYS)
    with tempfile.TemporaryDirectory() as tmp:
        env = dict(os.environ, TMPDIR=tmp, PARALLEL_SHELL="/bin/sh")
        env.update([mark.split("=")])
        p = subprocess.Popen([prong, "-j3", JOBS[job], ":::", *"123456"], env=env, cwd=tmp,
                             start_new_session=True, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(rng.choice([0, rng.random() * 0.02, rng.random() * 0.3]))
        begin = time.monotonic()
        kill(p, way)
        try:
            p.wait(limit)
        except subprocess.TimeoutExpired:
            pass
        ended = time.monotonic() - begin
        while left := carriers(mark.encode()):
            if time.monotonic() - begin > limit:
                print(f"kill {number}: {way}, job '{job}': left after {limit} s:", *map(what, left), sep="\n  ")
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                return way, job, ended, None
            time.sleep(0.005)
        return way, job, ended, time.monotonic() - begin


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    a.add_argument("--prong", default="build/prong")
    a.add_argument("--kills", type=int, default=500)
    a.add_argument("--seed", type=int, default=int(time.time()))
    a.add_argument("--limit", type=float, default=20)
    a = a.parse_args()
    prong, rng = os.path.abspath(a.prong), random.Random(a.seed)
    print(f"seed {a.seed}, load {os.getloadavg()[0]:.1f}")
    times, bad = {w: [] for w in WAYS}, 0
    for number in range(a.kills):
        way, job, ended, t = one(prong, rng, number, a.limit)
        if t is None:
            bad += 1
            continue
        times[way].append(t)
        if t > 1:
            print(f"kill {number}: {way}, job '{job}': {t:.2f} s (prong itself: {ended:.2f} s), "
                  f"load {os.getloadavg()[0]:.1f}")
    for way, ts in times.items():
        ts.sort()
        if ts:
            at = [ts[min(len(ts) - 1, int(len(ts) * q))] for q in (0.5, 0.9, 0.99)]
            print(f"{way:9} {len(ts):4} kills: median {at[0]:.3f}, 90 % {at[1]:.3f}, "
                  f"99 % {at[2]:.3f}, longest {ts[-1]:.3f} s; {sum(t > 1 for t in ts)} over 1 s")
    print(f"{bad} left something behind")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
