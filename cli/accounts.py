"""`python -m cli accounts`: an operator's hand on the accounts and their tokens.

Knows the command line and how an account is shown. Must not know how a token is kept (`lib.tokens`) or refreshed
(`lib.refresh`), nor ever show one.
"""

import sys
from collections.abc import Sequence
from typing import cast, get_args

import click

from cli.account_check import check_all
from cli.patience import or_explain
from cli.project import on_project
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.accounts.access import Account, account_of, credentials
from lib.accounts.refresh import Refresher, Report
from lib.accounts.store import ListedAccount
from lib.accounts.tokens import seal
from lib.container import Container
from lib.core.deadline import Deadline
from lib.core.settings import LoginFlavour
from lib.errors.exceptions import BadConfiguration

ASK_WITHIN_S = 10.0
REFRESH_WITHIN_S = 600.0
INSTAGRAM_LIFE_DAYS = 60
"""Meta, "Long-lived access tokens"."""

HEADINGS = ("ACCOUNT", "OTHER ID", "USERNAME", "LOG-IN", "STATE", "TOKEN")


@click.group()
def accounts() -> None:
    """The Instagram accounts and their tokens, in the local stack or the hosted project that .env names.

    Tokens are kept encrypted under TOKEN_ENCRYPTION_KEY, which has to be the deployment's own. None is ever shown.
    """


@accounts.command()
@stack_options
@click.option(
    "--flavour", type=click.Choice(get_args(LoginFlavour)), help="Who issued it. Default: INSTAGRAM_LOGIN_FLAVOUR."
)
@click.option("--token-stdin", is_flag=True, help="Read the token from the standard input instead of asking for it.")
@click.option(
    "--expires-in-days",
    type=click.IntRange(1, 10_000),
    help=f"What is left of its life. Default: {INSTAGRAM_LIFE_DAYS}; none for a Page token, which does not expire.",
)
def add(config: StackConfig, flavour: str | None, *, token_stdin: bool, expires_in_days: int | None) -> None:
    """Add an account, or give it a new token; sends start again.

    Whose token it is, Meta says. The token is asked for, or read from the standard input; it is no argument, which
    would stay in the shell's history.
    """
    token = (sys.stdin.readline() if token_stdin else click.prompt("Access token", hide_input=True)).strip()
    if not token:
        raise click.UsageError("There is no token to add.")

    async def work(here: Container) -> Account:
        return await _add(here, token, cast("LoginFlavour | None", flavour), expires_in_days)

    account = on_project(config, work, asks_meta=True)
    click.echo(f"Added {account.account_id} ({account.username or 'no username'}, {account.login_flavour}), ", nl=False)
    click.echo(f"known in some payloads as {account.app_scoped_id}.")


async def _add(here: Container, token: str, flavour: LoginFlavour | None, life_days: int | None) -> Account:
    settings = here.settings
    flavour = flavour or settings.instagram_login_flavour
    asking = credentials("", token, flavour, settings)
    me = await or_explain(lambda: here.graph.me(asking, ASK_WITHIN_S), "Meta was asked whose token it is")
    account = account_of(me, flavour)
    if account is None:
        raise click.ClickException("The token is for no professional Instagram account (or a Page without one).")
    try:
        ciphertext = seal(token, account_id=account.account_id, keys=settings.token_encryption_keys)
    except BadConfiguration as error:
        raise click.ClickException(str(error)) from None
    days = life_days or (INSTAGRAM_LIFE_DAYS if flavour == "instagram" else None)
    await or_explain(lambda: here.accounts.save(account, ciphertext=ciphertext, life_days=days), "It was not stored")
    return account


@accounts.command("list")
@stack_options
def list_(config: StackConfig) -> None:
    """List the accounts, their states and how old their tokens are."""

    async def work(here: Container) -> list[ListedAccount]:
        return await or_explain(here.accounts.listed, "The accounts can't be read")

    listed = on_project(config, work)
    if not listed:
        click.echo("No accounts. `python -m cli accounts add` adds one.")
        return
    _show([HEADINGS, *map(_row, listed)])


def _row(account: ListedAccount) -> Sequence[str]:
    state = f"{account.state} ({account.state_code})" if account.state_code else account.state
    return (
        account.account_id,
        account.app_scoped_id or "-",
        account.username or "-",
        account.login_flavour,
        state,
        _token(account),
    )


def _token(account: ListedAccount) -> str:
    if not account.has_token:
        return "none"
    age = f"{account.token_age_days} d old"
    if account.days_left is None:
        return f"{age}, does not expire"
    return f"{age}, {account.days_left} d left" if account.days_left >= 0 else f"{age}, expired"


@accounts.command()
@stack_options
def check(config: StackConfig) -> None:
    """Ask Meta about every account: does its token work, are its ids still right, how long does it last.

    A dead token stops the sends of its account; one that works again starts them. Tokens under an older key of
    TOKEN_ENCRYPTION_KEY are put under the first, so that the older one can go. The exit status is 1 if any account
    needs attention.
    """
    findings = on_project(config, check_all, asks_meta=True)
    _show([(finding.account_id, "BAD" if finding.is_bad else "ok", finding.says) for finding in findings])
    if not findings:
        click.echo("No accounts. `python -m cli accounts add` adds one.")
    sys.exit(1 if any(finding.is_bad for finding in findings) else 0)


@accounts.command()
@stack_options
def refresh(config: StackConfig) -> None:
    """Refresh the tokens that are due, as the daily cron job does. The exit status is 1 if one failed."""

    async def work(here: Container) -> Report:
        refresher = Refresher(here.settings, accounts=here.accounts, graph=here.graph)
        return await or_explain(lambda: refresher.run(deadline=Deadline.after(REFRESH_WITHIN_S)), "Nothing refreshed")

    report = on_project(config, work, asks_meta=True)
    click.echo(f"{report.refreshed} refreshed, {len(report.failed)} failed, {len(report.expiring)} to expire.")
    _show([(failure.account_id, "FAILED", failure.code) for failure in report.failed])
    _show([(expiring.account_id, "EXPIRES", f"{expiring.days_left} d left") for expiring in report.expiring])
    sys.exit(1 if report.failed else 0)


def _show(rows: Sequence[Sequence[str]]) -> None:
    """In columns, one line a row."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
