"""`python -m cli erase`: one person, or one account, is erased when its owner asks the operator for it.

Knows the command line and how progress is shown. Must not know where data lies, nor how it goes (`lib.privacy`).
"""

import sys
from collections.abc import Mapping

import click

from cli.patience import or_explain
from cli.project import on_project
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.container import Container
from lib.core.deadline import Deadline
from lib.privacy.erasure import STEP, FinishedErasures, finish_pending, new_code, status_url
from lib.privacy.store import Erasure, Scope

PENDING_WITHIN_S = 3600.0


@click.command()
@stack_options
@click.option("--contact", metavar="IGSID", help="A person, by the id they have with your account (profiles.igsid).")
@click.option("--account", metavar="ID", help="Only what they left with this account. Alone: the account itself.")
@click.option("--pending", is_flag=True, help="Finish what was asked for before and is not done.")
@click.option("--dry-run", is_flag=True, help="Count what there is to erase, and erase nothing.")
@click.option("--yes", is_flag=True, help="Don't ask before erasing an account.")
def erase(
    config: StackConfig, contact: str | None, account: str | None, *, pending: bool, dry_run: bool, yes: bool
) -> None:
    """Erase what is stored of one person, or of a whole account, in the local stack or a hosted project.

    Messages, reactions, comments, the profile, the raw archive, planned replies and dead letters go, and do not come
    back by a late delivery. A person who writes again afterwards begins a new conversation.

    It prints a confirmation code, and the address at which the person sees the state of their request. It may be
    stopped at any time: --pending goes on. The exit status is 1 if something is left.
    """
    if pending == bool(contact or account) or (pending and dry_run):
        raise click.UsageError("Give --contact, --account or both; or --pending alone.")
    if pending:
        finished = on_project(config, _finish)
        click.echo(f"{finished.done} finished, {finished.left} left, {len(finished.failed)} failed.")
        for code, why in finished.failed.items():
            click.echo(f"{code}  {why}")
        sys.exit(1 if finished.left or finished.failed else 0)

    async def work(here: Container) -> None:
        scope: Scope = "contact" if contact else "account"
        within = account if contact else None
        await _erase(here, config, contact or account or "", scope, within, dry_run=dry_run, yes=yes)

    on_project(config, work)


async def _finish(here: Container) -> FinishedErasures:
    deadline = Deadline.after(PENDING_WITHIN_S)
    return await or_explain(lambda: finish_pending(here.erasures, deadline=deadline), "Nothing was finished")


async def _erase(
    here: Container,
    config: StackConfig,
    subject: str,
    scope: Scope,
    account_id: str | None,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    counts = await or_explain(
        lambda: here.erasures.preview(subject, scope=scope, account_id=account_id), "What there is can not be counted"
    )
    _show(counts)
    if dry_run:
        return
    if scope == "account" and not yes:
        click.confirm(f"Erase all of the account {subject}, for good?", abort=True)
    code = new_code()
    await or_explain(
        lambda: here.erasures.request(code, subject, via="command", scope=scope, account_id=account_id),
        "Nothing was erased",
    )
    click.echo(f"Confirmation code: {code}")
    click.echo(f"Its state: {status_url(_base_url(here, config.env), code)}")
    erasure = await _carry_out(here, code)
    click.echo(f"{erasure.rows_erased} rows erased.")


async def _carry_out(here: Container, code: str) -> Erasure:
    while True:
        erasure = await or_explain(
            lambda: here.erasures.run(code, limit=STEP), "The rest is not erased yet; --pending goes on with it"
        )
        if erasure.state != "pending":
            return erasure
        click.echo(f"{erasure.rows_erased} so far", err=True)


def _show(counts: Mapping[str, int]) -> None:
    found = {table: count for table, count in counts.items() if count}
    if not found:
        click.echo("Nothing is stored.")
    for name, count in [*found.items(), ("all", sum(found.values()))] if found else []:
        click.echo(f"{name:<16}{count:>10}")


def _base_url(here: Container, user: Mapping[str, str]) -> str:
    """Where people reach the functions that look into this database: for a hosted one that is not this laptop."""
    if "PUBLIC_URL" in user or "SUPABASE_URL" not in user:
        return here.settings.base_url
    return f"https://{user.get('PRODUCTION_DOMAIN', 'YOUR-DOMAIN').removeprefix('https://').rstrip('/')}"
