"""--compress: what is printed is what would be printed without it."""

import csv
import gzip
import io
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRONG = os.environ.get("PRONG", str(ROOT / "build" / "prong"))
csv.field_size_limit(1 << 30)


def prong(*args, timeout=120, **kw):
    return subprocess.run([PRONG, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, check=False, **kw)


BIG = "yes {}-line | head -n 500000; yes {}-err | head -n 40000 >&2; :"


@pytest.mark.parametrize("options", [[], ["-k"], ["-k", "--tag"], ["--color"], ["-k", "--color", "--tag"]])
@pytest.mark.parametrize("jobs", ["-j1", "-j3"])
def test_nothing_changes(options, jobs):
    args = [jobs, *options, BIG, ":::", "a", "b", "c"]
    want, got = prong(*args), prong("--compress", *args)
    if jobs == "-j1" or "-k" in options:
        assert got == want or (got.stdout, got.stderr, got.returncode) == (want.stdout, want.stderr, 0)
    else:
        assert sorted(got.stdout.split(b"\n")) == sorted(want.stdout.split(b"\n"))


def test_held_back_output_takes_little_room():
    tmp = pathlib.Path("tmpdir")
    p = subprocess.Popen([PRONG, "-k", "-j2", "--compress", "--tmpdir", str(tmp),
                          "test {} = 1 && while ! test -e go; do sleep 0.1; done; "
                          "head -c 100000000 /dev/zero; test {} = 3 && touch third; :", ":::", "1", "2", "3"],
                         stdout=subprocess.PIPE)
    end = time.monotonic() + 60
    while not os.path.exists("third") and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    held = 0
    children = pathlib.Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text().split()
    for pid in children:
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            if "tmpdir" in os.readlink(fd):
                held += os.stat(fd).st_blocks * 512
    pathlib.Path("go").touch()
    assert len(p.communicate(timeout=60)[0]) == 300_000_000
    assert held < 5_000_000  # 200 MB without


def test_files_are_compressed():
    r = prong("-k", "--compress-program", "gzip", "--results", "d", "echo {}; : ", ":::", "a", "b")
    assert r.stdout == b"" and r.returncode == 0
    assert gzip.decompress(pathlib.Path("d/1/a/stdout").read_bytes()) == b"a\n"
    assert pathlib.Path("d/1/a/stderr").read_bytes() == b""
    r = prong("--compress-program", "gzip", "--files", "--tmpdir", ".", "echo {}; echo e >&2", ":::", "a")
    assert gzip.decompress(pathlib.Path(r.stdout.decode().strip()).read_bytes()) == b"a\n"
    assert r.stderr == b"e\n"


def test_tables_have_the_text():
    prong("--compress", "--results", "o.csv", BIG, ":::", "a")
    row = list(csv.reader(io.StringIO(pathlib.Path("o.csv").read_text())))[1]
    assert row[5] == "3500000" and row[-2] == "a-line\n" * 500000 and row[-1] == "a-err\n" * 40000


def test_other_programs():
    script = "tr a-z n-za-m"
    got = prong("--compress-program", script, "--decompress-program", script, "yes {} | head -c 1000000; :",
                ":::", "hello")
    assert got.stdout == (b"hello\n" * 200000)[:1000000]


def test_retries_and_the_job_log():
    r = prong("-j1", "--compress", "--retries", "2", "--joblog", "log",
              "yes | head -c 200000; test -e once; e=$?; touch once; exit $e", ":::", "1")
    assert (len(r.stdout), r.returncode) == (200000, 0)
    assert pathlib.Path("log").read_text().splitlines()[-1].split("\t")[5] == "200000"


def test_a_background_child_is_not_waited_for():
    start = time.monotonic()
    r = prong("--compress", "yes | head -c 200000; sleep 60 & echo $! > pid; :", ":::", "a")
    assert time.monotonic() - start < 50 and len(r.stdout) == 200000
    os.kill(int(pathlib.Path("pid").read_text()), signal.SIGKILL)
    time.sleep(0.2)


@pytest.mark.parametrize("options", [["--compress-program", "no-such-program-x"],
                                     ["--compress-program", "cat", "--decompress-program", "no-such-program-x"],
                                     ["--compress-program", "false"],
                                     ["--compress-program", "head -c 10; exit 7"],
                                     ["--compress-program", "cat", "--decompress-program", "cat; false;"],
                                     ["--compress-program", "cat > /dev/full"]])
@pytest.mark.parametrize("keep", [[], ["-k"]])
def test_programs_that_fail_are_said(options, keep):
    r = prong("-j1", *keep, *options, "yes | head -c 1000000; :", ":::", "1", "2")
    assert r.returncode == 255 and b"--compress" in r.stderr


def test_nothing_is_installed():
    pathlib.Path("bin").mkdir()
    for tool in ("sh", "cat"):
        os.symlink(shutil.which(tool), f"bin/{tool}")
    r = prong("--compress", "echo", ":::", "1", env={**os.environ, "PATH": str(pathlib.Path("bin").resolve())})
    assert r.returncode == 255 and r.stderr.count(b"\n") == 1 and b"--compress-program" in r.stderr


def test_reader_goes_away():
    p = subprocess.Popen([PRONG, "--compress", "yes | head -c 50000000; :", ":::", *"1234"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.read(100)
    p.stdout.close()
    p.wait(60)
    assert b"lost" not in p.stderr.read()
    p.stderr.close()


def test_interrupted():
    p = subprocess.Popen([PRONG, "--compress", "yes; :", ":::", *"1234"], stdout=subprocess.DEVNULL)
    time.sleep(1)
    p.terminate()
    assert p.wait(60) == -signal.SIGTERM


def test_a_program_that_stops_reading_without_a_word():
    r = prong("--compress", "--compress-program", "head -c 10", "--decompress-program", "cat",
              "seq 100000; echo {}", ":::", "1")
    assert r.returncode == 255 and b"output is lost" in r.stderr
