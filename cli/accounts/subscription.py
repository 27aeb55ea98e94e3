"""Subscribes accounts to webhooks. Meta's list afterwards is the result, whatever Meta answered before."""

from collections.abc import Sequence
from dataclasses import dataclass

from cli.accounts.check import ALL_TOKENS, CALL_TIMEOUT_S, AccountFinding
from cli.retries import or_exit, with_retries
from lib.accounts.access import NoAccess, access_to, account_of, credentials, env_token_for
from lib.container import Container
from lib.errors.classify import classify
from lib.errors.exceptions import GraphError
from lib.graph.client import GraphClient
from lib.graph.transport import Credentials
from lib.graph.webhook_fields import EXPECTED, NEEDED, WANTED

ENV_TOKEN = "INSTAGRAM_ACCESS_TOKEN"


@dataclass(frozen=True, slots=True)
class Subscription:
    """The webhook fields of one account after it was subscribed.

    `fields` are those that Meta lists. Meta does not know the names in `unknown`, and the token lacks the permission
    for those in `forbidden`. Meta took those in `missing`, and does not list them all the same.
    """

    fields: Sequence[str]
    unknown: Sequence[str]
    forbidden: Sequence[str]
    missing: Sequence[str]


async def subscribe(graph: GraphClient, creds: Credentials) -> Subscription:
    """Subscribes an account to the wanted fields, and to those that it has. Raises the errors of `GraphClient`.

    A POST replaces the whole list, so one POST has to hold every field. Meta refuses a list as a whole and names one
    field. The rest is then posted again without that field, so there are no more calls than fields.
    """
    before = await with_retries(lambda: graph.subscribed_fields(creds, CALL_TIMEOUT_S))
    fields = list(dict.fromkeys((*WANTED[creds.flavour], *before)))
    unknown: list[str] = []
    forbidden: list[str] = []
    while fields:
        try:
            await with_retries(lambda: graph.subscribe(creds, fields, CALL_TIMEOUT_S))
            break
        except GraphError as error:
            refused = _refused_field(error, fields)
            if refused is None:
                raise
            fields.remove(refused)
            (forbidden if isinstance(error.refused_item, str) else unknown).append(refused)
    after = await with_retries(lambda: graph.subscribed_fields(creds, CALL_TIMEOUT_S))
    return Subscription(after, unknown, forbidden, [name for name in fields if name not in after])


def _refused_field(error: GraphError, fields: Sequence[str]) -> str | None:
    """Returns the field that Meta names in its refusal, or None if Meta names none of `fields`."""
    item = error.refused_item
    if isinstance(item, int):
        return fields[item] if item < len(fields) else None
    return item if item in fields else None


async def subscribe_all(services: Container, only: str | None) -> list[AccountFinding]:
    """Subscribes every account that has a token, or only the one with the id `only`."""
    accounts = await or_exit(services.accounts.listed, "The accounts cannot be read")
    rows = await or_exit(lambda: services.accounts.tokens(limit=ALL_TOKENS), "The tokens cannot be read")
    other_ids = {account.account_id: account.app_scoped_id for account in accounts}
    findings = []
    for row in rows:
        if only in (None, row.account_id, other_ids.get(row.account_id)):
            access = access_to(row.account_id, row.token, services.settings)
            findings.append(await _subscribed(services, row.account_id, access))
    stored = {row.account_id for row in rows}
    if not (only and findings):
        findings += await _subscribed_by_env_token(services, stored, only)
    return findings


async def _subscribed_by_env_token(services: Container, stored: set[str], only: str | None) -> list[AccountFinding]:
    """Subscribes the account of `INSTAGRAM_ACCESS_TOKEN`, unless it has a stored token or is not asked for."""
    settings = services.settings
    env_account = env_token_for(settings)
    if env_account is None or env_account in stored:
        return []
    anonymous = credentials("", settings.instagram_access_token, settings.instagram_login_flavour, settings)
    try:
        me = await with_retries(lambda: services.graph.me(anonymous, CALL_TIMEOUT_S))
    except Exception as error:
        verdict = classify(error)
        failure = AccountFinding(ENV_TOKEN, True, f"{verdict.code}: {verdict.message}")
        return [failure] if only in (None, env_account) else []
    account = account_of(me, anonymous.flavour)
    if account is None:
        return [] if only else [AccountFinding(ENV_TOKEN, True, "the token is for no professional Instagram account")]
    if account.account_id in stored or only not in (None, account.account_id, account.app_scoped_id):
        return []
    access = credentials(account.account_id, anonymous.token, anonymous.flavour, settings)
    return [await _subscribed(services, account.account_id, access)]


async def _subscribed(services: Container, account_id: str, access: Credentials | NoAccess) -> AccountFinding:
    if isinstance(access, NoAccess):
        return AccountFinding(account_id, True, f"{access.code}: {access.reason}")
    try:
        subscription = await subscribe(services.graph, access)
    except Exception as error:
        verdict = classify(error)
        return AccountFinding(account_id, True, f"{verdict.code}: {verdict.message}")
    # Nobody can mend a field that Meta does not know. But without `messages` the account is of no use.
    lacking = set(EXPECTED[access.flavour]) - set(subscription.fields) - set(subscription.unknown)
    is_bad = bool(lacking) or NEEDED not in subscription.fields
    return AccountFinding(account_id, is_bad, _text(subscription), left_out=bool(subscription.missing))


def _text(subscription: Subscription) -> str:
    parts = (
        ("subscribed to", subscription.fields or ("nothing",)),
        ("Meta does not know", subscription.unknown),
        ("the token has no permission for", subscription.forbidden),
        ("Meta left out", subscription.missing),
    )
    return "; ".join(f"{label} {', '.join(names)}" for label, names in parts if names)
