#!/usr/bin/env python3
"""Side-by-side throughput of parallel job runners on the same work, interleaved in one run.

usage: bench_cli.py [--rounds N] [--only W1,W3] [--scale F] [--json OUT] NAME=COMMAND...
  NAME=COMMAND  a runner; COMMAND is the program with GNU parallel's option syntax, e.g. prong=build/prong
Built in: gnu (parallel), xargs, moreutils, xjobs, floor (spawn_limit.c: a bare vfork+pipes loop).
Each workload is run once per runner per round, runners in rotating order; figures are the median of
wall, user+sys and peak RSS of the runner's process tree (RSS: the largest single process).
"""
import argparse, json, os, shutil, statistics, subprocess, tempfile
HERE = os.path.dirname(os.path.abspath(__file__))
ap = argparse.ArgumentParser()
ap.add_argument("--rounds", type=int, default=5); ap.add_argument("--only", default="")
ap.add_argument("--scale", type=float, default=1.0); ap.add_argument("--json")
ap.add_argument("--without", default=""); ap.add_argument("runner", nargs="*")
a = ap.parse_args()
tmp = tempfile.mkdtemp(prefix="bench_cli.")
def build(src, out, *flags):
    subprocess.run(["gcc", "-O2", *flags, "-o", out, src], check=True)
floor = f"{tmp}/floor"; build(f"{HERE}/spawn_limit.c", floor)
ntrue = f"{tmp}/ntrue"
open(f"{tmp}/n.c", "w").write('void _start(void){__asm__ volatile("mov $60,%eax; xor %edi,%edi; syscall");}')
build(f"{tmp}/n.c", ntrue, "-nostdlib", "-static")
def seq(n, name):
    p = f"{tmp}/{name}"
    with open(p, "w") as f: f.write("\n".join(map(str, range(1, n + 1))) + "\n")
    return p
S = a.scale
n3k, n10k, n100k, n3m = seq(int(3000*S), "n3k"), seq(int(10000*S), "n10k"), seq(int(100000*S), "n100k"), seq(int(3000000*S), "n3m")
big = f"{tmp}/big"; subprocess.run(f"seq -f '%.0f some text on a line that is of middling length' {int(8000000*S)} > {big}", shell=True, check=True)
runners = dict(r.split("=", 1) for r in a.runner)
if shutil.which("parallel"): runners["gnu"] = "parallel --will-cite"
for w in a.without.split(","): runners.pop(w, None)
P = lambda r, s: f"{runners[r]} {s}"
W = {}
def gnuish(key, tmpl, others=None, gnu_divide=1, small=None):
    W[key] = {r: P(r, small if (r == "gnu" and small) else tmpl) for r in runners}
    W[key].update(others or {})
n = lambda p: sum(1 for _ in open(p))
# W1 tiny jobs, default output handling. gnu gets a tenth of the jobs; rates are per job.
div = {}
h3 = seq(int(300*S), "n300")
gnuish("W1_true", f"-j2 /bin/true < {n3k}", {"xargs": f"xargs -P2 -n1 /bin/true < {n3k}", "xjobs": f"xjobs -j2 /bin/true < {n3k}",
  "moreutils": f"xargs -a {n3k} parallel.moreutils -j2 /bin/true --", "floor": f"{floor} vforkpipe 2 {n(n3k)} /bin/true 1"}, small=f"-j2 /bin/true < {h3}")
gnuish("W2_echo", f"-j2 /bin/echo < {n3k}", {"xargs": f"xargs -P2 -n1 /bin/echo < {n3k}", "floor": f"{floor} vforkpipe 2 {n(n3k)} /bin/echo x"}, small=f"-j2 /bin/echo < {h3}")
gnuish("W3_keep_tag", f"-j2 -k --tag /bin/echo < {n3k}", {"floor": f"{floor} vforkpipe 2 {n(n3k)} /bin/echo x"}, small=f"-j2 -k --tag /bin/echo < {h3}")
gnuish("W4_nolibc", f"-j2 {ntrue} < {n10k}", {"xargs": f"xargs -P2 -n1 {ntrue} < {n10k}", "floor": f"{floor} vforkpipe 2 {n(n10k)} {ntrue} 1"}, small=f"-j2 {ntrue} < {h3}")
gnuish("W5_shell", f"-j2 'echo {{}} | cat' < {n3k}", {"xargs": f"xargs -P2 -I{{}} sh -c 'echo {{}} | cat' < {n3k}"}, small=f"-j2 'echo {{}} | cat' < {h3}")
gnuish("W6_joblog", f"-j2 --joblog {tmp}/jl /bin/true < {n3k}", {"floor": f"{floor} vforkpipe 2 {n(n3k)} /bin/true 1"}, small=f"-j2 --joblog {tmp}/jl /bin/true < {h3}")
gnuish("W7_xargs_mode", f"-j2 -X /bin/true < {n3m}", {"xargs": f"xargs -P2 /bin/true < {n3m}"}, small=f"-j2 -X /bin/true < {n100k}")
gnuish("W8_pipe", f"-j2 --pipe --block 10M 'cat >/dev/null' < {big}", {"cat": f"cat {big} | cat >/dev/null"})
gnuish("W9_pipepart", f"-j2 --pipepart -a {big} --block 10M 'cat >/dev/null'")
W["W10_startup"] = {r: "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do " + P(r, "-j2 /bin/true ::: 1") + "; done" for r in runners}
W["W10_startup"]["xargs"] = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo 1 | xargs -P2 /bin/true; done"
head, ten = f"head -c {int(200e6*S)} {big}", "1 2 3 4 5 6 7 8 9 10"
for key, how in ("W11_big_output", ""), ("W12_big_lines", "--line-buffer "):
    gnuish(key, f"-j2 {how}'{head}; : {{}}' ::: {ten} | cat", {"xargs": f"seq 10 | xargs -P2 -I_ {head} | cat"})
work = {"W1_true": n(n3k), "W2_echo": n(n3k), "W3_keep_tag": n(n3k), "W4_nolibc": n(n10k), "W5_shell": n(n3k), "W6_joblog": n(n3k), "W7_xargs_mode": n(n3m), "W8_pipe": os.path.getsize(big)/1e6, "W9_pipepart": os.path.getsize(big)/1e6, "W10_startup": 20, "W11_big_output": 2000*S, "W12_big_lines": 2000*S}
gnu_work = {k: n(h3) for k in ("W1_true","W2_echo","W3_keep_tag","W4_nolibc","W5_shell","W6_joblog")}; gnu_work["W7_xargs_mode"] = n(n100k)
only = [w for w in a.only.split(",") if w]
out = {}
for key, cmds in W.items():
    cmds = {r: c for r, c in cmds.items() if r not in ("xjobs", "moreutils") or shutil.which({"moreutils": "parallel.moreutils"}.get(r, r))}
    if only and not any(key.split("_")[0] == o.strip("_") for o in only): continue
    res = {r: [] for r in cmds}; names = list(cmds)
    for i in range(a.rounds):
        for r in names[i % len(names):] + names[:i % len(names)]:
            if r == "gnu" and i >= 3: continue
            p = subprocess.run(["/usr/bin/time", "-o", f"{tmp}/time", "-f", "%e %U %S %M", "bash", "-c", cmds[r]], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
            dt, us, sy, kb = map(float, open(f"{tmp}/time").read().split("\n")[-2].split())  # GNU time: small process, honest RSS
            res[r].append((max(dt, 0.005), us + sy, kb, p.returncode, p.stderr[-200:].decode(errors="replace")))
    print(f"\n{key}"); out[key] = {}
    for r in names:
        if not res[r]: continue
        w = gnu_work.get(key, work[key]) if r == "gnu" else work[key]
        wall = statistics.median(x[0] for x in res[r]); cpu = statistics.median(x[1] for x in res[r]); rss = max(x[2] for x in res[r]); bad = [x for x in res[r] if x[3]]
        out[key][r] = dict(rate=w / wall, wall=wall, cpu_us=cpu / w * 1e6, rss_kb=rss, failed=len(bad), err=bad[0][4] if bad else "")
    for r in names:
        if r not in out[key]: continue
        o = out[key][r]; base = next((out[key][x]["rate"] for x in ("floor", "cat", "xargs") if x in out[key]), None)
        print(f"  {r:10s} {o['rate']:14,.1f}/s  cpu {o['cpu_us']:10.1f} us/unit  rss {o['rss_kb']/1024:7.1f} MiB" + (f"  x{o['rate']/base:.2f} of base" if base else "") + (f"  FAILED {o['failed']}: {o['err'].strip()[:90]}" if o["failed"] else ""))
if a.json: json.dump(out, open(a.json, "w"), indent=1)
subprocess.run(["rm", "-rf", tmp])
