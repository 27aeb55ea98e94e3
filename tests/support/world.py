"""The running pipeline as a test sees it: post webhooks, wait until all is quiet, look at the tables.

Talks to the stack by HTTP and SQL only. Must not import anything of `lib` but what signs a request.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import httpx
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from dev.later import an_hour_passes
from dev.stack import Stack, keys
from lib.webhooks.signature import sign_hub

WEBHOOK = "/api/webhooks/instagram"
INGEST = "/api/internal/ingest-event"
CONSUMER = "/api/qstash/instagram-ingestion"
FAILURE = "/api/qstash/instagram-failure"
HEALTH = "/api/health"
SWEEP = "/api/cron/sweep"

TABLES = (
    "events", "messages", "profiles", "reactions", "comments", "mentions", "outbox", "dead_letters", "reply_rules",
    "accounts",
)  # fmt: skip

VIEWS = ("conversations", "conversation_messages", "unhandled_events")

BOOKKEEPING = (
    "recorded_at", "processed_at", "received_at", "fetched_at", "planned_at", "finished_at", "sending_at", "failed_at",
    "first_recorded_at", "last_recorded_at", "state_changed_at", "created_at", "sweep_after", "not_before", "slot_at",
    "lease_token", "lease_until", "left_at", "via", "attempts", "refusals", "has_variants", "raw_id",
)  # fmt: skip
"""Columns that tell when, by which channel and in how many attempts we did our work, and nothing of what Meta said."""

SETTLE_TIMEOUT_S = 30.0


class World:
    """One stack, made empty before each test."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.http = httpx.Client(base_url=stack.functions_url, timeout=30.0)
        self.standins = httpx.Client(timeout=30.0)
        self.db = psycopg.connect(stack.dsn, autocommit=True, row_factory=dict_row)

    def close(self) -> None:
        """Closes the connections."""
        self.http.close()
        self.standins.close()
        self.db.close()

    # What a sender does.

    def post_webhook(self, body: object, *, base_url: str = "", secret: str = keys.APP_SECRET) -> httpx.Response:
        """Signs and posts a webhook body: bytes as they are, anything else as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Hub-Signature-256": sign_hub(raw, secret), "Content-Type": "application/json"}
        return self.http.post(base_url + WEBHOOK, content=raw, headers=headers)

    def post_events(
        self, body: object, *, base_url: str = "", secret: str = keys.INTERNAL_SECRET, budget_ms: int = 8000
    ) -> httpx.Response:
        """Posts to the internal endpoint. It answers within `budget_ms`."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {secret}".strip(), "X-Ingest-Budget-Ms": str(budget_ms)}
        return self.http.post(base_url + INGEST, content=raw, headers=headers, timeout=budget_ms / 1000 + 5)

    def settle(self, timeout_s: float = SETTLE_TIMEOUT_S) -> dict[str, Any]:
        """Waits until QStash has nothing left to deliver; returns its state."""
        deadline = time.monotonic() + timeout_s
        while True:
            state = self.qstash_state()
            if not (state["pending"] or state["active"] or state["waiting_retry"]):
                return state
            if time.monotonic() > deadline:
                raise AssertionError(f"QStash is still busy after {timeout_s} s: {state}")
            time.sleep(0.01)

    def deliver(self, body: object, **options: Any) -> httpx.Response:
        """Posts a webhook that is expected to be accepted, and waits until everything came of it."""
        answer = self.post_webhook(body, **options)
        assert answer.status_code == 200, answer.text
        self.settle()
        return answer

    def sweep(self, *, base_url: str = "") -> dict[str, Any]:
        """What the cron job does, later: whatever was recorded is old by now, whatever had to wait has waited, whoever
        was at something has given up. Returns its answer, once everything came of it.
        """
        self.settle()
        an_hour_passes(self.db)
        headers = {"Authorization": f"Bearer {keys.CRON_SECRET}"}
        answer = self.http.get(base_url + SWEEP, headers=headers)
        assert answer.status_code == 200, answer.text
        self.settle()
        return dict(answer.json())

    # What a person on call sees.

    def rows(self, query: LiteralString, *params: object) -> list[dict[str, Any]]:
        """The rows of a query."""
        return self.db.execute(query, params).fetchall()

    def row(self, query: LiteralString, *params: object) -> dict[str, Any]:
        """The one row of a query."""
        found = self.rows(query, *params)
        assert len(found) == 1, f"{len(found)} rows, expected one"
        return found[0]

    def count(self, table: str) -> int:
        """How many rows a table has."""
        found = self.db.execute(
            psycopg.sql.SQL("select count(*) as n from public.{}").format(psycopg.sql.Identifier(table))
        ).fetchone()
        assert found is not None
        return int(found["n"])

    def snapshot(self) -> dict[str, list[dict[str, Any]]]:
        """All tables and views, without the columns that tell when and how often somebody did their work."""
        return {table: self._comparable(table) for table in (*TABLES, *VIEWS)}

    def functions_log(self) -> str:
        """Everything the functions have logged so far."""
        return (self.stack.config.data_dir / "logs" / "functions.log").read_text()

    # The stand-ins.

    def qstash_state(self) -> dict[str, Any]:
        """What QStash is busy with."""
        return dict(self.standins.get(f"{self.stack.qstash_url}/__dev/state").json())

    def hasten(self) -> int:
        """QStash delivers at once what it was asked to deliver later. How many messages that was."""
        answer = self.standins.post(f"{self.stack.qstash_url}/__dev/hasten").raise_for_status()
        self.settle()
        return int(answer.json()["hastened"])

    def cancel_deliveries(self) -> None:
        """QStash delivers nothing more. Returns when no delivery is under way: a function cannot be called back."""
        self.standins.delete(
            f"{self.stack.qstash_url}/v2/messages", headers={"Authorization": f"Bearer {keys.QSTASH_TOKEN}"}
        ).raise_for_status()
        self.settle()

    def forget_deduplication(self) -> None:
        """QStash takes every message as new again, as it does after ten minutes."""
        self.settle()
        self._qstash("reset", {})

    @contextmanager
    def qstash_fault(self, **fault: Any) -> Iterator[None]:
        """QStash misbehaves inside the block (see `dev/qstash/faults.py`), and then does as it did before."""
        before = self.standins.get(f"{self.stack.qstash_url}/__dev/faults").json()
        self._qstash("faults", fault)
        try:
            yield
        finally:
            self._qstash("faults", before)

    def lose_answers(self, function: str, answers: int) -> None:
        """The gateway loses the next answers of an SQL function; the database has done what was asked."""
        self.gateway_fault(function=function, times=answers)

    def gateway_fault(self, **fault: Any) -> None:
        """What goes wrong in front of the database (see `dev/stack/gateway.py`)."""
        self.standins.post(f"{self.stack.supabase_url}/__dev/fault", json=fault).raise_for_status()

    def graph_fields(self, **names: list[str]) -> None:
        """The webhook fields that Graph does not give (see `dev/graph/admin.py`)."""
        self._graph("fields", dict(names))

    def graph_fault(self, endpoint: str, fault: str, **more: Any) -> None:
        """Graph's next answers (see `dev/graph/faults.py`)."""
        self._graph("faults", {"endpoint": endpoint, "fault": fault, **more})

    def show_profile(self, person: dict[str, Any]) -> None:
        """Graph shows this instead of a made-up profile."""
        self._graph("profiles", person)

    def sent(self) -> list[dict[str, Any]]:
        """Every message the Graph API has accepted."""
        return list(self.standins.get(f"{self.stack.graph_url}/__dev/sent").json())

    def graph_calls(self) -> list[dict[str, Any]]:
        """Every call the Graph API has seen."""
        return list(self.standins.get(f"{self.stack.graph_url}/__dev/calls").json())

    def rule(self, **columns: Any) -> int:
        """Adds a reply rule; returns its id."""
        names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, columns))
        values = psycopg.sql.SQL(", ").join(psycopg.sql.Placeholder() * len(columns))
        statement = psycopg.sql.SQL("insert into public.reply_rules ({}) values ({}) returning rule_id")
        adapted = [Jsonb(value) if isinstance(value, dict | list) else value for value in columns.values()]
        row = self.db.execute(statement.format(names, values), adapted).fetchone()
        assert row is not None
        return int(row["rule_id"])

    def put_raw(self, event_id: str, item: object) -> None:
        """The archive has this raw item of an event."""
        self.db.execute(
            "insert into ingestion.raw_items (raw_id, names_nobody, item)"
            " select raw_id, contact_id is null, %s from public.events where event_id = %s"
            " on conflict (raw_id) do update set item = excluded.item",
            (Jsonb(item), event_id),
        )

    def age_archive(self, days: float) -> None:
        """All raw items so far were recorded so many days ago: their segment was closed then, and a new one is open."""
        self.db.execute("select ingestion.rotate_raw(interval '-1 second')")
        self.db.execute(
            "update ingestion.raw_segments set closed_at = closed_at - %(days)s * interval '1 day',"
            " opened_at = opened_at - %(days)s * interval '1 day' where closed_at is not null",
            {"days": days},
        )

    def reset(self) -> None:
        """Nothing queued, nothing stored, no fault anywhere."""
        self._graph("reset", {})
        self.gateway_fault(times=0)
        self._qstash("faults", {"publish": "ok", "delivery": {}})
        self.cancel_deliveries()
        self._qstash("reset", {})
        self.empty()

    def empty(self) -> None:
        """Nothing stored."""
        self.db.execute(
            psycopg.sql.SQL("truncate {} cascade").format(
                psycopg.sql.SQL(", ").join(psycopg.sql.Identifier("public", table) for table in TABLES)
            )
        )
        self.db.execute("truncate public.erasures, ingestion.erased_people, ingestion.taken_proofs")
        self.db.execute("update ingestion.sweep_state set swept_at = now(), next_at = null")
        # Most segments are empty, and to truncate all of them takes longer.
        self.db.execute("delete from ingestion.raw_items")
        self.db.execute(
            "update ingestion.raw_segments set closed_at = null, opened_at = case when closed_at is null and"
            " opened_at is not null then now() end where opened_at is not null"
        )

    def _comparable(self, table: str) -> list[dict[str, Any]]:
        with_raw = psycopg.sql.SQL("|| jsonb_build_object('raw', t.raw)" if table == "events" else "")
        rows = self.db.execute(
            psycopg.sql.SQL("select (to_jsonb(t) {}) - %s::text[] as row from public.{} t order by 1").format(
                with_raw, psycopg.sql.Identifier(table)
            ),
            (list(BOOKKEEPING),),
        ).fetchall()
        return [row["row"] for row in rows]

    def _qstash(self, path: str, body: dict[str, Any]) -> None:
        self.standins.post(f"{self.stack.qstash_url}/__dev/{path}", json=body).raise_for_status()

    def _graph(self, path: str, body: dict[str, Any]) -> None:
        self.standins.post(f"{self.stack.graph_url}/__dev/{path}", json=body).raise_for_status()
