"""How far things are, twice a second: what is told, accepted and processed, and what QStash still holds.

Never fails: what can not be read at a moment is not known at that moment.
"""

import contextlib
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from dev.stack import Stack

TIMEOUT_S = 0.4


@dataclass(frozen=True)
class Sample:
    """One moment, `at_s` from the start. None: it could not be read."""

    at_s: float
    accepted: int
    processed: int | None
    in_qstash: int | None


class Watch:
    """For one thread. Reconnects by itself."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)
        self._database: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()
        self._drop()

    def sample(self, at_s: float, accepted: int) -> Sample:
        """Now."""
        return Sample(at_s, accepted, self._processed(), self._in_qstash())

    def qstash_is_idle(self) -> bool | None:
        """Whether QStash has nothing left to deliver; None where it does not answer."""
        state = self._state()
        return None if state is None else bool(state["idle"])

    def _processed(self) -> int | None:
        try:
            if self._database is None:
                self._database = psycopg.connect(self._stack.dsn, autocommit=True, connect_timeout=1)
                self._database.execute("set statement_timeout = '400ms'")
            row = self._database.execute("select count(*) from events where processed_at is not null").fetchone()
        except psycopg.Error:
            self._drop()
            return None
        return None if row is None else int(row[0])

    def _drop(self) -> None:
        if self._database is not None:
            with contextlib.suppress(psycopg.Error):
                self._database.close()
            self._database = None

    def _in_qstash(self) -> int | None:
        state = self._state()
        if state is None:
            return None
        return int(state["pending"]) + int(state["active"]) + int(state["waiting_retry"])

    def _state(self) -> dict[str, Any] | None:
        try:
            return dict(self._http.get(f"{self._stack.qstash_url}/__dev/state").raise_for_status().json())
        except (httpx.HTTPError, ValueError):
            return None
