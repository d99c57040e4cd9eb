"""--as-xargs and prong-xargs: what GNU xargs does, compared with it where it is installed."""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import pytest

from test_tty import sh  # noqa: F401  (a fixture)

XARGS = shutil.which("xargs")
CASES = pathlib.Path(__file__).with_name("xargs-cases").read_text().splitlines()


@pytest.fixture
def link(prong, tmp_path):
    """prong called prong-xargs."""
    path = tmp_path / "prong-xargs"
    path.symlink_to(prong)
    return str(path)


def run(words, data=b"", **more):
    return subprocess.run(words, input=data, capture_output=True, timeout=60, check=False, **more)


def by_bash(line, program):
    return run(["bash", "-c", line + "\nexit ${PIPESTATUS[-1]}"],
               env=dict(os.environ, X=program, LC_ALL="C"))


@pytest.mark.parametrize("line", CASES)
def test_same_as_xargs(link, line):
    """Output, status, and whether there is a message."""
    want, got = by_bash(line, XARGS), by_bash(line, link)
    assert (got.returncode, got.stdout) == (want.returncode, want.stdout)
    assert bool(got.stderr) == bool(want.stderr)
    assert got.stderr.count(b"\n") <= max(1, want.stderr.count(b"\n"))


def test_random_input(link):
    """Words, quotes, backslashes, line ends at random: the same words come out."""
    rng = random.Random(7)
    for _ in range(150):
        data = bytes(rng.choice(b"ab \t\n\n'\"\\\\x\r\xff") for _ in range(rng.randrange(40)))
        options = rng.choice([["-n1"], ["-L1"], ["-L2"], ["-n3", "-x"], ["-I%"], ["-0"], ["-d", "a"],
                              ["-s", "40"], ["-E", "b", "-n2"], ["-r"]])
        words = ["sh", "-c", 'printf "<%s>" "$@"; echo', "sh"] + (["<%>"] if "-I%" in options else [])
        data += b"\n"  # without it GNU xargs may say nothing about an open quote
        want = run([XARGS, *options, *words], data)
        got = run([link, *options, *words], data)
        assert (got.returncode, got.stdout) == (want.returncode, want.stdout), (options, data)


def test_words_over_block_edges(link):
    """A block is 128 KiB: words, quotes and escapes that lie over its edge."""
    for shift in range(6):
        data = b"x" * shift + b" " * 131067 + b"a\\ b 'c d' \"e\"f\n"
        assert run([link, "-n1", "echo"], data).stdout == (b"x" * shift + b"\n" if shift else b"") + \
            b"a b\nc d\nef\n"


def test_nothing_is_lost_in_long_lines(link):
    want = [b"%d" % i for i in range(200000)]
    for options in ([], ["-s", "2000000"], ["-n", "777"]):
        assert run([link, *options, "printf", "%s\\n"], b"\n".join(want)).stdout.split() == want
    counts = run([link, "-P4", "sh", "-c", "echo $#", "sh"], b"\n".join(want)).stdout.split()
    assert len(counts) > 4 and sum(map(int, counts)) == len(want)


def test_a_word_comes_in_pieces(link):
    with subprocess.Popen([link, "-n1", "echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        for piece in (b"'a", b" b'c", b"\\", b" d\ne", b"\n"):
            p.stdin.write(piece)
            p.stdin.flush()
            time.sleep(0.05)
        assert p.stdout.readline() == b"a bc d\n"  # before the end of the input
        assert p.stdout.readline() == b"e\n"
        p.stdin.close()
        assert p.wait(timeout=30) == 0


def test_argument_limits_are_named(link):
    one = run([link, "-s", "1000000", "echo"], b"a" * 131072)
    assert one.returncode == 1 and b"131071" in one.stderr and one.stderr.count(b"\n") == 1
    assert run([link, "-s", "1000000", "printf", "%s"], b"a" * 131071).stdout == b"a" * 131071
    line = run([link, "-s", "20", "echo"], b"a" * 30)
    assert line.returncode == 1 and b"20 bytes" in line.stderr


def test_environment_counts(link):
    """With little stack the system takes less, and pointers count: no E2BIG may come."""
    env = dict(os.environ, **{f"V{i}": "x" * 50 for i in range(1000)})
    r = run(["bash", "-c", "ulimit -s 1024; seq 100000 | exec $X -s 10000000 printf '%s\\n' | wc -l"],
            env=dict(env, X=link))
    assert r.stdout.split() == [b"100000"]


def test_signals_change_the_number_of_jobs(link, tmp_path):
    p = subprocess.Popen([link, "-P1", "-n1", "sh", "-c", "echo x >>log; sleep 100"],
                         stdin=subprocess.PIPE)
    p.stdin.write(b"1\n2\n3\n")
    p.stdin.close()
    log = tmp_path / "log"

    def started(n):
        for _ in range(200):
            if log.exists() and log.read_text().count("x") >= n:
                return True
            time.sleep(0.05)
        return False

    assert started(1)
    p.send_signal(signal.SIGUSR1)
    assert started(2)
    p.send_signal(signal.SIGTERM)
    assert p.wait(timeout=30) == -signal.SIGTERM
    assert log.read_text().count("x") == 2


def test_output_is_not_grouped(link):
    r = run([link, "-P2", "-n1", "sh", "-c", "echo a; sleep 1; echo b"], b"1 2")
    assert r.stdout.split() == [b"a", b"a", b"b", b"b"]


def test_as_xargs_is_the_same(prong):
    assert run([prong, "--as-xargs", "-n1", "echo"], b"a b").stdout == b"a\nb\n"
    assert b"--max-args" in run([prong, "--as-xargs", "--help"]).stdout


def test_no_environment_of_ours(link):
    env = {"PATH": os.environ["PATH"], "A": "b"}
    want = run([XARGS, "env"], env=env)
    assert sorted(run([link, "env"], env=env).stdout.split()) == sorted(want.stdout.split())


def test_interrupt_at_the_question(sh, link):  # noqa: F811
    sh.send(f"printf 'a b c' > in; {link} -a in -n1 -p echo ran; echo status=$?\n")
    sh.expect(rb"echo ran a\?\.\.\.")
    sh.send("\x03")
    sh.send("echo over\n")
    assert b"?..." not in sh.expect(b"over")
