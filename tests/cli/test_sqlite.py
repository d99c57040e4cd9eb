"""--results FILE.sqlite, --sqlmaster, --sqlworker, --sqlandworker."""

import os
import pathlib
import signal
import sqlite3
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRONG = os.environ.get("PRONG", str(ROOT / "build" / "prong"))


def prong(*args, timeout=120, **kw):
    return subprocess.run([PRONG, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, check=False, **kw)


pytestmark = pytest.mark.skipif(
    b"built without SQLite" in subprocess.run([PRONG, "--results", "/nowhere/x.sqlite", "true", ":::", "1"],
                                              stderr=subprocess.PIPE, check=False).stderr,
    reason="built without SQLite")


def rows(name, sql):
    with sqlite3.connect(name) as db:
        return db.execute(sql).fetchall()


def url(name="m.sqlite", table="jobs"):
    return "sqlite3:///" + str(pathlib.Path(name).resolve()).replace("/", "%2F") + "/" + table


def test_results_are_rows():
    r = prong("-j2", "--results", "o.sqlite", "printf '%s' {1}{2}; echo e >&2; exit {2}",
              ":::", "it's \"a\"", "é", ":::", "0", "3")
    assert (r.returncode, r.stdout, r.stderr) == (2, b"", b"")
    assert rows("o.sqlite", "SELECT Seq, Host, Exitval, Signal, V1, V2, Stdout, Stderr FROM jobs ORDER BY Seq") == [
        (1, ":", 0, 0, "it's \"a\"", "0", "it's \"a\"0", "e\n"), (2, ":", 3, 0, "it's \"a\"", "3", "it's \"a\"3", "e\n"),
        (3, ":", 0, 0, "é", "0", "é0", "e\n"), (4, ":", 3, 0, "é", "3", "é3", "e\n")]


def test_names_of_the_header_are_columns():
    prong("--header", ":", "--results", "o.sqlite", "echo", ":::", 'x "y', "1")
    assert rows("o.sqlite", 'SELECT "x ""y" FROM jobs') == [("1",)]


def test_any_bytes_and_long_outputs():
    data = os.urandom(100_000) + b"\0"
    pathlib.Path("f").write_bytes(data)
    prong("-j1", "--results", "o.sqlite", "cat f; :", ":::", "1")
    assert rows("o.sqlite", "SELECT Stdout FROM jobs") == [(data,)]
    prong("-j1", "--results", "o.sqlite", "yes | head -c 40000000; yes | head -c 20000000 >&2; :", ":::", "1")
    (out, err), = rows("o.sqlite", "SELECT Stdout, Stderr FROM jobs")
    assert (out, err) == (b"y\n" * 20_000_000, b"y\n" * 10_000_000)


def test_other_tables_stay_and_an_old_run_goes():
    with sqlite3.connect("o.sqlite") as db:
        db.execute("CREATE TABLE mine (x)")
    prong("--results", "o.sqlite", "echo", ":::", "1", "2")
    prong("--results", "o.sqlite", "echo", ":::", "3")
    assert rows("o.sqlite", "SELECT V1 FROM jobs") == [("3",)]
    assert rows("o.sqlite", "SELECT * FROM mine") == []


def test_resume_with_a_job_log_adds():
    prong("--joblog", "log", "--results", "o.sqlite", "echo", ":::", "1")
    prong("--resume", "--joblog", "log", "--results", "o.sqlite", "echo", ":::", "1", "2")
    assert rows("o.sqlite", "SELECT V1 FROM jobs ORDER BY Seq") == [("1",), ("2",)]


def test_what_is_no_database_is_said():
    pathlib.Path("o.sqlite").write_text("this is no database, but some text that is long enough")
    r = prong("--results", "o.sqlite", "echo", ":::", "1", "2")
    assert r.returncode == 255 and r.stderr.count(b"\n") == 1 and b"o.sqlite" in r.stderr


def test_master_then_workers_run_each_job_once():
    r = prong("--sqlmaster", url(), "echo", ":::", *map(str, range(100)))
    assert (r.returncode, r.stdout) == (0, b"")
    assert rows("m.sqlite", "SELECT count(*), min(Exitval), max(Exitval) FROM jobs") == [(100, -1000, -1000)]
    workers = [subprocess.Popen([PRONG, "-j2", "--sqlworker", url(), "echo {} >> ran; echo {}; :"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [w.wait(120) for w in workers] == [0, 0, 0]
    assert sorted(map(int, pathlib.Path("ran").read_text().split())) == list(range(100))
    assert rows("m.sqlite", "SELECT count(*) FROM jobs WHERE Exitval = 0 AND Stdout = V1 || char(10)") == [(100,)]


def test_both_and_a_table_that_is_appended_to():
    r = prong("-k", "--sqlandworker", url(), "echo {1}-{2}; exit {2}", ":::", "a", ":::", "0", "1")
    assert (r.stdout, r.returncode) == (b"a-0\na-1\n", 1)
    assert [c[1] for c in rows("m.sqlite", "PRAGMA table_info(jobs)")] == [
        "Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "_Signal", "Command",
        "V1", "V2", "Stdout", "Stderr"]
    prong("--sqlmaster", "+" + url(), "echo", ":::", "b", ":::", "2")
    assert rows("m.sqlite", "SELECT V1, Exitval FROM jobs ORDER BY rowid") == [("a", 0), ("a", 1), ("b", -1000)]


def test_jobs_that_are_added_are_jobs_of_their_own():
    prong("--sqlmaster", url(), "echo {#}", ":::", "A", "B")
    prong("--sqlmaster", "+" + url(), "echo {#}", ":::", "C", "D")
    r = prong("-k", "--sqlworker", url(), "echo")
    assert r.stdout == b"A\nB\nC\nD\n"
    assert rows("m.sqlite", "SELECT Seq, V1, Stdout FROM jobs ORDER BY rowid") == [
        (i + 1, v, v + "\n") for i, v in enumerate("ABCD")]


def test_rows_of_one_number_are_not_taken_for_one():
    prong("--sqlmaster", url(), "echo", ":::", "A", "B")
    with sqlite3.connect("m.sqlite") as db:
        db.execute("UPDATE jobs SET Seq = 1")
    prong("--sqlworker", url(), "yes | head -c 20000000; echo {}; :")
    assert rows("m.sqlite", "SELECT V1, substr(Stdout, -2) FROM jobs ORDER BY V1") == [("A", b"A\n"), ("B", b"B\n")]


def test_master_waits_for_workers():
    master = subprocess.Popen([PRONG, "--wait", "--sqlmaster", url(), "echo", ":::", "1"], stdin=subprocess.DEVNULL)
    while not os.path.exists("m.sqlite") or not rows("m.sqlite", "SELECT 1 FROM sqlite_master"):
        pass
    assert master.poll() is None
    prong("--sqlworker", url(), "echo")
    assert master.wait(60) == 0


@pytest.mark.parametrize("bad", ["mysql://a:b@c/d/e", "pg:///db/t", "sqlite3:///f", "sqlite3://f/t", "csv:///a/b", "x",
                                 "sqlite3:///%2Fno%2Fsuch%2Fdir%2Ff/t"])
def test_other_databases_and_bad_urls(bad):
    r = prong("--sqlandworker", bad, "echo", ":::", "1")
    assert r.returncode == 255 and r.stdout == b"" and r.stderr.count(b"\n") == 1


def test_a_worker_without_a_table():
    r = prong("--sqlworker", url(), "echo")
    assert r.returncode == 255 and r.stderr.count(b"\n") == 1


def ended_by_sigint(*args):
    p = subprocess.Popen([PRONG, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    time.sleep(0.5)  # it is at it by now; if not, all the better
    p.send_signal(signal.SIGINT)
    try:
        return p.wait(timeout=10) == -signal.SIGINT
    finally:
        p.kill()


def test_a_master_heeds_signals_while_it_fills():
    many = [str(i) for i in range(3000)]
    assert ended_by_sigint("--sqlmaster", url(), "echo", ":::", *many, ":::", *many)


@pytest.mark.parametrize("who", [["--sqlworker"], ["--sqlmaster"], ["--sqlandworker"]])
def test_signals_are_heeded_while_another_has_the_database(who):
    prong("--sqlmaster", url(), "echo", ":::", "1")
    with sqlite3.connect("m.sqlite", isolation_level=None) as db:
        db.execute("BEGIN EXCLUSIVE")
        assert ended_by_sigint(*who, url(), "echo", ":::", "1")
        db.execute("ROLLBACK")
    assert rows("m.sqlite", "SELECT V1, Exitval FROM jobs") == [("1", -1000)]


@pytest.mark.parametrize("how", [["--filter", "{1} > 1", "echo"], ["echo {uniq}"]])
def test_declined_rows_have_ended(how):
    master = subprocess.Popen([PRONG, "--wait", "--sqlmaster", url(), "echo", ":::", "1", "2", ":::", "2"],
                              stdin=subprocess.DEVNULL)
    while not os.path.exists("m.sqlite") or not rows("m.sqlite", "SELECT 1 FROM sqlite_master"):
        pass
    while rows("m.sqlite", "SELECT count(*) FROM jobs") != [(2,)]:
        pass
    prong("-j1", "--plus", "--sqlworker", url(), *how)
    ends = [-2, 0] if "--filter" in how else [0, -2]
    assert rows("m.sqlite", "SELECT Exitval FROM jobs ORDER BY Seq") == [(e,) for e in ends]
    assert master.wait(60) == 0


@pytest.mark.parametrize("more", [[], ["--filter", "{1} > 0"], ["--retries", "5"]])
def test_an_ended_worker_gives_its_rows_back(more):
    prong("--sqlmaster", url(), "echo", ":::", "1", "2", "3")
    worker = subprocess.Popen([PRONG, "-j2", *more, "--sqlworker", url(), "touch started-{}; sleep 300"],
                              stdin=subprocess.DEVNULL, start_new_session=True)
    while len(list(pathlib.Path().glob("started-*"))) < 2:
        pass
    worker.send_signal(signal.SIGINT)
    assert worker.wait(60) == -signal.SIGINT
    assert rows("m.sqlite", "SELECT Exitval FROM jobs") == [(-1000,)] * 3
    assert prong("-k", "--sqlworker", url(), "echo").stdout == b"1\n2\n3\n"


def test_a_filtering_worker_holds_no_rows_ahead():
    prong("--sqlmaster", url(), "echo", ":::", *map(str, range(100)))
    worker = subprocess.Popen([PRONG, "-j1", "--filter", "{1} >= 0", "--sqlworker", url(),
                               "echo >> ran-{}; [ {} -lt 9 ] || sleep 300"],
                              stdin=subprocess.DEVNULL, start_new_session=True)
    while not os.path.exists("ran-9"):
        pass
    assert rows("m.sqlite", "SELECT count(*) FROM jobs WHERE Exitval = -1220")[0][0] <= 2
    worker.terminate()
    worker.wait(60)


@pytest.mark.parametrize("how", [["--sqlmaster"], ["--sqlandworker"], ["--wait", "--sqlmaster"], ["--results"]])
def test_no_jobs_are_an_empty_table(how):
    r = prong(*how, "m.sqlite" if how == ["--results"] else url(), "echo")
    assert (r.returncode, r.stdout, r.stderr) == (0, b"", b"")
    assert rows("m.sqlite", "SELECT V1, Stdout FROM jobs") == []


def test_a_worker_makes_no_database():
    assert prong("--sqlworker", url("nope.sqlite"), "echo").returncode == 255
    assert not os.path.exists("nope.sqlite")
