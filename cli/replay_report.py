"""How a replay is shown: a bar while it runs, a table when it is over.

Knows terminals. Must not know how the counts come about.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cli.replaying import Tally
from lib.archive.store import ReprocessOutcome

LISTED = 50
"""Failed events that are listed one by one; more of them have one cause."""

MEANINGS = {
    ReprocessOutcome.UNCHANGED: "nothing new in them",
    ReprocessOutcome.IMPROVED: "the same kind, better understood",
    ReprocessOutcome.RECLASSIFIED: "another kind than before",
    ReprocessOutcome.ERASED: "of people erased since; they go",
    ReprocessOutcome.MISSING: "past retention, nothing to read",
}


@contextlib.contextmanager
def progress(console: Console, total: int, tally: Tally) -> Iterator[Callable[[], None]]:
    """Shows how far a replay of `total` events has come each time it is called; a line a tenth without a terminal."""
    if not console.is_terminal or console.is_dumb_terminal:
        done = 0

        def say() -> None:
            nonlocal done
            done += 1
            if total and done * 10 // total > (done - 1) * 10 // total:
                console.print(f"{done} of {total} read again, {_summary(tally)}")

        yield say
        return
    columns = (
        TextColumn("{task.completed:.0f} of {task.total:.0f} read again"),
        BarColumn(bar_width=24, complete_style="green", finished_style="green"),
        TextColumn("{task.description}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as shown:
        task = shown.add_task("", total=total)
        yield lambda: shown.update(task, advance=1, description=_summary(tally))


def show(console: Console, tally: Tally, *, dry_run: bool) -> None:
    """The counts, then what failed."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("outcome", no_wrap=True)
    table.add_column("events", justify="right", no_wrap=True)
    table.add_column("", style="dim")
    for outcome, meaning in MEANINGS.items():
        table.add_row(outcome.value, str(tally.outcomes[outcome]), meaning)
        if outcome is ReprocessOutcome.RECLASSIFIED:
            for (before, after), count in sorted(tally.moved.items()):
                table.add_row(f"  {before} → {after}", str(count), "")
    table.add_row(Text("failed", "red" if tally.failed else ""), str(len(tally.failed)), "as they were before")
    for code, count in sorted(Counter(tally.failed.values()).items()):
        table.add_row(f"  {code}", str(count), "")
    console.print(table)
    for event_id, code in list(tally.failed.items())[:LISTED]:
        console.print(Text(f"failed: {event_id}  {code}"), soft_wrap=True)
    if len(tally.failed) > LISTED:
        console.print(f"and {len(tally.failed) - LISTED} more")
    if dry_run:
        console.print("A dry run: nothing was changed.")


def _summary(tally: Tally) -> str:
    changed = [ReprocessOutcome.IMPROVED, ReprocessOutcome.RECLASSIFIED]
    parts = [f"{tally.outcomes[outcome]} {outcome.value}" for outcome in changed]
    return ", ".join([*parts, *([f"{len(tally.failed)} failed"] if tally.failed else [])])
