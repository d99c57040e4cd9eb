"""Completion in real shells."""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time

import pytest


def script(prong, shell):
    return subprocess.check_output([prong, "--shell-completion", shell], text=True)


def bash(prong, *words, prelude=""):
    """What bash would offer for the last of the words."""
    code = script(prong, "bash") + prelude + '''
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _prong
        printf '%s\\n' "${COMPREPLY[@]}"'''
    r = subprocess.run(["bash", "--norc", "-c", code, "bash", *words], text=True,
                       capture_output=True, check=True, timeout=60)
    assert r.stderr == ""
    return r.stdout.split()


def test_bash_options(prong):
    assert bash(prong, "prong", "--memf") == ["--memfree"]
    assert "--semaphore" in bash(prong, "prong", "-k", "--sem")
    assert "--sshlogin" not in bash(prong, "prong", "--ss")


def test_bash_values(prong, tmp_path):
    (tmp_path / "some-file").touch()
    (tmp_path / "some-dir").mkdir()
    assert bash(prong, "prong", "--trim", "l") == ["l", "lr"]
    assert bash(prong, "prong", "--trim", "=", "l") == ["l", "lr"]
    assert bash(prong, "prong", "--shell-completion", "=") == ["auto", "bash", "zsh", "fish"]
    assert bash(prong, "prong", "--wd", "some") == ["some-dir"]
    assert set(bash(prong, "prong", "-a", "some")) == {"some-file", "some-dir"}
    assert bash(prong, "prong", "-n", "") == []


def test_bash_commands_and_arguments(prong, tmp_path):
    (tmp_path / "gzip-me").touch()
    assert "gzip" in bash(prong, "prong", "-j", "4", "gzi")
    assert "gzip" in bash(prong, "prong", "--halt", "=", "never", "-k", "gzi")
    assert bash(prong, "prong", "-j", "4", "gzip", ":::", "gzip-") == ["gzip-me"]
    assert bash(prong, "prong", "gzip", "gzip-") == ["gzip-me"]
    offset = '\n_command_offset() { COMPREPLY=("offset$1"); }\n'
    assert bash(prong, "prong", "-kj", "2", "gzip", "-", prelude=offset) == ["offset3"]


def test_bash_offers_it_for_both_names(prong):
    out = subprocess.check_output(["bash", "--norc", "-c", script(prong, "bash") +
                                   "complete -p prong prong-sem"], text=True)
    assert out.count("_prong prong") == 2


def test_auto_is_the_shell_that_asks(prong):
    for shell in ("bash", "zsh", "fish"):
        if shutil.which(shell):
            rc = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}[shell]
            out = subprocess.check_output([shell, rc, "-c", f"{prong} --shell-completion auto; true"],
                                          text=True)
            assert out == script(prong, shell)
    r = subprocess.run([prong, "--shell-completion", "auto"], capture_output=True, text=True,
                       check=False)
    assert r.returncode == 255 and r.stderr.count("\n") == 1


class Terminal:
    def __init__(self, *words, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(words[0], words, env)

    def type(self, text):
        os.write(self.fd, text.encode())

    def until(self, pattern, timeout=60):
        seen, end = "", time.monotonic() + timeout
        while not re.search(pattern, seen):
            assert time.monotonic() < end, seen
            if select.select([self.fd], [], [], 0.1)[0]:
                seen += os.read(self.fd, 4096).decode(errors="replace")
        return seen

    def end(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
@pytest.mark.parametrize("way", ["autoload", "eval"])
def test_zsh(prong, tmp_path, way):
    place = tmp_path / "functions"
    place.mkdir()
    env = {**os.environ, "TERM": "dumb", "PS1": "", "HOME": str(tmp_path)}
    t = Terminal("zsh", "-f", "-i", env=env)
    try:
        if way == "autoload":
            (place / "_prong").write_text(script(prong, "zsh"))
            t.type(f"fpath=({place} $fpath); ")
        t.type("autoload -Uz compinit; compinit -u -D; LISTMAX=10000; unsetopt zle_bracketed_paste; ")
        if way == "eval":
            t.type(f'eval "$({prong} --shell-completion zsh)"; ')
        t.type("PS1=; echo rea''dy\n")
        t.until("ready")
        for typed, shown in (("prong --memf", "--memfree"), ("prong-sem --semaphore-t", "timeout"),
                             ("prong --trim=l", "lr"), ("prong -j 4 gunzi", "gunzip")):
            t.type(typed + "\t")
            t.until(re.escape(shown))
            t.type("\x15")
    finally:
        t.end()


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_parses_it(prong, tmp_path):
    f = tmp_path / "_prong"
    f.write_text(script(prong, "zsh"))
    assert subprocess.run(["zsh", "-f", "-n", str(f)], capture_output=True, check=True).stderr == b""


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish(prong, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "some-dir").mkdir()

    def fish(line):
        code = script(prong, "fish") + f"complete -C '{line}'"
        r = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True,
                           check=True, timeout=60)
        assert r.stderr == ""
        return [x.split("\t")[0] for x in r.stdout.splitlines()]
    assert fish("prong --memf") == ["--memfree"]
    assert fish("prong --trim ") == ["l", "lr", "n", "r"]
    assert fish("prong-sem --semaphore-t") == ["--semaphore-timeout"]
    assert "some-dir/" in fish("prong --wd some")
    assert "gunzip" in fish("prong -k gunzi")


def test_every_option_is_offered(prong):
    """One table: what --help lists, all three shells have."""
    text = subprocess.check_output([prong, "--help"], text=True)
    names = re.findall(r"^  (?:-., |    )(--[a-z-]+)", text, re.M)
    assert len(names) > 60
    for shell in ("bash", "zsh", "fish"):
        code = script(prong, shell)
        for n in names:
            assert (f"-l {n[2:]}" if shell == "fish" else n) in code, (shell, n)
