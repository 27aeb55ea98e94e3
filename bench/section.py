"""What one benchmark found, as a part of the report: plain values.

Must not know how anything is measured, nor where the report goes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from matplotlib.figure import Figure

PLOTS = Path(__file__).with_name("plots")

Tell: TypeAlias = Callable[[str], None]
"""Shows how far a benchmark is, in a few words."""


@dataclass(frozen=True)
class Section:
    """A table and what is to be said about it.

    `about`: what is measured, and against which baseline of the same run. `rows` have as many cells as `head`.
    `pictures`: names of files in `PLOTS`, each with what is to be seen.
    """

    title: str
    about: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()


_pictures_go_to = PLOTS


def put_pictures_into(directory: Path) -> None:
    """From now on pictures are written there, for a run that is not for the report."""
    global _pictures_go_to  # noqa: PLW0603
    _pictures_go_to = directory


def save(figure: Figure, name: str) -> str:
    """Writes a picture; returns its name."""
    _pictures_go_to.mkdir(exist_ok=True)
    figure.savefig(_pictures_go_to / name, dpi=90)
    return name


def ratio(value: float, baseline: float) -> str:
    """How many times the baseline."""
    return f"{value / baseline:.2f}×"
