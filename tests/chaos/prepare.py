"""The stack as a run wants it: rules, an account with a token of its own, one whose token has expired, people, and
echoes that come to us.
"""

from collections.abc import Iterable

import httpx
import psycopg

from dev.stack import Stack
from lib.accounts.access import Account
from lib.accounts.tokens import seal
from lib.container import Container
from tests.chaos.outside import ECHOES
from tests.chaos.traffic import ACCOUNTS, LOCKED_OUT, RULES, STORED, Told

EXPIRED_TOKEN = "EXPIRED-long-ago"


async def prepare(stack: Stack, here: Container, told: Iterable[Told], *, outside_url: str) -> None:
    """Writes and switches everything. For a stack on which nothing has happened yet."""
    with psycopg.connect(stack.dsn, autocommit=True) as database, database.cursor() as cursor:
        cursor.executemany(
            "insert into public.reply_rules (trigger, match, pattern, reply_text) values (%s, %s, %s, %s)",
            [(rule.trigger, rule.match, rule.pattern, rule.reply_text) for rule in RULES],
        )
    await _give_token(here, LOCKED_OUT, EXPIRED_TOKEN)
    await _give_token(here, STORED, f"local-{STORED}")
    switches = f"{stack.graph_url}/__dev"
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        (await http.post(f"{switches}/echo", json={"webhook_url": outside_url + ECHOES})).raise_for_status()
        for one in told:
            if one.what == "change":
                who = {"id": one.item["value"]["id"], "from": one.contact}
                (await http.post(f"{switches}/comments", json=who)).raise_for_status()


async def log_in_again(here: Container) -> None:
    """The owner of the account with the dead token logs in again, and a person starts what was stopped."""
    await _give_token(here, LOCKED_OUT, f"local-{LOCKED_OUT}")
    for account_id in ACCOUNTS:
        # Whatever its state says: it may be that of a token which another instance has.
        await here.accounts.start(account_id)


async def _give_token(here: Container, account_id: str, token: str) -> None:
    username = f"shop.{account_id[-2:]}"
    account = Account(account_id=account_id, app_scoped_id=None, username=username, login_flavour="instagram")
    ciphertext = seal(token, account_id=account_id, keys=here.settings.token_encryption_keys)
    await here.accounts.save(account, ciphertext=ciphertext, life_days=60)
