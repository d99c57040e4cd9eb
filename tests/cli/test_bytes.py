"""What the child receives is byte for byte what was given, by the shell and without it."""
import os
import random
import shutil
import subprocess

import pytest

ARGDUMP = os.environ.get("ARGDUMP", "")
CASES = int(os.environ.get("PRONG_CASES", "10000"))
PER_RUN = 20
INERT = "abcXYZ019_-./:@%+,"
SEPARATORS = (":::", "::::", ":::+", "::::+")
SHELL_ACTIVE = INERT + " \t\n'\"\\$`;&|<>()[]{}*?!#~=^é"


def noext(v):
    base = v.rfind(b"/") + 1
    dot = v.rfind(b".")
    return v[:dot] if dot >= base else v


def base(v):
    return v[v.rfind(b"/") + 1:]


def dirname(v):
    """As dirname(1): slashes at the end do not count."""
    if v and not v.strip(b"/"):
        return b"/"
    v = v.rstrip(b"/")
    if b"/" not in v:
        return b"."
    return v[:v.rfind(b"/")].rstrip(b"/") or b"/"


OPS = {"": lambda v: v, ".": noext, "/": base, "//": dirname, "/.": lambda v: noext(base(v))}


def value(rng):
    n = rng.choice([0, 1, 1, 2, 3, 5, 8, 13, 40])
    kind = rng.random()
    if kind < 0.3:
        return bytes(rng.choice(b"ab./ '\"\\$;") for _ in range(n))
    return bytes(rng.randrange(1, 256) for _ in range(n))


def word(rng, letters, values):
    """One word of a command as [text | (op, position)]: never one that prong takes for itself."""
    parts = []
    for _ in range(rng.randrange(1, 4)):
        if rng.random() < 0.5:
            text = "".join(rng.choice(letters) for _ in range(rng.randrange(1, 6)))
            parts.append(text.replace("{", "").replace("}", "") or "x")
        else:
            op = rng.choice(list(OPS))
            parts.append((op, rng.randrange(1, values + 1) if values > 1 else 0))
    if all(isinstance(p, tuple) for p in parts) or spell(parts) in SEPARATORS:
        parts.append("w")
    return parts


def spell(parts):
    return "".join(p if isinstance(p, str) else "{%s%s}" % (p[1] or "", p[0]) for p in parts)


def expand(parts, group):
    return b"".join(p.encode("utf-8") if isinstance(p, str) else OPS[p[0]](group[max(p[1], 1) - 1])
                    for p in parts)


def parse(data):
    jobs, i = [], 0
    while i < len(data):
        args = []
        while data[i:i + 3] != b"\n.\n":
            colon = data.index(b":", i)
            n = int(data[i:colon])
            args.append(data[colon + 1:colon + 1 + n])
            i = colon + 1 + n
        jobs.append(args)
        i += 3
    return jobs


def other_shell(name):
    missing = pytest.mark.skipif(not shutil.which(name), reason=f"no {name} here")
    return pytest.param(name, marks=missing)


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "ksh", other_shell("tcsh"),
                                   other_shell("fish")])
@pytest.mark.parametrize("path", ["direct", "shell", "quoted"])
def test_random_templates(prong, path, shell, tmp_path):
    if path == "shell" and shell in ("tcsh", "fish"):
        return  # no job of theirs goes without them
    seed = int(os.environ.get("PRONG_SEED", "0")) or random.randrange(1 << 30)
    rng = random.Random(f"{seed} {path} {shell}")
    env = dict(os.environ, PARALLEL_SHELL=f"/bin/{shell}", HOME=str(tmp_path))
    if path == "shell":
        env["ENV"] = "/dev/null"  # may change what a word means: a shell must run the job
    for name in (".config/fish", ".local/share/fish"):
        (tmp_path / name).mkdir(parents=True) # two of them that make these at once complain
    canary = tmp_path / "executed"
    for _ in range(CASES // (12 * PER_RUN) + 1):
        nvalues = rng.choice([1, 1, 2, 3])
        letters = SHELL_ACTIVE if path == "quoted" else INERT
        words = [word(rng, letters, nvalues) for _ in range(rng.randrange(1, 5))]
        if not any(isinstance(p, tuple) for w in words for p in w):
            words[-1].append(("", 1 if nvalues > 1 else 0))
        groups = [[value(rng) for _ in range(nvalues)] for _ in range(PER_RUN)]
        groups[0][0] = f"$(touch {canary})`touch {canary}`;touch {canary}\n'".encode()
        stdin = b"".join(v + b"\0" for g in groups for v in g)
        args = ["-0", "-k", "-j2"] + (["-q"] if path == "quoted" else [])
        args += [f"-N{nvalues}"] if nvalues > 1 else []
        cmd = [prong, *args, ARGDUMP, *(spell(w) for w in words)]
        r = subprocess.run(cmd, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=60, env=env)
        want = [[expand(w, g) for w in words] for g in groups]
        assert (r.returncode, r.stderr) == (0, b""), (seed, cmd, r.stderr)
        assert parse(r.stdout) == want, (seed, cmd)
    assert not canary.exists(), "data was executed"


def test_both_paths_are_taken(prong):
    """The direct path has no shell between prong and the job; the other one has."""
    code = "tr '\\0' ' ' < /proc/$PPID/cmdline"
    direct = subprocess.run([prong, "readlink", "/proc/self/exe", "{}"], input=b"/proc/self/exe\n",
                            stdout=subprocess.PIPE).stdout
    assert direct.count(b"readlink") + direct.count(b"coreutils") >= 2
    r = subprocess.run([prong, code + "; : {}"], input=b"x\n", stdout=subprocess.PIPE)
    assert b"prong" in r.stdout or b"sh" in r.stdout


def run_below(prong, *shells, script, shell):
    """What prong's jobs say of their shell when it is started below those shells."""
    env = {k: v for k, v in os.environ.items() if k not in ("PARALLEL_SHELL", "SHELL")}
    env.update(P=prong, SHELL=shell)
    script = script + "; :"
    for name in shells:
        env[f"IN_{name}"] = script
        script = f'{name} -c "$IN_{name}"; :'
    return subprocess.run(["sh", "-c", script], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False).stdout


def test_the_shell_is_the_nearest_that_prong_runs_below(prong):
    start = "$P 'readlink /proc/$$/exe; :' ::: 1"
    assert run_below(prong, "bash", script=start, shell="/bin/dash").endswith(b"/bash\n")
    assert run_below(prong, "zsh", script=start, shell="/bin/dash").endswith(b"/zsh\n")
    by_program = ("python3 -c \"import os, subprocess; subprocess.run([os.environ['P'], "
                  "'readlink /proc/\\$\\$/exe; :', ':::', '1'])\"")
    assert run_below(prong, "zsh", script=by_program, shell="/bin/dash").endswith(b"/zsh\n")
    assert run_below(prong, script=by_program, shell="/bin/zsh").endswith(b"/dash\n")


def test_functions_of_a_bash_that_is_gone_are_found(prong):
    """sh drops them: if they are there, a bash was between it and prong."""
    script = "bash -c 'f() { echo f$1; }; export -f f; exec $P f ::: 1 2'"
    assert sorted(run_below(prong, script=script, shell="/bin/sh").split()) == [b"f1", b"f2"]
