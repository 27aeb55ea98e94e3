"""The deployment, or the local stack, that is checked: its address, its settings and its services."""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from dev.stack.config import StackConfig
from dev.stack.stack import Stack
from lib.container import Container
from lib.core.settings import Settings, load
from lib.errors.exceptions import BadConfiguration

ANSWER_WITHIN_S = 15.0
"""Enough for a function that starts cold."""

BYPASS_HEADER = "x-vercel-protection-bypass"
"""The header that passes Deployment Protection (Vercel, "Protection Bypass for Automation")."""


@dataclass
class Case:
    """What the checks need. `services` exist only if no setting is wrong.

    `url` has no slash at the end. `problems` says what is wrong with a setting, by its name. `anon_key` is "" if it is
    not known. `is_local` says that the settings are those of `make dev`.
    """

    url: str
    env: Mapping[str, str]
    is_local: bool
    anon_key: str
    migrations_dir: Path
    problems: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self.services = Container(load(self.env))
        except BadConfiguration as error:
            self.problems = error.problems

    @property
    def settings(self) -> Settings:
        """Returns the settings. A check that uses them needs the check `settings` to be ok."""
        return self.services.settings

    @cached_property
    def http(self) -> httpx.AsyncClient:
        """Returns the HTTP client of the checks."""
        # A proxy that the shell names is for the way out, not for this machine.
        return httpx.AsyncClient(timeout=ANSWER_WITHIN_S, trust_env=not is_loopback(self.url))

    @property
    def bypass(self) -> dict[str, str]:
        """Returns the headers that pass Deployment Protection, for us and for QStash. Meta cannot send them."""
        secret = self.env.get("VERCEL_AUTOMATION_BYPASS_SECRET", "").strip()
        return {BYPASS_HEADER: secret} if secret else {}

    async def close(self) -> None:
        """Closes the connections."""
        await self.http.aclose()
        if not self.problems:
            await self.services.close()


def case_of(config: StackConfig, url: str) -> Case:
    """Returns the deployment at `url`, or else the one that `.env` names, or else the local stack.

    A deployment has only the settings that are set. For the local stack, `make dev` fills in the rest. A tunnel
    (`PUBLIC_URL`) with the local database leads to this machine. Raises `StackError` if half a setting is set.
    """
    user = config.env
    domain = user.get("PRODUCTION_DOMAIN", "").removeprefix("https://")
    remote_url = url or user.get("PUBLIC_URL", "") or (f"https://{domain}" if domain else "")
    is_deployed = bool(remote_url) and not is_loopback(remote_url) and bool(url or user.get("SUPABASE_URL"))
    stack = Stack(config)
    address = (remote_url or stack.functions_url).rstrip("/")
    env = {**(user if is_deployed else stack.env), "PUBLIC_URL": address}
    has_local_database = not is_deployed and stack.local_database
    return Case(
        url=address,
        env=env,
        is_local=not is_deployed,
        anon_key=stack.anon_key if has_local_database else user.get("SUPABASE_ANON_KEY", ""),
        migrations_dir=config.migrations_dir,
    )


def is_loopback(url: str) -> bool:
    """Returns whether only this machine reaches `url`."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def json_object(response: httpx.Response) -> dict[str, Any] | None:
    """Returns the JSON object in an answer, or None if the body is something else, such as a page for people."""
    try:
        value = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


def error_code(response: httpx.Response) -> str:
    """Returns the code of one of our own errors, or "" for any other answer."""
    error = (json_object(response) or {}).get("error")
    return str(error.get("code", "")) if isinstance(error, dict) else ""
