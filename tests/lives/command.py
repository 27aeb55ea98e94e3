"""`python -m dev lives`: explores deeply, and tells the shortest failing story."""

import functools
import sys
import time

import click
from rich.console import Console

from dev.stack import Stack, StackConfig
from dev.stack.options import stack_options
from dev.stack.own import own_config
from tests.lives.database import Database
from tests.lives.explore import Found, explore


@click.command()
@functools.partial(stack_options, time_scale=0.01)
@click.option("--depth", default=7, show_default=True, type=click.IntRange(1, 30), help="The most steps of a life.")
def lives(config: StackConfig, depth: int) -> None:
    """Explore the life of one reply through every interleaving, on the real SQL functions (`make lives`).

    \b
    Examples:
      python -m dev lives                 seven steps: some minutes
      python -m dev lives --depth 9       nine steps: hours
    """
    console = Console()
    with Stack(own_config(config, "lives")) as stack:
        database = Database(stack.dsn)
        started_s = time.monotonic()
        with console.status("lives") as status:

            def tick(level: int, seen: int, ended: int) -> None:
                status.update(f"step {level} of {depth}: {seen} lives, {ended} ends")

            found = explore(database, depth=depth, tick=tick)
        database.close()
    show(console, found, time.monotonic() - started_s)
    sys.exit(1 if found.wrong else 0)


def show(console: Console, found: Found, took_s: float) -> None:
    """Prints how much was explored, and the story that is wrong, a sentence a step."""
    console.print(f"{found.lives} lives and {found.ends} ends in {took_s:.0f} s.")
    if found.wrong is None:
        console.print("Each reply was delivered once at most, and each end is as it must be.")
        return
    for number, sentence in enumerate(found.story, 1):
        console.print(f"{number:>3}. {sentence}", soft_wrap=True)
    console.print(f"     {found.wrong}.", soft_wrap=True)
