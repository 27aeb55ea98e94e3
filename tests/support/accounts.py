"""Accounts in the running pipeline: two of them, each with a token of its own that Instagram's stand-in knows.

A token that ends in an account's id is that account's alone; one that begins with `EXPIRED` is dead.
"""

import json
from typing import Any

from dev.graph.world import Account
from dev.stack import keys
from lib.accounts.tokens import seal
from tests.support.builders import CONTACT, item, new_mid, webhook
from tests.support.world import World

FIRST, SECOND = "17841400000000011", "17841400000000022"


def token_of(account_id: str) -> str:
    """A good token."""
    return f"local-very-secret-{account_id}"


def dead_token_of(account_id: str) -> str:
    """A token that Meta no longer takes."""
    return f"EXPIRED-very-secret-{account_id}"


def other_id(account_id: str) -> str:
    """The account's app-scoped id."""
    return Account(account_id).app_scoped_id


def connect(
    world: World, *account_ids: str, token: str = "", flavour: str = "instagram", life_days: int | None = 60
) -> None:
    """Adds accounts, each with its own good token unless told otherwise."""
    for account_id in account_ids:
        account = {"account_id": account_id, "app_scoped_id": other_id(account_id), "login_flavour": flavour}
        ciphertext = seal(token or token_of(account_id), account_id=account_id, keys=(keys.TOKEN_KEY,))
        world.rows("select save_account(%s, %s, %s)", json.dumps(account), ciphertext, life_days)


def ciphertext_of(world: World, account_id: str) -> str:
    """The token as it is kept."""
    return str(world.row("select ciphertext from account_tokens where account_id = %s", account_id)["ciphertext"])


def state_of(world: World, account_id: str) -> tuple[str, str | None]:
    """The account's state and why."""
    row = world.row("select state, state_code from accounts where account_id = %s", account_id)
    return row["state"], row["state_code"]


def message_to(account_id: str, text: str, *, mid: str | None = None, contact: str = CONTACT) -> dict[str, Any]:
    """A webhook: a person writes to that account, under whichever of its ids."""
    said = item(account=account_id, contact=contact, message={"mid": mid or new_mid(), "text": text})
    return webhook(said, account=account_id)


def callers(world: World, endpoint: str) -> list[str]:
    """Whose tokens the calls of an endpoint came with, in order."""
    return [call["account_id"] for call in world.graph_calls() if call["endpoint"] == endpoint]
