"""The project that a command works on: the one that `.env` names, or else the local stack."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
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


def on_project(config: StackConfig, action: Callable[[Container], Awaitable[T]], *, calls_meta: bool = False) -> T:
    """Returns what `action` returns for the project's services. Ends the command with a sentence without a project.

    With `calls_meta` the accounts of a hosted project are asked about at Meta itself: their tokens are real.
    """
    with explained():
        stack = Stack(config)
        env = stack.env
    if calls_meta and not stack.local_database:
        env |= _meta_settings(config.env)
    try:
        services = Container(load(env))
    except BadConfiguration as error:
        raise click.ClickException(str(error)) from None
    origin = "the local stack" if stack.local_database else "SUPABASE_URL"
    click.echo(f"Project: {services.settings.supabase_url} ({origin})", err=True)
    with _connect_errors_explained(services.settings.supabase_url):
        return asyncio.run(_run(action, services))


def to_deployment(config: StackConfig) -> StackConfig:
    """Returns the settings with which QStash calls the functions of a hosted project, and not those of this laptop.

    Raises `UsageError` if QStash, or the address of the functions, is not set. The local stack stays as it is.
    """
    user = config.env
    if "SUPABASE_URL" not in user:
        return config
    domain = user.get("PRODUCTION_DOMAIN", "").removeprefix("https://").rstrip("/")
    if not user.get("QSTASH_TOKEN") or not (domain or user.get("PUBLIC_URL")):
        raise click.UsageError(
            "For a hosted project set QSTASH_TOKEN, and PRODUCTION_DOMAIN or PUBLIC_URL (in .env or the environment)."
        )
    hosted = {"QSTASH_URL": DEFAULTS["QSTASH_URL"], "PUBLIC_URL": f"https://{domain}"}
    return replace(config, env={**hosted, **user})


def _meta_settings(user: Mapping[str, str]) -> dict[str, str]:
    """Returns the user's own settings for Meta, in place of those that the stack makes up for its stand-in."""
    urls = {name: user.get(name, DEFAULTS[name]) for name in ("GRAPH_INSTAGRAM_URL", "GRAPH_FACEBOOK_URL")}
    # An empty secret makes `load` complain. A made-up one would sign the calls with a wrong proof.
    secrets = {name: user.get(name, "") for name in ("INSTAGRAM_APP_SECRET", "INSTAGRAM_ACCESS_TOKEN")}
    return urls | secrets


async def _run(action: Callable[[Container], Awaitable[T]], services: Container) -> T:
    try:
        return await action(services)
    finally:
        await services.close()


@contextlib.contextmanager
def _connect_errors_explained(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError:
        raise click.ClickException(
            f"Nothing answers on {url}: start the local stack with `make dev`, or set SUPABASE_URL and "
            "SUPABASE_SERVICE_ROLE_KEY (in .env or the environment) to a hosted project."
        ) from None
