"""The project an operator's command works on: the one `.env` names, else the local stack.

Knows how settings become clients (`lib.instance`) and how a missing project is explained. Must not know any command.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import click
import httpx

from dev.stack.config import StackConfig
from dev.stack.options import explained
from dev.stack.stack import Stack
from lib.errors import BadConfiguration
from lib.instance import Instance
from lib.settings import load

T = TypeVar("T")


def on_project(config: StackConfig, action: Callable[[Instance], Awaitable[T]]) -> T:
    """What `action` comes to with the project's clients. Ends the command with one sentence where there is none."""
    with explained():
        stack = Stack(config)
        env = stack.env
    try:
        here = Instance(load(env))
    except BadConfiguration as error:
        raise click.ClickException(str(error)) from None
    where = "the local stack" if stack.local_database else "SUPABASE_URL"
    click.echo(f"Project: {here.settings.supabase_url} ({where})", err=True)
    with _unreachable_explained(here.settings.supabase_url):
        return asyncio.run(_run(action, here))


async def _run(action: Callable[[Instance], Awaitable[T]], here: Instance) -> T:
    return await action(here)


@contextlib.contextmanager
def _unreachable_explained(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError:
        raise click.ClickException(
            f"Nothing answers on {url}: start the local stack with `make dev`, or set SUPABASE_URL and "
            "SUPABASE_SERVICE_ROLE_KEY (in .env or the environment) to a hosted project."
        ) from None
