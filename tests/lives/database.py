"""The rows of one life in the database: read, put back as they were, and moved in time."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

TABLES = ("events", "outbox", "messages", "profiles", "dead_letters")
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
        "raw",
        "payload",
        "attempts",
    }
)
"""Columns in which two states may differ and be the same to every function."""

_RESTORE = """
create function pg_temp.restore(p_rows jsonb, p_shift interval) returns void language plpgsql as $$
declare
    v_table text;
    v_moved text;
begin
    foreach v_table in array array['outbox', 'dead_letters', 'events', 'messages', 'profiles'] loop
        execute format('delete from public.%I', v_table);
    end loop;
    foreach v_table in array array['events', 'outbox', 'messages', 'profiles', 'dead_letters'] loop
        execute format(
            'insert into public.%1$I select * from jsonb_populate_recordset(null::public.%1$I, $1)', v_table
        ) using p_rows -> v_table;
        select string_agg(format('%1$I = %1$I + $1', a.attname), ', ') into v_moved
        from pg_attribute a
        where a.attrelid = format('public.%I', v_table)::regclass and a.atttypid = 'timestamptz'::regtype
            and a.attnum > 0 and not a.attisdropped;
        execute format('update public.%I set %s', v_table, v_moved) using p_shift;
    end loop;
end;
$$
"""
_READ = "select jsonb_build_object('at', clock_timestamp(), {}) as rows".format(
    ", ".join(f"'{table}', (select coalesce(jsonb_agg(to_jsonb(t)), '[]') from public.{table} t)" for table in TABLES)
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
            "select pg_temp.restore(%s::jsonb, clock_timestamp() - %s::timestamptz - %s * interval '1 second')",
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
