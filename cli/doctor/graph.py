"""The checks at Meta: tokens, their accounts and permissions, and the webhook fields of each account.

The checks change nothing at Meta.
"""

from collections.abc import Sequence

import click

from cli.accounts.check import ALL_TOKENS, CALL_TIMEOUT_S, check_all
from cli.doctor.case import Case
from cli.doctor.finding import Finding, fail, ok, warn
from cli.retries import with_retries
from lib.accounts.access import account_of, credentials, env_token_for, usable_credentials
from lib.core.env_vars import WHERE
from lib.core.settings import LoginFlavour
from lib.errors.classify import classify
from lib.errors.exceptions import GraphError
from lib.graph.transport import Call, Credentials, GraphTransport
from lib.graph.webhook_fields import EXPECTED, NEEDED, WANTED

NEW_TOKEN = (
    "Meta App Dashboard: Instagram > API setup with Instagram login > Generate token; set INSTAGRAM_ACCESS_TOKEN, or "
    "add it with `python -m cli accounts add`."
)


async def token(case: Case) -> Finding:
    """The environment's token works, is for `INSTAGRAM_ACCOUNT_ID`, and may read and write messages."""
    settings = case.settings
    if not settings.instagram_access_token:
        return ok("INSTAGRAM_ACCESS_TOKEN is not set: only accounts with a stored token get profiles and replies")
    anonymous = credentials("", settings.instagram_access_token, settings.instagram_login_flavour, settings)
    try:
        me = await with_retries(lambda: case.services.graph.me(anonymous, CALL_TIMEOUT_S))
    except Exception as error:
        return _refused(error, "INSTAGRAM_ACCESS_TOKEN")
    account = account_of(me, anonymous.flavour)
    if account is None:
        return fail(
            "INSTAGRAM_ACCESS_TOKEN is for no professional Instagram account",
            cause="The token is for a personal account, or INSTAGRAM_LOGIN_FLAVOUR is not the log-in that issued it.",
            fix=NEW_TOKEN,
        )
    if settings.instagram_account_id not in ("", account.account_id):
        return fail(
            f"INSTAGRAM_ACCESS_TOKEN is for {account.account_id}, not for INSTAGRAM_ACCOUNT_ID",
            cause="The token is for another account, or the id is not the one that webhooks carry.",
            fix=f"Set INSTAGRAM_ACCOUNT_ID={account.account_id}, or make a token of the other account.",
        )
    access = credentials(account.account_id, settings.instagram_access_token, anonymous.flavour, settings)
    try:
        await with_retries(lambda: _call(case, access, "conversations", {"platform": "instagram", "limit": "1"}))
    except Exception as error:
        return _no_permission(error, access)
    return ok(
        f"works for {account.account_id} ({account.username}), may read messages; Meta does not say when it expires"
    )


def _no_permission(error: Exception, creds: Credentials) -> Finding:
    verdict = classify(error)
    code = f"{error.code}" if isinstance(error, GraphError) else verdict.code
    needed = "instagram_business_manage_messages" if creds.flavour == "instagram" else "instagram_manage_messages"
    return fail(
        f"the token works, but may not read conversations: {verdict.code} (Meta: {code})",
        cause=f"The token lacks {needed}, or *Allow access to messages* is off. {verdict.message}.",
        fix="Grant the permission when you make the token (App Dashboard); in the Instagram app: Settings > Messages > "
        "Connected tools > Allow access to messages.",
    )


def _refused(error: Exception, call: str) -> Finding:
    verdict = classify(error)
    if verdict.code == "graph_invalid_parameter":
        hint = "INSTAGRAM_APP_SECRET may be of another app than the token, and then our proof is wrong."
        return fail(
            f"Meta refuses {call}: {verdict.code}",
            cause=f"{verdict.message}. {hint}",
            fix=WHERE["INSTAGRAM_APP_SECRET"],
        )
    fix = "Try again later." if verdict.retryable else NEW_TOKEN
    return fail(f"Meta refuses {call}: {verdict.code}", cause=f"{verdict.message}.", fix=fix)


async def accounts(case: Case) -> Finding:
    """The accounts are as `python -m cli accounts check` wants them. As there, a dead token stops its account."""
    try:
        findings = await check_all(case.services)
    except click.ClickException as error:
        return fail(error.message, cause="The database does not answer as it should.", fix="See the check `database`.")
    bad = [finding for finding in findings if finding.is_bad]
    summary = "; ".join(f"{finding.account_id}: {finding.text}" for finding in bad or findings)
    if bad:
        return fail(
            summary,
            cause="A token is dead, expires soon or cannot be decrypted, or Meta stopped the account.",
            fix="Add a new token: `python -m cli accounts add`. TOKEN_ENCRYPTION_KEY must be the deployment's own key.",
        )
    listed = await case.services.accounts.listed()
    if half_known := [account.account_id for account in listed if account.app_scoped_id is None]:
        return warn(
            f"{summary}; the other id of {', '.join(half_known)} is not known",
            cause="Meta names an account by two ids. What comes under an id that is not known is not taken for ours.",
            fix="Add the account again: `python -m cli accounts add`.",
        )
    summary = summary or "no account has a stored token"
    if _env_account_has_no_row(case, [account.account_id for account in listed]):
        summary += "; the account of INSTAGRAM_ACCESS_TOKEN is not in `accounts` yet, so only one of its ids is known"
    return ok(summary)


def _env_account_has_no_row(case: Case, listed_ids: Sequence[str]) -> bool:
    env_account = env_token_for(case.settings)
    if env_account is None:
        return False
    # Without INSTAGRAM_ACCOUNT_ID the token is for whichever account is listed.
    return env_account not in listed_ids if env_account else not listed_ids


async def subscriptions(case: Case) -> Finding:
    """Each account with a token is subscribed to the fields that Meta gives to every account."""
    accesses = usable_credentials(await case.services.accounts.tokens(limit=ALL_TOKENS), case.settings)
    missing: dict[str, list[str]] = {}
    curls: dict[LoginFlavour, str] = {}
    for creds in accesses:
        try:
            fields = await _subscribed_fields(case, creds)
        except Exception as error:
            return _refused(error, f"to say the subscriptions of {_name(creds)}")
        if lacking := [name for name in EXPECTED[creds.flavour] if name not in fields]:
            missing[_name(creds)] = lacking
            curls[creds.flavour] = _curl(case, creds.flavour)
    if not accesses:
        return ok("there is no account with a token")
    if not missing:
        expected = [", ".join(EXPECTED[flavour]) for flavour in dict.fromkeys(creds.flavour for creds in accesses)]
        return ok(f"{len(accesses)} subscribed to {'; '.join(expected)}")
    finding = warn if all(NEEDED not in lacking for lacking in missing.values()) else fail
    return finding(
        "; ".join(f"{account_id} lacks {', '.join(lacking)}" for account_id, lacking in missing.items()),
        cause="The account is not subscribed to these fields, so Meta sends no webhooks for them.",
        fix="`python -m cli accounts subscribe`, which leaves out what Meta does not take. By hand: "
        + " ".join(curls.values()),
    )


async def _subscribed_fields(case: Case, creds: Credentials) -> list[str]:
    return await with_retries(lambda: case.services.graph.subscribed_fields(creds, CALL_TIMEOUT_S))


def _curl(case: Case, flavour: LoginFlavour) -> str:
    settings = case.settings
    host = settings.graph_instagram_url if flavour == "instagram" else settings.graph_facebook_url
    return (
        f'curl -X POST "{host}/{settings.graph_api_version}/me/subscribed_apps'
        f'?subscribed_fields={",".join(WANTED[flavour])}" -H "Authorization: Bearer $TOKEN"'
    )


def _name(creds: Credentials) -> str:
    return creds.account_id or "the account of INSTAGRAM_ACCESS_TOKEN"


async def _call(case: Case, creds: Credentials, edge: str, query: dict[str, str]) -> dict[str, object]:
    settings = case.settings
    graph = GraphTransport(
        case.services.http,
        version=settings.graph_api_version,
        instagram_url=settings.graph_instagram_url,
        facebook_url=settings.graph_facebook_url,
    )
    return await graph.call(creds, Call("GET", ("me", edge), query), timeout_s=CALL_TIMEOUT_S)
