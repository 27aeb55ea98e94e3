"""`python -m cli replay`: archived events through the parser of today.

Knows the command line. Must not know how a replay works (`replaying`) or is shown (`replay_report`).
"""

import sys
from datetime import UTC, datetime
from typing import get_args

import click
from rich.console import Console

from cli.moments import Moment
from cli.project import on_project
from cli.replay_report import progress, show
from cli.replaying import Replay, Tally
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.archive.store import Selection
from lib.container import Container
from lib.events.model import Kind


@click.command()
@stack_options
@click.option(
    "--since", required=True, type=Moment(), help="Recorded from then on: 2026-11-24, 2026-11-24T15:00, 7d, 12h."
)
@click.option("--until", type=Moment(), help="Recorded before then. Default: now.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(get_args(Kind)), help="Only these kinds; repeatable.")
@click.option("--account", help="Only this account (accounts.account_id).")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
def replay(
    config: StackConfig,
    since: datetime,
    until: datetime | None,
    kinds: tuple[Kind, ...],
    account: str | None,
    *,
    dry_run: bool,
) -> None:
    """Read archived events again with the parser of this checkout, in the local stack or a hosted project.

    Only what is understood better now changes: fields nobody read before, events that were of kind unknown.
    Nothing is sent, published or fetched. It may be stopped and run again at any time.

    Times are UTC. The exit status is 1 if an event failed; each is named, with the code of its error.
    """
    selection = Selection(since, until or datetime.now(UTC), kinds, account)
    if selection.since >= selection.until:
        raise click.UsageError("--since has to be before --until.")
    tally = Tally()

    async def work(here: Container) -> None:
        run = Replay(here.archive, selection, tally, dry_run=dry_run)
        with progress(Console(stderr=True, highlight=False), await run.measure(), tally) as tick:
            await run.run(tick)

    try:
        on_project(config, work)
    finally:
        if tally.outcomes or tally.failed:
            show(Console(highlight=False), tally, dry_run=dry_run)
    sys.exit(1 if tally.failed else 0)
