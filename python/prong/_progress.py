"""A progress bar: tqdm's when it is installed, else a line of our own on stderr."""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False  # typing itself costs 5 ms
if TYPE_CHECKING:
    from typing import Any

EVERY = 0.2


class _Line:
    """'prong: 12/100' on a terminal, over and over; elsewhere once at the end."""

    def __init__(self, total: int | None, desc: str) -> None:
        self.total = total
        self.desc = desc
        self.n = 0
        self.last = 0.0
        self.begin = time.monotonic()

    def update(self, n: int) -> None:
        self.n += n
        now = time.monotonic()
        if sys.stderr is not None and sys.stderr.isatty() and now - self.last >= EVERY:
            self.last = now
            self._write("\r", "")

    def close(self) -> None:
        if sys.stderr is not None:
            self._write("\r" if sys.stderr.isatty() else "", "\n")

    def _write(self, before: str, after: str) -> None:
        of = f"/{self.total}" if self.total is not None else ""
        seconds = time.monotonic() - self.begin
        sys.stderr.write(f"{before}{self.desc}: {self.n}{of} tasks, {seconds:.1f} s{after}")
        sys.stderr.flush()


class Bar:
    """Told how many are done, not how many more."""

    def __init__(self, progress: Any, total: int | None) -> None:
        desc = progress if isinstance(progress, str) else "prong"
        self.seen = 0
        try:
            from tqdm.auto import tqdm

            self.bar: Any = tqdm(total=total, desc=desc)
        except ImportError:
            self.bar = _Line(total, desc)

    def update(self, done: int) -> None:
        if done != self.seen:
            self.bar.update(done - self.seen)
            self.seen = done

    def close(self) -> None:
        self.bar.close()
