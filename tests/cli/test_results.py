"""Output that stays in files: --results, --files."""

import os
import pathlib
import signal
import stat
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRONG = os.environ.get("PRONG", str(ROOT / "build" / "prong"))


def prong(*args, stdin=b"", timeout=120, **kw):
    return subprocess.run([PRONG, *args], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, check=False, **kw)


def out(*args, **kw):
    r = prong(*args, **kw)
    assert r.returncode == 0, r.stderr
    return r.stdout


def tree(path):
    return {str(f.relative_to(path)): f.read_bytes()
            for f in pathlib.Path(path).rglob("*") if f.is_file()}


def end_process(pid):
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 60
    while time.monotonic() < end and pathlib.Path(f"/proc/{pid}/environ").exists():
        try:
            if not pathlib.Path(f"/proc/{pid}/environ").read_bytes():
                return  # a zombie
        except OSError:
            return
        time.sleep(0.01)


# ---- a directory ----

def test_tree_of_two_sources():
    assert out("--results", "d", "echo {1}{2}; echo e >&2", ":::", "a", "b", ":::", "x") == b""
    assert tree("d") == {
        "1/a/2/x/stdout": b"ax\n", "1/a/2/x/stderr": b"e\n", "1/a/2/x/seq": b"1",
        "1/b/2/x/stdout": b"bx\n", "1/b/2/x/stderr": b"e\n", "1/b/2/x/seq": b"2",
    }


@pytest.mark.parametrize("value", ["..", ".", "/", "a/../../../x", "\\", "-", "a\tb", "\\..",
                                   "../" * 300, "q" * 700, "stdout", "\xff"])
def test_no_value_leads_out_of_its_directory(value):
    out("-0", "--results", "top/d", "echo", stdin=os.fsencode(value))
    assert os.listdir(".") == ["tmpdir", "top"] or sorted(os.listdir(".")) == ["tmpdir", "top"]
    assert os.listdir("top") == ["d"] and os.listdir("top/d") == ["1"]
    files = tree("top/d/1")
    assert len(files) == 3 and all("/" in name for name in files)


def test_different_values_have_different_files():
    values = ["a/b", "a\\_b", "a\\b", "a_b", "..", "\\..", ".", "q" * 255, "q" * 256, "q" * 300]
    out("--results", "d", "printf '%s\\n'", ":::", *values)
    found = [v.decode().strip() for k, v in tree("d").items() if k.endswith("/stdout")]
    assert sorted(found) == sorted(values)


def test_modes_follow_the_umask():
    for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
        name = f"d{mask}"
        out("--results", name, "echo", ":::", "a", preexec_fn=lambda mask=mask: os.umask(mask))
        assert stat.S_IMODE(os.stat(f"{name}/1/a/stdout").st_mode) == mode


def test_packed_values_belong_to_source_one():
    out("-n2", "--results", "d", "echo", ":::", "a", "b", "c")
    assert tree("d")["1/a/1/b/stdout"] == b"a b\n"
    assert tree("d")["1/c/stdout"] == b"c\n"


def test_name_too_long_is_said_once():
    r = prong("-X", "-j1", "--results", "d", "echo", stdin=b"\n".join(b"%d" % i for i in range(3000)))
    assert r.returncode == 255 and r.stderr.count(b"\n") == 1 and b"'DIR/{#}/'" in r.stderr


def test_place_that_cannot_be():
    r = prong("--results", "/proc/no/such", "echo", ":::", "1", "2", "3")
    assert r.returncode == 255 and r.stderr.count(b"\n") == 1


def test_retried_job_leaves_its_last_output_only():
    out("-j1", "--retries", "3", "--results", "d",
        "echo long long try; echo x >> n; test $(wc -l < n) = 3 && echo ok{}", ":::", "1")
    assert tree("d")["1/1/stdout"] == b"long long try\nok1\n"


def test_a_background_child_is_not_waited_for():
    start = time.monotonic()
    out("--results", "d", "sleep 60 & echo $! > pid; echo {}", ":::", "a")
    assert time.monotonic() - start < 50
    end_process(int(pathlib.Path("pid").read_text()))
    assert tree("d")["1/a/stdout"] == b"a\n"


def test_line_buffer_prints_and_keeps():
    assert out("--lb", "--results", "d", "printf 'a\\nb'; :", ":::", "1") == b"a\nb"
    assert tree("d")["1/1/stdout"] == b"a\nb"


def test_files_grow_while_the_job_runs():
    p = subprocess.Popen([PRONG, "--results", "d", "echo first; sleep 100; :", ":::", "1"])
    path = pathlib.Path("d/1/1/stdout")
    end = time.monotonic() + 60
    while not (path.exists() and path.read_bytes()) and time.monotonic() < end:
        time.sleep(0.05)
    assert path.read_bytes() == b"first\n"
    p.terminate()
    p.wait(60)
    assert not pathlib.Path("d/1/1/seq").exists()  # it did not end: --resume runs it again


def test_verbose_puts_the_command_into_the_file():
    out("-v", "--results", "d", "echo", ":::", "a")
    assert tree("d")["1/a/stdout"] == b"echo a\na\n"


def test_dry_run_makes_nothing():
    assert out("--dry-run", "--results", "d", "echo", ":::", "a") == b"echo a\n"
    assert not os.path.exists("d")


# ---- a template ----

def test_template_names_files():
    out("--results", "o/{#}_{1/.}", "echo {}; echo e >&2", ":::", "x/a.c", "b.h")
    assert tree("o")["1_a"] == b"x/a.c\n" and tree("o")["2_b.err"] == b"e\n"
    assert tree("o")["2_b.seq"] == b"2"


def test_template_with_header_names():
    out("--header", ":", "--results", "{x}-{y}/", "echo", ":::", "x", "1", ":::", "y", "2")
    assert tree("1-2")["stdout"] == b"1 2\n"


def test_values_do_not_leave_the_directory_of_a_template():
    out("--results", "top/o/{}.o", "echo", ":::", "../../../x", "..", "a/../../../y")
    assert sorted(os.listdir(".")) == ["tmpdir", "top"] and os.listdir("top") == ["o"]


def test_a_name_that_begins_with_the_value_may_go_where_it_says():
    pathlib.Path("a").mkdir()
    out("--results", "{}.out", "echo", ":::", "a/../b")
    assert pathlib.Path("b.out").read_bytes() == b"a/../b\n"


# ---- --files ----

def test_files_are_private_and_keep_stdout_only(tmp_path):
    r = prong("-k", "--files", "--tmpdir", ".", "echo o{}; echo e{} >&2", ":::", "1", "2",
              preexec_fn=lambda: os.umask(0))
    assert r.returncode == 0 and r.stderr == b"e1\ne2\n"
    names = r.stdout.decode().split()
    assert [pathlib.Path(n).read_text() for n in names] == ["o1\n", "o2\n"]
    assert all(stat.S_IMODE(os.stat(n).st_mode) == 0o600 for n in names)


def test_files_and_tag():
    name = out("--files", "--tmpdir", ".", "--tag", "echo", ":::", "a").decode()
    assert name.startswith("a\t./par") and pathlib.Path(name.split()[1]).read_text() == "a\n"


def test_files_of_jobs_that_never_ended_go_away():
    pathlib.Path("t").mkdir()
    r = prong("-j3", "--files", "--tmpdir", "t", "--halt", "now,fail=1",
              "echo; test {} = 1 || sleep 100; exit 3", ":::", "1", "2", "3")
    assert r.returncode == 3
    assert sorted(r.stdout.decode().split()) == sorted("t/" + n for n in os.listdir("t"))
    assert len(os.listdir("t")) == 1


def test_files_with_results_names_the_tree():
    assert out("-k", "--results", "d", "--files", "echo", ":::", "a") == b"d/1/a/stdout\n"


def test_a_directory_holds_every_block():
    out("--pipe", "-N2", "--results", "d", "cat", stdin=b"1\n2\n3\n4\n5\n")
    assert [tree("d")[f"{n}/stdout"] for n in "123"] == [b"1\n2\n", b"3\n4\n", b"5\n"]
    out("--pipe", "--cat", "-N2", "--results", "e", "cat {}", stdin=b"1\n2\n3\n")
    assert [tree("e")[f"{n}/stdout"] for n in "12"] == [b"1\n2\n", b"3\n"]
