"""The project an operator's command works on: the one `.env` names, else the local stack.

Knows how settings become clients (`lib.instance`) and how a missing project is explained. Must not know any command.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

import click
import httpx

from dev.stack.config import StackConfig
from dev.stack.options import explained
from dev.stack.stack import Stack
from lib.container import Container
from lib.core.env_vars import DEFAULTS
from lib.core.settings import load
from lib.errors.exceptions import BadConfiguration

T = TypeVar("T")


def on_project(config: StackConfig, action: Callable[[Container], Awaitable[T]], *, asks_meta: bool = False) -> T:
    """What `action` comes to with the project's clients. Ends the command with one sentence where there is none.

    With `asks_meta` a hosted project's accounts are asked about at Meta itself: their tokens are real.
    """
    with explained():
        stack = Stack(config)
        env = stack.env
    if asks_meta and not stack.local_database:
        env |= _of_meta(config.env)
    try:
        here = Container(load(env))
    except BadConfiguration as error:
        raise click.ClickException(str(error)) from None
    where = "the local stack" if stack.local_database else "SUPABASE_URL"
    click.echo(f"Project: {here.settings.supabase_url} ({where})", err=True)
    with _unreachable_explained(here.settings.supabase_url):
        return asyncio.run(_run(action, here))


def _of_meta(user: Mapping[str, str]) -> dict[str, str]:
    """What the stack fills in for its stand-in, as the user has it: their secret signs calls, or it is missing."""
    urls = {name: user.get(name, DEFAULTS[name]) for name in ("GRAPH_INSTAGRAM_URL", "GRAPH_FACEBOOK_URL")}
    own = {name: user.get(name, "") for name in ("INSTAGRAM_APP_SECRET", "INSTAGRAM_ACCESS_TOKEN")}
    return urls | own


async def _run(action: Callable[[Container], Awaitable[T]], here: Container) -> T:
    try:
        return await action(here)
    finally:
        await here.close()


@contextlib.contextmanager
def _unreachable_explained(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError:
        raise click.ClickException(
            f"Nothing answers on {url}: start the local stack with `make dev`, or set SUPABASE_URL and "
            "SUPABASE_SERVICE_ROLE_KEY (in .env or the environment) to a hosted project."
        ) from None
