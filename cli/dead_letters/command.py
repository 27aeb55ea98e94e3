"""`python -m cli dead-letters`: the command line."""

import functools
import sys
from collections.abc import Awaitable, Callable
from typing import get_args

import click
from rich.console import Console

from cli.dead_letters.report import (
    progress,
    show_content,
    show_letter,
    show_list,
    show_review,
    show_tally,
    show_unfinished,
)
from cli.dead_letters.selection import filter_options, open_letters
from cli.dead_letters.work import UNREADABLE, Tally, Treatment, work_off
from cli.examples import examples
from cli.failures import LISTED
from cli.project import on_project, to_deployment
from cli.retries import or_exit
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.container import Container
from lib.core.deadline import Deadline
from lib.dead_letters.store import DeadLetter, LetterFilter, State, Unfinished
from lib.recovery.redrive import DlqReview, LetterOutcome, expected_end

RETRY_WITHIN_S = 25.0
OLDER_THAN_S = 300
"""The sweeper takes an event that is not finished for so long."""


@click.group("dead-letters", epilog=examples("dead-letters list", "dead-letters retry --code database_constraint"))
def dead_letters() -> None:
    """Work off what QStash gave up on, in the local stack or the hosted project that .env names.

    For a hosted project, set QSTASH_TOKEN, and PRODUCTION_DOMAIN or PUBLIC_URL (the address of its functions).
    """


@dead_letters.command("list", epilog=examples("dead-letters list", "dead-letters list --state all --since 7d"))
@filter_options
@click.option(
    "--state",
    type=click.Choice([*get_args(State), "all"]),
    default="open",
    show_default=True,
    help="Only letters in this state.",
)
@click.option("--limit", default=LISTED, show_default=True, type=click.IntRange(1, 1000), help="Most letters to show.")
@stack_options
def list_(config: StackConfig, wanted: LetterFilter, state: str, limit: int) -> None:
    """List dead letters, oldest first, without what a person wrote."""
    wanted = wanted.model_copy(update={"state": None if state == "all" else state})

    async def read(services: Container) -> tuple[list[DeadLetter], int]:
        letters = await or_exit(lambda: services.dead_letters.page(wanted, limit=limit), UNREADABLE)
        return letters, await _count(services, wanted)

    letters, total = on_project(config, read)
    if letters:
        show_list(_console(), letters, total)
    else:
        click.echo("No dead letters.")


@dead_letters.command(epilog=examples("dead-letters show ID", "dead-letters show ID --with-content"))
@click.argument("letter_id", metavar="ID")
@click.option("--with-content", is_flag=True, help="Also show what the person wrote: the event, or the foreign body.")
@stack_options
def show(config: StackConfig, letter_id: str, *, with_content: bool) -> None:
    """Show the letter ID, or the letters of the event ID.

    Only --with-content shows what a person wrote. Terminals are recorded, shared and copied into tickets, and the other
    fields are usually enough.
    """
    wanted = LetterFilter(ids=(letter_id,))

    async def read(services: Container) -> list[DeadLetter]:
        return await or_exit(lambda: services.dead_letters.page(wanted, with_content=with_content), UNREADABLE)

    letters = on_project(config, read)
    if not letters:
        raise click.ClickException(f"There is no dead letter {letter_id}. `dead-letters list` shows the ids.")
    for letter in letters:
        show_letter(_console(), letter)
        if with_content:
            show_content(_console(), letter)


@dead_letters.command(
    epilog=examples("dead-letters retry ID", "dead-letters retry --code database_constraint --dry-run")
)
@open_letters
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@stack_options
def retry(config: StackConfig, chosen: LetterFilter, *, dry_run: bool) -> None:
    """Send the events of open letters through QStash again, and close the letters and their entries at QStash.

    Name the letters by ids (of letters or of events), by a filter, or by --all. An event takes effect once, however
    often it is retried. If an event was processed meanwhile, its letter is only closed. While QStash is down, the
    command processes the events itself, as the functions would. An event that fails again comes back as a new letter.

    The exit status is 1 if a letter was not closed.
    """

    async def send_again(services: Container, letter: DeadLetter) -> LetterOutcome:
        return await services.redriver.retry(letter, deadline=Deadline.after(RETRY_WITHIN_S))

    async def foresee(_services: Container, letter: DeadLetter) -> LetterOutcome:
        return LetterOutcome(expected_end(letter))

    _work_off(config, chosen, foresee if dry_run else send_again, dry_run=dry_run)


@dead_letters.command(epilog=examples("dead-letters discard ID", "dead-letters discard --kind read --until 30d"))
@open_letters
@click.option("--dry-run", is_flag=True, help="Count the letters, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before discarding by filter.")
@stack_options
def discard(config: StackConfig, chosen: LetterFilter, *, dry_run: bool, yes: bool) -> None:
    """Give up open letters for good, and delete their entries at QStash.

    Name the letters by ids, by a filter, or by --all. If an event was recorded before it failed, the sweeper still
    finishes it.
    """

    async def count(services: Container) -> int:
        return await _count(services, chosen)

    async def give_up(services: Container, letter: DeadLetter) -> LetterOutcome:
        return await services.redriver.discard(letter)

    if dry_run:
        click.echo(f"{on_project(config, count)} would be discarded.")
        return
    if not chosen.ids and not yes:
        click.confirm(f"Discard {on_project(config, count)} dead letters for good?", abort=True)
    _work_off(config, chosen, give_up, dry_run=False)


@dead_letters.command("find-lost", epilog=examples("dead-letters find-lost"))
@click.option("--limit", default=LISTED, show_default=True, type=click.IntRange(1, 1000), help="Most events to show.")
@stack_options
def find_lost(config: StackConfig, limit: int) -> None:
    """Find what no list has: entries at QStash without a letter, and events that nobody finished.

    An entry whose failure callback never arrived becomes a dead letter, and can be retried. An entry whose letter is
    closed, or whose person was erased, is deleted. Unfinished events are only shown: the sweeper finishes them.

    The exit status is 1 if something was found.
    """

    async def search(services: Container) -> tuple[DlqReview, Unfinished]:
        review = await or_exit(services.redriver.find_lost, "QStash's dead letter queue cannot be read")
        unfinished = await or_exit(
            lambda: services.dead_letters.unfinished(older_than_s=OLDER_THAN_S, limit=limit), UNREADABLE
        )
        return review, unfinished

    review, unfinished = on_project(to_deployment(config), search)
    show_review(_console(), review)
    show_unfinished(_console(), unfinished)
    sys.exit(1 if review.stored or review.redacted or unfinished.total else 0)


def _work_off(
    config: StackConfig,
    chosen: LetterFilter,
    treat: Callable[[Container, DeadLetter], Awaitable[LetterOutcome]],
    *,
    dry_run: bool,
) -> None:
    tally = Tally()

    async def work(services: Container) -> None:
        treatment: Treatment = functools.partial(treat, services)
        total = await _count(services, chosen)
        with progress(Console(stderr=True, highlight=False), total) as tick:
            await work_off(services.dead_letters, chosen, treatment, tally, tick)

    try:
        # Direct processing may send replies, and those go to the real Meta.
        on_project(to_deployment(config), work, calls_meta=True)
    finally:
        # Also after Ctrl-C: what is done is done.
        show_tally(_console(), tally, dry_run=dry_run)
    sys.exit(1 if tally.failed or tally.without_event or (chosen.ids and not tally.ends) else 0)


async def _count(services: Container, wanted: LetterFilter) -> int:
    return await or_exit(lambda: services.dead_letters.count(wanted), UNREADABLE)


def _console() -> Console:
    return Console(highlight=False)
