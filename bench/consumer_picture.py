"""The picture of the consumer's section: events a second, and the processor time of each component."""

from collections.abc import Mapping
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.section import save, without_frame

COLORS = {
    "consumer": "#1f6f54", "gateway": "#8a8f98", "PostgREST": "#2f5d9b", "Postgres": "#7a5ea8", "client": "#d5d8dc",
    "Graph": "#c98a1b", "QStash": "#b4443c",
}  # fmt: skip


class SideResult(Protocol):
    """The result of one side."""

    @property
    def pace(self) -> list[float]:
        """Events a second, by round."""

    @property
    def spent(self) -> dict[str, float]:
        """Seconds of processor time an event, by component."""

    @property
    def median(self) -> float:
        """The median of the events a second."""


def picture(results: Mapping[tuple[str, int], Mapping[str, SideResult]]) -> str:
    """Writes the picture and returns its name."""
    bars = [
        (f"{kind}, {at_once}: {side}", side, result)
        for (kind, at_once), sides in results.items()
        for side, result in sides.items()
    ]
    figure = Figure(figsize=(11, 0.9 + 0.27 * len(bars)), layout="constrained")
    paces, times = figure.subplots(1, 2, sharey=True)
    for place, (_, side, result) in enumerate(bars):
        paces.barh(place, result.median, color="#1f6f54" if "consumer" in side else "#8a8f98", height=0.7)
        paces.plot([min(result.pace), max(result.pace)], [place, place], color="#222", linewidth=1)
        _stack(times, place, result)
    paces.set_yticks(range(len(bars)), [name for name, _, _ in bars], fontsize=8)
    paces.invert_yaxis()
    paces.set_xscale("log")
    paces.set_xlabel("events a second, median; line: slowest to fastest round")
    times.set_xlabel("processor time, ms an event")
    for name, color in COLORS.items():
        times.barh(0, 0, color=color, label=name)
    times.legend(frameon=False, fontsize=8, loc="upper right")
    without_frame(paces, times)
    return save(figure, "consumer.svg")


def _stack(axes: Axes, place: int, result: SideResult) -> None:
    left = 0.0
    for name, color in COLORS.items():
        width = result.spent.get(name, 0.0) * 1e3
        if width:
            axes.barh(place, width, left=left, color=color, height=0.7)
        left += width
