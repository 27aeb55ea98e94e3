"""What a run says: the schedule, a line for each fault as it comes, how far things are, and the judgement."""

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from tests.chaos.schedule import Fault
from tests.chaos.story import Plan, Story

SHOWN = 10
PLAIN_EVERY_S = 10.0


def show_schedule(console: Console, plan: Plan) -> None:
    """Every fault, when it comes and for how long."""
    console.print(f"Seed {plan.seed}, {plan.lasts_s / 60:g} min, {len(plan.faults)} faults:")
    for fault in plan.faults:
        console.print(_line(fault))


class Reporter:
    """Tells a run while it goes on: a line that moves, or a plain one now and then where nothing can move."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console = console
        self._plan = plan
        self._moves = console.is_terminal and not console.is_dumb_terminal
        self._progress = Progress(
            TextColumn("  {task.completed:.0f} of {task.total:.0f} processed"),
            BarColumn(bar_width=24, complete_style="green", finished_style="green"),
            TextColumn("{task.description}"),
            console=console,
            disable=not self._moves,
        )
        self._task: TaskID | None = None
        self._said_at_s = 0.0
        self._said = ""

    def __enter__(self) -> Self:
        plan = self._plan
        self._console.print(
            f"\nSeed {plan.seed}: {plan.events} events and {len(plan.faults)} faults in {plan.lasts_s:g} s"
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=plan.events)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def tick(self, story: Story, fault: Fault | None) -> None:
        """Shows how far `story` is, and `fault` as it begins."""
        if fault is not None:
            self._console.print(_line(fault))
        if story.now and story.now != self._said:
            self._said = story.now
            self._console.print(f"  then     {story.now}", style="dim", soft_wrap=True)
        if not story.samples or self._task is None:
            return
        sample = story.samples[-1]
        waiting = "?" if sample.in_qstash is None else str(sample.in_qstash)
        what = f"{sample.accepted} answered 200, {waiting} waiting in QStash"
        self._progress.update(self._task, completed=sample.processed or 0, total=max(story.told, 1), description=what)
        if not self._moves and sample.at_s - self._said_at_s >= PLAIN_EVERY_S:
            self._said_at_s = sample.at_s
            done = "?" if sample.processed is None else str(sample.processed)
            self._console.print(f"{sample.at_s:7.1f} s  {done} of {story.told} processed, {what}", style="dim")


def show_judgement(console: Console, story: Story, picture: Path, time_scale: float) -> bool:
    """The counts, what is wrong if anything is, and whether all was well."""
    judgement = story.judgement
    assert judgement is not None
    console.print(_table(story))
    for name, sentences in (
        ("lost", judgement.lost),
        ("doubled", judgement.doubled),
        ("double DMs", judgement.double_dms),
        ("wrong verdicts", judgement.wrong_verdicts),
    ):
        for sentence in sentences[:SHOWN]:
            console.print(f"{name}: {sentence}", markup=False, soft_wrap=True)
        if len(sentences) > SHOWN:
            console.print(f"{name}: and {len(sentences) - SHOWN} more")
    console.print(f"Throughput, backlog and faults: {picture}", soft_wrap=True)
    plan = story.plan
    again = (
        f"python -m dev chaos --seed {plan.seed} --events {plan.events} --minutes {plan.lasts_s / 60:g} "
        f"--time-scale {time_scale:g}"
    )
    console.print(f"The same again: {again}", soft_wrap=True)
    console.print(
        f"lost {len(judgement.lost)}, doubled {len(judgement.doubled)}, double DMs {len(judgement.double_dms)}, "
        f"wrong verdicts {len(judgement.wrong_verdicts)}. "
        + ("The promise held." if judgement.good else "The promise did not hold."),
        style="bold green" if judgement.good else "bold red",
    )
    return judgement.good


def _table(story: Story) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    table.add_column()
    judgement, webhooks = story.judgement, story.webhooks
    assert judgement is not None
    table.add_row(str(len(story.happened)), "faults")
    for status, count in sorted(webhooks.statuses.items()):
        table.add_row(str(count), f"webhooks answered {status}" if status else "webhooks without an answer")
    table.add_row(str(webhooks.told_again), "things told again")
    for what, count in judgement.counts.items():
        table.add_row(str(count), what)
    return table


def _line(fault: Fault) -> str:
    lasts = f" for {fault.for_s:.1f} s" if fault.for_s else ""
    return f"{fault.at_s:7.1f} s  {fault.kind.name}{lasts}"
