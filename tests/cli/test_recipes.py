"""docs/from-xargs-and-parallel.md is run: both sides give the same."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "from-xargs-and-parallel.md").read_text()
RECIPES = re.findall(r"^### (\d+)\. (.*?)\n+```(xargs|parallel)\n(.*?)```\n```prong\n(.*?)```",
                     PAGE, re.M | re.S)


def files(place):
    place.mkdir()
    (place / "a.txt").write_text("1\n")
    (place / "b.txt").write_text("1\n2\n")
    (place / "c d.txt").write_text("1\n2\n3\n")
    (place / "names").write_text("alice\nbob smith\ncarol\n")
    (place / "table.csv").write_text("id,name\n7,x\n8,y\n")
    (place / "urls").write_text("u1\nu2\nu3\n")
    return place


def run(code, place, bins):
    home = place.parent / (place.name + "-home")
    home.mkdir()
    env = {**os.environ, "HOME": str(home), "PATH": f"{bins}:{os.environ['PATH']}", "LC_ALL": "C",
           "SHELL": shutil.which("bash")}  # bash has exec'ed its last command: no ancestor to find
    env.pop("PARALLEL_SHELL", None)
    r = subprocess.run(["bash", "--norc", "-c", code], cwd=files(place), env=env, text=True,
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    return r


@pytest.fixture
def bins(prong, tmp_path):
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("prong", "prong-sem", "prong-xargs"):
        (place / name).symlink_to(prong)
    (place / "prong.bash").symlink_to(ROOT / "shell" / "prong.bash")
    return place


def test_there_are_thirty():
    assert [int(r[0]) for r in RECIPES] == list(range(1, 31))
    assert PAGE.count("```prong\n") == 30


@pytest.mark.parametrize("number,title,tool,theirs,ours", RECIPES,
                         ids=[f"{r[0]}-{r[1][:30]}" for r in RECIPES])
def test_both_sides_give_the_same(bins, tmp_path, number, title, tool, theirs, ours):
    got = run(ours, tmp_path / "ours", bins)
    assert got.stdout or number == "8"
    assert got.stderr == ""
    if not shutil.which(tool):
        pytest.skip(f"no {tool} here: only prong's side was run")
    want = run(theirs, tmp_path / "theirs", bins)
    xargs_status = tool == "xargs" and want.returncode == 123
    assert got.stdout == want.stdout
    assert got.returncode == want.returncode or xargs_status
