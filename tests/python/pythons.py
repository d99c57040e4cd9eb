#!/usr/bin/env python3
"""The interpreters of this machine, and tests on one of them.

usage: pythons.py list                     NAME<tab>PATH, a line each
       pythons.py run PATH STATE ARG...    `PATH -m pytest ARG...`; exit 77: cannot be tested
       pythons.py all STATE ARG...         the same for every interpreter, all at once: for tests
                                           that mostly wait

What tests need and PATH lacks is installed by pip into a virtual environment of their own,
STATE/venv-NAME.  Without a network they do without: a module that is missing skips its tests,
only pytest has to be there.  PRONG_PYTHONS=PATH:PATH names the interpreters to take instead;
PRONG_NO_PIP=1 leaves pip alone.
"""
import fcntl
import glob
import os
import pwd
import subprocess
import sys

MODULES = ["pytest", "numpy", "joblib"]
ASK = """
import importlib.util, os, sys
v = sys.version_info
gil = getattr(sys, "_is_gil_enabled", lambda: True)()
fit = v >= (3, 11) and gil and sys.implementation.name == "cpython" and sys.platform == "linux"
name = "%d.%d.%d" % v[:3] + (v.releaselevel[0] + str(v.serial) if v.releaselevel != "final" else "")
has = lambda m: importlib.util.find_spec(m) is not None
print(int(fit), name, os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
      sys.executable, ",".join(m for m in MODULES if not has(m)), sep="\\t")
"""


def ask(python):
    """(fit, name, real path, path, missing modules), or None if it does not run."""
    try:
        r = subprocess.run([python, "-c", f"MODULES = {MODULES!r}" + ASK], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    fields = r.stdout.strip("\n").split("\t")
    if r.returncode or len(fields) != 5:
        return None  # a shim of a version that is not chosen, say
    fit, name, real, path, missing = fields
    return fit == "1", name, real, path, [m for m in missing.split(",") if m]


def candidates():
    if os.environ.get("PRONG_PYTHONS"):
        return os.environ["PRONG_PYTHONS"].split(":")
    homes = {os.path.expanduser("~"), pwd.getpwuid(os.getuid()).pw_dir}
    pyenv = [os.environ.get("PYENV_ROOT", "")] + [h + "/.pyenv" for h in sorted(homes)]
    dirs = os.environ.get("PATH", "").split(":") + ["/usr/bin", "/usr/local/bin"]
    dirs += [d for p in pyenv if p for d in sorted(glob.glob(p + "/versions/*/bin"))]
    dirs += [d for h in sorted(homes) for d in sorted(glob.glob(h + "/.local/share/uv/python/*/bin"))]
    names = ["python3"] + [f"python3.{minor}" for minor in range(11, 20)]
    found = [f"{d}/{n}" for d in dirs if d for n in names]
    return [p for p in found if os.access(p, os.X_OK)]


def interpreters():
    """name -> path; one for each installation, the first that PATH has."""
    seen, by_name = set(), {}
    for candidate in candidates():
        real = os.path.realpath(candidate)
        if real in seen and not os.environ.get("PRONG_PYTHONS"):
            continue
        known = ask(candidate)
        if not known or not known[0]:
            continue
        _, name, base, path, _ = known
        if base in seen:
            continue
        seen |= {base, real}
        while name in by_name:
            name += "+"
        by_name[name] = path
    return by_name


def install(python, missing, venv):
    """pip install into venv, which sees what python has; None, or why not."""
    inside = venv + "/bin/python"
    try:
        if not os.path.exists(inside):
            subprocess.run([python, "-m", "venv", "--system-site-packages", "--without-pip", venv],
                           check=True, capture_output=True, text=True, timeout=120)
        subprocess.run([inside, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--timeout", "10",
                        "--retries", "1", "--prefer-binary", *missing],
                       check=True, capture_output=True, text=True, timeout=240)
    except subprocess.CalledProcessError as e:
        return (e.stderr.strip() or e.stdout.strip() or str(e)).splitlines()[-1]
    except (OSError, subprocess.TimeoutExpired) as e:
        return str(e)
    return None


def prepared(python, state):
    """(the interpreter to use, what it still lacks, why)."""
    known = ask(python)
    if not known:
        return python, ["an interpreter that runs"], "it does not"
    _, name, _, _, missing = known
    if not missing or os.environ.get("PRONG_NO_PIP"):
        return python, missing, "PRONG_NO_PIP is set"
    venv = f"{state}/venv-{name}"
    os.makedirs(state, exist_ok=True)
    with open(venv + ".lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run at once
        known = ask(venv + "/bin/python")
        lock.seek(0)
        why = lock.read()  # of the attempt before: one for each build directory
        if not why and not (known and not known[4]):
            why = install(python, missing, venv)
            known = ask(venv + "/bin/python")
            lock.write(why or "installed")
    return (venv + "/bin/python", known[4], why) if known else (python, missing, why)


def run_all(state, args):
    """The worst exit status; 77 if none could be tested."""
    runs = {}
    for name, path in interpreters().items():
        runs[name] = subprocess.Popen([sys.executable, __file__, "run", path, state, *args], text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for name, run in runs.items():
        print(f"=== {name}\n{run.communicate()[0]}", flush=True)
    failed = [run.returncode for run in runs.values() if run.returncode not in (0, 77)]
    return 1 if failed else 0 if any(run.returncode == 0 for run in runs.values()) else 77


def main():
    if sys.argv[1:] == ["list"]:
        for name, path in interpreters().items():
            print(name, path, sep="\t")
        return 0
    if sys.argv[1:2] == ["all"] and len(sys.argv) > 3:
        return run_all(sys.argv[2], sys.argv[3:])
    if len(sys.argv) < 5 or sys.argv[1] != "run":
        print(__doc__.strip(), file=sys.stderr)
        return 255
    python, lacks, why = prepared(sys.argv[2], sys.argv[3])
    if lacks:
        print(f"{sys.argv[2]} lacks {', '.join(lacks)} ({why})", flush=True)
    if "pytest" in lacks:
        print("SKIP: no pytest for it", flush=True)
        return 77
    os.execv(python, [python, "-m", "pytest", *sys.argv[4:]])


if __name__ == "__main__":
    sys.exit(main())
