"""What the consumer asks of others for one event: it runs in this process, and every request it makes is written down.

Knows httpcore and the running stack. Must not know how fast anything is.
"""

import contextlib
import io
import json
import os
import time
from collections.abc import AsyncIterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import httpcore
import psycopg

from bench.bare import Request
from bench.function import Call, call
from dev.functions import find_functions
from dev.graph.mids import new_mid
from dev.qstash.signing import SigningKeys
from dev.stack import Stack, keys
from dev.stack.config import ROOT
from lib.container import container
from lib.events.model import encode
from lib.qstash.publisher import CONSUMER_PATH
from lib.webhooks.parser import parse_webhook

SIGNER = SigningKeys(keys.QSTASH_CURRENT_SIGNING_KEY, keys.QSTASH_NEXT_SIGNING_KEY)
FIRST_PERSON = 6_000_000_000_100_000
"""The next fifty thousand are people to Graph's stand-in; it refuses some whose ids end otherwise."""

NOT_SENT = frozenset({"host", "content-length", "connection", "accept-encoding", "user-agent"})
"""Headers that belong to a client and not to what it asks."""


@dataclass(frozen=True)
class Trips:
    """One event and the requests it took; `marks` are its ids, which differ in the next event."""

    event: bytes
    requests: tuple[Request, ...]
    database_port: int
    marks: Mapping[str, str]

    @property
    def database(self) -> tuple[Request, ...]:
        """Those to Supabase."""
        return tuple(one for one in self.requests if one.port == self.database_port)

    @property
    def elsewhere(self) -> tuple[Request, ...]:
        """The others."""
        return tuple(one for one in self.requests if one.port != self.database_port)

    def again(self, requests: tuple[Request, ...], ids: Mapping[str, str]) -> list[Request]:
        """The same requests for an event with other `ids`."""
        return [
            replace(
                one,
                target=self.other(one.target, ids),
                headers={name: self.other(value, ids) for name, value in one.headers.items()},
                body=self.other(one.body.decode(), ids).encode(),
            )
            for one in requests
        ]

    def other(self, text: str, ids: Mapping[str, str]) -> str:
        """`text` with other `ids`."""
        for name, mark in self.marks.items():
            text = text.replace(mark, ids[name])
        return text


def signed(body: bytes, url: str) -> dict[str, str]:
    """The headers of a delivery as QStash makes it."""
    signature = SIGNER.sign(url=url, body=body, now_s=time.time())
    return {"upstash-signature": signature, "upstash-message-id": "msg_bench", "upstash-retried": "0"}


def everybody_is_known(db: psycopg.Connection[Any], people: int) -> None:
    """Writes so many fresh profiles, from `FIRST_PERSON` on."""
    db.execute(
        "insert into public.profiles"
        " (account_id, igsid, username, name, state, fetched_at, first_seen_at, last_seen_at)"
        " select %s, (%s + i)::text, 'person_' || i, 'Person ' || i, 'complete', now(), now(), now()"
        " from generate_series(0, %s - 1) i",
        (keys.ACCOUNT_ID, FIRST_PERSON, people),
    )
    db.execute("vacuum (analyze) public.profiles")


async def observe(stack: Stack, env: Mapping[str, str], words: str) -> Trips:
    """Sends a few messages with these `words`, of people who are known, to a consumer of this process, and tells what
    the last one took.
    """
    with _own_instance({**stack.env, **env}), _written_down() as written:
        app = find_functions(ROOT)[CONSUMER_PATH].load()
        for number in range(3):  # the first ones load the reply rules
            written.clear()
            event, mid, person = _message(words, number)
            headers = signed(event, stack.env["PUBLIC_URL"] + CONSUMER_PATH)
            status, answer = await call(app, Call("POST", CONSUMER_PATH, event, headers))
            if status != 200:
                raise RuntimeError(f"the consumer answered {status}: {answer!r}")
        await container().close()
    bodies = {one.target.rsplit("/", 1)[-1]: json.loads(one.body) for one in written}
    marks = {"mid": mid, "person": person, "lease": bodies["record_event"]["p_options"]["lease_token"]}
    if "finish_effect" in bodies:
        marks["sent"] = bodies["finish_effect"]["p_mid"]
    return Trips(event, tuple(written), stack.config.ports.rest, marks)


def _message(words: str, number: int) -> tuple[bytes, str, str]:
    account, person, now_ms = keys.ACCOUNT_ID, str(FIRST_PERSON + number), time.time_ns() // 1_000_000
    mid = new_mid(account, person, now_us=now_ms * 1000 + number)
    sent = {"mid": mid, "text": words}
    item: dict[str, Any] = {
        "sender": {"id": person},
        "recipient": {"id": account},
        "timestamp": now_ms,
        "message": sent,
    }
    body = {"object": "instagram", "entry": [{"time": now_ms, "id": account, "messaging": [item]}]}
    [event] = parse_webhook(body, received_at=now_ms)
    return encode(event), mid, person


@contextlib.contextmanager
def _own_instance(env: Mapping[str, str]) -> Iterator[None]:
    """The functions' instance of this process, with this environment; its log lines go nowhere."""
    with patch.dict(os.environ, env), contextlib.redirect_stdout(io.StringIO()):
        container.cache_clear()
        try:
            yield
        finally:
            container.cache_clear()


@contextlib.contextmanager
def _written_down() -> Iterator[list[Request]]:
    """Whatever is sent by httpcore, or by httpx on top of it."""
    real, written = httpcore.AsyncConnectionPool.handle_async_request, list[Request]()

    async def handle(pool: httpcore.AsyncConnectionPool, request: httpcore.Request) -> httpcore.Response:
        assert isinstance(request.stream, AsyncIterable)
        headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        written.append(
            Request(
                port=request.url.port or 0,
                method=request.method.decode(),
                target=request.url.target.decode(),
                headers={name: value for name, value in headers.items() if name not in NOT_SENT},
                body=b"".join([piece async for piece in request.stream]),
            )
        )
        return await real(pool, request)

    with patch.object(httpcore.AsyncConnectionPool, "handle_async_request", handle):
        yield written
