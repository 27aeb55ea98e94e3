"""Asks Meta about each account, stops and starts sends by the answer, and re-encrypts tokens of an older key."""

from dataclasses import dataclass

from cli.retries import or_exit, with_retries
from lib.accounts.access import NoAccess, access_to, account_of
from lib.accounts.store import ListedAccount
from lib.accounts.tokens import StoredToken, is_under_first_key, seal
from lib.container import Container
from lib.errors.classify import classify
from lib.graph.transport import Credentials

CALL_TIMEOUT_S = 10.0
ALL_TOKENS = 100_000
NEAR_EXPIRY_DAYS = 10


@dataclass(frozen=True, slots=True)
class AccountFinding:
    """The result for one account. `is_bad` says that a person has to act.

    `left_out`: Meta took webhook fields of a subscription, and does not list them.
    """

    account_id: str
    is_bad: bool
    text: str
    left_out: bool = False


async def check_all(services: Container) -> list[AccountFinding]:
    """Checks every account against Meta. Brings its state, and the key of its token, up to date."""
    accounts = await or_exit(services.accounts.listed, "The accounts cannot be read")
    rows = await or_exit(lambda: services.accounts.tokens(limit=ALL_TOKENS), "The tokens cannot be read")
    tokens = {row.account_id: row.token for row in rows}
    return [await _check(services, account, tokens.get(account.account_id)) for account in accounts]


async def _check(services: Container, account: ListedAccount, token: StoredToken | None) -> AccountFinding:
    access = access_to(account.account_id, token, services.settings)
    if isinstance(access, NoAccess):
        return AccountFinding(account.account_id, True, f"{access.code}: {access.reason}")
    problem = await _problem(services, account, access, token)
    if problem is not None:
        return AccountFinding(account.account_id, True, problem)
    notes = ["works"]
    if account.state == "needs_reauth":
        await or_exit(lambda: services.accounts.start(account.account_id), "Its state was not changed")
        notes.append("sends start again")
    if token is not None and await _put_under_first_key(services, access, token):
        notes.append("now under the first key")
    if account.days_left is not None:
        notes.append(f"{account.days_left} d left" if account.days_left >= 0 else "past its recorded end")
    ends_soon = account.days_left is not None and account.days_left < NEAR_EXPIRY_DAYS
    return AccountFinding(account.account_id, ends_soon, ", ".join(notes))


async def _problem(
    services: Container, account: ListedAccount, access: Credentials, token: StoredToken | None
) -> str | None:
    """Returns what keeps the account from sending, or None. Stops the account if Meta's answer says so."""
    try:
        me = await with_retries(lambda: services.graph.me(access, CALL_TIMEOUT_S))
    except Exception as error:
        verdict = classify(error)
        await services.accounts.stop(account.account_id, verdict, failed=token)
        return f"{verdict.code}: {verdict.message}"
    owner = account_of(me, access.flavour)
    if owner is None or owner.account_id != account.account_id:
        return f"wrong_account: the token is for {owner.account_id if owner else 'no Instagram account'}"
    if account.app_scoped_id not in (None, owner.app_scoped_id):
        return f"wrong_id: its other id is {owner.app_scoped_id} now; add it again"
    if account.state == "stopped":
        # A working token does not start the account again: Meta, or its owner, stopped it for another reason.
        return f"stopped: {account.state_code}; the token works, but Meta or the owner keeps the account from sending"
    return None


async def _put_under_first_key(services: Container, access: Credentials, token: StoredToken) -> bool:
    """Encrypts the token with the first key. Returns False if it was so before."""
    keys = services.settings.token_encryption_keys
    if is_under_first_key(token.ciphertext, keys):
        return False
    ciphertext = seal(access.token, account_id=access.account_id, keys=keys)
    return await or_exit(
        lambda: services.accounts.replace_token(access.account_id, replaced=token, ciphertext=ciphertext),
        "The token was not encrypted again",
    )
