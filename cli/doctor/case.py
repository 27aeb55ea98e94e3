"""What is examined: an address, the settings that go with it, and the connections to ask with.

Knows which settings speak for a deployment and which for the local stack. Must not know any check.
"""

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
"""A function that starts cold, with some to spare."""

BYPASS_HEADER = "x-vercel-protection-bypass"
"""Vercel, "Protection Bypass for Automation"."""


@dataclass
class Case:
    """`url` has no slash at the end; `problems` are of the settings, by their names, and without them there is `here`.

    `anon_key` is "" where it is not known. `is_local`: the settings are those of `make dev`.
    """

    url: str
    env: Mapping[str, str]
    is_local: bool
    anon_key: str
    migrations_dir: Path
    problems: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self.here = Container(load(self.env))
        except BadConfiguration as error:
            self.problems = error.problems

    @property
    def settings(self) -> Settings:
        """The settings, which a check that asks for them needs to be good."""
        return self.here.settings

    @cached_property
    def http(self) -> httpx.AsyncClient:
        """To ask with. A proxy of the shell's is for the way out, not for this machine."""
        return httpx.AsyncClient(timeout=ANSWER_WITHIN_S, trust_env=not is_loopback(self.url))

    @property
    def bypass(self) -> dict[str, str]:
        """What lets us, and QStash, through Vercel's Deployment Protection. Meta has no such thing."""
        secret = self.env.get("VERCEL_AUTOMATION_BYPASS_SECRET", "").strip()
        return {BYPASS_HEADER: secret} if secret else {}

    async def close(self) -> None:
        """Closes the connections."""
        await self.http.aclose()
        if not self.problems:
            await self.here.close()


def case_of(config: StackConfig, url: str) -> Case:
    """The deployment at `url`, else the one `.env` names, else the local stack.

    A deployment has only the settings that are set; on this machine `make dev` fills in the rest. A tunnel
    (`PUBLIC_URL`) with the local database leads to this machine. Raises `StackError` for half a setting.
    """
    user = config.env
    domain = user.get("PRODUCTION_DOMAIN", "").removeprefix("https://")
    named = url or user.get("PUBLIC_URL", "") or (f"https://{domain}" if domain else "")
    is_deployed = bool(named) and not is_loopback(named) and bool(url or user.get("SUPABASE_URL"))
    stack = Stack(config)
    address = (named or stack.functions_url).rstrip("/")
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
    """Whether only this machine reaches `url`."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def json_object(answer: httpx.Response) -> dict[str, Any] | None:
    """The JSON object of an answer; None where it is something else, such as a page for people."""
    try:
        value = answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


def error_code(answer: httpx.Response) -> str:
    """The code of an error of our own; "" where it is none of ours."""
    error = (json_object(answer) or {}).get("error")
    return str(error.get("code", "")) if isinstance(error, dict) else ""
