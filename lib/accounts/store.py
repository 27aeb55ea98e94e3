"""Our accounts and their stored tokens in Supabase: the functions of `…_accounts.sql`.

Knows their names and shapes, as `store` does for events. Tokens pass through here encrypted; must not decrypt one.
"""

from lib.accounts.access import Account
from lib.accounts.tokens import StoredToken
from lib.core import log
from lib.core.model import Model
from lib.database import Database, read_answer
from lib.errors.verdict import Verdict

_log = log.get(__name__)


class ListedAccount(Account):
    """An account as it stands. `days_left` is None where its token does not end by time, or there is none."""

    state: str
    state_code: str | None
    has_token: bool
    token_age_days: int | None
    days_left: int | None


class AccountToken(Model):
    """An account that has a token of its own."""

    account_id: str
    state: str
    token: StoredToken


class ExpiringToken(Model):
    """An account whose token ends soon; below 0 days left, it has."""

    account_id: str
    days_left: int


class AccountStore:
    """The calls. Raises what `EventStore.rpc` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, account: Account, *, ciphertext: str, life_days: int | None) -> None:
        """Adds an account, or gives it a new token, good for `life_days` from now (None: not ended by time)."""
        await self._database.rpc(
            "save_account",
            {
                "p_account": account.model_dump(include=set(Account.model_fields)),
                "p_ciphertext": ciphertext,
                "p_life_days": life_days,
            },
        )

    async def listed(self) -> list[ListedAccount]:
        """Every account, by its id."""
        return read_answer(await self._database.rpc("list_accounts", {}), list[ListedAccount])

    async def tokens(self, *, limit: int) -> list[AccountToken]:
        """The stored tokens, by account id."""
        return read_answer(await self._database.rpc("stored_tokens", {"p_limit": limit}), list[AccountToken])

    async def due_for_refresh(self, *, older_than_days: int) -> list[AccountToken]:
        """The tokens to refresh now, the next to expire first."""
        answer = await self._database.rpc("tokens_due_for_refresh", {"p_older_than_days": older_than_days})
        return read_answer(answer, list[AccountToken])

    async def expiring(self) -> list[ExpiringToken]:
        """The tokens that end within ten days, the next to expire first."""
        return read_answer(await self._database.rpc("expiring_tokens", {}), list[ExpiringToken])

    async def replace_token(
        self, account_id: str, *, replaced: StoredToken, ciphertext: str, life_s: int | None = None
    ) -> bool:
        """Puts `ciphertext` where `replaced` is. False if something else is there by now.

        With `life_s` it is a new token, from now; without, the same under another key.
        """
        answer = await self._database.rpc(
            "replace_token",
            {
                "p_account_id": account_id,
                "p_replaced": replaced.ciphertext,
                "p_ciphertext": ciphertext,
                "p_life_s": life_s,
            },
        )
        return bool(answer)

    async def stop(self, account_id: str, verdict: Verdict, *, failed: StoredToken | None) -> None:
        """Stops the sends of an account, where `verdict` on a call says so, made with its token `failed` (None: the
        environment's). Nothing is changed where the account has another token by now.
        """
        if verdict.account_state is None:
            return
        answer = await self._database.rpc(
            "stop_account",
            {
                "p_account_id": account_id,
                "p_state": verdict.account_state,
                "p_code": verdict.code,
                "p_ciphertext": failed.ciphertext if failed is not None else None,
            },
        )
        if answer:
            _log.error("Account stopped", account_id=account_id, state=verdict.account_state, code=verdict.code)

    async def start(self, account_id: str) -> None:
        """Its token works again: sends start again."""
        await self._database.rpc("mark_account", {"p_account_id": account_id, "p_state": "active", "p_code": None})
