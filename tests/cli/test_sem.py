"""--semaphore and prong-sem: never more than N, nothing left held, whoever is killed."""
import os
import pathlib
import signal
import subprocess
import time

import pytest

from test_survivors import wait_gone


@pytest.fixture(autouse=True)
def last_out(audit):
    """Who holds a lock in the background lets it go a moment before its process ends."""
    yield
    wait_gone(audit, 20)


@pytest.fixture
def sem(prong, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PARALLEL_HOME", raising=False)
    link = tmp_path / "prong-sem"
    link.symlink_to(prong)
    return str(link)


def run(*words, **kw):
    return subprocess.run(words, capture_output=True, text=True, timeout=120, **kw)


def begin(*words):
    """In the background: it would hold the pipes of a captured call."""
    quiet = subprocess.DEVNULL
    assert subprocess.call(words, stdin=quiet, stdout=quiet, stderr=quiet, timeout=120) == 0


def wait_for(path, timeout=60):
    end = time.monotonic() + timeout
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.01)


def held(home):
    return [p for p in (home / ".parallel/semaphores").glob("id-*/*@*")]


def test_status_and_streams_of_a_foreground_command(sem):
    r = run(sem, "--fg", "--id", "a", "cat; echo e >&2; exit 7", input="in\n")
    assert (r.returncode, r.stdout, r.stderr) == (7, "in\n", "e\n")
    assert run(sem, "--fg", "--id", "a", "kill -KILL $$").returncode == 137
    assert run(sem, "--fg", "--id", "a", "no-such-command-here").returncode == 127


def test_a_command_gets_its_words_and_no_value(sem):
    r = run(sem, "--fg", "--id", "a", "printf '[%s]'", "{}", "{#}", "{.}", "x")
    assert r.stdout == "[1][x]"


def test_values_are_refused_aloud(sem):
    r = run(sem, "--fg", "--id", "a", "echo", "one", ":::", "b", "c")
    assert r.stdout == "one\n" and "no values" in r.stderr and r.stderr.count("\n") == 1


def test_never_more_than_n_at_once(sem, tmp_path):
    script = ('mkdir in_$$; n=$(ls -d in_* | wc -l); echo $n >> seen; sleep 0.05; rmdir in_$$')
    for _ in range(12):
        begin(sem, "-j3", "--id", "n", script)
    assert run(sem, "--id", "n", "--wait").returncode == 0
    seen = [int(x) for x in (tmp_path / "seen").read_text().split()]
    assert len(seen) == 12 and max(seen) <= 3


def test_callers_at_the_same_time(sem, tmp_path):
    """A counter that is read and written without other protection."""
    (tmp_path / "n").write_text("0")
    script = "i=$(cat n); sleep 0.01; echo $((i + 1)) > n"
    callers = [subprocess.Popen([sem, "--fg", "--id", "c", script]) for _ in range(20)]
    assert [p.wait(timeout=120) for p in callers] == [0] * 20
    assert (tmp_path / "n").read_text() == "20\n"


def test_the_background_job_outlives_the_call_and_wait_waits(sem, tmp_path):
    begin(sem, "--id", "b", "while [ ! -e go ]; do sleep 0.02; done; echo done > end")
    assert not (tmp_path / "end").exists() and len(held(tmp_path)) == 1
    waiter = subprocess.Popen([sem, "--id", "b", "--wait"])
    with pytest.raises(subprocess.TimeoutExpired):
        waiter.wait(timeout=0.3)
    (tmp_path / "go").touch()
    assert waiter.wait(timeout=60) == 0 and (tmp_path / "end").exists()
    assert not held(tmp_path)


def test_nothing_stays_in_the_directory(sem, tmp_path):
    for i in range(3):
        begin(sem, "--id", f"x{i}", "true")
        run(sem, "--id", f"x{i}", "--wait")
    assert not list((tmp_path / ".parallel/semaphores").iterdir())


@pytest.mark.parametrize("victim", ["guardian", "runner", "both"])
def test_kill_9_of_a_holder_frees_it(sem, tmp_path, victim):
    p = subprocess.Popen([sem, "--fg", "--id", "k", "touch up; exec sleep 300"])
    wait_for(tmp_path / "up")
    children = pathlib.Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text().split()
    runner = int(children[0])
    job = int(pathlib.Path(f"/proc/{runner}/task/{runner}/children").read_text().split()[0])
    pids = {"guardian": [p.pid], "runner": [runner], "both": [p.pid, runner]}[victim]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    p.wait(timeout=60)
    if victim == "both":  # the one case that leaves the job itself: see docs/architecture.md
        os.kill(job, signal.SIGKILL)
    r = run(sem, "--id", "k", "--st", "-60", "--fg", "echo free")
    assert (r.returncode, r.stdout, r.stderr) == (0, "free\n", "")
    assert not held(tmp_path)


def test_a_dead_holders_file_is_no_holder(sem, tmp_path):
    d = tmp_path / ".parallel/semaphores/id-s"
    d.mkdir(parents=True)
    (d / "1@localhost").write_text("1\n")  # pid 1 lives, but has not locked it
    assert run(sem, "--id", "s", "--st", "-60", "--fg", "echo ok").stdout == "ok\n"
    assert run(sem, "--id", "s", "--wait").returncode == 0


def test_timeouts(sem, tmp_path):
    begin(sem, "--id", "t", "while [ ! -e go ]; do sleep 0.02; done")
    gave_up = run(sem, "--id", "t", "--st", "-0.2", "--fg", "echo no")
    took = run(sem, "--id", "t", "--semaphore-timeout", "0.2s", "--fg", "echo yes")
    (tmp_path / "go").touch()
    run(sem, "--id", "t", "--wait")
    assert (gave_up.returncode, gave_up.stdout) == (1, "") and "not free" in gave_up.stderr
    assert (took.returncode, took.stdout) == (0, "yes\n") and "anyway" in took.stderr
    assert run(sem, "--id", "t", "--st", "-5", "--fg", "echo free").stdout == "free\n"


def test_who_gives_up_does_not_block_others_in_the_line(sem, tmp_path):
    begin(sem, "--id", "t", "while [ ! -e go ]; do sleep 0.02; done")
    first = subprocess.Popen([sem, "--id", "t", "--fg", "true"])
    time.sleep(0.2)
    r = run(sem, "--id", "t", "--st", "-0.3", "--fg", "echo no")
    (tmp_path / "go").touch()
    assert r.returncode == 1 and first.wait(timeout=60) == 0


@pytest.mark.parametrize("name", ["../../x", "a b", "", "ä\n", "x" * 100000, "%", "."])
def test_any_bytes_are_a_name(sem, tmp_path, name):
    assert run(sem, "--id", name, "--fg", "echo ok").stdout == "ok\n"
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("tmpdir", "prong-sem")] == [".parallel"]


def test_long_names_that_differ_at_the_end_differ(sem, tmp_path):
    begin(sem, "--id", "x" * 5000 + "1", "while [ ! -e go ]; do sleep 0.02; done")
    r = run(sem, "--id", "x" * 5000 + "2", "--st", "-20", "--fg", "echo ok")
    (tmp_path / "go").touch()
    run(sem, "--id", "x" * 5000 + "1", "--wait")
    assert r.stdout == "ok\n"


def test_implied_by_its_options(prong, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(prong, "--fg", "echo", "hi").stdout == "hi\n"
    assert run(prong, "--st", "5", "--fg", "echo", "hi").stdout == "hi\n"
    begin(prong, "--bg", "--id", "i", "touch x")
    assert run(prong, "--wait", "--id", "i").returncode == 0 and (tmp_path / "x").exists()


@pytest.mark.parametrize("words,part", [
    ([], "needs a command"), (["--wait", "echo"], "takes no command"),
    (["--st", "soon", "echo"], "not understood"), (["-j", "many", "echo"], "not a number")])
def test_wrong_calls_end_with_one_line(sem, words, part):
    r = run(sem, "--id", "w", *words)
    assert r.returncode == 255 and part in r.stderr and r.stderr.count("\n") == 1


def test_a_place_that_cannot_be_written(sem, tmp_path, monkeypatch):
    monkeypatch.setenv("PARALLEL_HOME", str(tmp_path / "file/x"))
    (tmp_path / "file").touch()
    r = run(sem, "--fg", "echo", "no")
    assert r.returncode == 255 and r.stdout == "" and r.stderr.count("\n") == 1
    monkeypatch.delenv("PARALLEL_HOME")
    monkeypatch.delenv("HOME")
    r = run(sem, "--fg", "echo", "no")
    assert r.returncode == 255 and "HOME" in r.stderr


def test_interrupted_while_waiting(sem, tmp_path):
    begin(sem, "--id", "i", "while [ ! -e go ]; do sleep 0.02; done")
    p = subprocess.Popen([sem, "--id", "i", "--fg", "touch ran"])
    time.sleep(0.3)
    p.send_signal(signal.SIGINT)
    assert p.wait(timeout=60) == -signal.SIGINT
    (tmp_path / "go").touch()
    run(sem, "--id", "i", "--wait")
    assert not (tmp_path / "ran").exists()


def test_dry_run_takes_nothing(sem, tmp_path):
    assert run(sem, "--dry-run", "--id", "d", "echo", "x").stdout == "echo x \n"
    assert not (tmp_path / ".parallel").exists()
