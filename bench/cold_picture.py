"""The picture of the section on cold starts: processor time until a function is ready, and until its first answer."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from bench.section import save, without_frame


def picture(medians: Mapping[str, tuple[float, float]]) -> str:
    """Draws the milliseconds until ready and until the first answer, by label. Returns the name of the picture."""
    figure = Figure(figsize=(8, 1 + 0.3 * len(medians)), layout="constrained")
    axes = figure.subplots()
    labels = list(medians)
    axes.barh(labels, [answer for _, answer in medians.values()], color="#c4ccd6", label="first answer")
    axes.barh(labels, [ready for ready, _ in medians.values()], color="#1f6f54", label="ready")
    axes.invert_yaxis()
    axes.set_xlabel("processor time from the start, ms, median")
    axes.legend(frameon=False)
    without_frame(axes)
    return save(figure, "cold_start.svg")
