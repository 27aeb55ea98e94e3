"""The cost of an event, of a conversation's newest page and of the list of conversations, with much or little stored.

Fills a local database anew for each size and sends the same requests to each.
"""

import asyncio
import itertools
import json
import random
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import LiteralString
from urllib.parse import urlencode

import psycopg
from matplotlib.figure import Figure

from bench.bare import Job, Lane, Request
from bench.fill import LARGE_TABLES, Size, fill
from bench.load import own_stack
from bench.plans import Explainer, Query
from bench.query_plans import queries
from bench.round_trips import Trips, everybody_is_known, observe
from bench.section import Section, Tell, half, ratio, save, without_frame
from dev.stack.postgres import SUPERUSER

SIZES = (Size(1_000, 200), Size(100_000, 2_000), Size(10_000_000, 200_000))
QUICK_SIZES = (Size(1_000, 200), Size(10_000, 200))
EVENTS, QUICK_EVENTS = 600, 60
WARM_UP, EXPLAINED = 50, 15
KNOWN = 10
FIRST_CONTACT = 6_000_000_000_000_000
EVENT, CONTROL, PAGE, LIST = "an event", "the control", "newest page of a conversation", "list of conversations"
QUERIES = {"messages, newest page": PAGE, "conversations": LIST}
SWEEP = Query("the sweep's page", "/rpc/unfinished_events", function=True)
PLANS = "The plans of an inbox's queries are in docs/database.md (`python -m bench.query_plans`)."
CONTROL_BODY = {"p_account_id": "control"}
EXPLAIN = psycopg.sql.SQL("explain (analyze, buffers, format json) select public.record_event({})")
READ_WHOLE: LiteralString = "select relname from pg_stat_xact_user_tables where seq_scan > 0"
USED: LiteralString = (
    "select indexrelname from pg_stat_user_indexes"
    " where pg_stat_get_xact_numscans(indexrelid) > 0 and relname = any(%s)"
)
COLORS = {EVENT: "#1f6f54", CONTROL: "#8a8f98", PAGE: "#2f5d9b", LIST: "#c98a1b"}


@dataclass(frozen=True)
class Cost:
    """The cost of one request in one database.

    `times` are the milliseconds of the whole request through PostgREST, `inside_ms` those in Postgres. `scanned` are
    the large tables that were read from end to end.
    """

    times: list[float]
    inside_ms: float | None = None
    buffers: int | None = None
    scanned: frozenset[str] = frozenset()
    indexes: frozenset[str] = frozenset()

    @property
    def ms(self) -> float:
        """The median of the times."""
        return statistics.median(self.times)

    @property
    def middle(self) -> tuple[float, float]:
        """The limits between which the middle half of the times lies."""
        quarter, _, three_quarters = statistics.quantiles(self.times, n=4)
        return quarter, three_quarters


Costs = dict[str, Cost]


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures on a stack of its own."""
    sizes, events = (QUICK_SIZES, QUICK_EVENTS) if quick else (SIZES, EVENTS)
    with own_stack(tell) as stack, closing(psycopg.connect(stack.dsn, user=SUPERUSER, autocommit=True)) as db:
        everybody_is_known(db, KNOWN)
        trips = asyncio.run(observe(stack, {}, "Hello, is the blue one still there?"))
        with closing(Explainer(stack)) as explainer:
            by_size: dict[int, Costs] = {}
            for size in sizes:
                tell(f"filling {size.messages:,} messages")
                fill(db, size)
                db.execute("checkpoint")  # else the flush of what was written would fall into the measurement
                tell(f"asking, {size.messages:,} messages stored")
                by_size[size.messages] = _costs(stack.dsn, explainer, trips, size, events)
    return _section(by_size, events)


def _costs(dsn: str, explainer: Explainer, trips: Trips, size: Size, events: int) -> Costs:
    asked = [*queries(explainer), SWEEP]
    wanted = {QUERIES[query.name]: query for query in asked if query.name in QUERIES}
    times = asyncio.run(_timed(_requests(trips, size, wanted), events))
    costs = {
        EVENT: _explained(dsn, _events(trips, size, "explained"), times[EVENT]),
        CONTROL: Cost(times[CONTROL]),
    }
    for name, query in wanted.items():
        seen = explainer.measure(query)
        scanned = seen.seq_scans.intersection(LARGE_TABLES)
        costs[name] = Cost(times[name], seen.ms, seen.buffers, scanned, seen.indexes)
    for query in asked:
        if query.name not in QUERIES:
            seen = explainer.measure(query)
            costs[query.name] = Cost([seen.answer_ms], seen.ms, seen.buffers, seen.seq_scans & set(LARGE_TABLES))
    return costs


def _requests(trips: Trips, size: Size, wanted: Mapping[str, Query]) -> dict[str, Iterator[Request]]:
    """Endless requests by name, to be sent in turns."""
    [call] = trips.database
    states = itertools.cycle(
        replace(call, target="/rest/v1/rpc/mark_account", body=json.dumps(CONTROL_BODY | {"p_state": state}).encode())
        for state in ("active", "stopped")
    )
    pages = {
        name: itertools.repeat(
            replace(call, method="GET", target=f"/rest/v1{query.path}?{urlencode(query.params)}", body=b"")
        )
        for name, query in wanted.items()
    }
    return {EVENT: _events(trips, size, "timed"), CONTROL: states, **pages}


def _events(trips: Trips, size: Size, name: str) -> Iterator[Request]:
    """Yields the consumer's call of `record_event`, for new messages of people all over the busiest account."""
    chosen = random.Random(1)
    for number in itertools.count():
        ids = {
            "mid": f"{trips.marks['mid']}{name}{number}",
            "person": str(FIRST_CONTACT + chosen.randrange(0, size.conversations, 2)),
            "lease": trips.marks["lease"],
        }
        yield from trips.again(trips.database, ids)


async def _timed(requests: Mapping[str, Iterator[Request]], rounds: int) -> dict[str, list[float]]:
    """Returns milliseconds by name. The requests take turns, so that a slow moment of the machine slows all."""
    lane, times = Lane(), {name: list[float]() for name in requests}
    await lane.connect(next(requests[EVENT]).port)
    for number in range(WARM_UP + rounds):
        for name, of_it in requests.items():
            job = Job.of([next(of_it)])
            began_s = time.perf_counter()
            await lane.do(job)
            if number >= WARM_UP:
                times[name].append((time.perf_counter() - began_s) * 1e3)
    lane.close()
    return times


def _explained(dsn: str, requests: Iterator[Request], taken: list[float]) -> Cost:
    """Measures some calls in Postgres and rolls each back. The statistics of its own connection have nothing else."""
    times, buffers, scanned, indexes = list[float](), list[int](), set[str](), set[str]()
    with psycopg.connect(dsn, user=SUPERUSER, autocommit=True) as db:
        for request in itertools.islice(requests, EXPLAINED):
            arguments = json.loads(request.body)
            named = psycopg.sql.SQL(", ").join(
                psycopg.sql.SQL("{} => %s").format(psycopg.sql.Identifier(name)) for name in arguments
            )
            values = [value if isinstance(value, str) else json.dumps(value) for value in arguments.values()]
            with db.transaction(force_rollback=True):
                db.execute("set local role service_role")
                [(plan,)] = db.execute(EXPLAIN.format(named), values).fetchall()
                scanned |= {name for (name,) in db.execute(READ_WHOLE).fetchall()}
                indexes |= {name for (name,) in db.execute(USED, [list(LARGE_TABLES)]).fetchall()}
            times.append(plan[0]["Execution Time"])
            buffers.append(plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"])
    inside_ms, pages = statistics.median(times), round(statistics.median(buffers))
    return Cost(taken, inside_ms, pages, frozenset(scanned & set(LARGE_TABLES)), frozenset(indexes))


def _section(by_size: Mapping[int, Costs], events: int) -> Section:
    least, most = min(by_size), max(by_size)
    return Section(
        title="Growth",
        about=(
            f"The same with {' then '.join(f'{size:,}' for size in by_size)} messages stored, by one client through "
            f"PostgREST, {events} times each, in turns: `record_event` as the consumer calls it, for new messages of "
            "people all over the busiest account; the newest page of a conversation and the list of conversations, "
            "of the account with the most messages. The control writes and commits the one row of a table, so its "
            f"changes are those of the machine. Medians. Baseline: the same with {least:,} messages. Buffers are pages "
            "of 8 kB touched in Postgres."
        ),
        head=(
            "what",
            "messages stored",
            "ms",
            "half within, ms",
            "to baseline",
            "in Postgres, ms",
            "buffers",
            "to baseline",
        ),
        rows=tuple(
            _row(name, size, by_size[size][name], by_size[least][name]) for name in by_size[least] for size in by_size
        ),
        remarks=(
            f"With {most:,} messages for {least:,} an event takes "
            f"{ratio(by_size[most][EVENT].ms, by_size[least][EVENT].ms)} the time, and "
            f"the control {ratio(by_size[most][CONTROL].ms, by_size[least][CONTROL].ms)}.",
            *(_plan(name, by_size[most][name], most) for name in (EVENT, PAGE, LIST)),
            _scans(by_size[most], most),
            PLANS,
        ),
        pictures=((_picture(by_size), "Time and buffers by messages stored"),),
    )


def _row(name: str, size: int, cost: Cost, least: Cost) -> tuple[str, ...]:
    inside = "" if cost.inside_ms is None else f"{cost.inside_ms:.2f}"
    buffers = ("", "")
    if cost.buffers is not None and least.buffers is not None:
        buffers = (f"{cost.buffers}", ratio(cost.buffers, least.buffers))
    middle = half(cost.times, 2) if len(cost.times) > 1 else ""
    return (name, f"{size:,}", f"{cost.ms:.2f}", middle, ratio(cost.ms, least.ms), inside, *buffers)


def _plan(name: str, cost: Cost, size: int) -> str:
    indexes = ", ".join(f"`{index}`" for index in sorted(cost.indexes))
    scans = ", ".join(sorted(cost.scanned)) or "none"
    return f"With {size:,} messages, {name}: sequential scans of large tables: {scans}; by index: {indexes}."


def _scans(costs: Costs, size: int) -> str:
    scanned = [f"{name} ({', '.join(sorted(cost.scanned))})" for name, cost in costs.items() if cost.scanned]
    return f"With {size:,} messages, what reads a large table from end to end: {'; '.join(scanned) or 'nothing'}."


def _picture(by_size: Mapping[int, Costs]) -> str:
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    times, buffers = figure.subplots(1, 2)
    sizes = list(by_size)
    for name, color in COLORS.items():
        costs = [by_size[size][name] for size in sizes]
        times.plot(sizes, [cost.ms for cost in costs], "o-", color=color, label=name)
        times.fill_between(
            sizes, *zip(*(cost.middle for cost in costs), strict=True), color=color, alpha=0.2, linewidth=0
        )
        touched = [cost.buffers for cost in costs if cost.buffers is not None]
        if touched:
            buffers.plot(sizes, touched, "o-", color=color, label=name)
    times.set_ylabel("ms, median; shaded: half of all")
    buffers.set_ylabel("pages of 8 kB touched")
    times.legend(frameon=False, fontsize=8)
    for axes in (times, buffers):
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("messages stored")
    without_frame(times, buffers)
    return save(figure, "growth.svg")
