"""The article's programs in Python say what their counterparts in C say."""
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"


def example(name, *args, cwd=None):
    path = os.pathsep.join(os.path.abspath(p) for p in sys.path if p)  # PYTHONPATH may be relative
    r = subprocess.run([sys.executable, HERE / f"{name}.py", *args], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=120, cwd=cwd,
                       env=dict(os.environ, PYTHONPATH=path, PYTHONUNBUFFERED=""))
    assert r.returncode == 0 and not r.stderr, r
    return r.stdout


def test_every_example_has_a_test():
    tested = set(re.findall(r'example\("(\w+)"', pathlib.Path(__file__).read_text()))
    assert {f.stem for f in HERE.glob("*.py")} == tested


def test_differentiate():
    out = example("differentiate")
    parent = re.findall(r"the parent is (\d+)\n", out)
    children = re.findall(r"child (\d) is (\d+), of parent (\d+)\n", out)
    assert len(parent) == 1  # not once more from every child's buffer
    assert sorted(c[0] for c in children) == list("0123456")
    assert len({c[1] for c in children} | set(parent)) == 8 and {c[2] for c in children} == set(parent)
    assert re.findall(r"child number (\d) ended with status (\d)\n", out) == [(str(i + 1), str(i)) for i in range(7)]
    assert len(out.splitlines()) == 15


def test_two_files(tmp_path):
    out = example("two_files", cwd=tmp_path)
    assert sorted(out.splitlines()) == ["one.txt is ready", "two.txt is ready"]
    for f in ("one.txt", "two.txt"):
        assert re.fullmatch(r"written by process \d+\n", (tmp_path / f).read_text())


def test_random_copies():
    draw = re.compile(r"child (\d) drew (\d+)")
    first = draw.findall(example("random_copies"))
    assert [c for c, _ in first] == list("1234567") and len({n for _, n in first}) == 7
    assert draw.findall(example("random_copies")) != first
    assert example("random_copies", "42") == example("random_copies", "42")


def test_wait_timed():
    lines = example("wait_timed", "0.5", "0.1", "0.3").splitlines()
    assert sorted(line.split(":")[0] for line in lines[:3]) == ["sleep 0.1", "sleep 0.3", "sleep 0.5"]
    assert float(re.fullmatch(r"all done after ([\d.]+) s", lines[3]).group(1)) >= 0.5


def test_many():
    n = 20000
    assert example("many", str(n)) == f"sum of the squares up to {n}: {n * (n + 1) * (2 * n + 1) // 6}\n"


def test_at_most_five():
    lines = example("at_most_five", *["0.3"] * 8).splitlines()
    assert sum("is done" in line for line in lines) == 8
    assert lines[-2].endswith(" 0 still run or wait") and lines[-1] == "at most 5 ran at a time"


def test_still_running():
    lines = example("still_running", "0.2", "1", "2").splitlines()
    counts = [int(line.split()[0]) for line in lines]
    assert counts[0] == 3 and counts[-1] == 0 and counts == sorted(counts, reverse=True)


def test_event_loop():
    assert re.fullmatch(
        r"3 results from processes other than \d+: True\nthe slow one was stopped\nin less than 60 s: True\n",
        example("event_loop"))
