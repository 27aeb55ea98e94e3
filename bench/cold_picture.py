"""The picture of the section on cold starts: a bar for each kind of process, as long as its median."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from bench.section import save, without_frame


def picture(medians: Mapping[tuple[str, str], float]) -> str:
    """Draws the milliseconds until the first answer, by route and side. Returns the name of the picture."""
    figure = Figure(figsize=(8, 1 + 0.3 * len(medians)), layout="constrained")
    axes = figure.subplots()
    colors = ["#c98a1b" if "peer" in side else "#1f6f54" for _, side in medians]
    axes.barh([", ".join(kind) for kind in medians], list(medians.values()), color=colors)
    axes.invert_yaxis()
    axes.set_xlabel("ms from the start to the first answer, median")
    without_frame(axes)
    return save(figure, "cold_start.svg")
