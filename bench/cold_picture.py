"""The picture of the section on cold starts: two bars a process, until it is ready and until its first answer."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from bench.section import save


def picture(medians: Mapping[str, tuple[float, float]]) -> str:
    """Draws the milliseconds until ready and until the first answer, by label. Returns the picture's name."""
    figure = Figure(figsize=(8, 1 + 0.3 * len(medians)), layout="constrained")
    axes = figure.subplots()
    labels = list(medians)
    axes.barh(labels, [answer for _, answer in medians.values()], color="#c4ccd6", label="first answer")
    axes.barh(labels, [ready for ready, _ in medians.values()], color="#1f6f54", label="ready")
    axes.invert_yaxis()
    axes.set_xlabel("ms from the start, median")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, "cold_start.svg")
