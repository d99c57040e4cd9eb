"""--joblog and what reads it again: --resume, --resume-failed, --retry-failed."""

import os
import pathlib
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRONG = os.environ.get("PRONG", str(ROOT / "build" / "prong"))
HEADER = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"


def prong(*args, stdin=b"", timeout=120, **kw):
    return subprocess.run([PRONG, *args], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, check=False, **kw)


def out(*args, **kw):
    r = prong(*args, **kw)
    assert r.returncode == 0, r.stderr
    return r.stdout


def row(seq, command=b"x", exitval=0, sig=0):
    return b"%d\t:\t1700000000.000\t     0.001\t0\t0\t%d\t%d\t%s\n" % (seq, exitval, sig, command)


def log(*rows, name="log", header=HEADER):
    path = pathlib.Path(name)
    path.write_bytes(header + b"".join(rows))
    return path


# ---- --resume ----

def test_log_without_header_and_with_two():
    for i, path in enumerate((log(row(2), name="a", header=b""), log(row(1), HEADER, row(3), name="b"))):
        done = {0: b"2", 1: b"13"}[i]
        want = b"".join(b"%d\n" % n for n in (1, 2, 3, 4) if b"%d" % n not in done)
        assert out("-k", "--resume", "--joblog", str(path), "echo", ":::", "1", "2", "3", "4") == want


def test_rows_may_be_in_any_order_and_numbers_huge():
    path = log(row(3), row(1), row(1), row(2 ** 62))
    assert out("-k", "--resume", "--joblog", str(path), "echo", ":::", *"1234") == b"2\n4\n"


@pytest.mark.parametrize("bad", [b"what is this\n", b"1\t2\n", b"x" + row(1), b"\n", row(1).replace(b"\t0\t0\t0\t", b"\t0\t0\tz\t"),
                                 row(0), b"\0\0\0\n", b"99999999999999999999" + row(1)])
@pytest.mark.parametrize("option", ["--resume", "--resume-failed", "--retry-failed"])
def test_what_is_no_log_is_said_and_kept(bad, option):
    path = log(row(1), bad)
    before = path.read_bytes()
    r = prong(option, "--joblog", "log", "echo", ":::", "1", "2")
    assert r.returncode == 255 and r.stdout == b""
    assert r.stderr.count(b"\n") == 1 and b"line 3" in r.stderr
    assert path.read_bytes() == before


def test_every_cut_of_a_log_is_resumed():
    whole = HEADER + row(1, b"echo a") + row(2, b"echo b")
    for cut in range(len(whole)):
        pathlib.Path("log").write_bytes(whole[:cut])
        got = out("-k", "--resume", "--joblog", "log", "echo", ":::", "a", "b")
        rows = [r.split(b"\t") for r in pathlib.Path("log").read_bytes().splitlines()[1:]]
        assert all(len(r) == 9 for r in rows), (cut, rows)
        assert sorted(int(r[0]) for r in rows) == [1, 2], (cut, rows)
        assert got == b"".join([b"a\n", b"b\n"][2 - len(got.split()):])


def test_cut_header_and_empty_file():
    pathlib.Path("log").write_bytes(b"")
    assert out("--resume", "--joblog", "log", "echo", ":::", "a") == b"a\n"
    assert pathlib.Path("log").read_bytes().startswith(HEADER + b"1\t:\t")


def test_append_after_a_torn_line_stays_a_log():
    log(row(1), row(2)[:-20])
    out("--joblog", "+log", "true", ":::", "x")
    assert [r.split(b"\t")[0] for r in pathlib.Path("log").read_bytes().splitlines()] == [
        b"Seq", b"1", b"1"]


def test_append_and_resume_with_plus():
    out("--joblog", "+log", "true", ":::", "1")
    assert out("--resume", "--joblog", "+log", "echo", ":::", "1", "2") == b"2\n"


def test_killed_run_goes_on_where_it_was():
    jobs = [str(i) for i in range(300)]
    p = subprocess.Popen([PRONG, "-j4", "--joblog", "log", "echo {} >> ran; sleep 0.01", ":::", *jobs])
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if pathlib.Path("log").exists() and pathlib.Path("log").read_bytes().count(b"\n") > 50:
            break
        time.sleep(0.02)
    p.kill()
    p.wait(60)
    time.sleep(1)
    assert prong("-j4", "--resume", "--joblog", "log", "echo {} >> ran", ":::", *jobs).returncode == 0
    ran = pathlib.Path("ran").read_text().split()
    assert set(ran) == set(jobs) and len(ran) <= len(jobs) + 4  # those that ran when it was killed
    rows = pathlib.Path("log").read_bytes().splitlines()[1:]
    assert sorted(int(r.split(b"\t")[0]) for r in rows) == list(range(1, 301))


def test_what_a_halt_ended_is_not_logged():
    r = prong("-j3", "--joblog", "log", "--halt", "now,fail=1",
              "test {} = 1 || sleep 100; exit 3", ":::", "1", "2", "3")
    assert r.returncode == 3
    assert out("-k", "--resume", "--joblog", "log", "echo", ":::", "1", "2", "3") == b"2\n3\n"


def test_keep_order_and_bar_with_resumed_jobs():
    log(row(1), row(3))
    r = prong("-k", "--bar", "--resume", "--joblog", "log", "echo", ":::", *"12345")
    assert r.stdout == b"2\n4\n5\n" and r.returncode == 0


def test_resumed_number_and_total_are_those_of_the_input():
    log(row(1))
    assert out("--plus", "--resume", "--joblog", "log", "echo {#} {##}", ":::", *"abc") != b""
    assert pathlib.Path("log").read_bytes().count(b"echo 3 3") == 1


def test_dry_run_shows_what_would_run():
    path = log(row(1))
    before = path.read_bytes()
    assert out("--dry-run", "--resume", "--joblog", "log", "echo", ":::", "1", "2") == b"echo 2\n"
    assert path.read_bytes() == before


def test_resume_by_results_runs_what_did_not_end():
    out("--results", "d", "echo", ":::", "a", "b")
    pathlib.Path("d/1/b/seq").unlink()
    out("--results", "d", "--resume", "echo again", ":::", "a", "b", "c")
    assert pathlib.Path("d/1/a/stdout").read_text() == "a\n"
    assert pathlib.Path("d/1/b/stdout").read_text() == "again b\n"


def test_resume_by_results_with_X():
    out("-X", "-j1", "-n2", "--results", "d", "echo", ":::", *"abc")
    assert out("-X", "-j1", "-n2", "-v", "--lb", "--resume", "--results", "d", "echo", ":::",
               *"abcdef") == b"echo c d\nc d\necho e f\ne f\n"


@pytest.mark.parametrize("args,word", [
    (["--resume"], b"--joblog FILE or --results DIR"),
    (["--resume-failed"], b"--joblog FILE"),
    (["--retry-failed"], b"--joblog FILE"),
    (["--resume", "--joblog", "-"], b"--joblog FILE"),
    (["--resume-failed", "--results", "d"], b"--joblog FILE"),
    (["--retry-failed", "--joblog", "nolog"], b"nolog"),
])
def test_nothing_to_go_by(args, word):
    r = prong(*args, "echo", ":::", "1")
    assert (r.returncode, r.stdout) == (255, b"")
    assert word in r.stderr and r.stderr.count(b"\n") == 1


# ---- --resume-failed, --retry-failed ----

@pytest.mark.parametrize("option,want", [
    ("--resume", b"5\n"), ("--resume-failed", b"2\n3\n4\n5\n"),
])
def test_status_and_signal_both_count(option, want):
    log(row(1), row(2, exitval=1), row(3, sig=9), row(4, exitval=-1, sig=15))
    assert out("-k", option, "--joblog", "log", "echo", ":::", *"12345") == want


def test_the_last_line_of_a_number_counts():
    log(row(1, exitval=1), row(2), row(1), row(2, exitval=3))
    assert out("-k", "--resume-failed", "--joblog", "log", "echo", ":::", "1", "2") == b"2\n"


def test_retry_failed_keeps_numbers_and_looks_at_nothing_else():
    log(row(7, b"echo seven $PARALLEL_SEQ"), row(9, b"echo nine $PARALLEL_SEQ", 1),
        row(3, b"echo three $PARALLEL_SEQ", 0, 9))
    got = out("-k", "--retry-failed", "--joblog", "log", "-C", ",", "-n2", "-q", "false {}", ":::", "x")
    assert got == b"three 3\nnine 9\n"
    rows = [r.split(b"\t") for r in pathlib.Path("log").read_bytes().splitlines()[4:]]
    assert sorted((r[0], r[6]) for r in rows) == [(b"3", b"0"), (b"9", b"0")]
    assert out("--retry-failed", "--joblog", "log") == b""


def test_retry_failed_does_not_read_stdin():
    log(row(1, b"echo hi", 1))
    r, w = os.pipe()
    p = subprocess.run([PRONG, "--retry-failed", "--joblog", "log"], stdin=r, stdout=subprocess.PIPE,
                       timeout=60, check=True)
    os.close(r)
    os.close(w)
    assert p.stdout == b"hi\n"


def test_retry_failed_with_newlines_and_odd_bytes():
    out("-0", "-j1", "--joblog", "log", "test -e ok && printf %s {} || false", stdin=b"",)
    prong("-0", "-j1", "--joblog", "log", "test -e ok && printf %s {}", stdin=b"a\nb\t\xff'c")
    pathlib.Path("ok").touch()
    assert out("--retry-failed", "--joblog", "log") == b"a\nb\t\xff'c"


def test_a_torn_command_is_never_run():
    log(row(1, b"echo one", 1), row(2, b"echo two", 1)[:-3])
    r = prong("--retry-failed", "--joblog", "log")
    assert r.stdout == b"one\n" and b"job 2" in r.stderr and r.stderr.count(b"\n") == 1


def test_full_disk_is_said():
    r = prong("--joblog", "/dev/full", "echo", ":::", "1", "2")
    assert r.returncode == 255 and b"job log" in r.stderr and r.stderr.count(b"\n") == 1


def test_mode_follows_the_umask():
    out("--joblog", "log", "true", ":::", "1", preexec_fn=lambda: os.umask(0o027))
    assert os.stat("log").st_mode & 0o777 == 0o640


@pytest.mark.parametrize("option", ["--resume", "--resume-failed"])
def test_resume_of_a_shuffled_run_needs_its_seed(option):
    halted = ["--shuf", "--seed", "7", "-j1", "--joblog", "log", "echo {} >> ran; :", ":::", *"12345678"]
    assert prong("--halt", "soon,done=4", *halted).returncode == 0
    r = prong(option, "--shuf", "-j1", "--joblog", "log", "echo {} >> ran; :", ":::", *"12345678")
    assert r.returncode == 255 and b"--seed" in r.stderr and r.stderr.count(b"\n") == 1
    assert prong(option, *halted).returncode == 0
    assert sorted(pathlib.Path("ran").read_text().split()) == list("12345678")


def test_retry_failed_does_not_shuffle_numbers():
    pathlib.Path("log").write_text("".join(f"{i}\t:\t1.0\t0.0\t0\t0\t1\t0\techo {i}{i}\n" for i in range(1, 9)))
    r = prong("-k", "--retry-failed", "--shuf", "--seed", "4", "--joblog", "log")
    assert r.stdout.split() == [b"%d%d" % (i, i) for i in range(1, 9)]


@pytest.mark.parametrize("option", ["--pipe", "--round-robin", "--tee"])
def test_retry_failed_has_no_blocks(option):
    path = log(row(1, b"echo one", 1))
    before = path.read_bytes()
    r = prong("--retry-failed", option, "--block", "4", "--joblog", "log", "cat", stdin=b"1\n" * 50)
    assert r.returncode == 255 and r.stdout == b"" and r.stderr.count(b"\n") == 1
    assert path.read_bytes() == before
