"""Every function that vercel.json deploys, in this process, with nothing behind it but closed ports."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message

from dev.functions import find_public_paths
from dev.stack import keys

ROOT = Path(__file__).resolve().parents[2]
HOST = "https://pipeline.example"
NOBODY = "http://127.0.0.1:9"

SETTINGS = {
    "INSTAGRAM_APP_SECRET": f"{keys.APP_SECRET},{keys.APP_SECRET}-of-yesterday",
    "INSTAGRAM_VERIFY_TOKEN": keys.VERIFY_TOKEN,
    "INTERNAL_API_SECRET": keys.INTERNAL_SECRET,
    "CRON_SECRET": keys.CRON_SECRET,
    "QSTASH_TOKEN": keys.QSTASH_TOKEN,
    "QSTASH_CURRENT_SIGNING_KEY": keys.QSTASH_CURRENT_SIGNING_KEY,
    "QSTASH_NEXT_SIGNING_KEY": keys.QSTASH_NEXT_SIGNING_KEY,
    "SUPABASE_SERVICE_ROLE_KEY": keys.SECRET_KEY,
    "INSTAGRAM_ACCESS_TOKEN": keys.ACCESS_TOKEN,
    "TOKEN_ENCRYPTION_KEY": keys.TOKEN_KEY,
    "PUBLIC_URL": HOST,
    **dict.fromkeys(("SUPABASE_URL", "QSTASH_URL", "GRAPH_INSTAGRAM_URL", "GRAPH_FACEBOOK_URL"), NOBODY),
}

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function answered. `pieces_read` is how often it asked for some of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    pieces_read: int


def deployed_paths() -> list[str]:
    """Returns the public paths of the functions."""
    return sorted(find_public_paths(ROOT))


def deployed() -> dict[str, ASGIApp]:
    """Returns the functions of vercel.json by their public path."""
    return {path: public.function.load() for path, public in find_public_paths(ROOT).items()}


def ask(
    app: ASGIApp,
    path: str,
    /,
    *,
    method: str = "POST",
    headers: Headers = (),
    query: bytes = b"",
    body: bytes = b"",
    piece_bytes: int = 65_536,
) -> Answer:
    """One request, its body in pieces. Whatever escapes the function escapes here."""
    pieces = [body[start : start + piece_bytes] for start in range(0, len(body), piece_bytes)] or [b""]
    sent: list[Message] = []
    read = 0

    async def receive() -> Message:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": pieces[read - 1], "more_body": read < len(pieces)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "https", "method": method,
        "path": path, "raw_path": path.encode("utf-8", "surrogatepass"), "root_path": "", "query_string": query,
        "headers": list(headers), "client": ("203.0.113.7", 1), "server": ("pipeline.example", 443),
    }  # fmt: skip

    async def answered() -> None:
        await app(scope, receive, send)

    asyncio.run(answered())
    start, *rest = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], told, b"".join(part.get("body", b"") for part in rest), read)
