"""`python -m dev chaos`: the command, the stack it runs on, and what it says."""

import asyncio
import functools
import random
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from dev.stack import StackConfig
from dev.stack.options import explained, running, stack_options
from dev.stack.own import hosted_settings, own_config
from tests.chaos.outside import Outside
from tests.chaos.report import Reporter, show_judgement, show_schedule
from tests.chaos.run import Run, config_for
from tests.chaos.schedule import ALL_RETRIES_S
from tests.chaos.story import Plan

PLOT_NAME = "chaos.png"
PICTURES = (".png", ".svg", ".pdf")
INTERRUPTED = 130
TIME_SCALE, SLOWEST = 0.01, 0.1
"""QStash's third retry comes half an hour after the second: 18 s here. Its ten minutes of deduplication are 6 s."""


def picture(path: Path | None) -> Path | None:
    """`path`, if a picture can be written there. Raises `click.BadParameter` now, and not after the run."""
    if path is not None and path.suffix not in PICTURES:
        raise click.BadParameter(f"a picture's name ends in {', '.join(PICTURES)}.")
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.parent}.")
    return path


@click.command()
@functools.partial(stack_options, time_scale=TIME_SCALE)
@click.option("--events", default=1500, show_default=True, type=click.IntRange(1, 1_000_000), help="How many.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="For the same run again. Default: a new one.")
@click.option(
    "--minutes",
    default=3.0,
    show_default=True,
    type=click.FloatRange(0.1, 24 * 60),
    help="How long things go wrong. Putting it right takes another minute or two.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Show the schedule of faults for --seed, and do nothing.")
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=lambda _context, _option, path: picture(path),
    help="Where the picture goes (.png, .svg, .pdf). Default: chaos.png among the run's data.",
)
def chaos(
    config: StackConfig, events: int, seed: int | None, minutes: float, *, only_plan: bool, plot_path: Path | None
) -> None:
    """Break everything while events arrive, and hold the tables against a model of what was sent (`make chaos`).

    A local stack of its own suffers a schedule of faults: functions killed in the midst of a request, Postgres and
    PostgREST stopped, every fault of QStash and Instagram, answers lost. Meta tells again what was not taken, in
    other batches. The last fault is an outage longer than all of QStash's retries. Then Meta, QStash, the sweeper
    and `dead-letters retry` finish what they can, and every row is compared. The same seed gives the same schedule
    and the same events.

    The exit status is 0 only if nothing was lost, doubled, sent twice or judged wrongly.
    """
    if config.time_scale > SLOWEST:
        raise click.UsageError(
            f"--time-scale {config.time_scale:g}: QStash's third retry takes half an hour; at most {SLOWEST}."
        )
    chosen = random.SystemRandom().randrange(2**32) if seed is None else seed
    plan = Plan(chosen, events, minutes * 60, outage_s=ALL_RETRIES_S * config.time_scale)
    console = Console(highlight=False)
    if only_plan:
        show_schedule(console, plan)
        return
    try:
        good = _run(console, config, plan, plot_path)
    except KeyboardInterrupt:
        console.print("\nStopped before the end.")
        sys.exit(INTERRUPTED)
    sys.exit(0 if good else 1)


def _run(console: Console, config: StackConfig, plan: Plan, plot_path: Path | None) -> bool:
    from tests.chaos.plot import plot  # noqa: PLC0415  matplotlib takes half a second

    with explained():
        own = own_config(config, "chaos")
    if hosted := hosted_settings(config):
        console.print(f"{' and '.join(hosted)} left alone: chaos runs on a local stack of its own.")
    with Outside() as outside:
        whole = config_for(own, outside)
        with (
            running(whole, lambda line: console.print(Text(f"  {line}", "dim"))) as stack,
            Reporter(console, plan) as says,
        ):
            story = asyncio.run(Run(stack, plan, outside, says.tick).run())
        path = plot_path or whole.data_dir / PLOT_NAME
        plot(story, path)
    return show_judgement(console, story, path, whole.time_scale)
