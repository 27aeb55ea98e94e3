"""The cost of retention and of a step of an erasure, with few or many raw items stored.

Fills a local database anew for each size: a month of events, a hundredth of them of an unknown kind and without a
contact. The baselines are the ways without the ring of segments and without the index of names, in the same database.
"""

import statistics
import time
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from bench.load import own_stack
from bench.section import Section, Tell, ratio

SIZES = (100_000, 1_000_000, 10_000_000)
QUICK_SIZES = (10_000, 30_000)
SEGMENTS = 31
BATCH = 100_000
ROUNDS = 5
ROW_BY_ROW = 2000
"""The items that the former retention emptied in one transaction: fewer of a small month."""

# Two lines a person and day, as many persons as a hundredth of the events.
EVENTS: LiteralString = """
    insert into public.events (
        event_id, account_id, kind, contact_id, mid, direction, via, topic, occurred_at, received_at, recorded_at,
        processed_at, raw_id
    )
    select
        case when unknown then 'ig_unknown_' else 'ig_msg_' end || mid, '17841400000000000',
        case when unknown then 'unknown' else 'message' end,
        case when unknown then null else (6000000000000000 + i %% %(people)s)::text end,
        case when unknown then null else mid end, 'inbound', 'queue', case when unknown then 'brand_new' end,
        at, at, at, at, ingestion.first_raw_id((i * %(segments)s / %(events)s)::integer) + i
    from (
        select
            i, i %% 100 = 0 as unknown, 'aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlEOjE3ODQx' || md5(i::text) as mid,
            now() - interval '31 days' * (1 - i::double precision / %(events)s) as at
        from generate_series(%(first)s::bigint, %(last)s::bigint) i
    ) numbered
"""
ITEMS: LiteralString = """
    insert into ingestion.raw_items (raw_id, names_nobody, item)
    select
        ingestion.first_raw_id((i * %(segments)s / %(events)s)::integer) + i, i %% 100 = 0,
        case when i %% 100 = 0
            then jsonb_build_object('field', 'brand_new', 'value', jsonb_build_object(
                'by', jsonb_build_array(jsonb_build_object('id', (6000000000000000 + i %% %(people)s)::text)),
                'text', repeat('some words ', 12)
            ))
            else jsonb_build_object(
                'sender', jsonb_build_object('id', (6000000000000000 + i %% %(people)s)::text),
                'recipient', jsonb_build_object('id', '17841400000000000'), 'timestamp', 1795000000000 + i,
                'message', jsonb_build_object('mid', md5(i::text), 'text', repeat('some words ', 12))
            )
        end
    from generate_series(%(first)s::bigint, %(last)s::bigint) i
"""
SEGMENTS_CLOSED: LiteralString = """
    update ingestion.raw_segments s set
        opened_at = now() - interval '1 day' * (%(segments)s - s.segment),
        closed_at = case
            when s.segment < %(segments)s then now() - interval '1 day' * (%(segments)s - s.segment - 1)
        end
    where s.segment <= %(segments)s
"""
BY_ROWS: LiteralString = """
    delete from ingestion.raw_items r where r.raw_id = any (array(
        select e.raw_id from public.events e
        where e.recorded_at < now() - interval '29 days' order by e.recorded_at, e.event_id limit %(rows)s
    ))
"""
BY_SCAN: LiteralString = """
    select count(*) from public.events e join ingestion.raw_items r on r.raw_id = e.raw_id
    where e.account_id = '17841400000000000' and e.contact_id is null and e.kind = 'unknown'
        and jsonb_path_exists(r.item, 'strict $.** ? (@ == $id)', jsonb_build_object('id', %(contact)s::text))
"""
RUN_ERASURE: LiteralString = "select run_erasure(%(code)s, 2000)"
EMPTY: LiteralString = "select ingestion.empty_raw_segment(now() - %(days)s * interval '1 day')"

PEOPLE_OF = 100


@dataclass(frozen=True)
class Cost:
    """Milliseconds: of a segment that is emptied and of items row by row; of an erasure's step and of a scan."""

    events: int
    segment_ms: float
    segment_items: int
    rows: int
    rows_ms: float
    step_ms: float
    scan_ms: float

    @property
    def items_a_second(self) -> float:
        """How many items retention empties in a second of the database's time."""
        return self.segment_items / self.segment_ms * 1000

    @property
    def rows_a_second(self) -> float:
        """The same row by row."""
        return self.rows / self.rows_ms * 1000


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures on a stack of its own."""
    costs = []
    with own_stack(tell) as stack, psycopg.connect(stack.dsn, autocommit=True) as db:
        for size in QUICK_SIZES if quick else SIZES:
            fill(db, size, tell)
            costs.append(measure(db, size, tell))
    return section(costs)


def fill(db: psycopg.Connection, events: int, tell: Tell) -> None:
    """Empties the tables and writes a month of `events`."""
    db.execute("truncate public.events, ingestion.raw_items cascade")
    values = {"events": events, "people": max(1, events // PEOPLE_OF), "segments": SEGMENTS}
    for first in range(0, events, BATCH):
        part = values | {"first": first, "last": min(first + BATCH, events) - 1}
        db.execute(EVENTS, part)
        db.execute(ITEMS, part)
        tell(f"{part['last'] + 1:,} of {events:,} events")
    db.execute(SEGMENTS_CLOSED, values)
    db.execute("vacuum (analyze) public.events")
    db.execute("vacuum (analyze) ingestion.raw_items")


def measure(db: psycopg.Connection, events: int, tell: Tell) -> Cost:
    """Measures one size. The order keeps what a later measurement needs."""
    tell(f"measuring with {events:,} events")
    people = max(1, events // PEOPLE_OF)
    contacts = [str(6_000_000_000_000_000 + number * PEOPLE_OF % people) for number in range(1, ROUNDS + 1)]
    scan_ms = statistics.median(timed(db, BY_SCAN, contact=contact) for contact in contacts[:3])
    steps = []
    for number, contact in enumerate(contacts):
        code = f"BENCH{events}{number}"
        db.execute("select request_erasure(%s, %s, 'command', 'contact')", (code, contact))
        steps.append(timed(db, RUN_ERASURE, code=code))
    rows = min(ROW_BY_ROW, events // 100)
    rows_ms = timed(db, BY_ROWS, rows=rows)
    db.execute(EMPTY, {"days": 29.5})
    counted = db.execute("select count(*) from ingestion.raw_items_1").fetchone()
    segment_ms = timed(db, EMPTY, days=28.5)
    assert counted is not None
    return Cost(events, segment_ms, int(counted[0]), rows, rows_ms, statistics.median(steps), scan_ms)


def timed(db: psycopg.Connection, statement: LiteralString, **values: object) -> float:
    """Returns the milliseconds that a statement takes."""
    began = time.perf_counter()
    db.execute(statement, values)
    return (time.perf_counter() - began) * 1000


def section(costs: list[Cost]) -> Section:
    """Returns the table."""
    return Section(
        title="Retention and erasure",
        about="A month of events with their raw items, a hundredth of them of an unknown kind. Retention empties the "
        "segment of a day at once; the baseline deletes 2,000 items row by row. One step of the erasure of a person "
        "finds what names them by an index; the baseline is the scan of all unknown events that it needed before.",
        head=(
            "raw items",
            "a segment",
            "items a second",
            "row by row",
            "faster",
            "erasure step",
            "scan",
            "to the scan",
        ),
        rows=tuple(
            (
                f"{cost.events:,}",
                f"{cost.segment_ms:.1f} ms ({cost.segment_items:,})",
                f"{cost.items_a_second:,.0f}",
                f"{cost.rows_a_second:,.0f}",
                ratio(cost.items_a_second, cost.rows_a_second),
                f"{cost.step_ms:.1f} ms",
                f"{cost.scan_ms:.1f} ms",
                ratio(cost.step_ms, cost.scan_ms),
            )
            for cost in costs
        ),
        remarks=("Emptying a segment counts its items first, which is nearly all of its time.",),
    )
