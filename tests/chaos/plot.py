"""The picture of a run: how fast it went, how much was waiting, and what was broken meanwhile."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.chaos.story import Story

LANES = {
    "servers": "#b4443c",
    "supabase": "#3e8e7e",
    "settings": "#6b7280",
    "qstash": "#c98a1b",
    "graph": "#7a5ea8",
    "outage": "#111827",
}
ROW_IN = 0.14
"""The height of a fault's row, in inches."""

TOLD, DONE, WAITING = "#8a8f98", "#1f6f54", "#2f5d9b"


def plot(story: Story, path: Path) -> None:
    """Writes the picture as PNG (or as `path`'s suffix says: SVG, PDF)."""
    mpl.rcParams["svg.hashsalt"] = "chaos"
    rows_in = ROW_IN * len({one.fault.kind.name for one in story.happened})
    figure = Figure(figsize=(13, 5.5 + rows_in), layout="constrained")
    ratios = (2, 1.4, 1.4, max(rows_in, 0.5))
    totals, speed, backlog, faults = figure.subplots(4, 1, sharex=True, height_ratios=ratios)
    plan = story.plan
    figure.suptitle(f"Chaos: {plan.events} events, seed {plan.seed}, {plan.lasts_s / 60:g} min", x=0.01, ha="left")
    _totals(totals, story)
    _speed(speed, story)
    _backlog(backlog, story)
    _faults(faults, story)
    for axes in (totals, speed, backlog, faults):
        axes.spines[["top", "right"]].set_visible(False)
        axes.axvline(story.faults_over_s, color="#444", linewidth=0.8, linestyle=":")
    faults.set_xlabel("seconds from the start; dotted: no more faults")
    figure.savefig(path, dpi=110)


def _totals(axes: Axes, story: Story) -> None:
    axes.plot([s.at_s for s in story.samples], [s.accepted for s in story.samples], color=TOLD, label="answered 200")
    known = [(s.at_s, s.processed) for s in story.samples if s.processed is not None]
    axes.plot(*zip(*known, strict=True), color=DONE, label="processed")
    axes.set_ylabel("events")
    axes.legend(frameon=False, loc="upper left")


def _speed(axes: Axes, story: Story) -> None:
    known = [(s.at_s, s.processed) for s in story.samples if s.processed is not None]
    steps = [(later[0], (later[1] - earlier[1]) / (later[0] - earlier[0])) for earlier, later in pairwise(known)]
    if steps:
        _area(axes, steps, "pre", DONE)
    axes.set_ylabel("processed a second")
    axes.set_ylim(bottom=0)


def _backlog(axes: Axes, story: Story) -> None:
    known = [(s.at_s, s.in_qstash) for s in story.samples if s.in_qstash is not None]
    if known:
        _area(axes, known, "post", WAITING)
    axes.set_ylabel("waiting in QStash")
    axes.set_ylim(bottom=0)


def _area(axes: Axes, points: Sequence[tuple[float, float]], step: Literal["pre", "post"], color: str) -> None:
    axes.fill_between([x for x, _ in points], [y for _, y in points], step=step, color=color, alpha=0.5, linewidth=0)


def _faults(axes: Axes, story: Story) -> None:
    names = list(dict.fromkeys(one.fault.kind.name for one in sorted(story.happened, key=lambda h: h.fault.lane)))
    for one in story.happened:
        row = names.index(one.fault.kind.name)
        width = max(one.ended_s - one.began_s, 0.15)
        axes.barh(row, width, left=one.began_s, height=0.7, color=LANES[one.fault.lane])
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", linewidth=0.3)
