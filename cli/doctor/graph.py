"""The checks at Meta: tokens, whose they are and what they may do, and which events the accounts are subscribed to.

Knows the Graph API's `me`, `conversations` and `subscribed_apps`. Must not change anything at Meta.
"""

import click

from cli.account_check import ALL, check_all
from cli.doctor.case import Case
from cli.doctor.finding import Finding, fail, ok, warn
from cli.patience import patiently
from lib.accounts.access import NoAccess, access_to, account_of, credentials
from lib.core.env_vars import WHERE
from lib.errors.classify import classify
from lib.errors.exceptions import GraphError
from lib.graph.transport import Call, Credentials, GraphTransport

ASK_WITHIN_S = 10.0

RECOMMENDED = ("messages", "message_echoes", "message_reactions", "messaging_postbacks", "messaging_seen", "comments")
"""What docs/deploy.md subscribes an account to, without what few accounts have."""

NEW_TOKEN = (
    "Meta App Dashboard: Instagram > API setup with Instagram login > Generate token; set INSTAGRAM_ACCESS_TOKEN, or "
    "add it with `python -m cli accounts add`."
)


async def token(case: Case) -> Finding:
    """The environment's token works, is for the account it is said to be for, and may read and write messages."""
    settings = case.settings
    if not settings.instagram_access_token:
        return ok("INSTAGRAM_ACCESS_TOKEN is not set: only accounts with a token of their own get profiles and replies")
    asking = credentials("", settings.instagram_access_token, settings.instagram_login_flavour, settings)
    try:
        me = await patiently(lambda: case.here.graph.me(asking, ASK_WITHIN_S))
    except Exception as error:
        return _refused(error, "INSTAGRAM_ACCESS_TOKEN")
    account = account_of(me, asking.flavour)
    if account is None:
        return fail(
            "INSTAGRAM_ACCESS_TOKEN is for no professional account of Instagram",
            cause="It is a personal account's, or INSTAGRAM_LOGIN_FLAVOUR is not the log-in that issued it.",
            fix=NEW_TOKEN,
        )
    if settings.instagram_account_id not in ("", account.account_id):
        return fail(
            f"INSTAGRAM_ACCESS_TOKEN is for {account.account_id}, not for INSTAGRAM_ACCOUNT_ID",
            cause="The token is another account's, or the id is not the one that webhooks carry.",
            fix=f"Set INSTAGRAM_ACCOUNT_ID={account.account_id}, or make a token of the other account.",
        )
    speaking = credentials(account.account_id, settings.instagram_access_token, asking.flavour, settings)
    try:
        await patiently(lambda: _ask(case, speaking, "conversations", {"platform": "instagram", "limit": "1"}))
    except Exception as error:
        return _no_permission(error, speaking)
    return ok(
        f"works for {account.account_id} ({account.username}), may read messages; Meta does not tell its days left"
    )


def _no_permission(error: Exception, creds: Credentials) -> Finding:
    verdict = classify(error)
    code = f"{error.code}" if isinstance(error, GraphError) else verdict.code
    needed = "instagram_business_manage_messages" if creds.flavour == "instagram" else "instagram_manage_messages"
    return fail(
        f"the token works, but may not read conversations: {verdict.code} (Meta: {code})",
        cause=f"It lacks {needed}, or *Allow access to messages* is off. {verdict.message}.",
        fix="Grant the permission when you make the token (App Dashboard); in the Instagram app: Settings > Messages > "
        "Connected tools > Allow access to messages.",
    )


def _refused(error: Exception, what: str) -> Finding:
    verdict = classify(error)
    if verdict.code == "graph_invalid_parameter":
        why = "INSTAGRAM_APP_SECRET may be of another app than the token, which makes our proof of it wrong."
        return fail(
            f"Meta refuses {what}: {verdict.code}", cause=f"{verdict.message}. {why}", fix=WHERE["INSTAGRAM_APP_SECRET"]
        )
    fix = "Try again later." if verdict.retryable else NEW_TOKEN
    return fail(f"Meta refuses {what}: {verdict.code}", cause=f"{verdict.message}.", fix=fix)


async def accounts(case: Case) -> Finding:
    """What `python -m cli accounts check` finds, and with the same consequences: a dead token stops its account."""
    try:
        findings = await check_all(case.here)
    except click.ClickException as error:
        return fail(error.message, cause="The database does not answer as it should.", fix="See `database`.")
    bad = [found for found in findings if found.is_bad]
    if bad:
        return fail(
            "; ".join(f"{found.account_id}: {found.says}" for found in bad),
            cause="Its token is dead, unreadable under TOKEN_ENCRYPTION_KEY or near its end, or Meta stopped it.",
            fix="`python -m cli accounts add` gives it a new token; TOKEN_ENCRYPTION_KEY must be the deployment's own.",
        )
    said = "; ".join(f"{found.account_id}: {found.says}" for found in findings)
    return ok(said or "no account has a token of its own")


async def subscriptions(case: Case) -> Finding:
    """Each account with a token is subscribed to what we read."""
    missing: dict[str, list[str]] = {}
    speakers = await _speakers(case)
    for creds in speakers:
        try:
            fields = await _fields(case, creds)
        except Exception as error:
            return _refused(error, f"to tell the subscription of {creds.account_id}")
        # A Page has Messenger's names for its fields, so there only that it is subscribed can be seen.
        wanted = RECOMMENDED if creds.flavour == "instagram" else RECOMMENDED[:1]
        if lacking := [name for name in wanted if name not in fields]:
            missing[creds.account_id] = lacking
    if not speakers:
        return ok("there is no account with a token to ask about")
    if not missing:
        return ok(f"{len(speakers)} subscribed to {', '.join(RECOMMENDED)}")
    found = warn if all("messages" not in lacking for lacking in missing.values()) else fail
    return found(
        "; ".join(f"{account_id} lacks {', '.join(lacking)}" for account_id, lacking in missing.items()),
        cause="The account is not subscribed to these fields, so Meta sends no webhook of them.",
        fix=f'curl -X POST "{case.settings.graph_instagram_url}/{case.settings.graph_api_version}/me/subscribed_apps'
        f'?subscribed_fields={",".join(RECOMMENDED)}" -H "Authorization: Bearer $TOKEN"',
    )


async def _speakers(case: Case) -> list[Credentials]:
    """Who can be asked: the environment's token, and the stored ones of active accounts."""
    settings = case.settings
    held = await case.here.accounts.tokens(limit=ALL)
    accesses = [access_to(one.account_id, one.token, settings) for one in held if one.state == "active"]
    speakers = [access for access in accesses if not isinstance(access, NoAccess)]
    if settings.instagram_access_token:
        name = settings.instagram_account_id or "me"
        own = credentials(name, settings.instagram_access_token, settings.instagram_login_flavour, settings)
        speakers.insert(0, own)
    return speakers


async def _fields(case: Case, creds: Credentials) -> set[str]:
    """The fields that any app of this token's is subscribed to (Meta, "Subscribed apps")."""
    answer = await patiently(lambda: _ask(case, creds, "subscribed_apps", {}))
    apps = answer.get("data")
    fields: set[str] = set()
    for app in apps if isinstance(apps, list) else []:
        if isinstance(app, dict) and isinstance(app.get("subscribed_fields"), list):
            fields.update(map(str, app["subscribed_fields"]))
    return fields


async def _ask(case: Case, creds: Credentials, edge: str, query: dict[str, str]) -> dict[str, object]:
    settings = case.settings
    graph = GraphTransport(
        case.here.http,
        version=settings.graph_api_version,
        instagram_url=settings.graph_instagram_url,
        facebook_url=settings.graph_facebook_url,
    )
    return await graph.call(creds, Call("GET", ("me", edge), query), timeout_s=ASK_WITHIN_S)
