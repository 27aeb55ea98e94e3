"""The results of `query_plans`, as a table for a terminal and as Markdown for docs/database.md."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table

from bench.fill import LARGE_TABLES, Size
from bench.plans import Measured


class Line(NamedTuple):
    """One query in the small database and in the large one."""

    name: str
    small: Measured
    large: Measured


COLUMNS = ("query", "rows", "ms", "buffers", "growth", "answer", "scans")
LEGEND = (
    "Before the arrow: with a {divisor}th of everything. ms: execution time, median. buffers: pages of 8 kB touched. "
    "growth: buffers a row, against the small database. answer: ms of the whole request through PostgREST. "
    "scans: sequential scans of large tables."
)


def as_table(lines: Iterable[Line], size: Size, divisor: int) -> Table:
    """Returns the table for a terminal."""
    table = Table(
        title=_described(size), caption=LEGEND.format(divisor=divisor), caption_justify="left", box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )  # fmt: skip
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number in (0, len(COLUMNS) - 1) else "right", no_wrap=True)
    for line in lines:
        table.add_row(*_cells(line))
    return table


def as_markdown(lines: Sequence[Line], size: Size, divisor: int) -> str:
    """Returns the section of docs/database.md: the figures, then the plans in the large database."""
    rows = [
        f"{_described(size)}. {LEGEND.format(divisor=divisor)}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---|" + "---:|" * (len(COLUMNS) - 2) + "---|",
        *("| " + " | ".join(_cells(line)) + " |" for line in lines),
    ]
    plans = [f"\n**{line.name}**\n\n```\n{line.large.text}\n```" for line in lines]
    return "\n".join([*rows, *plans]) + "\n"


def _described(size: Size) -> str:
    return f"{size.messages:,} messages in {size.conversations:,} conversations"


def _cells(line: Line) -> tuple[str, ...]:
    small, large = line.small, line.large
    growth = (large.buffers / max(1, large.rows)) / (small.buffers / max(1, small.rows))
    return (
        line.name,
        _pair(f"{small.rows:,}", f"{large.rows:,}"),
        _pair(f"{small.ms:.2f}", f"{large.ms:.2f}"),
        _pair(f"{small.buffers:,}", f"{large.buffers:,}"),
        f"× {growth:.1f}",
        f"{large.answer_ms:.1f}",
        ", ".join(sorted(large.seq_scans.intersection(LARGE_TABLES))) or "-",
    )


def _pair(small: str, large: str) -> str:
    return small if small == large else f"{small}→{large}"
