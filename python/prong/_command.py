"""run and commands: programs, with the same engine and certificates."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping, Sequence

import _prong

from ._engine import COMMAND, check_jobs, check_seconds
from ._errors import Certificate, TaskDied, certificate
from ._worker import describe

FILE, INHERIT, NULL, MERGE = 4, 2, 1, 6
TERMSEQ = "TERM,200,TERM,100,KILL,25"


@dataclass
class CommandResult:
    """The end of one command.  Compare subprocess.CompletedProcess."""

    args: list[str]
    returncode: int
    """Exit code; minus the signal that ended it; 127 if it could not be started."""
    stdout: Any
    """str, or bytes with text=False; None if it was not captured."""
    stderr: Any
    certificate: Certificate
    index: int = 0
    attempt: int = 1

    @property
    def ok(self) -> bool:
        """It exited with 0."""
        return self.returncode == 0 and self.certificate.how == "exited"

    @property
    def timed_out(self) -> bool:
        """It ran into its time limit, and was ended."""
        return self.certificate.how == "timedout"

    def check(self) -> CommandResult:
        """Itself, or CommandFailed is raised."""
        if not self.ok:
            raise CommandFailed(self)
        return self


class CommandFailed(TaskDied):
    """A command did not end with exit code 0; `result` is its CommandResult."""

    def __init__(self, result: CommandResult) -> None:
        self.result = result
        err = result.stderr
        if isinstance(err, bytes):
            err = err.decode("utf-8", "replace")
        last = "".join(f"\n  {line}" for line in (err or "").strip().splitlines()[-10:])
        what = describe(result.args)
        text = f"command {what} failed: {result.certificate}"
        super().__init__(text + (f"; the end of its stderr:{last}" if last else ""),
                         result.certificate, result.index, what)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.result,)


def _words(command: Any) -> list[bytes]:
    if isinstance(command, (str, bytes)):
        return [b"/bin/sh", b"-c", os.fsencode(command)]
    words = [os.fsencode(w) for w in command]
    if not words or not words[0]:
        raise ValueError("an empty command")
    return words


def _input_fd(data: Any) -> int:
    if data is None:
        return -1
    if isinstance(data, str):
        data = data.encode()
    fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    view = memoryview(data).cast("B")
    while len(view):
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class _Commands:
    """One call of commands(): at most `jobs` run, and no more than twice that are read ahead."""

    def __init__(self, source: Iterable[Any], jobs: int, text: bool, options: dict[str, Any]) -> None:
        self.source = iter(source)
        self.jobs = jobs
        self.text = text
        self.options = options
        self.args: dict[int, list[bytes]] = {}
        self.next = 0
        self.more = True
        self.eng = _prong.Engine(jobs)

    def fill(self) -> None:
        while self.more and self.eng.commands < 2 * self.jobs:
            try:
                command = next(self.source)
            except StopIteration:
                self.more = False
                return
            words = _words(command)
            self.eng.command(self.next, words, **self.options)
            self.args[self.next] = words
            self.next += 1

    def _text(self, data: bytes | None) -> Any:
        return data if data is None or not self.text else data.decode("utf-8", "surrogateescape")

    def result(self, ev: tuple[Any, ...]) -> CommandResult:
        _, index, raw, out, err, attempt = ev
        c = certificate(raw)
        code = c.status if c.how == "exited" else 127 if c.how == "notstarted" else -c.signal
        if c.how == "timedout" and not c.signal:
            code = -15  # it ended itself when it was told to
        words = [os.fsdecode(w) for w in self.args.pop(index)]
        return CommandResult(words, code, self._text(out), self._text(err), c, index, attempt)

    def iterate(self) -> Iterator[CommandResult]:
        try:
            self.fill()
            while self.eng.commands:
                for ev in self.eng.poll():
                    if ev[0] == COMMAND:
                        self.fill()
                        yield self.result(ev)
                self.fill()
        finally:
            self.eng.close()


def _in_order(results: Iterator[CommandResult]) -> Iterator[CommandResult]:
    ready: dict[int, CommandResult] = {}
    due = 0
    for r in results:
        ready[r.index] = r
        while due in ready:
            yield ready.pop(due)
            due += 1


def commands(
    commands: Iterable[str | Sequence[str]],
    *,
    jobs: int | None = None,
    ordered: bool = True,
    timeout: float | None = None,
    retries: int = 0,
    backoff: float = 0.0,
    check: bool = False,
    capture: bool = True,
    text: bool = True,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[CommandResult]:
    """Run commands, at most `jobs` at once (default: the CPUs), and yield their results.

    A command is a list of words, or a string for /bin/sh.  `commands` is read as they are
    needed.  `timeout` in seconds: TERM, then KILL to its whole process group.  `retries`: more
    tries until it succeeds, `backoff` seconds apart.  `check`: raise CommandFailed at the first
    that fails.  `capture=False`: output goes where the caller's goes.  `env` replaces the
    environment.  Leaving the loop early kills what runs.
    """
    how = FILE if capture else INHERIT
    options: dict[str, Any] = {
        "out": how, "err": how, "timeout_ms": round(check_seconds("timeout", timeout) * 1000),
        "tries": retries + 1, "backoff_ms": round(backoff * 1000), "termseq": TERMSEQ,
        "cwd": os.fspath(cwd) if cwd is not None else None,
    }
    if timeout and not options["timeout_ms"]:
        options["timeout_ms"] = 1
    if env is not None:
        options["env"] = [os.fsencode(k) + b"=" + os.fsencode(v) for k, v in env.items()]
    _prong.flush()
    run = _Commands(commands, check_jobs(jobs), text, options)
    results = _in_order(run.iterate()) if ordered else run.iterate()
    return (r.check() for r in results) if check else results


def run(
    command: str | Sequence[str],
    *,
    timeout: float | None = None,
    retries: int = 0,
    backoff: float = 0.0,
    check: bool = False,
    capture: bool = True,
    text: bool = True,
    input: str | bytes | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> CommandResult:
    """Run one command and wait for it.  Options as for commands(); `input` is its stdin."""
    how = FILE if capture else INHERIT
    options: dict[str, Any] = {
        "out": how, "err": how, "timeout_ms": max(1, round(check_seconds("timeout", timeout) * 1000)) if timeout else 0,
        "tries": retries + 1, "backoff_ms": round(backoff * 1000), "termseq": TERMSEQ,
        "cwd": os.fspath(cwd) if cwd is not None else None,
    }
    if env is not None:
        options["env"] = [os.fsencode(k) + b"=" + os.fsencode(v) for k, v in env.items()]
    fd = _input_fd(input)
    options["stdin"] = fd
    _prong.flush()
    try:
        result = next(_Commands([command], 1, text, options).iterate())
    finally:
        if fd >= 0:
            os.close(fd)
    return result.check() if check else result
