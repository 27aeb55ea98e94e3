"""Events a second through the consumer, against the same SQL functions called directly, by PostgREST and in Postgres.

The requests of the consumer are observed once and then repeated without it. All sides get as many events from the same
client, in turns.
"""

import asyncio
import contextlib
import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import psycopg

from bench import by_httpx, pgbench
from bench.bare import Job, Request, drive
from bench.consumer_picture import picture
from bench.load import own_stack
from bench.processor_time import ProcessorTime
from bench.round_trips import FIRST_PERSON, Trips, everybody_is_known, observe, signed
from bench.section import Section, Tell, ratio
from dev.stack import Stack
from lib.qstash.publisher import CONSUMER_PATH

PLAIN, DM = "message", "message, DM, next phase"
WORDS = {PLAIN: "Hello, is the blue one still there?", DM: "What is the price of the blue one?"}
CONSUMER, TWO, SQL, HTTPX, SAME, POSTGRES = (
    "consumer",
    "two consumers",
    "bare PostgREST",
    "bare PostgREST by httpx",
    "bare, with Graph and QStash",
    "pgbench",
)
MOST_DATABASE_CALLS = {PLAIN: 1, DM: 4}
NO_DELIVERIES = {"delivery": {"delay_ms": 600_000}}
"""QStash's stand-in accepts a next phase and keeps it, because its delivery would burden one side only."""


@dataclass(frozen=True)
class Plan:
    """The number of rounds, and of events a side, by kind of event and how many are handled at once."""

    rounds: int
    events: Mapping[tuple[str, int], int]
    people: int


FULL = Plan(rounds=5, events={(PLAIN, 1): 120, (PLAIN, 16): 480, (DM, 1): 40, (DM, 16): 160}, people=40_000)
QUICK = Plan(rounds=1, events={(PLAIN, 1): 10, (PLAIN, 16): 32, (DM, 1): 5, (DM, 16): 16}, people=2_000)


@dataclass(frozen=True)
class SideResult:
    """The result of one side: events a second by round, and seconds of processor time an event by component."""

    pace: list[float]
    spent: dict[str, float]

    @property
    def median(self) -> float:
        """The median of the events a second."""
        return statistics.median(self.pace)


Side = Callable[[int, int], Callable[[], float]]
"""Takes how many events at once and in all, and prepares them. Returns a function that runs them: events a second."""

Results = dict[tuple[str, int], dict[str, SideResult]]


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures on a stack of its own. Raises `RuntimeError` if an event does not arrive, or takes too many calls."""
    plan = QUICK if quick else FULL
    with own_stack(tell) as stack:
        _prepare(stack, plan.people)
        env = {DM: {"PHASE3_URL": f"{stack.functions_url}/next-phase", "SENDS_PER_SECOND": "100000"}, PLAIN: {}}
        trips = {kind: asyncio.run(observe(stack, env[kind], words)) for kind, words in WORDS.items()}
        checked = tuple(_check(kind, trips[kind]) for kind in WORDS)
        results: Results = {}
        for kind in WORDS:
            with _consumers(stack, env[kind]) as urls:
                sides = _sides(stack, trips[kind], urls, plan.people)
                for at_once in (1, 16):
                    tell(f"{kind}, {at_once} at once")
                    events = plan.events[kind, at_once]
                    taking_part = {name: side for name, side in sides.items() if at_once > 1 or name != TWO}
                    results[kind, at_once] = _measure(stack, taking_part, at_once, events, plan.rounds)
        arrived = _arrived(stack)
    return _section(plan, results, (*checked, arrived))


def _prepare(stack: Stack, people: int) -> None:
    """Makes everybody known, adds one reply rule, and stops QStash's deliveries."""
    with psycopg.connect(stack.dsn, autocommit=True) as db:
        everybody_is_known(db, people)
        db.execute(
            # Without a pause between two replies: pgbench takes people at random.
            "insert into public.reply_rules (trigger, pattern, reply_text, cooldown_s)"
            " values ('keyword', 'price', 'It is 40.', 0)"
        )
    httpx.post(f"{stack.qstash_url}/__dev/faults", json=NO_DELIVERIES, trust_env=False).raise_for_status()


def _check(kind: str, trips: Trips) -> str:
    calls = [request.target.rsplit("/", 1)[-1] for request in trips.database]
    if len(calls) > MOST_DATABASE_CALLS[kind]:
        raise RuntimeError(f"{kind}: {len(calls)} database calls, {calls}")
    others = len(trips.elsewhere)
    return (
        f"Round trips of one event ({kind}): {len(calls)} to the database (at most {MOST_DATABASE_CALLS[kind]}: "
        f"{', '.join(f'`{call}`' for call in calls)}) and {others} other HTTP requests"
        f"{' (Graph: send; QStash: publish)' if others else ''}."
    )


@contextlib.contextmanager
def _consumers(stack: Stack, env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    with stack.functions(env) as one, stack.functions(env) as other:
        yield one, other


def _sides(stack: Stack, trips: Trips, urls: Sequence[str], people: int) -> dict[str, Side]:
    numbers = itertools.count(10)

    def ids() -> dict[str, str]:
        number = next(numbers)
        mid = trips.marks["mid"]
        return {
            "mid": f"{mid}{number:09d}",
            "sent": f"{mid}_sent{number:09d}",
            "person": f"{FIRST_PERSON + number % people}",
            "lease": trips.marks["lease"],
        }

    def delivered(*to: str) -> Side:
        def job(url: str) -> Job:
            body = trips.other(trips.event.decode(), ids()).encode()
            headers = signed(body, url + CONSUMER_PATH)
            return Job.of([Request(urlsplit(url).port or 0, "POST", CONSUMER_PATH, headers, body)])

        return lambda at_once, events: _pace([job(url) for _, url in zip(range(events), itertools.cycle(to))], at_once)

    def repeated(requests: tuple[Request, ...]) -> Side:
        return lambda at_once, events: _pace([Job.of(trips.again(requests, ids())) for _ in range(events)], at_once)

    def by_library(requests: tuple[Request, ...]) -> Side:
        def ready(at_once: int, events: int) -> Callable[[], float]:
            jobs = [trips.again(requests, ids()) for _ in range(events)]
            return lambda: len(jobs) / asyncio.run(by_httpx.drive(jobs, at_once))

        return ready

    script = pgbench.script(trips.database, trips.marks, range(FIRST_PERSON, FIRST_PERSON + people))
    sides = {
        CONSUMER: delivered(urls[0]),
        SQL: repeated(trips.database),
        HTTPX: by_library(trips.database),
        TWO: delivered(*urls),
        POSTGRES: lambda at_once, events: lambda: pgbench.run(stack.dsn, script, at_once=at_once, events=events),
    }
    return sides | ({SAME: repeated(trips.requests)} if trips.elsewhere else {})


def _pace(jobs: Sequence[Job], at_once: int) -> Callable[[], float]:
    return lambda: len(jobs) / asyncio.run(drive(jobs, at_once))


def _measure(stack: Stack, sides: Mapping[str, Side], at_once: int, events: int, rounds: int) -> dict[str, SideResult]:
    """Takes turns, so that a slow moment of the machine slows all sides. The first round is a warm-up."""
    results = {name: SideResult([], {}) for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            ready = side(at_once, events)
            spent = ProcessorTime(stack)
            pace = ready()
            if number:
                results[name].pace.append(pace)
                for component, seconds in spent.since().items():
                    before = results[name].spent.get(component, 0.0)
                    results[name].spent[component] = before + seconds / events / rounds
    return results


def _arrived(stack: Stack) -> str:
    """Returns a sentence if every event is finished and every effect sent, else raises `RuntimeError`."""
    with psycopg.connect(stack.dsn) as db:
        (open_events,) = db.execute("select count(*) from public.events where processed_at is null").fetchone() or (0,)
        states: dict[str, int] = dict(
            db.execute("select state, count(*)::integer from public.outbox group by state").fetchall()
        )
        (events,) = db.execute("select count(*) from public.events").fetchone() or (0,)
    if open_events or states.keys() - {"sent"}:
        raise RuntimeError(f"{open_events} events are not finished; effects: {states}")
    return f"Afterwards all {events:,} events are recorded and finished, and all {states['sent']:,} effects sent."


def _section(plan: Plan, results: Results, remarks: tuple[str, ...]) -> Section:
    return Section(
        title="The consumer",
        about=(
            "Signed deliveries to one process of the consumer, or two, on the local stack, with a Postgres that syncs "
            "to disk. Baselines: the same requests that the consumer sends to Supabase, repeated through the same "
            "gateway by the bare client that delivers, and by httpx, on which the Supabase client stands (for the DM "
            "also with its requests to the stand-ins of Graph and QStash); and the same SQL functions called by "
            f"pgbench. Everybody's profile is fresh. Medians of {plan.rounds} rounds in turns."
        ),
        head=(
            "event, at once", "side", "events a second", "slowest to fastest", "to bare PostgREST",
            "processor, ms an event",
        ),
        rows=tuple(
            _row(f"{kind}, {at_once}", name, sides[name], sides[SQL])
            for (kind, at_once), sides in results.items()
            for name in sides
        ),
        remarks=(
            "The aim: at least 0.80 of bare PostgREST at equal concurrency. The consumer has "
            f"{_to_library(results, 1)} the pace of httpx with the same calls, and "
            f"{_to_library(results, 16)} at 16 at once.",
            _limit(results[PLAIN, 16]),
            *remarks,
            *(_spent(f"{kind}, {at_once} at once", sides) for (kind, at_once), sides in results.items()),
        ),
        pictures=((picture(results), "Events a second of each side, and the processor time an event takes"),),
    )  # fmt: skip


def _row(event: str, name: str, result: SideResult, baseline: SideResult) -> tuple[str, ...]:
    spread = f"{min(result.pace):.0f} to {max(result.pace):.0f}"
    spent_ms = sum(result.spent.values()) * 1e3
    return (event, name, f"{result.median:.0f}", spread, ratio(result.median, baseline.median), f"{spent_ms:.1f}")


def _to_library(results: Results, at_once: int) -> str:
    sides = results[PLAIN, at_once]
    return ratio(sides[CONSUMER].median, sides[HTTPX].median)


def _limit(sides: Mapping[str, SideResult]) -> str:
    spent = sides[CONSUMER].spent
    ours, theirs = spent["consumer"], spent["PostgREST"] + spent["Postgres"]
    return (
        f"Of a plain message, 16 at once, {ours * 1e3:.1f} ms of processor time are the consumer's own process (with "
        f"the laptop's server in it), {ratio(ours, theirs)} the time of PostgREST and Postgres together: alone on a "
        f"core it could do no more than {1 / ours:.0f} events a second. It used "
        f"{ours * sides[CONSUMER].median:.0%} of a core; the database and other processes used the rest."
    )


def _spent(name: str, sides: Mapping[str, SideResult]) -> str:
    """Describes the processor time of one event, by component, and how many cores were busy."""

    def spent_by(side: str) -> str:
        parts = sorted(sides[side].spent.items(), key=lambda part: -part[1])
        listed = ", ".join(f"{component} {seconds * 1e3:.1f}" for component, seconds in parts if seconds > 5e-5)
        busy = sum(sides[side].spent.values()) * sides[side].median
        return f"{side}: {listed} ({busy:.1f} cores busy)"

    return f"Processor time, ms an event ({name}). {'. '.join(spent_by(side) for side in (CONSUMER, SQL))}."
