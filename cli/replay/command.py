"""`python -m cli replay`: the command line."""

import sys
from datetime import UTC, datetime
from typing import get_args

import click
from rich.console import Console

from cli.examples import examples
from cli.moment import Moment
from cli.project import on_project
from cli.replay.report import progress, show
from cli.replay.reprocess import Reprocessing, Tally
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.archive.store import Selection
from lib.container import Container
from lib.events.model import Kind


@click.command(epilog=examples("replay --since 7d --dry-run", "replay --since 2026-11-01 --kind unknown"))
@click.option(
    "--since", required=True, type=Moment(), help="Events recorded since: 2026-11-24, 2026-11-24T15:00, 7d, 12h."
)
@click.option("--until", type=Moment(), help="Events recorded before. Default: now.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(get_args(Kind)), help="Only these kinds; repeatable.")
@click.option("--account", metavar="ID", help="Only this account (accounts.account_id).")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@stack_options
def replay(
    config: StackConfig,
    since: datetime,
    until: datetime | None,
    kinds: tuple[Kind, ...],
    account: str | None,
    *,
    dry_run: bool,
) -> None:
    """Reprocess archived events with the parser of this checkout, in the local stack or a hosted project.

    An event changes only if the parser understands more of it than before: a new field, or the kind of an event that
    was unknown. Nothing is sent, published or fetched. You may stop the command and run it again at any time.

    Times are UTC. The exit status is 1 if an event failed. Each failed event is listed with the code of its error.
    """
    selection = Selection(since, until or datetime.now(UTC), kinds, account)
    if selection.since >= selection.until:
        raise click.UsageError("--since has to be before --until.")
    tally = Tally()

    async def reprocess(services: Container) -> None:
        reprocessing = Reprocessing(services.archive, selection, tally, dry_run=dry_run)
        with progress(Console(stderr=True, highlight=False), await reprocessing.measure(), tally) as tick:
            await reprocessing.run(tick)

    try:
        on_project(config, reprocess)
    finally:
        # Also after Ctrl-C: what is done is done.
        if tally.outcomes or tally.failed:
            show(Console(highlight=False), tally, dry_run=dry_run)
    sys.exit(1 if tally.failed else 0)
