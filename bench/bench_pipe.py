#!/usr/bin/env python3
"""--pipe and --pipepart against `cat | cat` and GNU parallel, interleaved; memory of one record.

usage: bench_pipe.py [--prong build/prong] [--size 2G] [--rounds 5] [--record 4G] [--dir DIR]

Every way reads a file of --size (lines of 100 bytes, in the page cache) and ends in
`cat >/dev/null`.  Each round runs all of them once, in rotating order; GNU parallel only in the
first two.  Printed: the median, and the ratio to `cat FILE | cat`.  Then one record of --record
bytes without a line end goes through --pipe, and the peak of the runner's memory is shown.
"""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

UNITS = {"k": 1000, "K": 1024, "m": 10**6, "M": 1 << 20, "g": 10**9, "G": 1 << 30}


def size(text):
    return int(float(text.rstrip("kKmMgG")) * UNITS.get(text[-1], 1))


def make(path, n):
    """Lines that do not compress, made of one random mebibyte with numbers in it."""
    rest = os.urandom(48 << 10).hex()
    with open(path, "w") as f:
        i = 0
        while f.tell() < n:
            f.write("".join(f"{i + k:09d} {rest[k * 89 % 90000:][:89]}\n" for k in range(10000)))
            i += 10000


def timed(command):
    start = time.monotonic()
    e = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL).returncode
    if e:
        raise SystemExit(f"status {e}: {command}")
    return time.monotonic() - start


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ap.add_argument("--prong", default="build/prong")
    ap.add_argument("--size", default="2G")
    ap.add_argument("--record", default="4G")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--jobs", default="2")
    ap.add_argument("--dir", help="where the file is made; default: a temporary directory")
    a = ap.parse_args()
    prong = os.path.abspath(a.prong) + f" -j{a.jobs}"
    with tempfile.TemporaryDirectory(dir=a.dir) as tmp:
        f = os.path.join(tmp, "data")
        make(f, size(a.size))
        gnu = f"parallel --will-cite -j{a.jobs}"
        sink = "'cat >/dev/null'"
        ways = {
            "cat FILE | cat": f"cat {f} | cat >/dev/null",
            "--pipe --block 10M < FILE": f"{prong} --pipe --block 10M {sink} < {f}",
            "cat FILE | --pipe --block 10M": f"cat {f} | {prong} --pipe --block 10M {sink}",
            "cat FILE | --pipe (1M)": f"cat {f} | {prong} --pipe {sink}",
            "--pipepart --block 10M": f"{prong} --pipepart -a {f} --block 10M {sink}",
            "--pipepart": f"{prong} --pipepart -a {f} {sink}",
            "cat FILE | --round-robin": f"cat {f} | {prong} --round-robin {sink}",
        }
        if shutil.which("parallel"):
            ways["GNU --pipe --block 10M < FILE"] = f"{gnu} --pipe --block 10M {sink} < {f}"
            ways["GNU --pipepart --block 10M"] = f"{gnu} --pipepart -a {f} --block 10M {sink}"
        times = {w: [] for w in ways}
        names = list(ways)
        timed(f"cat {f} >/dev/null")
        for i in range(a.rounds):
            for w in names[i % len(names):] + names[:i % len(names)]:
                if not w.startswith("GNU") or i < 2:
                    times[w].append(timed(ways[w]))
        base = statistics.median(times[names[0]])
        n = os.path.getsize(f)
        print(f"{n / 1e9:.2f} GB, load {os.getloadavg()[0]:.1f}")
        for w in names:
            t = statistics.median(times[w])
            print(f"{w:32s} {t:7.2f} s {n / 1e9 / t:6.2f} GB/s  {base / t:5.2f} of cat | cat")
    show = "grep VmHWM /proc/$PARALLEL_PID/status"
    n = size(a.record)
    r = subprocess.run(["bash", "-c", f"head -c {n} /dev/zero | {prong} --pipe --block 10M 'wc -c; {show}'"],
                       capture_output=True, text=True)
    got = re.findall(r"\d+", r.stdout)
    print(f"one record of {got[0]} bytes (wanted {n}): the runner's peak is {int(got[1]) / 1024:.1f} MiB")


if __name__ == "__main__":
    main()
