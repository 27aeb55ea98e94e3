"""Each route of ours and of the TypeScript peer, warm: the same bytes in, the same answers from what they call."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from bench import peer_build, upstream
from bench.load import own_stack
from bench.requests import PEOPLE, settings
from bench.round_trips import everybody_is_known
from bench.section import Section, Tell, ratio
from bench.side_by_side import AT_ONCE, Cost, measure, ours, server
from dev.stack.stack import Stack

OURS, PEER = "ours", "the peer"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Case:
    """One kind of request. `count` is how many make a round; `to_the_row` is on a real PostgREST and Postgres."""

    name: str
    route: str
    events: int
    count: int
    to_the_row: bool = False


CASES = (
    Case("webhook, 1 event", "webhook", 1, 1500),
    Case("webhook, 100 events", "webhook", 100, 200),
    Case("ingest, 1 event", "ingest", 1, 1500),
    Case("ingest, 100 events", "ingest", 100, 100),
    Case("consumer", "consumer", 1, 1500),
    Case("consumer, to the row", "consumer", 1, 300, to_the_row=True),
)
ROUNDS, ROUNDS_QUICK = 7, 2


@dataclass(frozen=True)
class Result:
    """The cost of one case by side and by how many requests are made at once, and the resident bytes by side."""

    costs: Mapping[tuple[str, int], Cost]
    rss: Mapping[str, int]


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures every case. Raises `RuntimeError` if an answer is no 2xx or, on the real stack, an event has no row."""
    rounds = ROUNDS_QUICK if quick else ROUNDS
    results: dict[Case, Result] = {}
    with upstream.running() as url, own_stack(tell) as stack:
        with psycopg.connect(stack.dsn, autocommit=True) as database:
            everybody_is_known(database, PEOPLE)
        real = {"SUPABASE_URL": stack.supabase_url, "SUPABASE_SERVICE_ROLE_KEY": stack.service_role_key}
        for case in CASES:
            environment = settings(url) | (real if case.to_the_row else {})
            count = case.count // 3 if quick else case.count
            results[case] = _measure(case, environment, url, count=count, rounds=rounds, tell=tell)
        arrived = _arrived(stack)
    return _section(results, rounds, arrived)


def _measure(case: Case, environment: Mapping[str, str], url: str, *, count: int, rounds: int, tell: Tell) -> Result:
    with (
        server(ours(case.route), environment) as one,
        server(peer_build.bundle(case.route), environment) as other,
    ):
        servers = {OURS: one, PEER: other}
        costs = measure(servers, case.route, case.events, count=count, rounds=rounds, public_url=url, tell=tell)
        return Result(costs, {side: each.rss() for side, each in servers.items()})


def _arrived(stack: Stack) -> str:
    """Returns a sentence if every recorded event is finished and has its message, else raises `RuntimeError`."""
    with psycopg.connect(stack.dsn) as database:
        counts = database.execute(
            "select count(*), count(processed_at), (select count(*) from public.messages) from public.events"
        ).fetchone()
    if counts is None or not counts[0] or len(set(counts)) != 1:
        raise RuntimeError(f"events, finished ones, and messages: {counts}")
    return f"Afterwards all {counts[0]:,} events of the case to the row are finished, and each has its message."


def _section(results: Mapping[Case, Result], rounds: int, arrived: str) -> Section:
    return Section(
        title="A request, beside the TypeScript peer",
        about=(
            "One process a route: ours under uvicorn as Vercel's runtime runs it, the peer (`bench/peer/`) under "
            "Node.js. Both get the same bytes from the same client, and the same answers from what they call: a server "
            "that answers at once, and for the last rows the local stack with its PostgREST and a Postgres that syncs "
            f"to disk. CPU is that of the process alone, with all its threads. Medians of {rounds} rounds in turns, "
            "after a warm-up. The peer does less: no cleaning, no deadline, no fallback, no dead letters "
            "(`bench/peer/README.md`)."
        ),
        head=(
            *("request", "at once", "ours, CPU, ms", "the peer, CPU, ms", "CPU, ratio"),
            *("ours, wall, ms", "the peer, wall, ms", "wall, ratio", "ours, MiB", "the peer, MiB"),
        ),
        rows=tuple(_row(case, result, at_once) for case, result in results.items() for at_once in AT_ONCE),
        remarks=(
            f"To the TypeScript peer, processor time: {_spread(results, cpu=True)}. "
            f"Wall time: {_spread(results, cpu=False)} (aim: at most 1.00×).",
            arrived,
        ),
    )


def _spread(results: Mapping[Case, Result], *, cpu: bool) -> str:
    """Returns the lowest and the highest ratio of each route, in words."""
    found: dict[str, list[float]] = {}
    for case, result in results.items():
        for at_once in AT_ONCE:
            mine, theirs = result.costs[OURS, at_once], result.costs[PEER, at_once]
            pair = (mine.median_cpu, theirs.median_cpu) if cpu else (mine.median_wall, theirs.median_wall)
            found.setdefault(case.route, []).append(pair[0] / pair[1])
    return ", ".join(f"{route} {min(ratios):.2f} to {max(ratios):.2f}×" for route, ratios in found.items())


def _row(case: Case, result: Result, at_once: int) -> tuple[str, ...]:
    mine, theirs = result.costs[OURS, at_once], result.costs[PEER, at_once]
    return (
        *(case.name, f"{at_once}", f"{mine.median_cpu:.3f}", f"{theirs.median_cpu:.3f}"),
        ratio(mine.median_cpu, theirs.median_cpu),
        *(f"{mine.median_wall:.3f}", f"{theirs.median_wall:.3f}", ratio(mine.median_wall, theirs.median_wall)),
        *(f"{result.rss[OURS] / MIB:.0f}", f"{result.rss[PEER] / MIB:.0f}"),
    )
