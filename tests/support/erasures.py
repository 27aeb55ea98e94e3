"""Erasures: people with data, and requests to erase it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from lib.privacy.erasure import new_code
from tests.support.world import World

OTHER_ACCOUNT = "17841499999999999"


APP_SCOPED = "27841400000000000"


def request(
    world: World, subject: str, *, scope: str | None = "contact", account: str | None = None, code: str | None = None
) -> str:
    """Takes up a request; its code."""
    code = code or new_code()
    world.row("select request_erasure(%s, %s, 'command', %s, %s)", code, subject, scope, account)
    return code


def preview(world: World, subject: str, scope: str, account: str | None = None) -> dict[str, int]:
    """What there is to erase, without the tables that have none."""
    counts = world.row("select preview_erasure(%s, %s, %s) as counts", subject, scope, account)["counts"]
    return {table: count for table, count in counts.items() if count}


def reply_rule(world: World) -> None:
    """With it, lives have an outbox."""
    world.rule(trigger="keyword", pattern="price", reply_text="It is 20, {first_name}.")


def an_account(world: World, **columns: Any) -> None:
    """`OTHER_ACCOUNT` with both ids, a token and a rule of its own."""
    world.db.execute(
        "insert into accounts (account_id, app_scoped_id, username) values (%s, %s, 'shop')",
        (OTHER_ACCOUNT, APP_SCOPED),
    )
    world.db.execute("insert into account_tokens (account_id, ciphertext) values (%s, 'gAAAAtoken')", (OTHER_ACCOUNT,))
    world.rule(trigger="keyword", pattern="orchid", reply_text="rule of the orchid", account_id=OTHER_ACCOUNT)


STATUS = "/api/privacy/deletion-status"


def look(world: World, code: str, *, accept: str = "text/html", base_url: str = "") -> httpx.Response:
    return world.http.get(base_url + STATUS, params={"code": code}, headers={"Accept": accept})


def state(world: World, code: str) -> dict[str, Any]:
    body: dict[str, Any] = look(world, code, accept="application/json").json()
    return body


@contextmanager
def erasing_broken(world: World) -> Iterator[None]:
    """Requests are taken up, and no step of them works."""
    world.db.execute("alter function run_erasure(text, integer) rename to run_erasure_away")
    try:
        yield
    finally:
        world.db.execute("alter function run_erasure_away(text, integer) rename to run_erasure")
