"""{= perl =}, --rpl, --parens, --filter: as a user writes them."""
import os
import re
import subprocess
import time

import pytest
from test_main import run


@pytest.mark.parametrize("args,want", [
    (["echo", "{= s/b/-/ =}", ":::", "abc"], b"a-c\n"),
    (["echo", "{=", "$_++", "=}", "is", "it", ":::", "1"], b"2 is it\n"),
    (["echo", "{=-1 $_.=9 =}", ":::", "a", ":::", "b"], b"b9\n"),
    (["echo", "{=1 =}{=2=}", ":::", "a", ":::", "b"], b"ab\n"),
    (["echo", '{= $_=$job->seq().slot().total_jobs() =}', ":::", "a", "b"], b"112\n212\n"),
    (["echo", '{= $_="$#arg-$arg[2]" =}', ":::", "a", ":::", "b"], b"2-b 2-b\n"),
    (["echo", '{= uq(); $_="a; echo b" =}', ":::", "x"], b"a\nb\n"),
    (["echo", '{= $_=pQ(q($a"b)) =}', ":::", "x"], b'\\$a\\"b\n'),
    (["sh", "-c", '{= $_="echo ".Q($_) =}', ":::", "a  'b"], b"a  'b\n"),
    (["-N2", "echo", "{= $_.=1 =}/{#}", ":::", "a", "b", "c"], b"a1/1 b1/1\nc1/2\n"),
    (["-X", "echo", "p{= $_.=seq() =}", ":::", "a", "b"], b"pa1 pb1\n"),
    (["--tagstring", "{= uc =}{= $_=uc =}", "echo", ":::", "a"], b"aA\ta\n"),
    (["--rpl", "{r} s/a/o/", "echo", "{2r}{-2r}{r}", ":::", "a", ":::", "ba"], b"booo bo\n"),
    (["--rpl", "{r} 1 $_=seq()", "-N2", "echo", "{r}{1}", ":::", "a", "b"], b"1a\n"),
    (["--rpl", "{%(.+?)} s/$$1$//", "echo", "{%.gz} {1%.gz}", ":::", "f.gz"], b"f f\n"),
    (["--rpl", "{(.*?)/(.*?)} $_=\"$$2$_$$1\"", "echo", "{swap/these}", ":::", "-m-"],
     b"these-m-swap\n"),
    (["--rpl", "{%(.*?)} s/$$1//", "--rpl", "{:%(.+?)} s:$$1(\\.[^/]+)*$::", "echo",
      "{:%_file}", ":::", "my_file.tar.gz"], b"my\n"),
    (["--header", ":", "--rpl", "{u} $_=uc", "echo", "{nameu}{=name $_++ =}", ":::", "name", "a"],
     b"Ab\n"),
    (["--parens", "<<>>", "echo", "<<s/a/b/>>{= =}", ":::", "a"], b"b{= =}\n"),
    (["--rpl", "{n} $n=::make_regexp_ungreedy(q(.*x)); s/^$n//", "echo", "{n}", ":::", "axbxc"],
     b"bxc\n"),
])
def test_expressions(prong, args, want):
    r = run(prong, "-k", "-j1", *args)
    assert (r.returncode, r.stdout, r.stderr) == (0, want, b"")


def test_globals_persist_and_each_expression_runs_once(prong):
    r = run(prong, "-k", "echo", "{= $_=++$::n =}{= $_=++$::n =}", ":::", *"abc")
    assert r.stdout == b"11\n22\n33\n"  # the same text is the same replacement string


def test_dates(prong):
    names = ["yyyy_mm_dd_hh_mm_ss", "yyyy_mm_dd_hh_mm", "yyyy_mm_dd", "hh_mm_ss", "hh_mm",
             "yyyymmddhhmmss", "yyyymmddhhmm", "yyyymmdd", "hhmmss", "hhmm"]
    r = run(prong, "-j1", "echo", "{= $_=join(q( ),%s) =}" % ",".join(n + "(0)" for n in names),
            ":::", "x", env={"TZ": "UTC"})
    assert r.stdout == (b"1970-01-01T00:00:00 1970-01-01T00:00 1970-01-01 00:00:00 00:00 "
                        b"19700101000000 197001010000 19700101 000000 0000\n"
                        .replace(b" ", b"\\ ").replace(b"\\ ", b" "))
    now = run(prong, "echo", "{= $_=yyyy_mm_dd() =}", ":::", "x")
    assert re.fullmatch(rb"\d{4}-\d\d-\d\d\n", now.stdout)


def test_quoting_is_the_same_on_both_sides(prong):
    """Q() in perl and {} in C: all bytes but NUL."""
    data = b"".join(bytes([b, 65, b]) + b"\0" for b in range(1, 256))
    r = run(prong, "-k", "-0", "--dry-run", "printf '%s\\0'", "{}", "{= $_=Q($_); uq() =}",
            stdin=data)
    for line in r.stdout.split(b"\nprintf"):
        words = line.split(b"\\0' ", 1)[1].rstrip(b"\n")
        assert words[:len(words) // 2] == words[len(words) // 2 + 1:]


@pytest.mark.parametrize("args,text", [
    (["echo", "{= $_ = ( =}", ":::", "a"], b"no perl expression"),
    (["echo", "{= die 'oops' =}", ":::", "a"], b"oops"),
    (["echo", "{= exit 3 =}", ":::", "a"], b"exit"),
    (["echo", "{= $_=slot(); die 'late' =}", ":::", "a"], b"late"),
    (["--filter", "{1} <", "echo", ":::", "a"], b"--filter: '{1} <'"),
    (["--rpl", " x", "echo", ":::", "a"], b"--rpl"),
    (["--rpl", "{x(} 1", "echo", ":::", "a"], b"--rpl"),
    (["--parens", "abc", "echo", ":::", "a"], b"--parens"),
])
def test_errors_are_one_line(prong, args, text):
    r = run(prong, *args)
    assert (r.returncode, r.stdout) == (255, b"")
    assert text in r.stderr and r.stderr.count(b"\n") == 1


def test_without_perl(prong, tmp_path):
    (tmp_path / "bin").mkdir()
    r = run(prong, "echo", "{= 1 =}", ":::", "a", env={"PATH": str(tmp_path / "bin")})
    assert r.returncode == 255
    assert b"install the package 'perl'" in r.stderr and r.stderr.count(b"\n") == 1


def test_perl_is_not_started_without_need(prong, tmp_path):
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "perl").write_text("#!/bin/sh\ntouch %s/used\nexit 1\n" % tmp_path)
    (fake / "perl").chmod(0o755)
    path = f"{fake}:{os.environ['PATH']}"
    assert run(prong, "--plus", "echo", "{..}{##}", ":::", "a.b.c", env={"PATH": path}).returncode == 0
    assert not (tmp_path / "used").exists()
    assert run(prong, "echo", "{= $_++ =}", ":::", "a", env={"PATH": path}).returncode == 255
    assert (tmp_path / "used").exists()


@pytest.mark.parametrize("expression", ["if($_%3==0) { skip() }", "slot(); if($_%3==0) { skip() }"])
def test_skip_counts_as_failed(prong, expression):
    r = run(prong, "-k", "echo", "{= %s =}" % expression, stdin=b"".join(b"%d\n" % i for i in range(99)))
    assert r.returncode == 33
    assert r.stdout == b"".join(b"%d\n" % i for i in range(99) if i % 3)


@pytest.mark.parametrize("condition,want", [
    ("{1} < {2}+1", "11 12 22"), ('"{1}" ne "{2}"', "12 21"), ("'{1}' eq '{2}'", "11 22"),
    ("{= $_+=1 =} == 2", "11 12"), ("{1} =~ /^1$/ && {2} == 2", "12"), ('{=2 $_+=1 =} == 3', "12 22"),
])
def test_filter(prong, condition, want):
    r = run(prong, "-k", "--filter", condition, "echo", "{1}{2}", ":::", "1", "2", ":::", "1", "2")
    assert r.stdout.decode().split() == want.split()
    assert r.returncode == 4 - len(want.split())


def test_filter_does_not_run_its_values(prong, tmp_path):
    evil = ["system('touch %s/run')" % tmp_path, "`touch %s/run`" % tmp_path, "\";exit;\"", "'"]
    for condition in ("{} eq 'a'", "'{}' eq 'a'", '"{}" eq "a"', "{} =~ /a b/"):
        r = run(prong, "--filter", condition, "echo", ":::", *evil)
        assert (r.returncode, r.stdout, r.stderr) == (4, b"", b"")
    assert not (tmp_path / "run").exists()


def test_many_jobs_and_big_values(prong):
    n = 100000
    r = run(prong, "--dry-run", "echo", "{= $_=seq()-$_ =}",
            stdin=b"".join(b"%d\n" % i for i in range(n)))
    assert r.stdout == b"echo 1\n" * n
    big = b"x" * 100000
    r = run(prong, "-k", "-j1", "echo", "{= $_=length =}", stdin=(big + b"\n") * 300)
    assert r.stdout == b"100000\n" * 300


def test_bytes_pass_unchanged(prong):
    data = bytes(range(1, 10)) + bytes(range(11, 256))
    r = run(prong, "-0", "printf", "%s", "{= $_.='' =}", stdin=data)
    assert r.stdout == data


def test_the_first_job_does_not_wait_for_more_input(prong):
    with subprocess.Popen([prong, "-u", "echo", "{= $_++ =}"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as p:
        for i in range(3):
            p.stdin.write(b"%d\n" % i)
            p.stdin.flush()
            assert p.stdout.readline() == b"%d\n" % (i + 1)
        p.stdin.close()
        assert p.wait(timeout=30) == 0


def test_killed_runs_leave_no_perl(prong, audit):
    from conftest import carriers
    p = subprocess.Popen([prong, "-j1", "sleep", "{= $_ =}", ":::", "100"])
    time.sleep(0.5)
    p.kill()
    p.wait()
    for _ in range(200):
        if not carriers(audit):
            break
        time.sleep(0.1)
    assert not carriers(audit)
