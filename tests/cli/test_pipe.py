"""--pipe, --pipe-part and their kin: what the jobs get is the input, cut at record ends."""
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest


def run(prong, *args, stdin=b"", env=None, timeout=120, **more):
    e = dict(os.environ, **(env or {}))
    return subprocess.run([prong, *args], input=stdin, capture_output=True, timeout=timeout, env=e,
                          **more)


def blocks(prong, data, *args, how="pipe", timeout=120):
    """What each job got, in order.  how: standard input is a pipe or a file, or --pipe-part."""
    here = pathlib.Path("parts")
    here.mkdir(exist_ok=True)
    for old in here.iterdir():
        old.unlink()
    pathlib.Path("data").write_bytes(data)
    if how == "part":
        r = run(prong, "--pipe-part", "-a", "data", *args, "cat > parts/{#}", timeout=timeout)
    elif how == "file":
        with open("data", "rb") as f:
            r = subprocess.run([prong, "--pipe", *args, "cat > parts/{#}"], stdin=f,
                               capture_output=True, timeout=timeout)
    else:
        r = run(prong, "--pipe", *args, "cat > parts/{#}", stdin=data, timeout=timeout)
    assert r.returncode == 0, r.stderr
    return [(here / n).read_bytes() for n in sorted(os.listdir(here), key=int)]


def lines(rng, n, longest):
    return b"".join(bytes(rng.choices(b"ab\0\r\xff\xc3", k=int(longest * rng.random() ** 3))) + b"\n"
                    for _ in range(n))


# ---- where it is cut ----

@pytest.mark.parametrize("how", ["pipe", "file", "part"])
@pytest.mark.parametrize("seed", range(12))
def test_random_lines(prong, how, seed):
    rng = random.Random(seed)
    data = lines(rng, rng.randrange(1, 400), rng.choice([3, 40, 2000]))
    if rng.random() < 0.5:
        data += b"no end"
    got = blocks(prong, data, "--block", str(rng.choice([1, 7, 100, 3000, 70000])), how=how)
    assert b"".join(got) == data
    assert all(g.endswith(b"\n") for g in got[:-1])


@pytest.mark.parametrize("how", ["pipe", "file", "part"])
@pytest.mark.parametrize("seed", range(8))
def test_random_separators(prong, how, seed):
    rng = random.Random(100 + seed)
    end, start = rng.choice([("ab", ""), ("", "ab"), ("a", "b"), ("aa", ""), ("aba", "b"), ("", "a")])
    data = bytes(rng.choices(b"abc", k=rng.randrange(1, 3000)))
    args = [a for o, v in (("--recend", end), ("--recstart", start)) if v for a in (o, v)]
    got = blocks(prong, data, *args, "--block", str(rng.choice([1, 20, 500])), how=how)
    assert b"".join(got) == data
    at = 0
    for g in got[:-1]:
        at += len(g)
        assert data[:at].endswith(end.encode()) and data[at:].startswith(start.encode())


@pytest.mark.parametrize("seed", range(6))
def test_a_pipe_and_a_file_are_cut_alike(prong, seed):
    rng = random.Random(200 + seed)
    data = lines(rng, 200, rng.choice([20, 30000]))
    for block in ("50", "4k", "1M", "1500k", "2M"):
        assert blocks(prong, data, "--block", block) == blocks(prong, data, "--block", block, how="file")


@pytest.mark.parametrize("how", ["pipe", "file"])
@pytest.mark.parametrize("seed", range(4))
def test_counted_records(prong, how, seed):
    rng = random.Random(300 + seed)
    data = lines(rng, rng.randrange(1, 200), 50)
    n = rng.randrange(1, 60)
    want = data.splitlines(keepends=True) if b"\r" not in data else re.findall(rb"[^\n]*\n", data)
    got = blocks(prong, data, "-N", str(n), how=how)
    assert got == [b"".join(want[i:i + n]) for i in range(0, len(want), n)]


def test_lines_make_records(prong):
    data = b"".join(b"%d\n" % i for i in range(1000))
    got = blocks(prong, data, "-L", "3", "--block", "100")
    assert b"".join(got) == data
    assert all(g.count(b"\n") % 3 == 0 for g in got[:-1])
    assert blocks(prong, data, "-L", "3", "-N", "10")[0].count(b"\n") == 30


@pytest.mark.parametrize("args,data,want", [
    (["-N1"], b"a\r\nb\r\n", [b"a\r\n", b"b\r\n"]),
    (["-N1"], b"\0\n\n\xff\n", [b"\0\n", b"\n", b"\xff\n"]),
    (["-N2"], b"x", [b"x"]),
    (["--recend", "\\0", "-N1"], b"a\0b\0", [b"a\0", b"b\0"]),
    (["--recend", "", "--block", "3"], b"12345678", [b"123", b"456", b"78"]),
    (["--recend", "", "-N2"], b"12345", [b"12", b"34", b"5"]),
    (["--recend", "\\n\\n", "-N1"], b"a\n\nb\n\n\nc\n", [b"a\n\n", b"b\n\n", b"\nc\n"]),
    (["--recstart", ">", "-N1"], b"junk\n>a\n>b\n", [b"junk\n", b">a\n", b">b\n"]),
    (["--regexp", "--recend", "[0-9]+", "-N1"], b"a1b22c333d", [b"a1", b"b22", b"c333", b"d"]),
    (["--regexp", "--recstart", "[0-9]+", "-N1"], b"a1b22c", [b"a", b"1b", b"22c"]),
    (["--regexp", "--recend", "E", "--recstart", "S[0-9]", "-N1"], b"aES1ESxES2", [b"aE", b"S1ESxE", b"S2"]),
    (["--rrs", "--recend", ";", "-N2"], b"a;b;c;", [b"ab", b"c"]),
    (["--rrs", "--recstart", ">", "-N1"], b">a>b", [b"a", b"b"]),
    (["--rrs", "--recend", ";", "--recstart", ">"], b">a;>b;>c", [b"abc"]),
    (["--rrs", "--regexp", "--recend", "[0-9]+", "-N1"], b"a1b22c", [b"a", b"b", b"c"]),
    (["--csv", "-N1"], b'a,"x\ny"\nb\n', [b'a,"x\ny"\n', b"b\n"]),
    (["--group-by", "1", "--colsep", ",", "-N1"], b"a,1\na,2\nb,3\n", [b"a,1\na,2\n", b"b,3\n"]),
    (["--group-by", "k", "--colsep", ",", "--header", ":", "-N1"], b"v,k\n1,x\n2,x\n3,y\n",
     [b"v,k\n1,x\n2,x\n", b"v,k\n3,y\n"]),
    (["--header", ":", "-N1"], b"h\n1\n2\n", [b"h\n1\n", b"h\n2\n"]),
    (["--header", "2", "-N2"], b"g\nh\n1\n2\n3\n", [b"g\nh\n1\n2\n", b"g\nh\n3\n"]),
    (["--header", "(#.*\\n)*", "-N1"], b"#a\n#b\n1\n2\n", [b"#a\n#b\n1\n", b"#a\n#b\n2\n"]),
    (["-r", "-N1"], b"\n \na\n\n", [b"a\n"]),
])
def test_records(prong, args, data, want):
    assert blocks(prong, data, *args) == want


@pytest.mark.skipif(not shutil.which("perl"), reason="no perl")
def test_keys_by_perl(prong):
    data = b"".join(b"%d-%d,x\n" % (i // 50, i // 7 % 2) for i in range(5000))
    got = blocks(prong, data, "--colsep", ",", "--group-by", r"1 s/-\d//", "-N1")
    assert b"".join(got) == data
    assert [set(re.findall(rb"(\d+)-", g)) for g in got] == [{b"%d" % i} for i in range(100)]
    got = blocks(prong, data, "--group-by", "$_ = length", "--block", "300", how="part")
    assert b"".join(got) == data and len(got) > 1
    seq = b"".join(b"%d\n" % i for i in range(30000))
    r = run(prong, "-j3", "-k", "--pipe", "--bin", "1 $_ = $_ % 3 + 1", "sed -n '1p;$p'", stdin=seq)
    assert r.stdout.split() == [b"0", b"29997", b"1", b"29998", b"2", b"29999"]
    for how in (["--bin"], ["--group-by"]):
        r = run(prong, "--pipe", *how, "1 die 'no'", "cat", stdin=seq)
        assert r.returncode == 255 and r.stderr.count(b"\n") == 1 and b"perl: no" in r.stderr


def test_part_blocks_for_each_slot(prong):
    data = b"".join(b"%d\n" % i for i in range(9000))
    for per in (1, 3):
        got = blocks(prong, data, "-j4", "--block", "-%d" % per, how="part")
        assert len(got) == 4 * per and b"".join(got) == data


def test_part_groups(prong):
    data = b"".join(b"%d,%d\n" % (i // 7, i) for i in range(1000))
    got = blocks(prong, data, "--colsep", ",", "--group-by", "1", "--block", "50", how="part")
    assert b"".join(got) == data and len(got) > 50
    keys = [{line.split(b",")[0] for line in g.split()} for g in got]
    assert not any(a & b for a, b in zip(keys, keys[1:]))


def test_several_files(prong, tmp_path):
    for name, text in (("f", "1\n2\n"), ("g", "3\n4")):
        (tmp_path / name).write_text(text)
    for args in (["--pipe", "-N1"], ["--pipe-part", "--block", "1"]):
        r = run(prong, *args, "-k", "-a", "f", "-a", "g", "cat; echo .")
        assert r.stdout == b"1\n.\n2\n.\n3\n.\n4.\n"


# ---- large things ----

@pytest.mark.parametrize("how", ["pipe", "file", "part"])
def test_blocks_larger_than_the_window(prong, how):
    rng = random.Random(5)
    data = b"".join(b"%d\n" % rng.getrandbits(300) for _ in range(150000))  # 13 MB
    got = blocks(prong, data, "--block", "3M", "-j2", how=how)
    assert b"".join(got) == data and 4 <= len(got) <= 6
    assert all(g.endswith(b"\n") for g in got)


def test_slow_jobs_get_it_all(prong):
    data = b"".join(b"%d\n" % i for i in range(1500000))  # 10 MB
    r = run(prong, "-j2", "-k", "--pipe", "--block", "4M", "sleep 0.3; cat", stdin=data)
    assert r.stdout == data


@pytest.mark.parametrize("args", [["--block", "2M"], ["-N1"], ["-L1", "--block", "2M"],
                                  ["--regexp", "--recend", "\\n", "--block", "2M"],
                                  ["--rrs", "--block", "2M"], ["--round-robin"], ["--shard", "1"],
                                  ["--tee"]])
def test_a_line_of_300_megabytes(prong, args):
    """It goes through; how much memory it took is told by the runner's peak."""
    size = 300 << 20
    make = "echo a; head -c %d /dev/zero | tr '\\0' x; echo; echo b" % size
    r = subprocess.run("(%s) | %s -j2 --pipe %s 'wc -c; grep VmHWM /proc/$PARALLEL_PID/status >&2'"
                       % (make, prong, " ".join("'%s'" % a for a in args)),
                       shell=True, capture_output=True, timeout=300)
    assert r.returncode == 0, r.stderr
    got = sorted(int(n) for n in r.stdout.split())
    whole = size + (2 if "--rrs" in args else 5)
    assert (got == [whole, whole] if args == ["--tee"] and len(got) == 2 else sum(got) == whole)
    peak = max(int(n) for n in re.findall(rb"VmHWM:\s+(\d+)", r.stderr))
    assert peak < 40 << 10, "kilobytes"


def test_the_end_of_a_block_is_not_waited_for(prong):
    """With -N a job starts when its records are there, not when the window is full."""
    p = subprocess.Popen([prong, "--pipe", "-N1", "-j1", "-u", "cat"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
    for i in range(3):
        p.stdin.write(b"%d\n" % i)
        p.stdin.flush()
        assert p.stdout.readline() == b"%d\n" % i
    p.stdin.close()
    assert p.wait(60) == 0


def test_block_timeout(prong):
    p = subprocess.Popen([prong, "--pipe", "--block-timeout", "0.2", "-u", "cat"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdin.write(b"early\nhalf")
    p.stdin.flush()
    assert p.stdout.readline() == b"early\n"
    p.stdin.close()
    assert p.stdout.read() == b"half" and p.wait(60) == 0


# ---- jobs that run all the time ----

@pytest.mark.parametrize("args", [["--round-robin", "--block", "2k"], ["--round-robin", "-k", "-N7"],
                                  ["--shard", "1"], ["--bin", "1"], ["--round-robin", "--pipe-part", "-a", "data"]])
def test_spread_over_standing_jobs(prong, args, tmp_path):
    data = [b"%d\n" % i for i in range(100000)]
    (tmp_path / "data").write_bytes(b"".join(data))
    got = run(prong, "-j3", "--pipe", *args, "cat > part.{#}", stdin=b"".join(data))
    assert got.returncode == 0, got.stderr
    parts = [(tmp_path / ("part.%d" % i)).read_bytes().splitlines(keepends=True) for i in (1, 2, 3)]
    assert sorted(sum(parts, [])) == sorted(data) and all(parts)
    if "--bin" in args:
        assert parts[0] == data[1::3] and parts[1] == data[2::3] and parts[2] == data[0::3]
    if "-k" in args:
        assert parts[1][:14] == data[7:14] + data[28:35]


def test_shard_by_name(prong):
    data = b"k,v\n" + b"".join(b"%d,%d\n" % (i % 10, i) for i in range(300))
    r = run(prong, "-j3", "-k", "--pipe", "--colsep", ",", "--header", ":", "--shard", "k",
            "cut -d, -f1 | sort -u | sed 's/^/{#} /'", stdin=data)
    keys = [line.split()[1] for line in r.stdout.splitlines()]
    assert sorted(keys) == sorted(b"%d" % i for i in range(10))
    r = run(prong, "--pipe", "--colsep", ",", "--header", ":", "--shard", "nope", "cat", stdin=data)
    assert r.returncode == 255 and b"no column is called 'nope'" in r.stderr


@pytest.mark.parametrize("how", ["pipe", "file"])
def test_tee(prong, how, tmp_path):
    data = b"".join(b"%d\n" % i for i in range(300000))
    (tmp_path / "data").write_bytes(data)
    args = ["-k", "--pipe", "--tee"] + (["-a", "data"] if how == "file" else [])
    r = run(prong, *args, "sleep 0.{}; md5sum", ":::", "0", "1", "2", stdin=data)
    assert len(r.stdout.splitlines()) == 3 and len(set(r.stdout.splitlines())) == 1
    r = run(prong, "-j2", *args, "cat", ":::", "a", "b", "c", stdin=data)
    assert r.returncode == 255 and b"write -j3" in r.stderr


def test_one_of_all_goes_early(prong):
    data = b"".join(b"%d\n" % i for i in range(500000))
    for args in (["--round-robin", "--block", "10k"], ["--tee"], ["--shard", "1"]):
        r = run(prong, "-j3", "--pipe", *args, "[ {#} = 2 ] || cat > /dev/null", stdin=data)
        assert r.returncode == 0, r.stderr


# ---- files ----

def test_cat(prong, tmp_path):
    r = run(prong, "-k", "--cat", "-N2", "cat {}; wc -l < {}", stdin=b"1\n2\n3\n")
    assert r.stdout == b"1\n2\n2\n3\n1\n"
    data = b"".join(b"%d\n" % i for i in range(700000))
    assert run(prong, "-k", "--cat", "--block", "2M", "cat {}", stdin=data).stdout == data


def test_fifo(prong):
    data = b"".join(b"%d\n" % i for i in range(700000))
    assert run(prong, "-k", "--fifo", "--block", "300k", "cat {}", stdin=data).stdout == data
    assert run(prong, "-k", "--fifo", "-N1", "sleep 0.1; cat {}", stdin=b"1\n2\n").stdout == b"1\n2\n"
    r = run(prong, "-j2", "--fifo", "-N1", "echo not opened", stdin=b"1\n2\n3\n")
    assert (r.returncode, r.stdout) == (0, b"not opened\n" * 3)
    assert run(prong, "--fifo", "-N1", "head -c1 {}", stdin=data[:100]).returncode == 0


def test_files_go_away_after_a_signal(prong):
    for how in ("--cat", "--fifo"):
        p = subprocess.Popen([prong, how, "-N1", "-u", "echo up; sleep 100; : {}"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        p.stdin.write(b"1\n")
        p.stdin.flush()
        assert p.stdout.readline() == b"up\n"
        p.send_signal(signal.SIGTERM)
        p.wait(60)
        p.stdin.close()


# ---- what else goes with it ----

def test_seq_slot_values_and_environment(prong):
    r = run(prong, "-k", "-j1", "--pipe", "-N1", "echo {#} {%} $PARALLEL_SEQ [{}]; cat", stdin=b"a\nb\n")
    assert r.stdout == b"1 1 1 []\na\n2 1 2 []\nb\n"
    r = run(prong, "-k", "--pipe", "-N1", "--tagstring", "t{#}", "cat", stdin=b"a\nb\n")
    assert r.stdout == b"t1\ta\nt2\tb\n"


def test_retries_get_the_block_again(prong):
    for block in ("1M", "2M"):
        data = b"".join(b"%d\n" % i for i in range(400000))
        r = run(prong, "-k", "-j2", "--pipe", "--block", block, "--retries", "2",
                "cat > got.{#}; [ -e once.{#} ] || { : > once.{#}; exit 1; }; cat got.{#}", stdin=data)
        assert (r.returncode, r.stdout) == (0, data)
        for f in pathlib.Path().glob("once.*"):
            f.unlink()


def test_joblog_counts_bytes(prong):
    data = b"".join(b"%d\n" % i for i in range(2000))
    run(prong, "-k", "--pipe", "--block", "1k", "--joblog", "log", "wc -l", stdin=data)
    rows = [r.split("\t") for r in pathlib.Path("log").read_text().splitlines()[1:]]
    assert sum(int(r[4]) for r in rows) == len(data) and len(rows) == 9


def test_jobs_that_do_not_read(prong):
    data = b"x" * 99 + b"\n"
    r = run(prong, "-j4", "--pipe", "--block", "200k", "echo ran", stdin=data * 100000)
    assert (r.returncode, r.stdout) == (0, b"ran\n" * 50)
    r = run(prong, "-j2", "--pipe", "--block", "4M", "head -c 1", stdin=data * 100000)
    assert (r.returncode, r.stdout) == (0, b"xxx")


def test_what_follows_in_a_script_gets_the_rest(prong, tmp_path):
    """A file is used from where it stands, and stands at its end afterwards."""
    (tmp_path / "data").write_text("1\n2\n3\n")
    r = subprocess.run("(read x; %s --pipe cat; cat; echo end) < data" % prong, shell=True,
                       capture_output=True, timeout=60)
    assert r.stdout == b"2\n3\nend\n"


def test_epipe_in_the_middle(prong):
    r = subprocess.run("seq 1000000 | %s -k --pipe --block 10k cat | head -n 3; echo ${PIPESTATUS[1]}"
                       % prong, shell=True, executable="/bin/bash", capture_output=True, timeout=60)
    assert r.stdout.startswith(b"1\n2\n3\n") and r.stderr == b""


def test_a_full_place_for_files(prong):
    """A file size limit is what a full disk looks like."""
    data = b"x" * (8 << 20) + b"\n"
    r = subprocess.run([prong, "--pipe", "--block", "2M", "--retries", "2", "wc", "-c"], input=data,
                       capture_output=True, timeout=60, preexec_fn=lambda: (
                           signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                           resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))))
    assert r.returncode == 255
    assert r.stderr.count(b"\n") == 1 and b"--tmpdir" in r.stderr


def test_signals_while_a_job_does_not_read(prong):
    p = subprocess.Popen([prong, "-j1", "-u", "--pipe", "--block", "8M", "echo up; sleep 100"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        p.stdin.write(b"x\n" * (1 << 20))
        p.stdin.flush()
    except BrokenPipeError:
        pass
    assert p.stdout.readline() == b"up\n"
    start = time.time()
    p.send_signal(signal.SIGTERM)
    assert p.wait(60) == -signal.SIGTERM
    assert time.time() - start < 50
    p.stdin.close()


@pytest.mark.parametrize("args,says", [
    (["--pipe"], b"needs a command"),
    (["--fifo", "--cat", "cat", "{}"], b"do not go together"),
    (["--pipe-part", "cat"], b"needs a file"),
    (["--pipe-part", "-N1", "-a", "/etc/passwd", "cat"], b"does not count records"),
    (["--pipe-part", "-a", "/dev/null", "cat"], b"neither a file nor a block device"),
    (["--pipe", "-a", "/nonexistent", "cat"], b"No such file"),
    (["--pipe", "-a", "/", "cat"], b"it is a directory"),
    (["--pipe", "--block", "-1", "cat"], b"--pipe-part"),
    (["--pipe", "--block", "x", "cat"], b"write a size"),
    (["--pipe", "--regexp", "--recend", "(", "cat"], b"no regular expression"),
    (["--pipe", "--header", "(", "cat"], b"no regular expression"),
    (["--pipe", "--tee", "--round-robin", "cat"], b"only one of"),
    (["--round-robin", "--retries", "3", "cat"], b"cannot be given twice"),
    (["--pipe", "--group-by", "x", "cat"], b"is no number of a column"),
])
def test_refused(prong, args, says):
    r = run(prong, *args, stdin=b"1\n2\n")
    assert r.returncode == 255 and says in r.stderr and r.stderr.count(b"\n") == 1
    assert r.stdout == b""


def test_no_input(prong):
    for args in (["--pipe"], ["--round-robin"], ["--pipe", "-N1"]):
        r = run(prong, *args, "echo ran")
        assert (r.returncode, r.stdout) == (0, b"")
