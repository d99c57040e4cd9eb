"""--template FILE=NAME: files that are filled in for each job."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRONG = os.environ.get("PRONG", str(ROOT / "build" / "prong"))


def prong(*args, **kw):
    return subprocess.run([PRONG, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False, **kw)


def out(*args, **kw):
    r = prong(*args, **kw)
    assert r.returncode == 0, r.stderr
    return r.stdout


def test_values_are_put_in_as_they_are():
    pathlib.Path("t").write_bytes(b"v={} {#} {%} {/.}\n\0{.}$x'\xff")
    got = out("-j1", "--template", "t=made/{#}.conf", "cat made/{#}.conf; :", ":::", "a b/$HOME 'c.d")
    assert got == b"v=a b/$HOME 'c.d 1 1 $HOME 'c\n\0a b/$HOME 'c$x'\xff"


def test_names_of_columns_and_several_files():
    pathlib.Path("one").write_text("{x}-{y}")
    pathlib.Path("two").write_text("{2}={1}\n")
    got = out("-k", "--header", ":", "--tmpl", "one={x}{y}.1", "--template", "two={x}{y}.2",
              "cat {x}{y}.1 {x}{y}.2", ":::", "x", "a", "b", ":::", "y", "1")
    assert got == b"a-11=a\nb-11=b\n"


def test_cleanup_removes_them():
    pathlib.Path("t").write_text("{}")
    assert out("-k", "--cleanup", "--template", "t={}.o", "cat {}.o; exit 0", ":::", "a", "b") == b"ab"
    assert not list(pathlib.Path(".").glob("*.o"))
    out("--template", "t={}.o", "true", ":::", "a", "b")
    assert len(list(pathlib.Path(".").glob("*.o"))) == 2


def test_dry_run_writes_nothing():
    pathlib.Path("t").write_text("{}")
    assert out("--dry-run", "--template", "t={}.o", "cat {}.o", ":::", "a") == b"cat a.o\n"
    assert not pathlib.Path("a.o").exists()


@pytest.mark.parametrize("spec,word", [("nofile={}", b"nofile"), ("t", b"FILE=NAME"), ("=x", b"FILE=NAME"),
                                       ("t=", b"FILE=NAME"), ("t=/proc/no/{}", b"/proc/no"),
                                       (".={}", b"'.'"), ("t=full", b"full")])
def test_what_cannot_be_is_said_once(spec, word):
    pathlib.Path("t").write_text("{}")
    os.symlink("/dev/full", "full")
    r = prong("-j1", "--template", spec, "echo", ":::", "a", "b")
    assert r.returncode == 255 and r.stdout == b""
    assert r.stderr.count(b"\n") == 1 and word in r.stderr


def test_cleanup_alone_is_declined():
    r = prong("--cleanup", "echo", ":::", "a")
    assert r.returncode == 255 and r.stderr.count(b"\n") == 1
