"""The examples answer what they say, in C and in the shell."""
import os
import pathlib
import re
import subprocess

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def run(cmd, prong, **kw):
    path = f"{pathlib.Path(prong).parent}:{os.environ['PATH']}"
    return subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True,
                          env=dict(os.environ, PATH=path), **kw)


def example(name, *args, prong, **kw):
    path = pathlib.Path(os.environ["EXAMPLES"]) / ("example_" + name)
    if not path.exists():
        pytest.skip(f"{name} is not built: its library is not here, or prong_fd() is not")
    r = run([path, *args], prong, **kw)
    assert r.returncode == 0, r
    return r.stdout


def test_every_example_has_a_test():
    tested = set(re.findall(r"(?:example\(|EXAMPLES / )\"(\w+)", pathlib.Path(__file__).read_text()))
    assert {f.stem for f in EXAMPLES.glob("*.c")} | {f.stem for f in EXAMPLES.glob("*.sh")} == tested


def test_differentiate(prong):
    out = example("differentiate", prong=prong)
    parent = re.findall(r"the parent is (\d+)\n", out)
    children = re.findall(r"child (\d) is (\d+), of parent (\d+)\n", out)
    assert len(parent) == 1  # not once more from every child's buffer
    assert sorted(c[0] for c in children) == list("0123456")
    assert len({c[1] for c in children} | set(parent)) == 8 and {c[2] for c in children} == set(parent)
    ended = re.findall(r"child number (\d) ended with status (\d)\n", out)
    assert sorted(ended) == [(str(i + 1), str(i)) for i in range(7)]
    assert len(out.splitlines()) == 15


def test_two_files(prong, tmp_path):
    out = example("two_files", prong=prong)
    assert sorted(out.splitlines()) == ["one.txt is ready", "two.txt is ready"]
    pids = {re.fullmatch(r"written by process (\d+)\n", (tmp_path / f).read_text()).group(1)
            for f in ("one.txt", "two.txt")}
    assert len(pids) == 2


def test_random_copies(prong):
    draw = re.compile(r"child (\d) drew (\d+)")
    first = draw.findall(example("random_copies", prong=prong))
    assert sorted(c for c, _ in first) == list("1234567") and len({n for _, n in first}) == 7
    assert set(draw.findall(example("random_copies", prong=prong))) != set(first)
    again = [set(draw.findall(example("random_copies", "42", prong=prong))) for _ in range(2)]
    assert again[0] == again[1] and len(again[0]) == 7


def test_wait_timed(prong):
    out = example("wait_timed", "0.5", "0.1", "0.3", prong=prong)
    lines = out.splitlines()
    assert sorted(line.split(":")[0] for line in lines[:3]) == ["sleep 0.1", "sleep 0.3", "sleep 0.5"]
    assert float(re.fullmatch(r"all done after ([\d.]+) s", lines[3]).group(1)) >= 0.5


def test_many(prong):
    n = 20000
    assert example("many", str(n), prong=prong) == (
        f"sum of the squares up to {n}: {n * (n + 1) * (2 * n + 1) // 6}\n")


def test_map(prong):
    assert example("map", "10000", prong=prong) == (
        "the longest sequence up to 10000 starts at 6171 and has 262 numbers\n")


def test_at_most_five(prong):
    lines = example("at_most_five", *["0.3"] * 8, prong=prong).splitlines()
    assert sum("is done" in line for line in lines) == 8
    assert lines[-2].endswith("0 still run") and lines[-1] == "at most 5 ran at a time"


def test_still_running(prong):
    out = example("still_running", "0.2", "1", "2", prong=prong).splitlines()
    assert out[0] == "3 still running" and out[-1] == "0 still running"
    assert [int(line.split()[0]) for line in out] == sorted((int(line.split()[0]) for line in out),
                                                            reverse=True)


def test_loop_poll(prong):
    out = example("loop_poll", "0.4", "0.1", prong=prong, input="some lines\n")
    assert "11 bytes of input\n" in out
    assert sorted(re.findall(r"job (\d) is done", out)) == ["1", "2"]
    assert out.index("bytes of input") < out.index("is done")  # jobs did not hold it up


@pytest.mark.parametrize("number", ["0", "3"])
def test_loops_of_libraries(prong, number):
    for out in (example("loop_libuv", *["0.3"] * int(number), prong=prong),
                example("loop_glib", *["0.3"] * int(number), prong=prong)):
        assert sorted(re.findall(r"job (\d) is done", out)) == list("123"[:int(number)])
        assert not int(number) or "the loop ticked meanwhile" in out


def test_article_sh(prong, tmp_path):
    r = run([EXAMPLES / "article.sh"], prong)
    assert r.returncode == 0 and "all done after" in r.stdout
    files = sorted(tmp_path.glob("child-*.txt"))
    assert len(files) == 7
    assert len({re.search(r"process (\d+)", f.read_text()).group(1) for f in files}) == 7


def test_five_sh(prong):
    r = run([EXAMPLES / "five.sh"] + ["1"] * 8, prong)
    assert r.returncode == 0 and "5 running" in r.stderr
