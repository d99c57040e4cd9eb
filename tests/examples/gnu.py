#!/usr/bin/env python3
"""Try the examples of gnu.examples with GNU parallel and with prong, and compare.

    gnu.py PRONG             say what differs
    gnu.py PRONG --table     the table of docs/examples-of-gnu-parallel.md on standard output
    gnu.py PRONG --only TEXT   those whose title or code has TEXT, with both outputs

Compared: standard output (sorted where the order is free), exit status, and the files that are
there at the end.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STAND_INS = ("lame convert wget ping host lynx traceroute youtube-dl unzip srun rsync curl apt-file"
             .split())
STAND_IN = '''#!/bin/sh
echo "${0##*/}" "$@"
case "$*" in *fail*) exit 1 ;; esac
'''


class Example:
    def __init__(self, text):
        head, *lines = text.strip("\n").split("\n")
        self.title, self.what = (x.strip() for x in head.split(" | ", 1))
        marks = [line[1:].strip() for line in lines if line.startswith("!")]
        self.sorted = "sorted" in marks
        self.differs = next((m[8:].strip() for m in marks if m.startswith("differs:")), None)
        self.code = "\n".join(line for line in lines if not line.startswith("!"))

    @property
    def id(self):
        return re.sub(r"[^\w]+", "-", f"{self.title}-{self.what}")[:80]


def examples():
    text = "\n".join(line for line in (HERE / "gnu.examples").read_text().split("\n")
                     if not line.startswith("#"))
    return [Example(t) for t in text.split("\n== ")[1:] if t.strip()]


def tools(place, prong):
    """A directory for PATH: stand-ins, and parallel and sem, GNU's or ours (prong not None)."""
    place.mkdir()
    for name in STAND_INS:
        (place / name).write_text(STAND_IN)
        (place / name).chmod(0o755)
    (place / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (place / "sudo").chmod(0o755)
    if prong:
        (place / "parallel").symlink_to(prong)
        (place / "prong").symlink_to(prong)
        (place / "sem").write_text(f'#!/bin/sh\nexec "{prong}" --semaphore "$@"\n')
        (place / "prong-sem").symlink_to(prong)
    return place


def files(place):
    found = {}
    for f in sorted(place.rglob("*")):
        name = str(f.relative_to(place))
        packed = f.name.endswith((".gz", ".tgz"))  # have the time in them
        found[name] = f.read_bytes() if f.is_file() and not packed else f.is_dir()
    return found


def attempt(example, prong, where):
    """(stdout, status, files, stderr) of one program."""
    bins = tools(where / "bin", prong)
    work, home, tmp = where / "work", where / "home", where / "tmp"
    for d in (work, home / ".parallel", tmp):
        d.mkdir(parents=True)
    (home / ".parallel/will-cite").touch()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PARALLEL", "PRONG"))}
    env.update(HOME=str(home), TMPDIR=str(tmp), LC_ALL="C", SHELL="/bin/bash",
               PATH=f"{bins}:{os.environ['PATH']}")
    code = example.code
    if "#!" in code and prong:  # a script's interpreter must be a program
        code = code.replace("command -v sem", "command -v prong-sem")
    if "env_parallel" in code:
        code = (f". {ROOT}/shell/prong.bash; env_parallel() {{ env_prong \"$@\"; }}\n" if prong
                else ". env_parallel.bash\n") + code
    with subprocess.Popen(["bash", "--norc", "-c", code], cwd=work, env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, start_new_session=True) as p:
        try:
            out, err = p.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            return b"did not end", -1, {}, b""
    out = out.replace(str(where).encode(), b"WHERE")
    if example.sorted:
        out = b"\n".join(sorted(out.split(b"\n")))
    return out, p.returncode, files(work), err


def compare(example, prong):
    """'' or what differs, and both attempts."""
    with tempfile.TemporaryDirectory() as top:
        top = pathlib.Path(top)
        (top / "our").mkdir()
        for again in "gnu", "gnu2", "gnu3":  # it hangs now and then on a busy machine
            (top / again).mkdir()
            theirs = attempt(example, None, top / again)
            if theirs[1] != -1:
                break
        ours = attempt(example, prong, top / "our")
    kinds = ("output", "status", "files")
    return ", ".join(k for k, a, b in zip(kinds, theirs, ours) if a != b), theirs, ours


def table(results):
    last = None
    yield "| example | what | |"
    yield "|---|---|---|"
    for e, differs in results:
        verdict = "same" if not differs else f"**{differs}**: {e.differs or 'not explained yet'}"
        cells = [("" if e.title == last else e.title), e.what, verdict]
        yield "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"
        last = e.title


def main():
    p = argparse.ArgumentParser()
    p.add_argument("prong")
    p.add_argument("--table", action="store_true")
    p.add_argument("--only")
    o = p.parse_args()
    o.prong = os.path.abspath(o.prong)
    if not shutil.which("parallel"):
        sys.exit("GNU parallel is not there: apt-get install parallel")
    chosen = [e for e in examples() if not o.only or o.only in f"{e.title} | {e.what}\n{e.code}"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda e: compare(e, o.prong), chosen))
    if o.table:
        print("\n".join(table([(e, r[0]) for e, r in zip(chosen, results)])))
        return
    bad = 0
    for e, (differs, theirs, ours) in zip(chosen, results):
        if not differs and not o.only:
            continue
        bad += bool(differs) and not e.differs
        print(f"== {e.title} | {e.what}: {differs or 'same'}\n{e.code}")
        for who, (out, status, found, err) in (("GNU parallel", theirs), ("prong", ours)):
            print(f"--- {who}: status {status}, files {list(found)[:20]}\n"
                  f"{out[:1500].decode(errors='replace')}{err[:400].decode(errors='replace')}")
    print(f"{len(chosen)} examples, {bad} differ without a reason")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
