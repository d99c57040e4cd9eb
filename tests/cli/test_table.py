"""The option table: every spelling of GNU parallel's manual is known or declined aloud, and every
row has a case."""
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SPELLINGS = (HERE / "gnu-options.txt").read_text().split()  # of the manual of 20221122


def man(prong):
    text = subprocess.check_output([prong, "--man-options"], text=True)
    return re.sub(r"\\f[BIR]", "", text.replace(r"\-", "-")).split("\n")


def rows(prong):
    """(section, names, help) of each row."""
    found, section, lines = [], "", man(prong)
    for i, line in enumerate(lines):
        if line.startswith(".SS"):
            section = line[4:]
        elif line == ".TP":
            names = re.findall(r"(?:^|(?<=, ))--?[\w-]+", lines[i + 1])
            found.append((section, names, lines[i + 2]))
    return found


def run(prong, *words):
    return subprocess.run([prong, "--plain", *words], stdin=subprocess.DEVNULL, timeout=60,
                          capture_output=True, text=True, check=False)


def test_the_table_is_read(prong):
    assert len(rows(prong)) > 100 and {s for s, _, _ in rows(prong)} >= {"Input", "Declined"}
    assert len(SPELLINGS) > 200


def test_every_spelling_of_the_manual_is_known(prong):
    known = {n for _, names, _ in rows(prong) for n in names}
    unknown = [s for s in SPELLINGS if s not in known]
    assert not unknown


def test_what_is_declined_says_so_in_one_line(prong):
    for section, names, _ in rows(prong):
        if section == "Declined":
            for n in names:
                r = run(prong, n, "value", "echo", ":::", "x")
                assert r.returncode == 255 and r.stdout == "", n
                assert r.stderr.count("\n") == 1 and ":" in r.stderr and n in r.stderr, (n, r.stderr)


def test_an_unknown_option_is_an_error(prong):
    for n in ("--no-such-option", "-%", "--=", "---", "--no-such=1"):
        r = run(prong, n, "echo", ":::", "x")
        assert r.returncode == 255 and r.stdout == "" and r.stderr.count("\n") == 1


def used(names, text):
    return any(re.search(rf"(?<![\w-]){n}(?![\w-])", text) if n.startswith("--") else
               re.search(rf"(?<![\w-])-[A-Za-z0]*{n[1]}", text) for n in names)


def test_every_option_has_a_case(prong):
    """GNU parallel's in the conformance kit (which has no SQL), ours in a test."""
    cases = "\n".join(line for f in HERE.parent.glob("conformance/cases/*.case")
                      for line in f.read_text().split("\n") if line.startswith("$"))
    tests = "\n".join(f.read_text() for f in HERE.glob("test_*.py"))
    without = [names for section, names, _ in rows(prong) if section != "Declined"
               and not used(names, cases if set(names) & set(SPELLINGS) and "sql" not in names[0]
                            else tests)]
    assert not without


# ---- of ours, without tests elsewhere ----

@pytest.mark.parametrize("how", ["file", "pipe"])
def test_capture(prong, how):
    r = run(prong, "--capture", how, "-k", "echo {}; echo e{} >&2", ":::", "1", "2")
    assert (r.stdout, r.stderr) == ("1\n2\n", "e1\ne2\n")


def test_summary(prong):
    r = run(prong, "--summary", "exit", ":::", "0", "3")
    assert r.returncode == 1 and "exit 3" in r.stderr
    assert run(prong, "--no-summary", "exit", ":::", "0", "3").stderr == ""
    assert run(prong, "--summary", "true", ":::", "1").stderr == ""
