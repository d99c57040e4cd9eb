"""--memfree, --memsuspend, --load, --noswap, -j FILE, --delay auto, --nice, the CPUs.

What the machine has left is played by files bound over /proc/meminfo, loadavg and vmstat in a
mount namespace of the test's own."""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

GIB = 1 << 20  # in kB


def can_unshare():
    return subprocess.run(["unshare", "-rm", "true"], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


needs_namespace = pytest.mark.skipif(not can_unshare(), reason="no mount namespaces here")


class Machine:
    def __init__(self, prong, place):
        self.prong, self.place = prong, place
        place.mkdir()
        self.free(8 * GIB)
        self.running(0)
        self.swapped(0, 0)

    def write(self, name, text):
        with open(self.place / name, "r+" if (self.place / name).exists() else "w") as f:
            f.write(f"{text:200}")  # in place: the file is bound over

    def free(self, kib):
        self.write("meminfo", f"MemTotal: 99 kB\nMemAvailable: {kib} kB\n")

    def running(self, n):
        self.write("loadavg", f"0.00 0.00 0.00 {n + 1}/99 1\n")

    def swapped(self, pages_in, pages_out):
        self.write("vmstat", f"pswpin {pages_in}\npswpout {pages_out}\n")

    def start(self, *words, **kw):
        # no cgroup says anything here either
        script = ("for f in meminfo loadavg vmstat; do mount --bind \"$0/$f\" /proc/$f; done; "
                  "mount -t tmpfs none /sys/fs/cgroup; exec \"$@\"")
        kw = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL,
              "text": True, **kw}
        return subprocess.Popen(["unshare", "-rm", "sh", "-ec", script, str(self.place),
                                 self.prong, *words], **kw)


@pytest.fixture
def machine(prong, tmp_path):
    return Machine(prong, tmp_path / "machine")


def wait_until(what, timeout=60):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, "it never happens"
        time.sleep(0.01)


def lines(path):
    return path.read_text().split() if path.exists() else []


@needs_namespace
def test_memfree_starts_nothing_until_there_is_memory(machine, tmp_path):
    machine.free(GIB // 2)
    p = machine.start("--memfree", "1G", "touch ran; echo", ":::", "x")
    time.sleep(0.5)
    assert not (tmp_path / "ran").exists()
    machine.free(2 * GIB)
    assert p.communicate(timeout=60)[0] == "x\n" and p.returncode == 0


@needs_namespace
def test_memfree_says_why_nothing_happens_and_obeys_signals(machine):
    machine.free(5)
    p = machine.start("--memfree", "1P", "echo", ":::", "x")
    assert "--memfree" in p.stderr.readline()
    p.send_signal(signal.SIGTERM)
    assert p.communicate(timeout=60) == ("", "") and p.returncode == -signal.SIGTERM


@needs_namespace
def test_memfree_without_input_ends(machine):
    machine.free(5)
    p = machine.start("--memfree", "1T", "echo")
    assert p.communicate(timeout=60) == ("", "") and p.returncode == 0


@needs_namespace
def test_memfree_ends_the_youngest_and_runs_it_again(machine, tmp_path):
    p = machine.start("-j2", "-k", "--memfree", "2G",
                      "echo {} >> begun; while [ ! -e go ]; do sleep 0.05; done; echo {}",
                      ":::", "1", "2")
    wait_until(lambda: len(lines(tmp_path / "begun")) == 2)
    machine.free(GIB // 2)
    time.sleep(1.5)
    machine.free(8 * GIB)  # one is left alone and goes on, the other begins again
    wait_until(lambda: len(lines(tmp_path / "begun")) == 3)
    (tmp_path / "go").touch()
    assert p.communicate(timeout=60) == ("1\n2\n", "") and p.returncode == 0
    begun = lines(tmp_path / "begun")
    assert sorted(begun.count(job) for job in "12") == [1, 2]


@needs_namespace
def test_memfree_with_retries_gives_up_at_last(machine, tmp_path):
    p = machine.start("--memfree", "2G", "--retries", "2", "echo {} >> begun; exec sleep 300",
                      ":::", "1")
    for n in (1, 2):
        wait_until(lambda n=n: len(lines(tmp_path / "begun")) == n)
        machine.free(GIB // 2)
        if n == 1:
            time.sleep(1)
            machine.free(8 * GIB)
    p.communicate(timeout=60)
    assert p.returncode == 1


def state_of_jobs(path):
    states = ""
    for pid in lines(path):
        stat = pathlib.Path(f"/proc/{pid}/stat")
        if stat.exists():
            states += re.sub(r".*\) ", "", stat.read_text())[0]
    return states


@needs_namespace
def test_memsuspend_leaves_one_and_resumes(machine, tmp_path):
    p = machine.start("-j3", "--memsuspend", "1G",
                      "echo $$ >> pids; while [ ! -e go ]; do sleep 0.05; done; echo {}",
                      ":::", "1", "2", "3", "4")
    wait_until(lambda: len(lines(tmp_path / "pids")) == 3)
    machine.free(GIB // 2)
    wait_until(lambda: state_of_jobs(tmp_path / "pids").count("T") == 2)
    machine.free(8 * GIB)
    wait_until(lambda: state_of_jobs(tmp_path / "pids").count("T") == 0)
    machine.free(GIB * 3 // 2)  # between: one less each time
    wait_until(lambda: state_of_jobs(tmp_path / "pids").count("T") == 2)
    (tmp_path / "go").touch()  # the oldest ends, the next goes on although memory is short
    out, err = p.communicate(timeout=60)
    assert sorted(out.split()) == ["1", "2", "3", "4"] and err == "" and p.returncode == 0


@needs_namespace
def test_suspended_jobs_end_with_the_run(machine, tmp_path):
    p = machine.start("-j3", "--memsuspend", "1G", "echo $$ >> pids; exec sleep 300",
                      ":::", "1", "2", "3")
    wait_until(lambda: len(lines(tmp_path / "pids")) == 3)
    machine.free(5)
    wait_until(lambda: state_of_jobs(tmp_path / "pids").count("T") == 2)
    p.send_signal(signal.SIGTERM)
    p.communicate(timeout=60)
    assert p.returncode == -signal.SIGTERM and state_of_jobs(tmp_path / "pids") == ""


@needs_namespace
@pytest.mark.parametrize("limit", ["4", "200%", "+2", "file"])
def test_load_waits_until_fewer_run(machine, tmp_path, limit):
    (tmp_path / "file").write_text("4\n")
    machine.running(1000)
    p = machine.start("--load", limit, "touch ran; echo", ":::", "x")
    time.sleep(0.5)
    assert not (tmp_path / "ran").exists()
    machine.running(1)
    assert p.communicate(timeout=60)[0] == "x\n"


@needs_namespace
def test_load_0_lets_nothing_else_run(machine):
    p = machine.start("--load", "0", "echo", ":::", "x")
    assert p.communicate(timeout=60)[0] == "x\n"


@needs_namespace
def test_noswap_waits_while_both_directions_are_busy(machine, tmp_path):
    p = machine.start("--noswap", "touch ran; echo", ":::", "x")
    for i in range(1, 25):  # the first sample takes a second
        machine.swapped(i, i)
        time.sleep(0.1)
    assert not (tmp_path / "ran").exists()
    machine.swapped(1000, 24)
    assert p.communicate(timeout=60)[0] == "x\n"


@pytest.mark.parametrize("words", [["--memfree", "lots"], ["--memfree", "0"], ["--load", "high"],
                                   ["--memsuspend", "-1"], ["--delay", "auto"],
                                   ["--delay", "-1"], ["--nice", "x"]])
def test_wrong_values_end_with_one_line(prong, words):
    r = subprocess.run([prong, *words, "echo", ":::", "x"], capture_output=True, text=True,
                       check=False)
    assert r.returncode == 255 and r.stdout == "" and r.stderr.count("\n") == 1


def test_the_jobs_file_is_read_again(prong, tmp_path):
    (tmp_path / "n").write_text("1")
    p = subprocess.Popen([prong, "-j", "n", "echo {} >> begun; while [ ! -e go{} ]; do sleep 0.02;"
                          " done", ":::", *"123456"])
    wait_until(lambda: len(lines(tmp_path / "begun")) == 1)
    (tmp_path / "n").write_text("3")
    wait_until(lambda: len(lines(tmp_path / "begun")) == 3)
    (tmp_path / "n").write_text("1")
    time.sleep(0.5)
    (tmp_path / "go1").touch()
    (tmp_path / "go2").touch()
    time.sleep(0.5)
    assert len(lines(tmp_path / "begun")) == 3  # one still runs, and one is the limit
    for i in "3456":
        (tmp_path / f"go{i}").touch()
    assert p.wait(timeout=60) == 0 and len(lines(tmp_path / "begun")) == 6


def test_delay_auto_grows_after_failures_and_shrinks_after_successes(prong, tmp_path):
    def gaps(command):
        (tmp_path / "t").write_text("")
        subprocess.run([prong, "-j1", "--delay", "0.2auto", "date +%s.%N >> t; " + command,
                        ":::", *"12345678"], check=False)
        t = [float(x) for x in lines(tmp_path / "t")]
        return [b - a for a, b in zip(t, t[1:])]
    failing, fine = gaps("false {}"), gaps("true {}")
    assert len(failing) == len(fine) == 7
    assert failing[-1] > 0.2 * 1.3 ** 6 * 0.9 and failing[-1] > failing[0]
    assert sum(failing) > sum(fine)


def test_nice_is_the_jobs_value(prong):
    for now, want in (("0", "9"), ("5", "9")):
        r = subprocess.run(["nice", "-n", now, prong, "--nice", want, "-N0", "nice", ":::", "a"],
                           capture_output=True, text=True, check=True)
        assert int(r.stdout) >= 9


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_nice_below_ours_needs_a_privilege(prong):
    r = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "nice", "-n", "5", prong,
                        "--nice", "1", "-N0", "nice", ":::", "a"],
                       capture_output=True, text=True, env={**os.environ, "TMPDIR": "/tmp"}, check=False)
    if "Permission denied" in r.stderr:
        pytest.skip("the build is not open to other users")
    assert r.returncode == 0 and int(r.stdout) >= 5


def test_what_jobs_are_counted_by(prong):
    def number(of):
        return int(subprocess.check_output([prong, f"--number-of-{of}"]))
    threads, cores, sockets = number("threads"), number("cores"), number("sockets")
    assert 1 <= sockets <= cores <= threads and number("cpus") == cores
    for option, n in (("cores", cores), ("sockets", sockets), ("threads", threads)):
        words = [] if option == "threads" else [f"--use-{option}-instead-of-threads"]
        slots = subprocess.check_output([prong, *words, "-j300%", "--dry-run", "echo", "{%}", ":::",
                                         *map(str, range(200))], text=True)
        assert max(int(line.split()[1]) for line in slots.splitlines()) == min(3 * n, 200)
    alias = subprocess.check_output([prong, "--use-cpus-instead-of-cores", "echo", ":::", "a"])
    assert alias == b"a\n"


def test_usr2_says_how_far_it_is_and_turns_progress_on(prong, tmp_path):
    p = subprocess.Popen([prong, "while [ ! -e go ]; do sleep 0.02; done; echo {}", ":::", "a"],
                         stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    time.sleep(0.3)
    p.send_signal(signal.SIGUSR2)
    assert "0 done, 0 failed, 1 running" in p.stderr.readline()
    (tmp_path / "go").touch()
    rest = p.communicate(timeout=60)[1]
    assert p.returncode == 0 and "1" in rest


def test_limit_command_is_asked_before_each_start(prong, tmp_path):
    r = subprocess.run([prong, "-k", "--limit", f"echo x >>{tmp_path}/asked", "echo", ":::", "1", "2", "3"],
                       stdout=subprocess.PIPE, timeout=60, check=False)
    assert (r.returncode, r.stdout) == (0, b"1\n2\n3\n")
    assert (tmp_path / "asked").read_text() == "x\n" * 3


def test_limit_waits_and_goes_on(prong, tmp_path):
    with subprocess.Popen([prong, "--limit", f"test -e {tmp_path}/go", "echo", ":::", "1"],
                          stdout=subprocess.PIPE) as p:
        time.sleep(0.5)
        assert p.poll() is None
        (tmp_path / "go").touch()
        assert p.stdout.read() == b"1\n"


def test_limit_2_ends_the_youngest(prong, tmp_path):
    limit = f"test -e {tmp_path}/high || exit 0; rm {tmp_path}/high; exit 2"
    with subprocess.Popen([prong, "-j2", "--limit", limit, f"touch {tmp_path}/{{}}; sleep {{}}; echo {{}}",
                           ":::", "1", "100", "0.1"], stdout=subprocess.PIPE) as p:
        while not (tmp_path / "100").exists():
            time.sleep(0.05)
        (tmp_path / "high").touch()
        assert p.stdout.read().split() == [b"1", b"0.1"]
        assert p.wait(timeout=60) == 1


def test_limit_by_name_and_errors(prong):
    for limit in ("io 101", "load 100000", "mem 1k"):
        assert subprocess.run([prong, "--limit", limit, "echo", ":::", "1"], stdout=subprocess.PIPE,
                              timeout=60, check=False).stdout == b"1\n"
    r = subprocess.run([prong, "--limit", "mem x", "echo", ":::", "1"], capture_output=True,
                       timeout=60, check=False)
    assert r.returncode == 255 and b"--limit" in r.stderr and r.stderr.count(b"\n") == 1
