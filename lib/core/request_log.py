"""The lines of one request: a bounded number, the summary first.

Vercel shows the first 256 lines of a request, and 1 MB of them ("Runtime Logs", Limits). A webhook may carry 1000
events, and a sweep 2000. So the lines about single events are held until the line that sums them up is written, and
those beyond the bound are counted.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

MAX_LINES = 190
"""The most lines of a request below WARNING, with the held ones."""

MORE_FOR_WARNINGS = 30
"""The lines from WARNING up that are written beyond `MAX_LINES`."""

MAX_SUMMARIES = 10
MORE_AFTER_THE_END = 10
"""The lines that the server or a task may write after the answer. The sum of these bounds is less than 256."""

HOLD_FOR_S = 30.0
"""A process that is killed loses the lines that it holds, so a long job holds none after this time. Every other route
has answered by then."""


class Line(NamedTuple):
    """One line of the log, and what decides whether it is written."""

    level: int
    message: str
    text: str


class RequestLog:
    """Holds, writes or drops the lines of one request."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._held: list[Line] | None = []
        self._holds_until_s = time.monotonic() + HOLD_FOR_S
        self._written = self._summaries = 0
        self._has_ended = False
        self.dropped: Counter[str] = Counter()
        """How many lines of each message were dropped."""

    def add(self, line: Line, *, is_summary: bool) -> None:
        """Takes one line. A summary is written at once."""
        if is_summary and self._summaries < MAX_SUMMARIES:
            self._summaries += 1
            self._write(line.text)
            return
        if self._held is not None and time.monotonic() > self._holds_until_s:
            self._release()
        if self._held is None:
            self._write_or_drop(line)
        else:
            self._hold(self._held, line)

    def end(self) -> bool:
        """Writes the held lines. Returns whether this is the first call."""
        is_first, self._has_ended = not self._has_ended, True
        self._release()
        return is_first

    def _hold(self, held: list[Line], line: Line) -> None:
        if len(held) >= MAX_LINES:
            lowest = min(held, key=lambda each: each.level)
            if line.level <= lowest.level:
                self.dropped[line.message] += 1
                return
            # A thousand events that are well must not hide the one that failed.
            held.remove(lowest)
            self.dropped[lowest.message] += 1
        held.append(line)

    def _release(self) -> None:
        held, self._held = self._held or (), None
        for line in held:
            self._write_or_drop(line)

    def _write_or_drop(self, line: Line) -> None:
        room = MAX_LINES + (MORE_FOR_WARNINGS if line.level >= logging.WARNING else 0)
        if self._has_ended:
            room = MAX_LINES + MORE_FOR_WARNINGS + MORE_AFTER_THE_END
        if self._written >= room:
            self.dropped[line.message] += 1
            return
        self._written += 1
        self._write(line.text)
