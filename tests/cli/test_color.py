"""--color, --color-failed, --ctag: a colour for each job, and the text itself unchanged."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRONG = os.environ.get("PRONG", str(ROOT / "build" / "prong"))
ON = re.compile(rb"\033\[48;5;(\d+);38;5;(\d+)m\033\[K")
OFF = b"\033[m"
MODES = [[], ["-k"], ["--lb"], ["-k", "--lb"]]


def out(*args, **kw):
    kw.setdefault("stderr", subprocess.PIPE)
    return subprocess.run([PRONG, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          timeout=120, check=False, **kw).stdout


def plain(text):
    return ON.sub(b"", text).replace(OFF, b"")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tag", [[], ["--tag"]])
def test_without_the_colours_it_is_the_same(mode, tag):
    script = "printf '{}\\n\\nlast'; head -c 100000 /dev/zero | tr '\\0' x"
    args = ["-j1", *mode, *tag, script, ":::", "a", "b"]
    assert plain(out("--color", *args)) == out(*args)


@pytest.mark.parametrize("mode", MODES)
def test_each_line_begins_and_ends_its_colour(mode):
    got = out("--color", "-j3", *mode, "echo {}1; echo {}2", ":::", *"abc")
    lines = got.split(b"\n")[:-1]
    assert len(lines) == 6
    colours = {}
    for line in lines:
        assert line.endswith(OFF) and ON.match(line) and len(ON.findall(line)) == 1
        colours.setdefault(plain(line)[:1], set()).add(ON.match(line).group())
    assert all(len(c) == 1 for c in colours.values())
    assert len(set.union(*colours.values())) == 3


def test_held_back_output_has_its_own_colour():
    got = out("-k", "-j3", "--color", "test {} = a && sleep 1; echo {}", ":::", *"abc")
    alone = out("-j1", "--color", "echo", ":::", *"abc")
    assert got == alone


def test_stderr_is_coloured_too():
    r = subprocess.run([PRONG, "--color", "echo e >&2; :", ":::", "1"], stderr=subprocess.PIPE,
                       timeout=60, check=True)
    assert ON.match(r.stderr) and plain(r.stderr) == b"e\n"


def test_failed_only():
    got = out("-k", "-j1", "--color-failed", "echo {}; exit {}", ":::", "0", "1", "0")
    assert got == b"0\n\033[48;5;196;38;5;231m\033[K1\033[m\n0\n"
    assert out("-k", "-j1", "--cf", "echo {}; exit {}", ":::", "0", "1", "0") == got


def test_ctag_is_color_and_tag():
    assert out("-k", "--ctag", "echo", ":::", "a") == out("-k", "--color", "--tag", "echo", ":::", "a")
    assert out("-k", "--ctagstring", "<{}>", "echo", ":::", "a") == \
        out("-k", "--color", "--tagstring", "<{}>", "echo", ":::", "a")


def test_ungrouped_output_is_left_alone():
    assert out("-u", "--color", "echo", ":::", "a") == b"a\n"
