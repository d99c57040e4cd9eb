"""--interactive and --open-tty, on a pseudo-terminal."""

import os
import pathlib
import subprocess
import time

from test_tty import sh  # noqa: F401  (a fixture)

# pylint: disable=redefined-outer-name


def test_yes_no_and_the_job_log(sh, prong):  # noqa: F811
    sh.send(f"{prong} -j1 -p --joblog log 'echo got-{{}}; :' ::: a b c d; echo rc=$?\n")
    for answer, value in (("y", "a"), ("n", "b"), ("", "c"), ("Yes, do", "d")):
        sh.expect(f"echo got-{value}; : \\?\\.\\.\\.".encode())
        sh.send(answer + "\n")
        if answer[:1] in ("y", "Y"):
            sh.expect(f"got-{value}\r\n".encode())
    sh.expect(b"rc=2")
    rows = [r.split(b"\t") for r in pathlib.Path("log").read_bytes().splitlines()[1:]]
    assert sorted((r[0], r[6]) for r in rows) == [(b"1", b"0"), (b"2", b"-2"), (b"3", b"-2"), (b"4", b"0")]
    sh.send(f"{prong} --resume-failed --joblog log echo again-{{}} ::: a b c d | sort | tr '\\n' ' '; echo\n")
    sh.expect(b"again-b again-c \r\n")  # the echo: the pipeline is gone


def test_interrupt_at_the_question(sh, prong):  # noqa: F811
    sh.send(f"{prong} -j1 -p 'echo ran-{{}} >> ran; :' ::: a b; echo rc=$?\n")
    sh.expect(rb"a >> ran; : \?\.\.\.")
    sh.send("\x03")
    sh.send("echo done\n")
    sh.expect(b"done")
    assert not pathlib.Path("ran").exists()


def test_stop_at_the_question_and_go_on(sh, prong):  # noqa: F811
    sh.send(f"{prong} -j1 -p 'echo got-{{}}; :' ::: a\n")
    sh.expect(rb"\?\.\.\.")
    sh.send("\x1a")
    sh.expect(b"Stopped")
    sh.send("echo between\n")
    sh.expect(b"between")
    sh.send("fg\n")
    sh.expect(rb"\?\.\.\.")
    sh.send("y\n")
    sh.expect(b"got-a")
    sh.send("echo done\n")
    sh.expect(b"done")


def test_in_the_background_it_stops_instead_of_taking_the_terminal(sh, prong):  # noqa: F811
    sh.send(f"{prong} -j1 -p 'echo got-{{}}; :' ::: a &\n")
    time.sleep(1)
    sh.send("echo still mine; jobs\n")
    sh.expect(b"Stopped")
    sh.send("fg\n")
    sh.expect(rb"\?\.\.\.")
    sh.send("y\n")
    sh.expect(b"got-a")
    sh.send("echo done\n")
    sh.expect(b"done")


def test_without_a_terminal(prong):
    r = subprocess.run([prong, "-p", "echo", ":::", "a"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False,
                       start_new_session=True)
    assert r.returncode == 255 and r.stdout == b"" and r.stderr.count(b"\n") == 1


def test_typed_values_and_questions_do_not_mix(sh, prong):  # noqa: F811
    sh.send(f"{prong} -p echo; echo rc=$?\n")
    sh.expect(b"rc=255")


def test_open_tty_jobs_read_the_terminal(sh, prong):  # noqa: F811
    sh.send(f"{prong} -o -j2 'read x; echo [$x]; :' ::: a b; echo rc=$?\n")
    time.sleep(0.5)
    sh.send("one\n")
    sh.expect(rb"\[one\]")
    sh.send("two\n")
    sh.expect(rb"\[two\]")
    sh.expect(b"rc=0")
    sh.send("read y; echo shell-$y\n")  # the terminal is the shell's again
    time.sleep(0.2)
    sh.send("three\n")
    sh.expect(b"shell-three")


def test_open_tty_interrupt_leaves_nothing(sh, prong):  # noqa: F811
    sh.send(f"{prong} -o -j2 'read x; echo [$x]; :' ::: a b\n")
    time.sleep(0.5)
    sh.send("\x03")
    time.sleep(2)  # what is typed until it has ended may be read by a job
    sh.send("echo done\n")
    sh.expect(b"done")


def test_open_tty_without_a_terminal(prong):
    r = subprocess.run([prong, "-k", "--open-tty", "echo", ":::", "a", "b"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, timeout=60, check=True, start_new_session=True)
    assert r.stdout == b"a\nb\n"
