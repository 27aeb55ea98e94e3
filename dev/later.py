"""Moves the clocks of a local stack's database by an hour: waiting times are over and leases have run out."""

from typing import Any

import psycopg

_STATEMENTS = (
    "update outbox set not_before = now() - interval '1 s' where state = 'planned' and not_before > now()",
    "update outbox set lease_until = now() - interval '1 s' where state in ('claimed', 'sending')",
    "update events set recorded_at = recorded_at - interval '1 h', sweep_after = null where processed_at is null",
)


def an_hour_passes(database: "psycopg.Connection[Any]") -> None:
    """Applies to unfinished events and effects. Nothing may be under way: a worker that holds a lease would lose it."""
    for statement in _STATEMENTS:
        database.execute(statement)
