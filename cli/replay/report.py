"""How a replay is shown: a progress bar while it runs, and a table at the end."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cli.failures import show_failures
from cli.replay.reprocess import Tally
from lib.archive.store import ReprocessOutcome

MEANINGS = {
    ReprocessOutcome.UNCHANGED: "nothing new",
    ReprocessOutcome.IMPROVED: "the same kind, with more fields",
    ReprocessOutcome.RECLASSIFIED: "a new kind",
    ReprocessOutcome.ERASED: "the person was erased since; deleted",
    ReprocessOutcome.MISSING: "past retention, no raw item",
}


@contextlib.contextmanager
def progress(console: Console, total: int, tally: Tally) -> Iterator[Callable[[], None]]:
    """Yields a function to call after each event. Without a terminal it prints a line for each tenth of the events."""
    if not console.is_terminal or console.is_dumb_terminal:
        done = 0

        def print_tenth() -> None:
            nonlocal done
            done += 1
            if total and done * 10 // total > (done - 1) * 10 // total:
                console.print(f"{done} of {total} reprocessed, {_summary(tally)}")

        yield print_tenth
        return
    columns = (
        TextColumn("{task.completed:.0f} of {task.total:.0f} reprocessed"),
        BarColumn(bar_width=24, complete_style="green", finished_style="green"),
        TextColumn("{task.description}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.update(task, advance=1, description=_summary(tally))


def show(console: Console, tally: Tally, *, dry_run: bool) -> None:
    """Prints the counts, and then the failures."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("outcome", no_wrap=True)
    table.add_column("events", justify="right", no_wrap=True)
    table.add_column("", style="dim")
    for outcome, meaning in MEANINGS.items():
        table.add_row(outcome.value, str(tally.outcomes[outcome]), meaning)
        if outcome is ReprocessOutcome.RECLASSIFIED:
            for (before, after), count in sorted(tally.moved.items()):
                table.add_row(f"  {before} → {after}", str(count), "")
    table.add_row(Text("failed", "red" if tally.failed else ""), str(len(tally.failed)), "not changed")
    for code, count in sorted(Counter(tally.failed.values()).items()):
        table.add_row(f"  {code}", str(count), "")
    console.print(table)
    show_failures(console, tally.failed)
    if dry_run:
        console.print("A dry run: nothing was changed.")


def _summary(tally: Tally) -> str:
    changed = [ReprocessOutcome.IMPROVED, ReprocessOutcome.RECLASSIFIED]
    parts = [f"{tally.outcomes[outcome]} {outcome.value}" for outcome in changed]
    return ", ".join([*parts, *([f"{len(tally.failed)} failed"] if tally.failed else [])])
