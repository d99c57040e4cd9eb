"""Input as it comes: appended to while it is read, hostile, huge."""
import os
import resource
import subprocess

import pytest
from test_main import run


def test_a_queue_that_grows(prong, tmp_path):
    """tail -f queue | prong: the first job at once, also with -n1 and -N1."""
    for options in ([], ["-n1"], ["-N1"], ["-L1"], ["-C", ","], ["--csv"]):
        queue = tmp_path / "queue"
        queue.write_bytes(b"")
        with subprocess.Popen(["tail", "-n+1", "-f", queue], stdout=subprocess.PIPE) as tail, \
                subprocess.Popen([prong, "-u", *options, "echo"], stdin=tail.stdout,
                                 stdout=subprocess.PIPE) as p:
            for i in range(2):
                with queue.open("ab") as f:
                    f.write(b"job%d\n" % i)
                assert p.stdout.readline() == b"job%d\n" % i, options
            tail.terminate()
            assert p.wait(timeout=60) == 0


def test_nul_bytes_become_two_and_are_told_once(prong):
    r = run(prong, "-k", "-q", "printf", "%s\\n", stdin=b"a\0b\n\0\nc\n\0\0\n")
    assert (r.returncode, r.stdout) == (0, b"a\\0b\n\\0\nc\n\\0\\0\n")
    assert r.stderr.count(b"\n") == 1 and b"-0" in r.stderr


def test_odd_bytes_pass(prong):
    data = b"cr\r\n\xff\xfe\n\xc3\n  blanks \t\n"
    r = run(prong, "-k", "-q", "printf", "%s\\n", stdin=data)
    assert r.stdout == data


def test_an_unreadable_file_is_told_before_anything_runs(prong, tmp_path):
    (tmp_path / "good").write_text("1\n")
    for bad in ("missing", "/"):
        r = run(prong, "-k", "echo", "::::", "good", bad)
        assert r.returncode == 255 and r.stderr.count(b"\n") == 1
        assert bad.encode() in r.stderr
        assert r.stdout == b""


def test_a_line_too_long_for_a_command(prong):
    data = b"before\n" + b"x" * 200000 + b"\nafter\n"
    r = run(prong, "-k", "echo", stdin=data)
    assert r.returncode == 255 and r.stderr.count(b"\n") == 1
    assert b"200000 bytes" in r.stderr and b"131071" in r.stderr
    assert run(prong, "-k", "wc", "-c", stdin=b"x" * 131000).returncode != 255


def test_a_line_of_300_megabytes_is_an_error_of_one_line(prong):
    with subprocess.Popen([prong, "echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as p:
        block = b"x" * (1 << 20)
        try:
            for _ in range(300):
                p.stdin.write(block)
            p.stdin.close()
        except BrokenPipeError:
            pass
        err = p.stderr.read()
        assert p.wait(timeout=120) == 255
        assert err.count(b"\n") == 1 and len(err) < 1000


def test_many_values_need_little_memory(prong):
    """-X of 60 MB: what is kept is one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    data = b"a line of some forty bytes, as in a log\n" * 1500000
    r = run(prong, "-j1", "-X", "true", stdin=data)
    assert r.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert after - before < 20000 or after < 60000


def test_the_directory_vanished(prong, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    r = subprocess.run(["sh", "-c", "rmdir ../gone; exec \"$0\" -k echo ::: 1 2", prong], cwd=gone,
                       capture_output=True, timeout=60, check=False)
    assert r.returncode == 0 and r.stdout == b"1\n2\n"


@pytest.mark.parametrize("args,want", [
    (["--header", "0", "echo", "{a}{b}", "::::", "a", "b"], b"1x\n1y\n2x\n2y\n"),
    (["echo", "{1}{2}", "::::", "empty", "a"], b"1\n2\n"),
    (["-L1", "echo", "[{}]", "::::", "cont"], b"[p q r]\n[s]\n"),
    (["-C", "x*", "echo", "{2}{1}", ":::", "abxc"], b"ba\n"),
    (["--csv", "-C", "\\t", "echo", "{2}{1}", ":::", 'a\t"b""c"'], b'b"ca\n'),
    (["{}x {}", ":::", "echo a"], b"ax echo a\n"),
    (["A={} printenv A; :", ":::", "a  b"], b"a  b\n"),
    (["-q", "{}", "x", ":::", "echo"], b"x\n"),
    (["--plus", "echo", "{host}{sshlogin}[{agrp}]", ":::", "x"], b"::[]\n"),
])
def test_details(prong, tmp_path, args, want):
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "b").write_text("x\ny\n")
    (tmp_path / "cont").write_text("p q \nr\ns\n")
    (tmp_path / "empty").write_text("")
    r = run(prong, "-k", *args)
    assert (r.returncode, r.stdout, r.stderr) == (0, want, b"")


def test_total_jobs_with_values_that_hold_separators(prong):
    r = run(prong, "-k", "--plus", "echo", "{##}{}", ":::", "a\n", "b\nc")
    assert r.stdout == b"4a\n4\n4b\n4c\n"


def test_input_that_cannot_be_read_in_the_middle(prong, tmp_path):
    os.mkdir(tmp_path / "dir")
    r = run(prong, "-k", "-a", "dir", "echo")
    assert r.returncode == 255 and b"dir" in r.stderr and r.stderr.count(b"\n") == 1


def test_the_command_line_is_as_fast_as_its_bytes(prong):
    """Packing is linear: ten times the input takes about ten times as long, not a hundred."""
    def cpu(n):
        data = b"".join(b"%d\n" % i for i in range(n))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run(prong, "-X", "-j1", "true", stdin=data).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime

    assert cpu(1000000) < 60 * max(cpu(100000), 0.02)
