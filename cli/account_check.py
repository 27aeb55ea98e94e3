"""The check of all accounts: what Meta says to each token, and what follows from it for the account.

Knows which answer makes an account stop or start. Must not know how a finding is shown.
"""

from dataclasses import dataclass

from cli.patience import or_explain, patiently
from lib.accounts.access import NoAccess, access_to, account_of
from lib.accounts.store import ListedAccount
from lib.accounts.tokens import StoredToken, is_under_first_key, seal
from lib.container import Container
from lib.errors.classify import classify
from lib.graph.transport import Credentials

ASK_WITHIN_S = 10.0
ALL = 100_000
NEAR_EXPIRY_DAYS = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said about one account, and whether somebody has to do something."""

    account_id: str
    is_bad: bool
    says: str


async def check_all(here: Container) -> list[Finding]:
    """Asks Meta about each account and brings its state, and the key of its token, up to date."""
    listed = await or_explain(here.accounts.listed, "The accounts can't be read")
    held = await or_explain(lambda: here.accounts.tokens(limit=ALL), "The tokens can't be read")
    stored = {one.account_id: one.token for one in held}
    return [await _check(here, account, stored.get(account.account_id)) for account in listed]


async def _check(here: Container, account: ListedAccount, stored: StoredToken | None) -> Finding:
    access = access_to(account.account_id, stored, here.settings)
    if isinstance(access, NoAccess):
        return Finding(account.account_id, True, f"{access.code}: {access.reason}")
    problem = await _problem(here, account, access, stored)
    if problem is not None:
        return Finding(account.account_id, True, problem)
    notes = ["works"]
    if account.state == "needs_reauth":
        await or_explain(lambda: here.accounts.start(account.account_id), "Its state was not changed")
        notes.append("sends start again")
    if stored is not None and await _put_under_first_key(here, access, stored):
        notes.append("now under the first key")
    if account.days_left is not None:
        notes.append(f"{account.days_left} d left" if account.days_left >= 0 else "past its noted end")
    ends_soon = account.days_left is not None and account.days_left < NEAR_EXPIRY_DAYS
    return Finding(account.account_id, ends_soon, ", ".join(notes))


async def _problem(
    here: Container, account: ListedAccount, access: Credentials, stored: StoredToken | None
) -> str | None:
    """What keeps the account from sending, or None."""
    try:
        me = await patiently(lambda: here.graph.me(access, ASK_WITHIN_S))
    except Exception as error:
        verdict = classify(error)
        await here.accounts.stop(account.account_id, verdict, failed=stored)
        return f"{verdict.code}: {verdict.message}"
    found = account_of(me, access.flavour)
    if found is None or found.account_id != account.account_id:
        return f"wrong_account: the token is for {found.account_id if found else 'no account of Instagram'}"
    if account.app_scoped_id not in (None, found.app_scoped_id):
        return f"wrong_id: its other id is {found.app_scoped_id} now; add it again"
    if account.state == "stopped":
        return f"stopped: {account.state_code}; its token works, Meta or the owner keeps it from sending"
    return None


async def _put_under_first_key(here: Container, access: Credentials, stored: StoredToken) -> bool:
    keys = here.settings.token_encryption_keys
    if is_under_first_key(stored.ciphertext, keys):
        return False
    ciphertext = seal(access.token, account_id=access.account_id, keys=keys)
    return await or_explain(
        lambda: here.accounts.replace_token(access.account_id, replaced=stored, ciphertext=ciphertext),
        "Its key was not changed",
    )
