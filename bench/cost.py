"""What an event uses of everything that has a price, and the cost of a month on the published price lists.

Measures function invocations, QStash messages, processor time, rows and bytes on a local stack. The baseline is the
least that can be stored: the raw items alone, in a table with a primary key.
"""

import asyncio
import re
import time

import psycopg
from psycopg.rows import dict_row

from bench.load import Messages, Sender, own_stack
from bench.prices import READ_ON, Used, as_table
from bench.processor_time import ProcessorTime
from bench.section import Section, Tell, ratio
from dev.stack import Stack
from tests.chaos.outside import NEXT_PHASE, Outside
from tests.chaos.watch import Watch

ANSWERED = re.compile(r"^(?:GET|POST) /api/\S+ \d+ (\d+) ms$", re.M)
QUIET_WITHIN_S = 120.0
NO_LIMIT = {"SENDS_PER_SECOND": "100000"}
"""Without a limit no send waits for its turn: the wait would count as a busy function."""


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures three ways in which events arrive, and prices each."""
    events = 100 if quick else 2000
    with Outside() as outside:
        with own_stack(tell) as stack:
            tell("one message a webhook")
            alone = asyncio.run(_measure(stack, events, size=1, people=events // 8))
            tell("twenty messages a webhook")
            together = asyncio.run(_measure(stack, events, size=20, people=events // 8))
            floor = _floor(stack, events)
        with own_stack(tell, env={"PHASE3_URL": outside.url + NEXT_PHASE, **NO_LIMIT}) as stack:
            tell("each with a reply and a next phase")
            _rule(stack)
            answered = asyncio.run(_measure(stack, events // 4, size=1, people=events))
    ways = {"alone": alone, "20 at once": together, "answered": answered}
    return Section(
        title="Money",
        about=(
            "What one message uses, on average: coming alone in its webhook, twenty at once, and alone from a new "
            "person, with a profile to fetch, an automatic reply and a next phase. Kept bytes are tables and indexes "
            f"with the raw item; the baseline for them is a table of the raw items alone ({floor:.0f} bytes an event)."
        ),
        head=(
            "a message",
            "invocations",
            "QStash messages",
            "CPU, ms",
            "busy, ms",
            "rows",
            "WAL, kB",
            "kept, kB",
            "ratio",
        ),
        rows=tuple(
            (
                name,
                f"{used.invocations:.2f}",
                f"{used.qstash_messages:.2f}",
                f"{used.cpu_s * 1e3:.1f}",
                f"{used.busy_s * 1e3:.0f}",
                f"{used.rows_written:.1f}",
                f"{used.wal_bytes / 1e3:.1f}",
                f"{used.bytes_kept / 1e3:.2f}",
                ratio(used.bytes_kept, floor),
            )
            for name, used in ways.items()
        ),
        remarks=(
            f"A month, in dollars, on the price lists of {READ_ON}:",
            as_table(ways),
            "Vercel: invocations, CPU, and 2 GB of memory for as long as a request is answered (an upper bound: an "
            "instance answers several at once). QStash: by the message, or the fixed plan where it is cheaper. "
            "Supabase: Pro and the disk of one month's events, without the larger instance that millions a day need.",
        ),
    )


async def _measure(stack: Stack, events: int, *, size: int, people: int) -> Used:
    messages = Messages(people=people)
    async with Sender(stack.functions_url) as sender:
        await sender.post(messages.webhook(size))  # the first one imports modules and fills caches
        await _quiet(stack)
        before, calls, cpu = _database(stack), _calls(stack), ProcessorTime(stack)
        for _ in range(events // size):
            await sender.post(messages.webhook(size))
        await _quiet(stack)
    after, now = _database(stack), _calls(stack)
    done = after["events"] - before["events"]
    if done != events // size * size:
        raise RuntimeError(f"{events} events were posted and {done} arrived")
    count, busy_ms = (now[0] - calls[0], now[1] - calls[1])
    return Used(
        invocations=count / done,
        qstash_messages=1 + (after["published"] - before["published"]) / done,
        cpu_s=cpu.since()["consumer"] / done,
        busy_s=busy_ms / 1e3 / done,
        rows_written=(after["rows"] - before["rows"]) / done,
        bytes_kept=(after["bytes"] - before["bytes"]) / done,
        wal_bytes=(after["wal"] - before["wal"]) / done,
    )


def _rule(stack: Stack) -> None:
    with psycopg.connect(stack.dsn) as database:
        database.execute(
            "insert into public.reply_rules (trigger, match, pattern, reply_text)"
            " values ('keyword', 'contains', 'blue', 'Yes, it is.')"
        )


async def _quiet(stack: Stack) -> None:
    """Waits until QStash has delivered everything. Raises `RuntimeError` if that takes too long."""
    watch, ends_s = Watch(stack), time.monotonic() + QUIET_WITHIN_S
    try:
        while not await asyncio.to_thread(watch.qstash_is_idle):
            if time.monotonic() > ends_s:
                raise RuntimeError(f"QStash is still busy after {QUIET_WITHIN_S:.0f} s")
            await asyncio.sleep(0.1)
    finally:
        watch.close()


def _calls(stack: Stack) -> tuple[int, int]:
    """Returns how many requests the functions have answered, and their milliseconds together."""
    took_ms = [int(ms) for ms in ANSWERED.findall(stack.log_path("functions").read_text("utf-8", "replace"))]
    return len(took_ms), sum(took_ms)


def _database(stack: Stack) -> dict[str, int]:
    """Returns the counters of the database: rows, bytes, log."""
    with psycopg.connect(stack.dsn, row_factory=dict_row, autocommit=True) as database:
        database.execute("select pg_stat_force_next_flush()")
        row = database.execute(
            "select (select count(*) from events) as events,"
            " (select count(*) from outbox where kind = 'next_phase') as published,"
            " (select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables) as rows,"
            " (select sum(pg_total_relation_size(oid))::bigint from pg_class"
            "   where relkind = 'r' and relnamespace = 'public'::regnamespace) as bytes,"
            " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint as wal"
        ).fetchone()
    assert row is not None
    return row


def _floor(stack: Stack, events: int) -> float:
    """Returns the bytes an event of a table with the id and the raw item alone."""
    with psycopg.connect(stack.dsn, autocommit=True) as database:
        database.execute("create temporary table floor (event_id text primary key, raw jsonb not null)")
        database.execute(
            "insert into floor select event_id, item from events join ingestion.raw_items using (raw_id) limit %s",
            (events,),
        )
        row = database.execute("select pg_total_relation_size('floor')::float / count(*) from floor").fetchone()
    assert row is not None
    return float(row[0])
