"""`python -m cli accounts`: the command line. No command ever shows a token."""

import sys
from collections.abc import Sequence
from typing import cast, get_args

import click

from cli.accounts.check import AccountFinding, check_all
from cli.accounts.new_token import INSTAGRAM_LIFE_DAYS, add_account
from cli.accounts.subscription import subscribe_all
from cli.examples import examples
from cli.project import on_project
from cli.retries import or_exit
from cli.schedule import schedule_sweep
from dev.stack.config import StackConfig
from dev.stack.options import stack_options
from lib.accounts.access import Account
from lib.accounts.refresh import Refresher, Report
from lib.accounts.store import ListedAccount
from lib.container import Container
from lib.core.deadline import Deadline
from lib.core.setting_checks import header_value
from lib.core.settings import LoginFlavour

REFRESH_WITHIN_S = 600.0
NO_ACCOUNTS = "No accounts. `python -m cli accounts add` adds one."
LEFT_OUT = (
    "Meta leaves out a field that the app itself is not subscribed to: tick it in the App Dashboard (Instagram > API "
    "setup with Instagram login > Configure webhooks), then run this command again."
)

HEADINGS = ("ACCOUNT", "OTHER ID", "USERNAME", "LOG-IN", "STATE", "TOKEN")


@click.group(epilog=examples("accounts list", "accounts add", "accounts subscribe"))
def accounts() -> None:
    """Manage the Instagram accounts, in the local stack or the hosted project that .env names.

    Tokens are stored encrypted with TOKEN_ENCRYPTION_KEY, which must be the deployment's own key. A token is never
    shown.
    """


@accounts.command(epilog=examples("accounts add", "accounts add --flavour facebook --token-stdin < page-token"))
@click.option(
    "--flavour",
    type=click.Choice(get_args(LoginFlavour)),
    help="The log-in that issued the token. Default: INSTAGRAM_LOGIN_FLAVOUR.",
)
@click.option("--token-stdin", is_flag=True, help="Read the token from the standard input.")
@click.option(
    "--expires-in-days",
    type=click.IntRange(1, 10_000),
    help="The days until the token expires, if you know. Default: what a refresh says, or else "
    f"{INSTAGRAM_LIFE_DAYS}; a Page token does not expire.",
)
@stack_options
def add(config: StackConfig, flavour: str | None, *, token_stdin: bool, expires_in_days: int | None) -> None:
    """Add an account, or give it a new token. Its sends start again.

    Meta says whose token it is. The command asks for the token, or reads it from the standard input. The token is not
    an argument, because an argument stays in the shell's history.

    Meta names the life of a token only when it refreshes the token, and it refreshes none that is younger than a day.
    So the command tries a refresh, and says if the life is assumed.
    """
    token = (sys.stdin.readline() if token_stdin else click.prompt("Access token", hide_input=True)).strip()
    if not token:
        raise click.UsageError("The token is empty.")
    if complaint := header_value(token):
        raise click.UsageError(f"The token {complaint}.")

    async def add_to(services: Container) -> tuple[Account, str]:
        return await add_account(services, token, cast("LoginFlavour | None", flavour), expires_in_days)

    account, about_life = on_project(config, add_to, calls_meta=True)
    click.echo(f"Added {account.account_id} ({account.username or 'no username'}, {account.login_flavour}), ", nl=False)
    click.echo(f"known in some payloads as {account.app_scoped_id}.")
    click.echo(about_life)
    _schedule_sweep(config)


@accounts.command("list", epilog=examples("accounts list"))
@stack_options
def list_(config: StackConfig) -> None:
    """List the accounts, their states, and the age of their tokens."""

    async def list_accounts(services: Container) -> list[ListedAccount]:
        return await or_exit(services.accounts.listed, "The accounts cannot be read")

    listed = on_project(config, list_accounts)
    if not listed:
        click.echo(NO_ACCOUNTS)
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


@accounts.command(epilog=examples("accounts check"))
@stack_options
def check(config: StackConfig) -> None:
    """Ask Meta about every account: does its token work, are its ids right, when does the token expire?

    A dead token stops the sends of its account. A token that works again starts them. A token that is encrypted with an
    older key of TOKEN_ENCRYPTION_KEY is encrypted with the first key, so that you can remove the older one. The exit
    status is 1 if an account needs a person.
    """
    findings = on_project(config, check_all, calls_meta=True)
    _show_findings(findings)
    if not findings:
        click.echo(NO_ACCOUNTS)
    sys.exit(1 if any(finding.is_bad for finding in findings) else 0)


@accounts.command(epilog=examples("accounts subscribe", "accounts subscribe --account 17841400000000001"))
@click.option("--account", default=None, help="The id of one account. Default: every account that has a token.")
@stack_options
def subscribe(config: StackConfig, account: str | None) -> None:
    """Subscribe the accounts to the webhook fields that this project reads.

    First subscribe the app to the fields, in the App Dashboard. An account keeps the other fields that it has. A field
    that Meta does not take is left out. The command then asks Meta for the fields of the account, and shows them. You
    may run the command again at any time. The exit status is 1 if a field is missing without which something is lost.
    """
    findings = on_project(config, lambda services: subscribe_all(services, account), calls_meta=True)
    if account and not findings:
        raise click.ClickException(
            f"No account {account} has a token. `python -m cli accounts list` shows the accounts."
        )
    if not findings:
        click.echo(NO_ACCOUNTS)
    _show_findings(findings)
    if any(finding.left_out for finding in findings):
        click.echo(LEFT_OUT)
    sys.exit(1 if any(finding.is_bad for finding in findings) else 0)


@accounts.command(epilog=examples("accounts refresh"))
@stack_options
def refresh(config: StackConfig) -> None:
    """Refresh the tokens that are due, as the daily cron job does. The exit status is 1 if a refresh failed."""

    async def refresh_due(services: Container) -> Report:
        refresher = Refresher(services.settings, accounts=services.accounts, graph=services.graph)
        deadline = Deadline.after(REFRESH_WITHIN_S)
        return await or_exit(lambda: refresher.run(deadline=deadline), "Nothing was refreshed")

    report = on_project(config, refresh_due, calls_meta=True)
    click.echo(f"{report.refreshed} refreshed, {len(report.failed)} failed, {len(report.expiring)} expire soon.")
    _show([(failure.account_id, "FAILED", failure.code) for failure in report.failed])
    _show([(expiring.account_id, "EXPIRES", f"{expiring.days_left} d left") for expiring in report.expiring])
    sys.exit(1 if report.failed else 0)


def _schedule_sweep(config: StackConfig) -> None:
    """Sets the schedule of the sweep up at a deployment, or says what is missing. The account is added all the same."""
    if "SUPABASE_URL" not in config.env:
        return  # the local stack sweeps whenever a delivery asks for it
    try:
        click.echo(schedule_sweep(config))
    except click.ClickException as error:
        click.echo(f"The sweep has no schedule yet: {error.message}")
        click.echo("Recovery works without one. `python -m cli schedule` sets it up.")


def _show_findings(findings: Sequence[AccountFinding]) -> None:
    _show([(finding.account_id, "BAD" if finding.is_bad else "ok", finding.text) for finding in findings])


def _show(rows: Sequence[Sequence[str]]) -> None:
    """Prints the rows in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
