"""`python -m cli dead-letters`: what QStash gave up on, looked at, sent again or given up.

Knows the command line, and what a hosted project needs for it. Must not know how a letter is dealt with
(`lib.redrive`), how many are (`redriving`), nor how they are shown (`dead_letter_report`).
"""

import functools
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import click
from rich.console import Console

from cli.dead_letter_report import (
    LISTED,
    progress,
    show_content,
    show_found,
    show_letter,
    show_list,
    show_tally,
    show_unfinished,
)
from cli.moments import Moment
from cli.patience import or_explain
from cli.project import on_project
from cli.redriving import UNREADABLE, Tally, Treatment, work_off
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.container import Container
from lib.core.deadline import Deadline
from lib.core.env_vars import DEFAULTS
from lib.dead_letters.store import DeadLetter, LetterFilter, State, Unfinished
from lib.events.model import Kind
from lib.recovery.redrive import DlqReview, LetterOutcome, expected_end

RETRY_WITHIN_S = 25.0
OLDER_THAN_S = 300


@click.group("dead-letters")
def dead_letters() -> None:
    """What QStash gave up on, in the local stack or the hosted project that .env names.

    A hosted project needs QSTASH_TOKEN, and PRODUCTION_DOMAIN (or PUBLIC_URL): where its functions are.
    """


def selection(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose letters; the command receives them as one `wanted: LetterFilter`."""

    @functools.wraps(command)
    def with_filter(
        code: str | None,
        kind: Kind | None,
        account: str | None,
        since: datetime | None,
        until: datetime | None,
        **others: Any,
    ) -> Any:
        return command(wanted=LetterFilter(code=code, kind=kind, account=account, since=since, until=until), **others)

    options = [
        click.option("--code", help="Only with this error code: database_constraint, …"),
        click.option("--kind", type=click.Choice(get_args(Kind)), help="Only this kind of event."),
        click.option("--account", metavar="ID", help="Only this account, by either of its ids."),
        click.option("--since", type=Moment(), help="Failed from then on: 2026-11-24, 2026-11-24T15:00, 7d, 12h."),
        click.option("--until", type=Moment(), help="Failed before then."),
    ]
    decorated: Callable[..., Any] = with_filter
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


@dead_letters.command("list")
@stack_options
@selection
@click.option(
    "--state", type=click.Choice([*get_args(State), "all"]), default="open", show_default=True, help="In this state."
)
@click.option("--limit", default=LISTED, show_default=True, type=click.IntRange(1, 1000), help="Most letters to show.")
def list_(config: StackConfig, wanted: LetterFilter, state: str, limit: int) -> None:
    """List dead letters, the oldest first, without what anybody wrote."""
    wanted = wanted.model_copy(update={"state": None if state == "all" else state})

    async def work(here: Container) -> tuple[list[DeadLetter], int]:
        letters = await or_explain(lambda: here.dead_letters.page(wanted, limit=limit), UNREADABLE)
        return letters, await or_explain(lambda: here.dead_letters.count(wanted), UNREADABLE)

    letters, total = on_project(config, work)
    if letters:
        show_list(_console(), letters, total)
    else:
        click.echo("No dead letters.")


@dead_letters.command()
@stack_options
@click.argument("letter_id", metavar="ID")
@click.option("--with-content", is_flag=True, help="Show what the person wrote, too: the event, or the foreign body.")
def show(config: StackConfig, letter_id: str, *, with_content: bool) -> None:
    """Show the letter ID, or the letters of the event ID.

    What a person wrote is shown with --with-content alone: a terminal is recorded, shared and copied into tickets, and
    the rest is mostly all that is needed.
    """
    wanted = LetterFilter(ids=(letter_id,))

    async def work(here: Container) -> list[DeadLetter]:
        return await or_explain(lambda: here.dead_letters.page(wanted, with_content=with_content), UNREADABLE)

    letters = on_project(config, work)
    if not letters:
        raise click.ClickException(f"There is no dead letter {letter_id}.")
    for letter in letters:
        show_letter(_console(), letter)
        if with_content:
            show_content(_console(), letter)


@dead_letters.command()
@stack_options
@selection
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are open.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def retry(config: StackConfig, wanted: LetterFilter, ids: tuple[str, ...], *, everything: bool, dry_run: bool) -> None:
    """Send the events of open letters through QStash again; close the letters and their entries at QStash.

    By their ids (or those of their events), by filter, or --all. An event takes effect once, however often it is
    replayed; one that came through meanwhile is not sent, only closed. While QStash is down they are processed from
    here, as the functions would. What fails again comes back as a new letter.

    The exit status is 1 if a letter was not closed.
    """
    chosen = _chosen(wanted, ids, everything=everything)

    async def retried(here: Container, letter: DeadLetter) -> LetterOutcome:
        return await here.redriver.retry(letter, deadline=Deadline.after(RETRY_WITHIN_S))

    async def foreseen(_here: Container, letter: DeadLetter) -> LetterOutcome:
        return LetterOutcome(expected_end(letter))

    _work_off(config, chosen, foreseen if dry_run else retried, dry_run=dry_run)


@dead_letters.command()
@stack_options
@selection
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are open.")
@click.option("--dry-run", is_flag=True, help="Count them, and do nothing.")
@click.option("--yes", is_flag=True, help="Don't ask before discarding by filter.")
def discard(
    config: StackConfig, wanted: LetterFilter, ids: tuple[str, ...], *, everything: bool, dry_run: bool, yes: bool
) -> None:
    """Give open letters up, by id, by filter, or --all, and delete their entries at QStash.

    An event that was recorded before it failed stays the sweeper's to finish.
    """
    chosen = _chosen(wanted, ids, everything=everything)

    async def count(here: Container) -> int:
        return await or_explain(lambda: here.dead_letters.count(chosen), UNREADABLE)

    async def discarded(here: Container, letter: DeadLetter) -> LetterOutcome:
        return await here.redriver.discard(letter)

    if dry_run:
        click.echo(f"{on_project(config, count)} would be discarded.")
        return
    if not ids and not yes:
        click.confirm(f"Discard {on_project(config, count)} dead letters, for good?", abort=True)
    _work_off(config, chosen, discarded, dry_run=False)


@dead_letters.command("find-lost")
@stack_options
@click.option("--limit", default=LISTED, show_default=True, type=click.IntRange(1, 1000), help="Most events to show.")
def find_lost(config: StackConfig, limit: int) -> None:
    """Find what is in no list: QStash's entries whose failure callback never came, and events nobody finished.

    The first are kept as dead letters now, to be retried; the second are shown, the sweeper takes them up.
    QStash's entries that are over (their letter closed, their person erased) are deleted.
    The exit status is 1 if there was something.
    """

    async def work(here: Container) -> tuple[DlqReview, Unfinished]:
        found = await or_explain(here.redriver.find_lost, "QStash's dead letter queue can not be read")
        unfinished = await or_explain(
            lambda: here.dead_letters.unfinished(older_than_s=OLDER_THAN_S, limit=limit), UNREADABLE
        )
        return found, unfinished

    found, unfinished = on_project(_with_qstash(config), work)
    show_found(_console(), found)
    show_unfinished(_console(), unfinished)
    sys.exit(1 if found.stored or found.redacted or unfinished.total else 0)


def _chosen(wanted: LetterFilter, ids: tuple[str, ...], *, everything: bool) -> LetterFilter:
    """The open letters that are meant, up to now. Refuses what can not be meant."""
    filtered = wanted != LetterFilter()
    if (bool(ids), filtered, everything).count(True) != 1:
        raise click.UsageError("Give ids, or a filter, or --all.")
    until = wanted.until or datetime.now(UTC)
    # By its id a letter is found in any state: that it is closed already is worth saying.
    chosen: dict[str, object] = {"ids": ids} if ids else {"state": "open"}
    return wanted.model_copy(update={"until": until, **chosen})


def _work_off(
    config: StackConfig,
    chosen: LetterFilter,
    treat: Callable[[Container, DeadLetter], Awaitable[LetterOutcome]],
    *,
    dry_run: bool,
) -> None:
    tally = Tally()

    async def work(here: Container) -> None:
        treatment: Treatment = functools.partial(treat, here)
        total = await or_explain(lambda: here.dead_letters.count(chosen), UNREADABLE)
        with progress(Console(stderr=True, highlight=False), total) as tick:
            await work_off(here.dead_letters, chosen, treatment, tally, tick)

    try:
        on_project(_with_qstash(config), work, asks_meta=True)
    finally:
        show_tally(_console(), tally, dry_run=dry_run)
    sys.exit(1 if tally.failed or tally.without_event or (chosen.ids and not tally.ends) else 0)


def _with_qstash(config: StackConfig) -> StackConfig:
    """The settings with which a hosted project's own QStash brings a letter to its own functions."""
    user = config.env
    if "SUPABASE_URL" not in user:
        return config
    domain = user.get("PRODUCTION_DOMAIN", "").removeprefix("https://").rstrip("/")
    if not user.get("QSTASH_TOKEN") or not (domain or user.get("PUBLIC_URL")):
        raise click.UsageError(
            "For a hosted project set QSTASH_TOKEN, and PRODUCTION_DOMAIN or PUBLIC_URL (in .env or the environment)."
        )
    ours = {"QSTASH_URL": DEFAULTS["QSTASH_URL"], "PUBLIC_URL": f"https://{domain}"}
    return replace(config, env={**ours, **user})


def _console() -> Console:
    return Console(highlight=False)
