"""`python -m cli erase`: erases the data of one person, or of an account, on request of its owner."""

import sys
from collections.abc import Mapping

import click

from cli.examples import examples
from cli.project import on_project
from cli.retries import or_exit
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.container import Container
from lib.core.deadline import Deadline
from lib.privacy.erasure import STEP, FinishedErasures, finish_pending, new_code, status_url
from lib.privacy.store import Erasure, Scope

PENDING_WITHIN_S = 3600.0


@click.command(
    epilog=examples(
        "erase --contact 6001234567890123 --dry-run", "erase --account 17841400000000000", "erase --pending"
    )
)
@click.option("--contact", metavar="IGSID", help="A person, by the id they have with your account (profiles.igsid).")
@click.option(
    "--account", metavar="ID", help="With --contact: only the data with this account. Alone: the account itself."
)
@click.option("--pending", is_flag=True, help="Finish the erasures that were requested before and are not done.")
@click.option("--dry-run", is_flag=True, help="Count the rows, and erase nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before erasing an account.")
@stack_options
def erase(
    config: StackConfig, contact: str | None, account: str | None, *, pending: bool, dry_run: bool, yes: bool
) -> None:
    """Erase the data of one person, or of a whole account, in the local stack or a hosted project.

    Messages, reactions, comments, the profile, the raw archive, planned replies and dead letters are deleted. A late
    delivery does not bring them back. If the person writes again later, a new conversation begins.

    The command prints a confirmation code, and the address at which the person sees the state of the request. You may
    stop it at any time: --pending goes on. The exit status is 1 if an erasure is not done.
    """
    if pending == bool(contact or account) or (pending and dry_run):
        raise click.UsageError("Give --contact, --account or both; or --pending alone.")
    if pending:
        finished = on_project(config, _finish_pending)
        click.echo(f"{finished.done} finished, {finished.left} left, {len(finished.failed)} failed.")
        for code, error_code in finished.failed.items():
            click.echo(f"{code}  {error_code}")
        sys.exit(1 if finished.left or finished.failed else 0)

    async def erase_subject(services: Container) -> None:
        scope: Scope = "contact" if contact else "account"
        account_id = account if contact else None
        await _erase(services, config, contact or account or "", scope, account_id, dry_run=dry_run, yes=yes)

    on_project(config, erase_subject)


async def _finish_pending(services: Container) -> FinishedErasures:
    deadline = Deadline.after(PENDING_WITHIN_S)
    return await or_exit(lambda: finish_pending(services.erasures, deadline=deadline), "Nothing was finished")


async def _erase(
    services: Container,
    config: StackConfig,
    subject: str,
    scope: Scope,
    account_id: str | None,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    counts = await or_exit(
        lambda: services.erasures.preview(subject, scope=scope, account_id=account_id), "The rows cannot be counted"
    )
    _show(counts)
    if dry_run:
        return
    if scope == "account" and not yes:
        click.confirm(f"Erase all data of the account {subject} for good?", abort=True)
    code = new_code()
    await or_exit(
        lambda: services.erasures.request(code, subject, via="command", scope=scope, account_id=account_id),
        "Nothing was erased",
    )
    click.echo(f"Confirmation code: {code}")
    click.echo(f"State of the request: {status_url(_base_url(services, config.env), code)}")
    erasure = await _carry_out(services, code)
    click.echo(f"{erasure.rows_erased} rows erased.")


async def _carry_out(services: Container, code: str) -> Erasure:
    while True:
        erasure = await or_exit(
            lambda: services.erasures.run(code, limit=STEP), "The rest is not erased yet; --pending goes on with it"
        )
        if erasure.state != "pending":
            return erasure
        click.echo(f"{erasure.rows_erased} so far", err=True)


def _show(counts: Mapping[str, int]) -> None:
    """Prints the number of rows of each table that has some."""
    stored = {table: count for table, count in counts.items() if count}
    if not stored:
        click.echo("Nothing is stored.")
        return
    for name, count in [*stored.items(), ("all", sum(stored.values()))]:
        click.echo(f"{name:<16}{count:>10}")


def _base_url(services: Container, user: Mapping[str, str]) -> str:
    """Returns the address of the functions of this project. For a hosted project that is not this laptop."""
    if "PUBLIC_URL" in user or "SUPABASE_URL" not in user:
        return services.settings.base_url
    return f"https://{user.get('PRODUCTION_DOMAIN', 'YOUR-DOMAIN').removeprefix('https://').rstrip('/')}"
