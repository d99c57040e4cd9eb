"""What reaches standard output, standard error and the job log."""

import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRONG = os.environ.get("PRONG", str(ROOT / "build" / "prong"))


def prong(*args, stdin=b"", timeout=60, **kw):
    kw.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([PRONG, *args], input=stdin, stderr=subprocess.PIPE,
                          timeout=timeout, check=False, **kw)


def out(*args, **kw):
    r = prong(*args, **kw)
    assert r.returncode == 0, r.stderr
    return r.stdout


# ---- bytes ----

@pytest.mark.parametrize("mode", ["--group", "-k", "--line-buffer", "-u"])
def test_binary_bytes_pass_unchanged(mode, tmp_path):
    data = os.urandom(300_000) + b"\0\n\0\r\xff"
    (tmp_path / "f").write_bytes(data)
    assert out(mode, "cat", ":::", str(tmp_path / "f")) == data


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 1_000_000])
def test_sizes_around_the_buffers(size):
    got = out("-k", "-j2", f"head -c {size} /dev/zero | tr '\\0'", ":::", "a", "b", "c")
    assert got == b"".join(c * size for c in (b"a", b"b", b"c"))


@pytest.mark.parametrize("mode", [[], ["-k"], ["-k", "--tag"]])
def test_big_output_of_both_streams(mode):
    n = 20_000_000
    r = prong(*mode, f": {{}}; head -c {n} /dev/zero; head -c {n} /dev/zero >&2", ":::", "x")
    extra = 2 if "--tag" in mode else 0
    assert (r.returncode, len(r.stdout), len(r.stderr)) == (0, n + extra, n + extra)


def test_append_and_regular_targets(tmp_path):
    for flags in (os.O_TRUNC, os.O_APPEND):
        path = tmp_path / str(flags)
        path.write_bytes(b"old\n" if flags == os.O_APPEND else b"")
        fd = os.open(path, os.O_WRONLY | flags)
        prong("-k", "head -c 200000 /dev/zero | tr '\\0'", ":::", "a", "b", stdout=fd)
        os.close(fd)
        old = b"old\n" if flags == os.O_APPEND else b""
        assert path.read_bytes() == old + b"a" * 200000 + b"b" * 200000


def test_nonblocking_slow_pipe():
    rd, wr = os.pipe()
    os.set_blocking(wr, False)
    p = subprocess.Popen([PRONG, "-k", "head -c 1000000 /dev/zero | tr '\\0'", ":::", "a", "b"],
                         stdout=wr, stdin=subprocess.DEVNULL)
    os.close(wr)
    got = bytearray()
    while chunk := os.read(rd, 100_000):
        got += chunk
        time.sleep(0.005)
    os.close(rd)
    assert p.wait(10) == 0
    assert got == b"a" * 1_000_000 + b"b" * 1_000_000


# ---- streams and tags ----

def test_stderr_stays_stderr():
    r = prong("-k", "echo o{}; echo e{} >&2", ":::", "1", "2")
    assert (r.stdout, r.stderr) == (b"o1\no2\n", b"e1\ne2\n")


def test_stdout_before_stderr_of_each_job():
    r = subprocess.run(f"{shlex.quote(PRONG)} -k 'echo e{{}} >&2; echo o{{}}' ::: 1 2 2>&1",
                       shell=True, stdout=subprocess.PIPE, check=True, timeout=20)
    assert r.stdout == b"o1\ne1\no2\ne2\n"


@pytest.mark.parametrize("mode", [[], ["--line-buffer"]])
def test_tags(mode):
    r = prong("-k", *mode, "--tag", "printf 'a\\n\\nb'; printf 'x\\ny' >&2", ":::", "1", "2")
    assert r.stdout == b"1\ta\n1\t\n1\tb2\ta\n2\t\n2\tb"
    assert r.stderr == b"1\tx\n1\ty2\tx\n2\ty"


def test_tag_without_output_and_with_empty_value():
    assert out("--tag", "true", ":::", "a", "b") == b""
    assert out("--tag", "echo x", ":::", "") == b"\tx \n"


def test_tag_of_nul_bytes():
    assert out("--tag", "printf '\\0\\n\\0'", ":::", "t") == b"t\t\0\nt\t\0"


def test_tag_is_ignored_without_grouping():
    assert out("-u", "--tag", "echo", ":::", "1") == b"1\n"


def test_tagstring_with_spooled_jobs():
    got = out("-k", "-j3", "--tagstring", "<{#}>", "sleep {}; echo {}", ":::", "0.4", "0.2", "0")
    assert got == b"<1>\t0.4\n<2>\t0.2\n<3>\t0\n"


@pytest.mark.parametrize("mode", [[], ["--line-buffer"]])
def test_verbose_head_comes_first_and_is_tagged(mode):
    assert out("-k", "-v", "--tag", *mode, "echo", ":::", "a", "b") == \
        b"a\techo a\na\ta\nb\techo b\nb\tb\n"


# ---- order ----

def test_keep_order_of_two_thousand():
    values = [str(i) for i in range(2000)]
    got = out("-k", "-j8", "echo", stdin="\n".join(values).encode() + b"\n")
    assert got.decode().split() == values


def test_keep_order_while_the_first_sleeps():
    script = "[ {} = 0 ] && sleep 1; head -c 5000 /dev/zero | tr '\\0' x; echo {}"
    got = out("-k", "-j4", script, ":::", *map(str, range(150))).split(b"\n")
    assert got[:-1] == [b"x" * 5000 + str(i).encode() for i in range(150)]


def test_first_job_is_shown_while_the_second_runs():
    p = subprocess.Popen([PRONG, "-k", "-j2", "sleep {}; echo {}", ":::", "0.1", "2"],
                         stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    begun = time.monotonic()
    assert p.stdout.readline() == b"0.1\n"
    assert time.monotonic() - begun < 1.5
    assert p.stdout.read() == b"2\n"
    assert p.wait(10) == 0


def test_half_lines_are_not_mixed():
    script = "for i in 1 2 3 4 5; do printf {}; sleep 0.05; printf '{}\\n'; done"
    lines = out("--line-buffer", "-j2", script, ":::", "a", "b").split()
    assert sorted(lines) == [b"aa"] * 5 + [b"bb"] * 5


def test_one_long_line_per_job():
    got = out("--line-buffer", "-j2", "head -c 3000000 /dev/zero | tr '\\0' {}; echo",
              ":::", "a", "b")
    assert sorted(got.split()) == [b"a" * 3_000_000, b"b" * 3_000_000]


# ---- targets that fail ----

def test_reader_that_leaves_ends_the_run_quietly():
    with subprocess.Popen([PRONG, "-j2", "echo {}; sleep 0.01"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        try:
            p.stdin.write(b"".join(b"%d\n" % i for i in range(5000)))
            p.stdin.close()
        except BrokenPipeError:
            pass
        p.stdout.readline()
        p.stdout.close()
        begun = time.monotonic()
        assert p.wait(20) != 0
        assert time.monotonic() - begun < 5
        assert p.stderr.read() == b""


def test_full_device_is_an_error():
    with open("/dev/full", "wb") as full:
        r = prong("-j2", "echo", ":::", "1", "2", "3", stdout=full)
    assert r.returncode == 255
    assert r.stderr.count(b"\n") == 1
    assert b"No space left on device" in r.stderr


def test_closed_stderr():
    r = subprocess.run(f"{shlex.quote(PRONG)} -k 'echo {{}}; echo e >&2' ::: 1 2 2>&-",
                       shell=True, stdout=subprocess.PIPE, check=True, timeout=20)
    assert r.stdout == b"1\n2\n"


def test_closed_stdout_hits_no_other_file(tmp_path):
    log = tmp_path / "log"
    subprocess.run(f"{shlex.quote(PRONG)} --joblog {log} echo ::: 1 2 >&-", shell=True,
                   check=False, timeout=20)
    assert not log.exists() or all("\t" in line for line in log.read_text().splitlines())


def test_missing_tmpdir_is_an_error():
    r = prong("--tmpdir", "/nonexistent/dir", "echo", ":::", "1")
    assert (r.returncode, r.stdout) == (255, b"")
    assert b"No such file" in r.stderr


SMALL = "mount -t tmpfs -o size=1m none \"$0\" && exec \"$@\""


def can_mount():
    with tempfile.TemporaryDirectory() as d:
        return subprocess.run(["unshare", "-m", "sh", "-c", SMALL, d, "true"], check=False,
                              stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("size", [900_000, 3_000_000])
@pytest.mark.parametrize("mode", [["--group"], ["-k"], ["-k", "--line-buffer"]])
def test_full_tmpdir_is_never_silently_short(size, mode, tmp_path):
    if not can_mount():
        pytest.skip("NOT TESTED: a full temporary directory (needs unshare -m and mount, as root)")
    script = f"[ {{}} = 1 ] && sleep 1; head -c {size} /dev/zero | tr '\\0' {{}}; echo"
    r = subprocess.run(["unshare", "-m", "sh", "-c", SMALL, str(tmp_path), PRONG, *mode,
                        "--tmpdir", str(tmp_path), "-j4", script, ":::", "1", "2", "3", "4"],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=60, check=False)
    whole = sorted(r.stdout.split()) == [b"%d" % i * size for i in range(1, 5)]
    told = r.returncode == 255 and b"prong: " in r.stderr and b"--tmpdir" in r.stderr
    assert whole if r.returncode == 0 else told, (r.returncode, len(r.stdout), r.stderr[-500:])


RESERVED = ("truncate -s 20M \"$0.img\" && mkfs.ext4 -qF -m 30 \"$0.img\" && mount -o loop \"$0.img\" \"$0\" && "
            "chmod 777 \"$0\" && exec \"$@\"")


@pytest.mark.parametrize("user", [[], ["setpriv", "--reuid", "65534", "--clear-groups"]], ids=["root", "user"])
def test_room_that_is_kept_for_others_is_no_room(user):
    with tempfile.TemporaryDirectory(dir="/tmp") as d:  # where any user gets to
        os.chmod(d, 0o755)
        full = d + "/full"
        os.mkdir(full)
        in_it = ["unshare", "-m", "sh", "-c", RESERVED, full, *user]
        if subprocess.run([*in_it, "test", "-x", PRONG], stderr=subprocess.DEVNULL, check=False).returncode:
            pytest.skip("NOT TESTED: a full ext4 (needs mkfs.ext4, unshare -m and mount -o loop, as root)")
        r = subprocess.run([*in_it, PRONG, "--plain", "--tmpdir", full, "head -c 40000000 /dev/zero 2>&-; :",
                            ":::", "1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60, check=False)
    assert 0 < len(r.stdout) < 40_000_000
    assert r.returncode == 255 and b"no room" in r.stderr, r.stderr


@pytest.mark.parametrize("mode", [["--group"], ["-k"], ["--line-buffer"], ["-k", "--tag"]])
def test_nothing_is_left_in_tmpdir(mode, tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    out(*mode, "--tmpdir", str(spool), "-j2", "sleep 0.{}; head -c 200000 /dev/zero",
        ":::", "2", "0", "1")
    assert not list(spool.iterdir())


# ---- the job log ----

FIELDS = re.compile(rb"^(\d+)\t:\t(\d{10}\.\d{3})\t( *\d+\.\d{3})\t0\t(\d+)\t(-?\d+)\t(\d+)\t(.*)$")


def joblog(path):
    head, *rows = path.read_bytes().splitlines()
    assert head == b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand"
    found = [FIELDS.match(row) for row in rows]
    assert all(found), rows
    assert all(len(m[3]) == 10 for m in found)
    return {int(m[1]): m for m in found}


def test_joblog_fields(tmp_path):
    log = tmp_path / "log"
    before = time.time()
    prong("-j1", "--joblog", str(log), ":::", "printf abc", "exit 3", "kill -9 $$", "sleep 0.3")
    rows = joblog(log)
    assert [(m[4], m[5], m[6], m[7]) for m in (rows[i] for i in (1, 2, 3, 4))] == [
        (b"3", b"0", b"0", b"printf abc"), (b"0", b"3", b"0", b"exit 3"),
        (b"0", b"0", b"9", b"kill -9 $$"), (b"0", b"0", b"0", b"sleep 0.3")]
    assert before - 1 < float(rows[1][2]) < time.time() + 1
    assert 0.3 <= float(rows[4][3]) < 3


def test_joblog_of_a_timeout(tmp_path):
    log = tmp_path / "log"
    prong("--timeout", "0.5", "--joblog", str(log), "sleep", ":::", "9")
    assert joblog(log)[1].group(5, 6) == (b"-1", b"15")


def test_joblog_newline_becomes_nul(tmp_path):
    log = tmp_path / "log"
    prong("-0", "--joblog", str(log), "true", stdin=b"a\nb\0")
    assert joblog(log)[1][7] == b"true 'a\0b'"


def test_joblog_appends_with_plus(tmp_path):
    log = tmp_path / "log"
    prong("--joblog", str(log), "true", ":::", "1")
    prong("--joblog", f"+{log}", "true", ":::", "2")
    assert log.read_bytes().count(b"Seq\t") == 1
    assert log.read_bytes().count(b"\ttrue ") == 2


def test_joblog_that_cannot_be_written():
    r = prong("--joblog", "/nonexistent/dir/log", "echo", ":::", "1")
    assert (r.returncode, r.stdout) == (255, b"")
    assert b"/nonexistent/dir/log" in r.stderr


def test_joblog_on_stdout_comes_in_order():
    lines = out("-j1", "--joblog", "-", "echo", ":::", "a").splitlines()
    assert lines[0].startswith(b"Seq\t")
    assert sorted(line.count(b"\t") for line in lines[1:]) == [0, 8]


def test_what_was_ended_is_said_where_no_summary_comes(prong):
    """stderr is no terminal: no summary; a halt and a timeout are named all the same."""
    def err(*args):
        return subprocess.run([prong, *args], stderr=subprocess.PIPE, text=True, check=False).stderr
    assert err("-j1", "--halt", "soon,fail=1", "exit", ":::", "0", "3") == (
        "prong: --halt: job 2 failed, starting no more jobs: exit 3\n")
    assert err("-j1", "--halt", "now,success=1", "exit", ":::", "0", "3") == (
        "prong: --halt: job 1 succeeded, ending the run: exit 0\n")
    timeout = ["--timeout", "0.2", "sleep", ":::", "30"]
    assert err(*timeout) == "prong: job 1 ended because of --timeout: sleep 30\n"
    assert err("--no-summary", *timeout) == ""
    assert "1 timed out" in err("--summary", *timeout)
    assert "because of" not in err("--summary", *timeout)


def test_a_timeout_in_percent_is_a_timeout():
    late = ["-j1", "--joblog", "log", "--timeout", "1000%", "echo {} >> tries; sleep {}", ":::", *["0.05"] * 5, "300"]
    r = prong("--retries", "2", *late)
    assert r.returncode == 1 and b"because of --timeout" in r.stderr
    assert pathlib.Path("tries").read_text().split()[5:] == ["300", "300"]
    assert pathlib.Path("log").read_text().splitlines()[-1].split("\t")[6:8] == ["-1", "15"]
    assert b"timed out" in prong("--summary", *late).stderr
    assert prong("--halt", "now,fail=1", *late).returncode == 255


@pytest.mark.parametrize("more", [[], ["-k"], ["--tag"], ["--latest-line"]])
def test_an_unfinished_line_of_a_try_is_a_line(more):
    script = "printf x; printf y >&2; test -e f || { touch f; exit 1; }; echo {}; echo e >&2"
    r = prong("--line-buffer", *more, "--retries", "2", script, ":::", "1")
    tag = b"1\t" if "--tag" in more else b""
    shown = [b"x", b"x1"] if "--latest-line" not in more else [b"x1"]
    assert r.stdout == b"".join(tag + line + b"\n" for line in shown)
    assert r.stderr == tag + b"y\n" + tag + b"ye\n"


def test_a_dry_run_makes_no_directory():
    assert out("--dry-run", "--tag", "--wd", "new", "echo", ":::", "1") == b"1\techo 1\n"
    assert not os.path.exists("new")


def test_the_end_of_a_try_does_not_hit_the_next():
    """What ignores SIGTERM is being ended yet while the next try runs."""
    prong("-j1", "--joblog", "log", "--retries", "2", "--timeout", "1",
          "(trap '' TERM; exec sleep 300) & sleep 300", ":::", "1")
    row = pathlib.Path("log").read_text().splitlines()[-1].split("\t")
    assert row[6:8] == ["-1", "15"]  # its own timeout, not 0 and 15
