"""An example of a receiver of the next phase: the service behind `PHASE3_URL`.

It shows the three duties of a receiver. It verifies the sender (Upstash-Signature). It does each event once, however
often the event comes: the ids of the account and the event are stored in the transaction of its effect. It says whether
a retry helps: 489 means never, 500 means perhaps. docs/next-phase.md has the contract.

To run it as a Vercel function, put it at `api/next-phase.py` of a project with `qstash` and `starlette` in its
requirements.txt. SQLite keeps this example in one file; on Vercel use your Postgres, with the same statements.

Settings: NEXT_PHASE_URL (exactly what PHASE3_URL is), QSTASH_CURRENT_SIGNING_KEY, QSTASH_NEXT_SIGNING_KEY,
NEXT_PHASE_DATABASE (a file).
"""

import json
import os
import sqlite3
from contextlib import closing
from typing import Any

from qstash import Receiver
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

URL = os.environ["NEXT_PHASE_URL"]
DATABASE = os.environ.get("NEXT_PHASE_DATABASE", "next_phase.db")

signatures = Receiver(
    current_signing_key=os.environ["QSTASH_CURRENT_SIGNING_KEY"],
    next_signing_key=os.environ.get("QSTASH_NEXT_SIGNING_KEY") or os.environ["QSTASH_CURRENT_SIGNING_KEY"],
)

TABLES = """
    create table if not exists done (account_id text, event_id text, primary key (account_id, event_id));
    create table if not exists contacts (account_id text, contact_id text, messages integer, last_text text,
        primary key (account_id, contact_id));
"""


class CanNeverWorkError(Exception):
    """No further try would help."""


def handle(db: sqlite3.Connection, event: dict[str, Any]) -> None:
    """Your effect. Here: how many messages each person has written, and the last one of them.

    Raise `CanNeverWorkError` where no further try would help, anything else where one might.
    """
    if event["kind"] != "message":
        return  # events you do not care for are events you have handled
    if event["contact_id"] is None:
        raise CanNeverWorkError("a message of nobody")
    db.execute(
        "insert into contacts values (?, ?, 1, ?) on conflict (account_id, contact_id)"
        " do update set messages = messages + 1, last_text = excluded.last_text",
        (event["account_id"], event["contact_id"], event.get("text")),
    )


def take(event: dict[str, Any]) -> str:
    """The effect and the memory of it, together or not at all: so it happens once, also when two come at once."""
    with closing(sqlite3.connect(DATABASE)) as db, db:
        db.executescript(TABLES)
        key = (event["account_id"], event["event_id"])
        if not db.execute("insert or ignore into done values (?, ?)", key).rowcount:
            return "duplicate"
        handle(db, event)
        return "done"


def read(body: str) -> dict[str, Any]:
    """The event in a body. New fields may come at any time: look only at those you need."""
    try:
        event = json.loads(body)
        if all(isinstance(event[field], str) for field in ("account_id", "event_id", "kind")):
            return dict(event)
    except (ValueError, KeyError, TypeError):
        pass
    raise CanNeverWorkError("no event of the next phase")


async def receive(request: Request) -> JSONResponse:
    """200 done (now, or before), 401 not QStash, 489 never send it again; an exception is a 500: send it again."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        signatures.verify(signature=request.headers.get("upstash-signature", ""), body=body, url=URL)
    except Exception:
        return JSONResponse({"error": "not signed by QStash"}, 401)
    try:
        return JSONResponse({"status": take(read(body))})
    except CanNeverWorkError as error:
        # QStash tries again after every other status outside 2xx, a 400 too.
        return JSONResponse({"error": str(error)}, 489, {"Upstash-NonRetryable-Error": "true"})


app = Starlette(routes=[Route("/{path:path}", receive, methods=["POST"])])
