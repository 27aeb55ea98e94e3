"""Environment variables: the user's settings, those of the functions, and those that every child process gets."""

import os
from collections.abc import Mapping
from pathlib import Path

from dev.stack import keys
from dev.stack.errors import StackError

# Variables that no child may inherit from the shell: settings of the pipeline, of libpq and of PostgREST.
OURS = (
    "INSTAGRAM_",
    "QSTASH_",
    "SUPABASE_",
    "GRAPH_",
    "VERCEL",
    "REPL",
    "PROFILE_",
    "RAW_",
    "SENDS_",
    "META_",
    "TOKEN_",
    "PG",
)
OURS_EXACTLY = ("INTERNAL_API_SECRET", "CRON_SECRET", "PHASE3_URL", "LOG_LEVEL", "PUBLIC_URL", "PRODUCTION_DOMAIN")


def user_settings(root: Path) -> dict[str, str]:
    """Returns the user's settings, from the environment or else from `root`/.env. A blank value counts as unset."""
    settings = {name: value for name, value in os.environ.items() if _is_ours(name)}
    return {**_present(read_env_file(root / ".env")), **_present(settings)}


def read_env_file(path: Path) -> dict[str, str]:
    """Reads KEY=VALUE lines. `export`, blank lines, comments and matching quotes are allowed. {} without a file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, sign, value = text.partition("=")
        if not sign or not name.strip().isidentifier():
            raise StackError(f"{path.name}, line {number}: expected NAME=VALUE.")
        values[name.strip()] = _unquote(value.strip())
    return values


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    # A comment needs a space before it: `#` may be part of a secret.
    return value.partition(" #")[0].rstrip()


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Returns the process environment without settings of the pipeline, plus `extra`. Local calls use no proxy."""
    inherited = {name: value for name, value in os.environ.items() if not _is_ours(name)}
    local = ",".join(filter(None, (os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")), "127.0.0.1,localhost")))
    return {**inherited, "NO_PROXY": local, "no_proxy": local, "PYTHONUNBUFFERED": "1", **extra}


def functions_environment(
    user: Mapping[str, str],
    *,
    functions_url: str,
    qstash: Mapping[str, str],
    supabase: Mapping[str, str],
    graph: Mapping[str, str],
) -> dict[str, str]:
    """Returns every variable the functions need: local defaults, the user's settings, then the servers in use."""
    defaults = {
        "INSTAGRAM_APP_SECRET": keys.APP_SECRET,
        "INSTAGRAM_VERIFY_TOKEN": keys.VERIFY_TOKEN,
        "INTERNAL_API_SECRET": keys.INTERNAL_SECRET,
        "CRON_SECRET": keys.CRON_SECRET,
        "PUBLIC_URL": functions_url,
        "LOG_LEVEL": "INFO",
    }
    return {**defaults, **_present(user), **qstash, **supabase, **graph}


def qstash_settings(user: Mapping[str, str], local_url: str) -> dict[str, str]:
    """Returns the settings of the user's QStash if `QSTASH_URL` is set, else of the local one."""
    if user.get("QSTASH_URL"):
        return {name: value for name, value in user.items() if name.startswith("QSTASH_") and value}
    return {
        "QSTASH_URL": local_url,
        "QSTASH_TOKEN": keys.QSTASH_TOKEN,
        "QSTASH_CURRENT_SIGNING_KEY": keys.QSTASH_CURRENT_SIGNING_KEY,
        "QSTASH_NEXT_SIGNING_KEY": keys.QSTASH_NEXT_SIGNING_KEY,
    }


def supabase_settings(user: Mapping[str, str], local_url: str) -> dict[str, str]:
    """Returns the settings of the user's Supabase if `SUPABASE_URL` is set, else of the local one.

    Only the local one comes with a key for tokens: everybody knows that key, so a hosted project must not use it.
    """
    if not user.get("SUPABASE_URL"):
        return {
            "SUPABASE_URL": local_url,
            "SUPABASE_SERVICE_ROLE_KEY": keys.supabase_jwt("service_role"),
            "TOKEN_ENCRYPTION_KEY": user.get("TOKEN_ENCRYPTION_KEY") or keys.TOKEN_KEY,
        }
    if not user.get("SUPABASE_SERVICE_ROLE_KEY"):
        raise StackError("SUPABASE_URL is set but SUPABASE_SERVICE_ROLE_KEY is not: set both, or neither.")
    return {name: user[name] for name in ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY")}


def graph_settings(user: Mapping[str, str], local_url: str) -> dict[str, str]:
    """Returns the settings of the stand-in, or {} if `GRAPH_INSTAGRAM_URL` is set.

    A real token alone does not lead to Instagram: nothing on a laptop should send by accident.
    """
    if user.get("GRAPH_INSTAGRAM_URL"):
        return {}
    token = user.get("INSTAGRAM_ACCESS_TOKEN", "")
    return {
        "GRAPH_INSTAGRAM_URL": local_url,
        "GRAPH_FACEBOOK_URL": f"{local_url}/facebook",
        "INSTAGRAM_ACCESS_TOKEN": token if token.startswith("local-") else keys.ACCESS_TOKEN,
    }


def _is_ours(name: str) -> bool:
    return name in OURS_EXACTLY or name.startswith(OURS)


def _present(settings: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in settings.items() if value.strip()}
