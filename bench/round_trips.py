"""The requests that the consumer sends for one event: it runs in this process, and each request is recorded."""

import contextlib
import io
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import psycopg

from bench.bare import Request
from bench.function import Call, call
from bench.message import message, now_ms, webhook
from dev.functions import find_functions
from dev.qstash.signing import SigningKeys
from dev.stack import Stack, keys
from dev.stack.config import ROOT
from lib.container import container
from lib.events.model import encode
from lib.http.connection import Answer
from lib.http.pool import Origin, Pool, Timeouts
from lib.qstash.publisher import CONSUMER_PATH
from lib.webhooks.parser import parse_webhook

SIGNER = SigningKeys(keys.QSTASH_CURRENT_SIGNING_KEY, keys.QSTASH_NEXT_SIGNING_KEY)
FIRST_PERSON = 6_000_000_000_100_000
"""Graph's stand-in knows the next fifty thousand ids as people; it refuses some others."""

NOT_SENT = frozenset({"host", "content-length", "connection", "accept-encoding", "user-agent"})
"""Headers that a client adds by itself."""


@dataclass(frozen=True)
class Trips:
    """One event and the requests for it. `marks` are its ids, which differ in the next event."""

    event: bytes
    requests: tuple[Request, ...]
    database_port: int
    marks: Mapping[str, str]

    @property
    def database(self) -> tuple[Request, ...]:
        """The requests to Supabase."""
        return tuple(request for request in self.requests if request.port == self.database_port)

    @property
    def elsewhere(self) -> tuple[Request, ...]:
        """The requests to all others."""
        return tuple(request for request in self.requests if request.port != self.database_port)

    def again(self, requests: tuple[Request, ...], ids: Mapping[str, str]) -> list[Request]:
        """Returns the same requests for an event with other `ids`."""
        return [
            replace(
                request,
                target=self.other(request.target, ids),
                headers={name: self.other(value, ids) for name, value in request.headers.items()},
                body=self.other(request.body.decode(), ids).encode(),
            )
            for request in requests
        ]

    def other(self, text: str, ids: Mapping[str, str]) -> str:
        """Returns `text` with other `ids`."""
        for name, mark in self.marks.items():
            text = text.replace(mark, ids[name])
        return text


def signed(body: bytes, url: str) -> dict[str, str]:
    """Returns the headers of a delivery, signed as QStash signs."""
    signature = SIGNER.sign(url=url, body=body, now_s=time.time())
    return {"upstash-signature": signature, "upstash-message-id": "msg_bench", "upstash-retried": "0"}


def everybody_is_known(db: psycopg.Connection[Any], people: int) -> None:
    """Writes `people` fresh profiles, from `FIRST_PERSON` on."""
    db.execute(
        "insert into public.profiles"
        " (account_id, igsid, username, name, state, fetched_at, first_seen_at, last_seen_at)"
        " select %s, (%s + i)::text, 'person_' || i, 'Person ' || i, 'complete', now(), now(), now()"
        " from generate_series(0, %s - 1) i",
        (keys.ACCOUNT_ID, FIRST_PERSON, people),
    )
    db.execute("vacuum (analyze) public.profiles")


async def observe(stack: Stack, env: Mapping[str, str], words: str) -> Trips:
    """Sends a few messages with these `words`, from known people, to a consumer of this process.

    Returns the requests for the last one. Raises `RuntimeError` if the consumer refuses a message.
    """
    with _own_instance({**stack.env, **env}), _recorded() as requests:
        app = find_functions(ROOT)[CONSUMER_PATH].load()
        for number in range(3):  # the first ones load the reply rules
            requests.clear()
            event, mid, person = _message(words, number)
            headers = signed(event, stack.env["PUBLIC_URL"] + CONSUMER_PATH)
            status, answer = await call(app, Call("POST", CONSUMER_PATH, event, headers))
            if status != 200:
                raise RuntimeError(f"the consumer answered {status}: {answer!r}")
        await container().close()
    bodies = {request.target.rsplit("/", 1)[-1]: json.loads(request.body) for request in requests}
    marks = {"mid": mid, "person": person, "lease": bodies["record_event"]["p_options"]["lease_token"]}
    if "finish_effect" in bodies:
        marks["sent"] = bodies["finish_effect"]["p_mid"]
    return Trips(event, tuple(requests), stack.config.ports.rest, marks)


def _message(words: str, number: int) -> tuple[bytes, str, str]:
    person, at_ms = str(FIRST_PERSON + number), now_ms()
    item = message(person, words, at_ms=at_ms, number=number)
    [event] = parse_webhook(webhook([item], at_ms=at_ms), received_at=at_ms)
    return encode(event), item["message"]["mid"], person


@contextlib.contextmanager
def _own_instance(env: Mapping[str, str]) -> Iterator[None]:
    """Gives the functions of this process this environment, and drops their log lines."""
    with patch.dict(os.environ, env), contextlib.redirect_stdout(io.StringIO()):
        container.cache_clear()
        try:
            yield
        finally:
            container.cache_clear()


@contextlib.contextmanager
def _recorded() -> Iterator[list[Request]]:
    """Yields a list, and adds to it every request of our HTTP client."""
    real, requests = Pool.ask, list[Request]()

    async def ask(pool: Pool, origin: Origin, request: bytes, timeouts: Timeouts) -> Answer:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _version = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        kept = {name: value for name, value in headers.items() if name not in NOT_SENT}
        requests.append(Request(port=origin.port, method=method, target=target, headers=kept, body=body))
        return await real(pool, origin, request, timeouts)

    with patch.object(Pool, "ask", ask):
        yield requests
