"""`python -m cli retention`: what the daily cron job does, now.

Knows the command line and how progress is shown. Must not know how raw items go (`lib.retention`).
"""

from datetime import UTC, datetime

import click

from cli.patience import or_explain
from cli.project import on_project
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.archive.retention import STEP, due_before
from lib.container import Container


@click.command()
@stack_options
@click.option("--days", type=click.IntRange(1), help="Keep those of so many days. Default: RAW_RETENTION_DAYS (30).")
def retention(config: StackConfig, days: int | None) -> None:
    """Empty the raw items that are past their time, in the local stack or a hosted project.

    The events stay, and all that came of them; they can not be replayed any more. It may be stopped and run again.
    """

    async def work(here: Container) -> tuple[int, int]:
        keep_days, total = days or here.settings.raw_retention_days, 0
        before = due_before(datetime.now(UTC), keep_days)
        while step := await or_explain(
            lambda: here.archive.expire_raw(before=before, limit=STEP), "The archive can not be emptied further"
        ):
            total += step
            click.echo(f"{total} so far", err=True)
        return total, keep_days

    total, keep_days = on_project(config, work)
    click.echo(f"{total} raw items older than {keep_days} days emptied.")
