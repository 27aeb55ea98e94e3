"""From the post of a webhook to the visible row, at a steady rate and in a burst, against the SQL function alone.

The whole stack runs: two processes of functions, QStash's stand-in, PostgREST, and a Postgres that syncs to disk.
"""

import asyncio
import bisect
import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.load import own_stack
from bench.passage import Measurements, Plan, measure, percentile
from bench.section import Section, Tell, ratio, save, without_frame

FULL = Plan(people=500, alone=400, steady=600, burst=10_000, outage=1_000)
QUICK = Plan(people=20, alone=20, steady=20, burst=100, outage=50, batch=10)

POINTS = 200
STANDINS = ("QStash", "gateway", "client")
PARALLELISM = (100, 200, 1000)
"""How many deliveries QStash makes at once, by plan (Upstash, "Pricing")."""

GREY, GREEN, BLUE, OCHRE = "#8a8f98", "#1f6f54", "#2f5d9b", "#c98a1b"


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures on a stack of its own. Raises `RuntimeError` if a message does not arrive."""
    plan = QUICK if quick else FULL
    with own_stack(tell, instances=2) as stack:
        return _section(plan, asyncio.run(measure(stack, plan, tell)))


def _section(plan: Plan, measured: Measurements) -> Section:
    alone, seen = measured.alone.to_row(measured.seen), measured.seen
    sides = {
        "baseline: the bare function, to the row": alone,
        f"steady, {plan.rate:g} a second: to the 200": measured.steady.to_answer(),
        f"steady, {plan.rate:g} a second: to the row": measured.steady.to_row(seen),
        f"burst of {plan.burst:,}: to the 200": measured.burst.to_answer(),
        f"burst of {plan.burst:,}: to the row": measured.burst.to_row(seen),
    }
    median_ms, slow_ms = measured.resolution_ms
    again = f"; by status: {dict(measured.refused)}" if measured.refused else ""
    return Section(
        title="From the post to the row",
        about=(
            "Signed webhooks posted to two processes of functions; QStash's stand-in, PostgREST and Postgres on the "
            f"same machine. Steady: {plan.steady} webhooks of one message, posted by the clock, however long others "
            f"wait. Burst: {plan.burst // plan.batch} webhooks of {plan.batch} messages, {plan.at_once} at "
            "once, each message from its webhook's first post. The row is visible when another connection sees it; "
            f"that one asks every {median_ms:.0f} ms (99 % within {slow_ms:.0f} ms). Baseline: the same rows by the "
            f"same SQL function, `record_event`, called through PostgREST {plan.alone} times, one after the other."
        ),
        head=("measured", "p50, ms", "p95, ms", "p99, ms", "p50 to baseline", "p99 to baseline"),
        rows=tuple(_row(name, times, alone) for name, times in sides.items()),
        remarks=(
            _about_burst(plan, measured),
            _about_work(plan, measured),
            _on_paper(plan, measured),
            _about_outage(plan, measured),
            f"{measured.refused.total()} webhooks were not answered 200 within 5 s and were posted again{again}. "
            f"{measured.arrived}",
        ),
        pictures=((_picture(plan, measured), "Latencies at a steady rate, and the backlog of the burst over time"),),
    )


def _row(name: str, times: Sequence[float], baseline: Sequence[float]) -> tuple[str, ...]:
    cells = [f"{percentile(times, percent) * 1e3:.0f}" for percent in (50, 95, 99)]
    ratios = [ratio(percentile(times, percent), percentile(baseline, percent)) for percent in (50, 99)]
    return (name, *cells, *ratios)


def _about_burst(plan: Plan, measured: Measurements) -> str:
    began_s = min(measured.burst.due.values())
    answered_s = max(measured.burst.answered.values()) - began_s
    rows_s = max(measured.seen[mid] for mid in measured.burst.due) - began_s
    alone_s = statistics.fmean(at - measured.alone.due[mid] for mid, at in measured.alone.answered.items())
    return (
        f"The burst: the last 200 after {answered_s:.1f} s, the last row after {rows_s:.1f} s: "
        f"{plan.burst / answered_s:.0f} messages a second taken, {plan.burst / rows_s:.0f} a second to the row, "
        f"{ratio(plan.burst / rows_s, 1 / alone_s)} the pace of the bare function called by one client. "
        f"At most {max(count for _, count in _backlog(measured))} were accepted and not yet visible; QStash held at "
        f"most {max((count for _, count in measured.held), default=0)}."
    )


def _about_work(plan: Plan, measured: Measurements) -> str:
    """Whose processor time the burst took: the stand-in and its gateway are not there on the platform."""
    total_s = sum(measured.burst_cpu.values())
    parts = sorted(measured.burst_cpu.items(), key=lambda part: -part[1])
    shares = ", ".join(f"{name} {seconds / plan.burst * 1e3:.2f} ms" for name, seconds in parts if seconds > 0)
    standins_s = sum(measured.burst_cpu.get(name, 0.0) for name in STANDINS)
    return (
        f"Processor time of the burst, a message: {shares}. The stand-ins ({', '.join(STANDINS)}) take "
        f"{standins_s / total_s:.0%} of it: they share the two cores with the functions and Postgres."
    )


def _on_paper(plan: Plan, measured: Measurements) -> str:
    delivery_ms = statistics.median(measured.steady.to_row(measured.seen)) * 1e3
    postgres_ms = measured.burst_cpu.get("Postgres", 0.0) / plan.burst * 1e3
    paces = ", ".join(f"{plan.burst / (most / delivery_ms * 1e3):.1f} s with {most:,}" for most in PARALLELISM)
    return (
        "On paper, with QStash itself: a delivery that takes as long as a steady message here to its row "
        f"({delivery_ms:.0f} ms) lets QStash drain {plan.burst:,} messages in {paces} deliveries at once (pay as you "
        f"go, and the fixed plans). Postgres takes {postgres_ms:.2f} ms of a core a message, so one core ends at "
        f"{1e3 / postgres_ms:,.0f} messages a second: it is the limit from {delivery_ms / postgres_ms:.0f} deliveries "
        "at once a core on."
    )


def _about_outage(plan: Plan, measured: Measurements) -> str:
    took_s = max(measured.outage.to_answer())
    return (
        f"A webhook of {plan.outage:,} messages while QStash refuses everything was answered 200 after {took_s:.1f} s, "
        "with all of them recorded (the webhook's own limit: 4 s)."
    )


def _backlog(measured: Measurements) -> list[tuple[float, int]]:
    """Returns how many messages were accepted and not yet visible, at `POINTS` moments of the burst."""
    began_s = min(measured.burst.due.values())
    spans = [(at, measured.seen[mid]) for mid, at in measured.burst.answered.items() if measured.seen[mid] > at]
    accepted, visible = sorted(at for at, _ in spans), sorted(at for _, at in spans)
    ended_s = max(measured.seen[mid] for mid in measured.burst.due)
    moments = [began_s + (ended_s - began_s) * number / POINTS for number in range(POINTS + 1)]
    return [(at - began_s, bisect.bisect_right(accepted, at) - bisect.bisect_right(visible, at)) for at in moments]


def _picture(plan: Plan, measured: Measurements) -> str:
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    steady, burst = figure.subplots(2, 1)
    for times, color, label in (
        (measured.alone.to_row(measured.seen), GREY, "baseline, to the row"),
        (measured.steady.to_answer(), BLUE, "steady, to the 200"),
        (measured.steady.to_row(measured.seen), GREEN, "steady, to the row"),
    ):
        steady.semilogx([percentile(times, p) * 1e3 for p in range(1, 100)], range(1, 100), color=color, label=label)
    steady.set_xlabel("ms from the post")
    steady.set_ylabel("% done")
    _draw_burst(burst, plan, measured)
    for axes in (steady, burst):
        axes.legend(frameon=False)
    without_frame(steady, burst)
    return save(figure, "end_to_end.svg")


def _draw_burst(axes: Axes, plan: Plan, measured: Measurements) -> None:
    began_s = min(measured.burst.due.values())
    for ends, color, label in (
        (measured.burst.answered.values(), BLUE, "accepted"),
        ([measured.seen[mid] for mid in measured.burst.due], GREEN, "visible"),
    ):
        curve = sorted(ends)
        places = sorted({*range(0, len(curve), max(1, len(curve) // POINTS)), len(curve) - 1})
        axes.plot([curve[p] - began_s for p in places], [p + 1 for p in places], color=color, label=label)
    moments, counts = zip(*_backlog(measured), strict=True)
    axes.fill_between(moments, counts, color=GREY, alpha=0.4, linewidth=0, label="backlog: accepted, not yet visible")
    held = measured.held[:: max(1, len(measured.held) // POINTS)]
    axes.plot([at - began_s for at, _ in held], [n for _, n in held], color=OCHRE, linewidth=1, label="held by QStash")
    axes.set_xlabel(f"seconds from the start of the burst of {plan.burst:,} messages")
    axes.set_ylabel("messages")
