"""The HTTP client under the consumer: our pool, httpx's own, and aiohttp's under httpx. All else is the same."""

from bench import upstream
from bench.requests import settings
from bench.section import Section, Tell, ratio
from bench.serve import AIOHTTP, CLIENTS, HTTPX, OURS
from bench.side_by_side import AT_ONCE, Cost, measure, ours, server

NAMES = {OURS: "ours (`lib/http`)", HTTPX: "httpx (httpcore)", AIOHTTP: "httpx-aiohttp"}
ROUNDS, ROUNDS_QUICK = 7, 2
COUNT = 1500


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures the three clients in turns."""
    rounds, count = (ROUNDS_QUICK, COUNT // 3) if quick else (ROUNDS, COUNT)
    with upstream.running() as url:
        environment = settings(url)
        with (
            server(ours("consumer", client=OURS), environment) as one,
            server(ours("consumer", client=HTTPX), environment) as two,
            server(ours("consumer", client=AIOHTTP), environment) as three,
        ):
            servers = dict(zip(CLIENTS, (one, two, three), strict=True))
            costs = measure(servers, "consumer", 1, count=count, rounds=rounds, public_url=url, tell=tell)
    return Section(
        title="The HTTP client",
        about=(
            "A delivery to the consumer, with one call to the database that answers at once, by three clients under "
            f"the Supabase client. CPU is that of the consumer's process. Medians of {rounds} rounds in turns, after a "
            "warm-up. Baseline: httpx as it comes."
        ),
        head=("client", "at once", "CPU, ms", "to httpx", "wall, ms", "to httpx"),
        rows=tuple(_row(name, at_once, costs) for at_once in AT_ONCE for name in CLIENTS),
    )


def _row(name: str, at_once: int, costs: dict[tuple[str, int], Cost]) -> tuple[str, ...]:
    cost, baseline = costs[name, at_once], costs[HTTPX, at_once]
    return (
        *(NAMES[name], f"{at_once}"),
        *(f"{cost.median_cpu:.3f}", ratio(cost.median_cpu, baseline.median_cpu)),
        *(f"{cost.median_wall:.3f}", ratio(cost.median_wall, baseline.median_wall)),
    )
