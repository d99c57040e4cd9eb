"""Job control, on a pseudo-terminal with a real shell."""
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from conftest import carriers


class Shell:
    """An interactive bash; expect() waits for text."""

    def __init__(self):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1="", TERM="dumb", HISTFILE="/dev/null")
            os.environ.pop("PARALLEL_SHELL", None)
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.seen = b""
        self.send("stty -echo; bind 'set enable-bracketed-paste off'; PS1=; echo rea''dy\n")
        self.expect(b"ready")

    def send(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, seconds=20):
        end = time.time() + seconds
        while True:
            m = re.search(pattern, self.seen)
            if m:
                got, self.seen = self.seen[:m.end()], self.seen[m.end():]
                return got
            left = end - time.time()
            assert left > 0, f"no {pattern!r} in {self.seen!r}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    assert False, f"the terminal is gone; seen {self.seen!r}"

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.fixture
def sh(audit):
    s = Shell()
    yield s
    s.close()


def test_ctrl_c_stops_a_loop(sh, prong):
    sh.send(f"for i in 1 2 3; do {prong} 'echo r{{}}; sleep 60' --line-buffer ::: $i; done; echo end=$?\n"
            .replace("'echo", "--line-buffer 'echo").replace(" --line-buffer :::", " :::"))
    sh.expect(b"r1")
    sh.send("\x03")
    sh.send("echo status=$?; echo over\n")
    got = sh.expect(b"over")
    assert b"r2" not in got and b"status=130" in got


def test_ctrl_z_fg(sh, prong):
    sh.send(f"{prong} --line-buffer 'echo r{{}}; sleep 0.5; echo s{{}}' ::: 1; echo rc=$?\n")
    sh.expect(b"r1")
    sh.send("\x1a")
    sh.expect(b"Stopped")
    time.sleep(0.7)
    sh.send("echo quiet; fg\n")
    got = sh.expect(b"s1")
    assert b"s1" not in got.split(b"quiet")[0]
    sh.send("wait; echo done\n")
    sh.expect(b"done")


def test_ctrl_z_bg(sh, prong, tmp_path):
    sh.send(f"{prong} 'sleep 0.5; echo s{{}} > {tmp_path}/f' ::: 1\n")
    time.sleep(0.3)
    sh.send("\x1a")
    sh.expect(b"Stopped")
    sh.send("bg; wait; cat f; echo done\n")
    got = sh.expect(b"done")
    assert b"s1" in got


def test_background_from_the_start(sh, prong):
    sh.send(f"{prong} 'sleep 0.2; echo s{{}}' ::: 1 & wait; echo done\n")
    got = sh.expect(b"done")
    assert b"s1" in got and b"Stopped" not in got


def test_kill_percent_one(sh, prong, audit):
    sh.send(f"{prong} 'setsid sleep 60; : {{}}' ::: 1 2 &\n")
    time.sleep(0.4)
    sh.send("kill -9 %1; wait; echo done\n")
    sh.expect(b"done")
    end = time.time() + 5
    while len(carriers(audit)) > 1 and time.time() < end:
        time.sleep(0.05)
    assert carriers(audit) == [sh.pid]


def test_typed_arguments(sh, prong):
    sh.send(f"{prong} -k 'echo got-{{}}'\n")
    sh.expect(b"Ctrl-D")
    sh.send("one\ntwo\n\x04")
    sh.expect(b"got-one\r\ngot-two")
    sh.send("echo done\n")
    sh.expect(b"done")


def test_tty_gives_the_terminal(sh, prong):
    sh.send(f"{prong} --tty 'read x < /dev/tty; echo [$x] {{}}' ::: a b\n")
    time.sleep(0.5)
    sh.send("first\n")
    sh.expect(rb"\[first\] a")
    sh.send("second\n")
    sh.expect(rb"\[second\] b")
    sh.send("echo done\n")
    sh.expect(b"done")


def test_a_job_that_wants_the_terminal_does_not_hang(sh, prong):
    sh.send(f"{prong} 'read x < /dev/tty; echo rc=$? {{}}' ::: a; echo done\n")
    got = sh.expect(b"done")
    assert b"rc=0" not in got


def test_nohup(sh, prong, tmp_path):
    sh.send(f"nohup {prong} 'sleep 1; echo late > {tmp_path}/late; : {{}}' ::: 1 >/dev/null 2>&1 &\n")
    time.sleep(0.4)
    sh.send("kill -HUP %1; echo sent\n")
    sh.expect(b"sent")
    end = time.time() + 10
    while not (tmp_path / "late").exists() and time.time() < end:
        time.sleep(0.05)
    assert (tmp_path / "late").exists()
    time.sleep(0.2)



def test_more_is_typed_than_is_read(audit, prong):
    """The guardian, which hands it on, still hears of signals."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(prong, [prong, "-j1", "sleep 60; true"])
    os.set_blocking(fd, False)
    typed, end = 0, time.time() + 5
    while typed < 140_000 and time.time() < end:  # more than pipe and buffers hold
        select.select([fd], [fd], [], 0.2)
        try:
            typed += os.write(fd, b"x" * 100 + b"\n")
        except BlockingIOError:
            try:
                os.read(fd, 65536)  # the echo
            except BlockingIOError:
                pass
    os.kill(pid, signal.SIGTERM)
    status, end = (0, 0), time.time() + 20
    while status[0] == 0 and time.time() < end:
        time.sleep(0.05)
        status = os.waitpid(pid, os.WNOHANG)
    os.close(fd)
    if status[0] == 0:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert status[0] == pid and os.WTERMSIG(status[1]) == signal.SIGTERM
