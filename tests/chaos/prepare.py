"""The stack as a run wants it: rules, an account whose token has expired, people, and echoes that come to us."""

from collections.abc import Iterable

import httpx
import psycopg

from dev.stack import Stack
from lib.accounts.access import Account
from lib.accounts.store import AccountStore
from lib.accounts.tokens import seal
from lib.container import Container
from tests.chaos.outside import ECHOES
from tests.chaos.traffic import LOCKED_OUT, RULES, Told

EXPIRED_TOKEN = "EXPIRED-long-ago"


async def prepare(stack: Stack, here: Container, told: Iterable[Told], *, outside_url: str) -> None:
    """Writes and switches everything. For a stack on which nothing has happened yet."""
    with psycopg.connect(stack.dsn, autocommit=True) as database, database.cursor() as cursor:
        cursor.executemany(
            "insert into public.reply_rules (trigger, match, pattern, reply_text) values (%s, %s, %s, %s)",
            [(rule.trigger, rule.match, rule.pattern, rule.reply_text) for rule in RULES],
        )
    await _give_token(here.accounts, EXPIRED_TOKEN, here.settings.token_encryption_keys)
    switches = f"{stack.graph_url}/__dev"
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        (await http.post(f"{switches}/echo", json={"webhook_url": outside_url + ECHOES})).raise_for_status()
        for one in told:
            if one.what == "change":
                who = {"id": one.item["value"]["id"], "from": one.contact}
                (await http.post(f"{switches}/comments", json=who)).raise_for_status()


async def log_in_again(here: Container) -> None:
    """The owner of the account with the dead token logs in again, and a person starts what was stopped."""
    await _give_token(here.accounts, f"local-{LOCKED_OUT}", here.settings.token_encryption_keys)
    for account in await here.accounts.listed():
        if account.state != "active":
            await here.accounts.start(account.account_id)


async def _give_token(accounts: AccountStore, token: str, keys: tuple[str, ...] | list[str]) -> None:
    account = Account(account_id=LOCKED_OUT, app_scoped_id=None, username="locked.out", login_flavour="instagram")
    await accounts.save(account, ciphertext=seal(token, account_id=LOCKED_OUT, keys=keys), life_days=60)
