"""The option table: parser, defaults, help, completion and man page come from one place."""
import os
import re
import shutil
import subprocess

import pytest


def run(prong, *args, env=None, **kw):
    return subprocess.run([prong, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60, env=dict(os.environ, **(env or {})), **kw)


def test_every_long_option_is_in_help_and_man(prong):
    man = run(prong, "--man-options").stdout.decode().replace("\\-", "-")
    text = run(prong, "--help").stdout.decode()
    names = re.findall(r"--([a-z][a-z-]+)", text)
    assert len(names) > 60
    for name in names:
        assert f"--{name}" in man


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_accepted_by_its_shell(prong, shell):
    r = run(prong, "--shell-completion", shell)
    assert r.returncode == 0 and b"keep-order" in r.stdout
    if shutil.which(shell):
        check = subprocess.run([shell, "-n"], input=r.stdout, stderr=subprocess.PIPE)
        assert check.returncode == 0, check.stderr


def test_man_page_has_no_warnings(prong):
    if not shutil.which("groff"):
        pytest.skip("groff is not here")
    text = b".TH X 1\n.SH OPTIONS\n" + run(prong, "--man-options").stdout
    r = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=text, stderr=subprocess.PIPE)
    assert r.stderr == b""


def test_defaults_and_their_order(prong, tmp_path):
    home = tmp_path / "home"
    (home / ".parallel").mkdir(parents=True)
    (home / ".config/prong").mkdir(parents=True)
    env = {"HOME": str(home), "XDG_CONFIG_HOME": "", "PARALLEL": ""}
    (home / ".parallel/config").write_text("# a comment\n--tagstring gnu -k\n")
    assert run(prong, "echo", ":::", "1", env=env).stdout == b"gnu\t1\n"
    (home / ".config/prong/config").write_text("--tagstring 'our own'\n")
    assert run(prong, "echo", ":::", "1", env=env).stdout == b"our own\t1\n"
    env["PARALLEL"] = "--tagstring env"
    assert run(prong, "echo", ":::", "1", env=env).stdout == b"env\t1\n"
    assert run(prong, "--tagstring", "arg", "echo", ":::", "1", env=env).stdout == b"arg\t1\n"
    assert run(prong, "--plain", "echo", ":::", "1", env=env).stdout == b"1\n"


def test_a_bad_default_names_its_place(prong):
    r = run(prong, "echo", ":::", "1", env={"PARALLEL": "--tagstring 'open"})
    assert r.returncode == 255 and b"$PARALLEL" in r.stderr


def test_shuffle_is_repeatable_with_a_seed(prong):
    values = [str(i) for i in range(50)]
    a, b = (run(prong, "-k", "--shuf", "--seed", "7", "echo", ":::", *values).stdout for _ in "ab")
    assert a == b and a.split() != [v.encode() for v in values]
    assert sorted(a.split()) == sorted(v.encode() for v in values)


def test_version_and_cpus(prong):
    assert re.fullmatch(rb"prong \d+\.\d+\.\d+\n", run(prong, "--version").stdout)
    assert int(run(prong, "--number-of-cpus").stdout) >= 1


def test_a_name_that_is_no_option_gets_the_near_one(prong):
    def says(*args):
        r = run(prong, *args, "true", ":::", "1")
        assert r.returncode == 255 and r.stdout == b"" and r.stderr.count(b"\n") == 1
        return r.stderr.decode()
    assert "did you mean --joblog?" in says("--joblgo", "x")
    assert "did you mean --timeout?" in says("--timout=3")
    assert "did you mean" not in says("--xyzzy")
    assert "did you mean" not in says("-Z")


def test_a_beginning_that_fits_two_options_is_refused(prong):
    for word, names in (("--jo", ("jobs", "joblog")), ("--rec", ("recend", "record-env"))):
        r = run(prong, word, "1", "true", ":::", "1")
        assert r.returncode == 255 and b"write more of it" in r.stderr
        assert all(n.encode() in r.stderr for n in names)
    assert run(prong, "--keep", "--max-rep", "2", "echo", ":::", "1", "2").stdout == b"1 2\n"


@pytest.mark.parametrize("args, line", [
    (["--id"], "--id needs a value"),
    (["-kj"], "-j needs a value"),
    (["-L", "x", "true"], "-L: 'x' is not understood"),
    (["-a", "/", "true"], "cannot read /: Is a directory"),
    (["--termseq", "FOO,1", "true", ":::", "1"], "--termseq: 'FOO,1' is not understood"),
    (["--limit", "/no/such", "true", ":::", "1"], "--limit: that command cannot be run"),
])
def test_a_mistake_is_named_as_it_was_typed(prong, args, line):
    r = run(prong, *args)
    assert r.returncode == 255 and r.stdout == b""
    assert r.stderr.decode().splitlines()[-1].startswith("prong: " + line)


def test_what_decides_what_is_read_cannot_be_read(prong, tmp_path):
    (tmp_path / "prof").write_text("--tag\n")
    for value in ("-J ./prof", "--plain"):
        r = run(prong, "echo", ":::", "a", env={"PARALLEL": value}, cwd=tmp_path)
        assert r.returncode == 255 and r.stdout == b"" and b"command line only" in r.stderr


def test_a_profile_that_cannot_be_read(prong):
    r = run(prong, "-J", "/", "echo", ":::", "a")
    assert r.returncode == 255 and b"cannot read '/'" in r.stderr


def test_a_regular_expression_that_needs_much_stack(prong):
    """PCRE2's compiled code gives up where its interpreter does not."""
    value = "X" + " ," * 5000 + "Y"
    r = run(prong, "--colsep", r"(\s|,)+", "printf", "[%.5s]", "{1}", "{2}", ":::", value)
    assert r.stdout == b"[X][Y]" and r.stderr == b""


@pytest.mark.parametrize("args", [["--timeout", "1e17"], ["--delay", "1e300"]])
def test_a_time_that_no_clock_can_tell(prong, args):
    r = run(prong, *args, "echo", ":::", "a")
    assert r.returncode == 255 and r.stdout == b"" and b"write seconds" in r.stderr


def test_a_position_beyond_all_numbers_is_empty(prong):
    assert run(prong, "echo", "[{4294967297}]", ":::", "a").stdout == b"[]\n"
