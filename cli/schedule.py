"""`python -m cli schedule`: sets the QStash schedule up that calls the sweep (Upstash, "Schedules")."""

from typing import TYPE_CHECKING

import click

from cli.examples import examples
from cli.project import on_project, to_deployment
from cli.retries import with_retries
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.container import Container
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.qstash.publisher import SWEEP_LABEL, SWEEP_PATH

if TYPE_CHECKING:
    from qstash import AsyncQStash
    from qstash.schedule import Schedule

SCHEDULE_ID = "instagram-sweep"
"""The one id of the schedule. With an id that exists already QStash changes the schedule, and makes no second one."""

EVERY_TEN_MINUTES = "*/10 * * * *"


@click.command(epilog=examples("schedule", 'schedule --cron "*/30 * * * *"', "schedule --remove"))
@click.option("--cron", default=EVERY_TEN_MINUTES, show_default=True, help="When to sweep (UTC).")
@click.option("--remove", is_flag=True, help="Remove the schedule.")
@stack_options
def schedule(config: StackConfig, cron: str, *, remove: bool) -> None:
    """Set up, change or remove the QStash schedule that calls the sweep.

    The sweep finishes what was left undone. Recovery does not depend on the schedule: deliveries ask for sweeps as
    well. With the schedule the sweep also runs while no message arrives. You may run the command again at any time.

    For a hosted project, set QSTASH_TOKEN, QSTASH_URL (it names the region), and PRODUCTION_DOMAIN or PUBLIC_URL.
    """
    click.echo(schedule_sweep(config, cron, remove=remove))


def schedule_sweep(config: StackConfig, cron: str = EVERY_TEN_MINUTES, *, remove: bool = False) -> str:
    """Returns a sentence that says what was done. Raises `ClickException` if QStash did not do it."""
    config = to_deployment(config)

    async def change(services: Container) -> str:
        settings = services.settings
        try:
            await with_retries(lambda: remove_schedule(settings) if remove else save_schedule(settings, cron))
        except Exception as error:
            verdict = classify(error)
            raise click.ClickException(
                f"{settings.qstash_url} did not change the schedule: {verdict.code}, {verdict.message}. Compare "
                "QSTASH_TOKEN and QSTASH_URL, which names the region, with Upstash Console: QStash > Quickstart."
            ) from error
        if remove:
            return f"QStash has no schedule {SCHEDULE_ID} any more."
        return f"QStash calls {settings.base_url}{SWEEP_PATH} at {cron} UTC (schedule {SCHEDULE_ID})."

    return on_project(config, change)


async def save_schedule(settings: Settings, cron: str = EVERY_TEN_MINUTES) -> None:
    """Makes the schedule, or changes the one there is. Raises the errors of the SDK."""
    # QStash signs its calls, and the route believes the signature: the schedule keeps no secret of ours.
    bypass = settings.vercel_automation_bypass_secret
    await client(settings).schedule.create(
        destination=settings.base_url + SWEEP_PATH,
        cron=cron,
        schedule_id=SCHEDULE_ID,
        method="POST",
        retries=0,
        label=SWEEP_LABEL,
        headers={"x-vercel-protection-bypass": bypass} if bypass else None,
    )


async def find_schedule(settings: Settings) -> "Schedule | None":
    """Returns the schedule, or None without one. Raises the errors of the SDK."""
    schedules = await client(settings).schedule.list()
    return next((found for found in schedules if found.schedule_id == SCHEDULE_ID), None)


async def remove_schedule(settings: Settings) -> None:
    """Removes the schedule, if there is one. Raises the errors of the SDK."""
    if await find_schedule(settings) is not None:
        await client(settings).schedule.delete(SCHEDULE_ID)


def client(settings: Settings) -> "AsyncQStash":
    """Returns a client of the region that QSTASH_URL names."""
    from qstash import AsyncQStash  # noqa: PLC0415  slow to import

    return AsyncQStash(settings.qstash_token, retry=False, base_url=settings.qstash_url)
