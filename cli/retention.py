"""`python -m cli retention`: does now what the daily cron job does."""

from datetime import UTC, datetime

import click

from cli.examples import examples
from cli.project import on_project
from cli.retries import or_exit
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.archive.retention import STEP, due_before
from lib.container import Container


@click.command(epilog=examples("retention", "retention --days 7"))
@click.option("--days", type=click.IntRange(1), help="Keep raw items so many days. Default: RAW_RETENTION_DAYS (30).")
@stack_options
def retention(config: StackConfig, days: int | None) -> None:
    """Empty the raw items that are past their time, in the local stack or a hosted project.

    The events and their results stay, but they cannot be reprocessed any more. Items are emptied many at once, so some
    are kept for up to a thirtieth of the time longer. You may stop the command and run it again.
    """

    async def empty_all(services: Container) -> tuple[int, int]:
        keep_days, emptied = days or services.settings.raw_retention_days, 0
        before = due_before(datetime.now(UTC), keep_days)
        while True:
            step = await or_exit(
                lambda: services.archive.expire_raw(before=before, limit=STEP), "The archive cannot be emptied further"
            )
            if step.done:
                return emptied, keep_days
            emptied += step.items + step.letters
            click.echo(f"{emptied} so far", err=True)

    emptied, keep_days = on_project(config, empty_all)
    click.echo(f"{emptied} raw items older than {keep_days} days emptied.")
