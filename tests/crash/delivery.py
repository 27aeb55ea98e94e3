"""One delivery of QStash's to the consumer: it dies where its message says, and leaves a line in the journal.

By each delivery but the first the time has passed that QStash would have waited, as far as the leases and waits of the
event can tell. Knows the outbox. Must not know how a request comes, nor Meta.
"""

import json
import math
import os
import re
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import dict_row

from tests.crash.stepping import Side, Stepper

Answer: TypeAlias = tuple[int, dict[str, str], bytes]

Database: TypeAlias = psycopg.Connection[dict[str, Any]]
Death: TypeAlias = tuple[Side, int | str]
"""One side of an await point: by its number, or the first of a call, by its name in one of `_CLIENTS`."""

_CLIENTS = ("lib.processing.store", "lib.graph.client")
"""The modules that call Postgres and Meta. Where neither is called, the place is `-`."""
_DEATH = re.compile(r"(before|after)\.(\w+)\.")


def mid_of(deaths: Sequence[Death], unique: str) -> str:
    """A mid that says where deliveries of it die: the first that gets there at the first of `deaths`, and so on."""
    return "m_" + "".join(f"{side}.{point}." for side, point in deaths) + unique


class Journal:
    """What became of the deliveries of one event, a line each."""

    def __init__(self, directory: Path, event_id: str) -> None:
        self._file = directory / event_id

    def lines(self) -> list[dict[str, Any]]:
        """From the first delivery on."""
        return [json.loads(line) for line in self._file.read_text().splitlines()] if self._file.exists() else []

    def write(self, **line: Any) -> None:
        """Adds one."""
        with self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")


class Delivery:
    """One attempt at one event. `retried` is QStash's count: 0 at the first."""

    def __init__(self, event_id: str, retried: int, journal: Journal, dsn: str) -> None:
        self._event_id = event_id
        self._retried = retried
        self._journal = journal
        self._dsn = dsn
        died = sum("died_in" in line for line in journal.lines())
        self._death = next(iter(_DEATH.findall(event_id)[died:]), None)
        self._places: list[str] = []
        self._stepper = Stepper(self._reached)

    def run(self, answering: Coroutine[Any, Any, Answer]) -> Answer:
        """What `answering` returns, if this process lives to see it."""
        if self._retried == 0:
            return self._run(answering)
        with psycopg.connect(self._dsn, autocommit=True, row_factory=dict_row) as db:
            self._let_time_pass(db)
            before = self._owed(db)
            return self._run(answering, changed=lambda: self._owed(db) != before)

    def _run(self, answering: Coroutine[Any, Any, Answer], changed: Callable[[], bool] = lambda: True) -> Answer:
        status, headers, body = self._stepper.run(answering)
        said = json.loads(body)
        self._journal.write(
            retried=self._retried,
            status=status,
            said=said["error"]["code"] if "error" in said else said["status"],
            comes_back_in_s=float(headers.get("retry-after", _backoff_s(self._retried + 1))),
            changed=changed(),
            places=self._places,
        )
        return status, headers, body

    def _reached(self, point: int, side: Side) -> None:
        place = self._place()
        if side == "before":
            self._places.append(place)
        first = self._places.index(place) == point - 1
        if self._death in ((side, str(point)), (side, place if first else None)):
            self._journal.write(retried=self._retried, died_in=place, comes_back_in_s=_backoff_s(self._retried + 1))
            os.kill(os.getpid(), signal.SIGKILL)

    def _place(self) -> str:
        """The call that is under way, by its name in one of `_CLIENTS`."""
        for frame in self._stepper.waiting():
            if frame.f_globals["__name__"] in _CLIENTS:
                return frame.f_code.co_name
        return "-"

    def _let_time_pass(self, db: Database) -> None:
        waited = f"{self._journal.lines()[-1]['comes_back_in_s']} seconds"
        db.execute(
            "update outbox set lease_until = lease_until - %(waited)s::interval,"
            " not_before = not_before - %(waited)s::interval, slot_at = slot_at - %(waited)s::interval"
            " where event_id = %(event_id)s",
            {"waited": waited, "event_id": self._event_id},
        )

    def _owed(self, db: Database) -> list[dict[str, Any]]:
        return db.execute("select * from outbox where event_id = %s", (self._event_id,)).fetchall()


def _backoff_s(retry: int) -> float:
    """Upstash, "Retry": 12 s, 2 min 28 s, 30 min 8 s."""
    return math.exp(2.5 * retry)
