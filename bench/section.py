"""The result of one benchmark as a section of the report: plain values, and how figures are written."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure

PLOTS = Path(__file__).with_name("plots")

Tell: TypeAlias = Callable[[str], None]
"""Shows the progress of a benchmark, in a few words."""


@dataclass(frozen=True)
class Section:
    """A table with the text around it.

    `about` says what is measured, and against which baseline of the same run. `rows` have as many cells as `head`.
    `pictures` are names of files in `PLOTS`, each with a description.
    """

    title: str
    about: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()


_pictures_go_to = PLOTS


def put_pictures_into(directory: Path) -> None:
    """Sends all later pictures to `directory`, for a run that writes no report."""
    global _pictures_go_to  # noqa: PLW0603
    _pictures_go_to = directory


def save(figure: Figure, name: str) -> str:
    """Writes a picture and returns its name."""
    _pictures_go_to.mkdir(exist_ok=True)
    figure.savefig(_pictures_go_to / name, dpi=90)
    return name


def ratio(value: float, baseline: float) -> str:
    """Returns `value` as a multiple of the baseline."""
    return f"{value / baseline:.2f}×"


def half(values: Sequence[float], digits: int) -> str:
    """Returns the limits between which the middle half of the values lies."""
    quarter, _, three_quarters = statistics.quantiles(values, n=4)
    return f"{quarter:.{digits}f} to {three_quarters:.{digits}f}"


def without_frame(*charts: Axes) -> None:
    """Takes away the upper and the right line around each chart."""
    for axes in charts:
        axes.spines[["top", "right"]].set_visible(False)
