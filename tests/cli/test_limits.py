"""Many inputs, long inputs, bad inputs, nobody who reads."""
import os
import subprocess
import time

import pytest

ENV = dict(os.environ)
plain_build = pytest.mark.skipif(os.environ.get("SANITIZED", "none") != "none",
                                 reason="a sanitizer's own memory would be measured")


def run(prong, *args, **kw):
    kw.setdefault("timeout", 120)
    return subprocess.run([prong, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)


def peak(prong, n, *args):
    """Peak memory in KiB of prong, and of what it waits for, for n inputs from a pipe."""
    seq = subprocess.Popen(["seq", str(n)], stdout=subprocess.PIPE)
    r = subprocess.run([os.environ["PEAK"], prong, *args], stdin=seq.stdout, timeout=300,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    seq.stdout.close()
    seq.wait()
    assert r.returncode == 0
    return int(r.stderr)


@plain_build
def test_memory_is_flat_for_a_million_inputs(prong):
    small, large = (peak(prong, n, "--dry-run", "echo") for n in (1000, 1000000))
    assert large < small + 512 and large < 8 * 1024


@plain_build
def test_memory_is_flat_with_jobs(prong):
    small, large = (peak(prong, n, "-j4", "/bin/true") for n in (100, 5000))
    assert large < small + 512 and large < 8 * 1024


def test_a_sleeping_first_job_holds_little(prong):
    """-k with a first job that sleeps while thousands finish: few descriptors, right order."""
    r = run(prong, "-k", "-j8", "[ {} = 1 ] && { sleep 2; ls /proc/$PARALLEL_PID/fd | wc -l; }; echo {}",
            input=b"\n".join(b"%d" % i for i in range(1, 3001)), env=dict(ENV, PARALLEL_SHELL="/bin/sh"))
    lines = r.stdout.split()
    assert int(lines[0]) < 64
    assert lines[1:] == [b"%d" % i for i in range(1, 3001)]


def test_empty_input_runs_nothing(prong):
    r = run(prong, "echo", "ran", stdin=subprocess.DEVNULL)
    assert (r.returncode, r.stdout, r.stderr) == (0, b"", b"")


def test_missing_program(prong):
    r = run(prong, "no-such-program-at-all", ":::", "1")
    assert r.returncode == 1 and b"no-such-program-at-all" in r.stderr


@pytest.mark.parametrize("args,hint", [
    (["--no-such-option"], b"--help"),
    (["-j", "many", "echo"], b"-j"),
    (["--halt", "later", "echo"], b"soon"),
    (["--timeout", "x", "echo"], b"seconds"),
    (["--delay", "-1", "echo"], b"seconds"),
    (["--retries", "x", "echo"], b"whole number"),
    (["--trim", "z", "echo"], b"lr"),
    (["-a", "no/such/file", "echo"], b"no/such/file"),
    (["-S", "host", "echo"], b"ssh HOST"),
    (["--sshloginfile", "x", "echo"], b"ssh HOST"),
    (["--tmux", "echo"], b"tmux"),
    (["--plus", "echo {#(}"], b"regular expression"),
    (["--tmpdir", "/no/such/dir", "echo"], b"--tmpdir"),
    (["-j-100000", "echo"], b"-j1"),
])
def test_bad_input_is_one_line_and_255(prong, args, hint):
    r = run(prong, *args, ":::", "1")
    assert r.returncode == 255 and r.stdout == b""
    assert hint in r.stderr and r.stderr.count(b"\n") == 1


def test_an_option_without_its_value(prong):
    r = run(prong, "--joblog")
    assert r.returncode == 255 and b"needs a value" in r.stderr


def test_value_longer_than_the_system_takes(prong):
    r = run(prong, "-X", "echo", input=b"x" * 140000 + b"\n")
    assert r.returncode == 255 and b"longer than" in r.stderr
    r = run(prong, "echo", input=b"x" * 140000 + b"\n")
    assert r.returncode == 255 and b"longer than" in r.stderr


def test_value_of_the_length_the_system_takes(prong):
    r = run(prong, "printf %s {} | wc -c", input=b"x" * 131000 + b"\n")
    assert r.stdout.strip() == b"131000"


def test_a_reader_that_leaves(prong):
    p = subprocess.Popen(f"{prong} -j2 seq {{}} 100000 ::: 1 1 1 1 1 1 | head -1", shell=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = p.communicate(timeout=60)
    assert out == b"1\n" and err == b""


def test_growing_queue(prong, tmp_path):
    """tail -f queue | prong: jobs start as lines come."""
    p = subprocess.Popen([prong, "-j2", "echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for i in range(5):
        p.stdin.write(b"%d\n" % i)
        p.stdin.flush()
        assert p.stdout.readline() == b"%d\n" % i
    p.stdin.close()
    assert p.wait(timeout=20) == 0
    p.stdout.close()


def test_hundred_thousand_inputs_in_order(prong):
    n = int(os.environ.get("PRONG_MANY", "20000"))
    want = b"".join(b"%d\n" % i for i in range(n))
    r = run(prong, "-k", "-j4", "/bin/echo", input=want, timeout=600)
    assert r.stdout == want and r.returncode == 0


def test_few_descriptors(prong):
    r = run("/bin/sh", "-c", f"ulimit -n 20; exec {prong} -k -j50 echo", input=b"1\n2\n3\n4\n" * 20)
    assert r.stdout == b"1\n2\n3\n4\n" * 20


def test_few_processes_are_waited_for(prong):
    if os.getuid() == 0:
        pytest.skip("root has no limit on processes")
    r = run("/bin/sh", "-c", f"ulimit -u 60; exec {prong} -k -j50 echo", input=b"1\n2\n3\n4\n" * 20)
    assert r.stdout == b"1\n2\n3\n4\n" * 20


def test_timeouts_are_times_of_the_job(prong):
    t = time.time()
    r = run(prong, "-j2", "--timeout", "0.5", "sleep", ":::", "60", "0")
    assert r.returncode == 1 and time.time() - t < 20


def test_closed_streams(prong):
    r = run("/bin/sh", "-c", f"exec {prong} echo ::: 1 0<&- 2>&-")
    assert r.stdout == b"1\n"


@pytest.mark.parametrize("mode", ["--group", "-k", "--line-buffer", "--tag", "--ungroup"])
def test_output_for_a_closed_stdout_is_an_error(prong, mode):
    """What is written to nowhere is lost: say so.  Who writes nothing needs no stdout."""
    r = run("/bin/sh", "-c", f"exec {prong} {mode} /bin/echo ::: 1 2 >&-")
    assert r.returncode == (2 if mode == "--ungroup" else 255) and b"write" in r.stderr
    r = run("/bin/sh", "-c", f"exec {prong} {mode} true ::: 1 2 >&-")
    assert (r.returncode, r.stderr) == (0, b"")


@pytest.mark.parametrize("option", ["--help", "--version", "--number-of-cpus"])
def test_help_for_a_full_disk_is_an_error(prong, option):
    with open("/dev/full", "wb") as full:
        r = subprocess.run([prong, option], stdout=full, stderr=subprocess.PIPE, timeout=20)
    assert r.returncode == 255 and b"standard output" in r.stderr


@pytest.mark.parametrize("values", ["arguments", "input", "a late end"])
def test_nothing_is_waited_for_after_the_last_start(prong, values):
    how = {"arguments": "prong --delay 1000 echo ::: 1 </dev/null", "input": "echo 1 | prong --delay 1000 echo",
           "a late end": "(echo 1; sleep 0.3) | prong --delay 1000 echo"}[values]
    assert run("sh", "-c", how.replace("prong", prong, 1), timeout=60).stdout == b"1\n"
