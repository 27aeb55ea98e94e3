"""Our accounts and their encrypted tokens in the database: calls the functions of `…_accounts.sql`."""

from lib.accounts.access import Account, AccountToken, env_token_digest
from lib.accounts.tokens import StoredToken
from lib.core import log
from lib.core.model import Model
from lib.core.settings import Settings
from lib.database import Database, read_answer
from lib.errors.verdict import Verdict

_log = log.get(__name__)


class ListedAccount(Account):
    """An account and its state. `days_left` is None if the account has no token, or one that does not expire."""

    state: str
    state_code: str | None
    has_token: bool
    token_age_days: int | None
    days_left: int | None


class ExpiringToken(Model):
    """An account whose token expires soon. A negative `days_left` says that it has expired."""

    account_id: str
    days_left: int


class AccountStore:
    """The calls. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def save(self, account: Account, *, ciphertext: str, life_days: int | None) -> None:
        """Adds an account, or gives it a new token. The token expires in `life_days` days, or never if that is None."""
        await self._database.rpc(
            "save_account",
            {
                # A `ListedAccount` has more fields than the SQL function takes.
                "p_account": account.model_dump(include=set(Account.model_fields)),
                "p_ciphertext": ciphertext,
                "p_life_days": life_days,
            },
        )

    async def learn(self, account: Account) -> None:
        """Notes both ids of an account. Its state and its token stay as they are."""
        await self._database.rpc("learn_account", {"p_account": account.model_dump()})

    async def listed(self) -> list[ListedAccount]:
        """Returns every account, ordered by id."""
        return read_answer(await self._database.rpc("list_accounts", {}), list[ListedAccount])

    async def tokens(self, *, limit: int) -> list[AccountToken]:
        """Returns up to `limit` stored tokens, ordered by account id."""
        return read_answer(await self._database.rpc("stored_tokens", {"p_limit": limit}), list[AccountToken])

    async def due_for_refresh(self, *, older_than_days: int) -> list[AccountToken]:
        """Returns the tokens to refresh now. The next to expire comes first."""
        rows = await self._database.rpc("tokens_due_for_refresh", {"p_older_than_days": older_than_days})
        return read_answer(rows, list[AccountToken])

    async def expiring(self) -> list[ExpiringToken]:
        """Returns the tokens that expire within ten days. The next to expire comes first."""
        return read_answer(await self._database.rpc("expiring_tokens", {}), list[ExpiringToken])

    async def replace_token(
        self, account_id: str, *, replaced: StoredToken, ciphertext: str, life_s: int | None = None
    ) -> bool:
        """Replaces the stored token `replaced` by `ciphertext`. Returns False if another token is stored by now.

        With `life_s` the token is new and expires in so many seconds. Without it is the same token under another key.
        """
        was_replaced = await self._database.rpc(
            "replace_token",
            {
                "p_account_id": account_id,
                "p_replaced": replaced.ciphertext,
                "p_ciphertext": ciphertext,
                "p_life_s": life_s,
            },
        )
        return bool(was_replaced)

    async def stop(self, account_id: str, verdict: Verdict, *, failed: StoredToken | None) -> None:
        """Stops the sends of an account if `verdict`, on a call with its token `failed`, says so.

        `failed` is None for the environment's token. Nothing changes if the account has another token by now. That the
        environment's token is dead stops only those who have the same one.
        """
        if verdict.account_state is None:
            return
        was_stopped = await self._database.rpc(
            "stop_account",
            {
                "p_account_id": account_id,
                "p_state": verdict.account_state,
                "p_code": verdict.code,
                "p_ciphertext": failed.ciphertext if failed is not None else None,
                "p_env_token": env_token_digest(self._settings),
            },
        )
        if was_stopped:
            _log.error("Account stopped", account_id=account_id, state=verdict.account_state, code=verdict.code)

    async def start(self, account_id: str) -> None:
        """Starts the sends of an account again, once its token works."""
        await self._database.rpc("mark_account", {"p_account_id": account_id, "p_state": "active", "p_code": None})
