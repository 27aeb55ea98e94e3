"""The rows of one life in the database: read, put back as they were, and moved in time."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

TABLES = {
    "events": "public.events",
    "raw_items": "ingestion.raw_items",
    "outbox": "public.outbox",
    "messages": "public.messages",
    "profiles": "public.profiles",
    "dead_letters": "public.dead_letters",
}
ACCOUNT, PERSON, MID = "17841400000000000", "6001234567890123", "m_trigger"
EVENT_ID = f"ig_msg_{MID}"
LEASE_S = 600
JUMP_S = 1000.0
"""Past every lease and every wait."""

_FORGOTTEN = frozenset(
    {
        "recorded_at",
        "received_at",
        "planned_at",
        "failed_at",
        "first_tried_at",
        "closed_at",
        "item",
        "raw_id",
        "payload",
        "attempts",
    }
)
"""Columns in which two states may differ and be the same to every function."""

_RESTORE = """
create function pg_temp.restore(p_tables jsonb, p_rows jsonb, p_shift interval) returns void language plpgsql as $$
declare
    v_table text;
    v_moved text;
begin
    foreach v_table in array array['outbox', 'dead_letters', 'raw_items', 'events', 'messages', 'profiles'] loop
        execute format('delete from %s', p_tables ->> v_table);
    end loop;
    foreach v_table in array array['events', 'raw_items', 'outbox', 'messages', 'profiles', 'dead_letters'] loop
        execute format(
            'insert into %1$s select * from jsonb_populate_recordset(null::%1$s, $1)', p_tables ->> v_table
        ) using p_rows -> v_table;
        select string_agg(format('%1$I = %1$I + $1', a.attname), ', ') into v_moved
        from pg_attribute a
        where a.attrelid = (p_tables ->> v_table)::regclass and a.atttypid = 'timestamptz'::regtype
            and a.attnum > 0 and not a.attisdropped;
        continue when v_moved is null;
        execute format('update %s set %s', p_tables ->> v_table, v_moved) using p_shift;
    end loop;
end;
$$
"""
_READ = "select jsonb_build_object('at', clock_timestamp(), {}) as rows".format(
    ", ".join(
        f"'{table}', (select coalesce(jsonb_agg(to_jsonb(t)), '[]') from {name} t)" for table, name in TABLES.items()
    )
)


@dataclass(frozen=True)
class Snapshot:
    """The rows at one moment, and a form of them that is equal for states that are the same to every function."""

    rows: str
    canonical: str


class Database:
    """One connection. The stack is the explorer's alone."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        self._connection.execute(_RESTORE)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def call(self, function: str, *parameters: object) -> Any:
        """Returns what an SQL function answers."""
        marks = ", ".join(["%s"] * len(parameters))
        wrapped = [Jsonb(value) if isinstance(value, dict | list) else value for value in parameters]
        row = self._connection.execute(f"select {function}({marks}) as answer".encode(), wrapped).fetchone()
        assert row is not None
        return row["answer"]

    def run(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        """Returns the rows of a statement, [] if it has none."""
        done = self._connection.execute(statement.encode(), parameters)
        return done.fetchall() if done.description else []

    def read(self) -> Snapshot:
        """Returns the rows as they are."""
        [row] = self.run(_READ)
        rows: dict[str, Any] = row["rows"]
        at = datetime.fromisoformat(rows["at"])
        canonical = {table: sorted(_canonical(one, at) for one in rows[table]) for table in TABLES}
        return Snapshot(json.dumps(rows), json.dumps(canonical))

    def restore(self, snapshot: Snapshot, *, older_s: float = 0.0) -> None:
        """Puts the rows back, as old as they were, or `older_s` older."""
        rows = json.loads(snapshot.rows)
        self.run(
            "select pg_temp.restore("
            "%s::jsonb, %s::jsonb, clock_timestamp() - %s::timestamptz - %s * interval '1 second')",
            json.dumps(TABLES),
            snapshot.rows,
            rows["at"],
            older_s,
        )


def _canonical(row: dict[str, Any], at: datetime) -> str:
    """Returns a row with its times as rough ages, without the columns that change nothing."""
    kept = {name: _aged(value, at) for name, value in row.items() if name not in _FORGOTTEN and value is not None}
    return json.dumps(kept, sort_keys=True)


def _aged(value: object, at: datetime) -> object:
    if not (isinstance(value, str) and len(value) > 19 and value[4] == "-" and value[10] == "T"):
        return value
    return f"{round((datetime.fromisoformat(value) - at).total_seconds() / 300)}"
