"""--latest-line: one line for each job."""

import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import termios

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRONG = os.environ.get("PRONG", str(ROOT / "build" / "prong"))


def out(*args):
    return subprocess.run([PRONG, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          timeout=60, check=True).stdout


def on_terminal(*args, rows=24, columns=80):
    """What a terminal of that size would show, line by line."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(PRONG, [PRONG, *args])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    data = b""
    while True:
        try:
            more = os.read(fd, 65536)
        except OSError:
            break
        if not more:
            break
        data += more
    os.waitpid(pid, 0)
    os.close(fd)
    screen, y = [""], 0
    for piece in re.findall(rb"\x1b\[\d*[ABK]|\r|\n|[^\x1b\r\n]+", data):
        move = re.match(rb"\x1b\[(\d+)([AB])", piece)
        if move:
            y += int(move[1]) * (-1 if move[2] == b"A" else 1)
            assert y >= 0
        elif piece == b"\n":
            y += 1
        elif piece[:1] not in b"\r\x1b":
            while len(screen) <= y:
                screen.append("")
            screen[y] = piece.decode()
    return [line for line in screen if line], data


def test_no_terminal_the_last_line_of_each():
    assert out("-k", "--ll", "--tag", "seq {}; printf part{}; :", ":::", "3", "1") == b"3\tpart3\n1\tpart1\n"
    assert out("-k", "--latest-line", "echo a; echo; printf 'old\\rnew\\n'; :", ":::", "1") == b"new\n"
    assert out("--ll", "true", ":::", "1") == b""
    assert len(out("--ll", "head -c 100000 /dev/zero | tr '\\0' x; :", ":::", "1")) == 4097


def test_lines_are_updated_in_place():
    shown, data = on_terminal("-j3", "--ll", "for i in 1 2 3; do echo {}-$i; sleep 0.1; done; :", ":::", *"abc")
    assert sorted(shown) == ["a-3", "b-3", "c-3"] and b"a-1" in data


def test_more_rows_than_the_terminal_has():
    shown, _ = on_terminal("-j8", "--ll", "echo {}-first; sleep 0.5; echo {}-last; :", ":::", *"abcdefgh", rows=5)
    assert {line for line in shown if "last" in line} == {f"{c}-last" for c in "abcdefgh"}


def test_long_lines_are_cut_to_the_width_and_controls_defused():
    shown, data = on_terminal("--ll", "sleep 1; printf 'x\\033[2J%0200d' 1; echo; :", ":::", "1", columns=40)
    assert len(shown) == 1 and len(shown[0]) == 39 and b"\033[2J" not in data


def test_a_notice_stays_readable_among_the_lines():
    shown, _ = on_terminal("-j3", "--ll", "--halt", "soon,fail=1",
                           "echo {}-1; sleep 0.3; [ {} = b ] && exit 3; sleep 1; echo {}-2", ":::", *"abc")
    notice = [n for n, line in enumerate(shown) if line.startswith("prong: --halt: job 2 failed")]
    assert len(notice) == 1 and shown.index("b-1") < notice[0]
    assert min(shown.index("a-2"), shown.index("c-2")) > notice[0]
