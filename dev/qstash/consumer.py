"""One delivery: a signed HTTP request to the destination, and its answer. Retries are the engine's.

Source of the headers: Upstash, howto/receiving.
"""

import asyncio
import time

from dev.qstash.config import Config
from dev.qstash.message import Answer, Message
from dev.qstash.signing import SigningKeys
from lib.http.transport import client

MAX_ANSWER_BYTES = 1_000_000
MAX_CONNECTIONS = 10_000
"""More than any test delivers at once: the limits of QStash are not here."""


class Consumer:
    """The client side of all deliveries. `close` ends it."""

    def __init__(self, config: Config, keys: SigningKeys) -> None:
        self._config = config
        self._keys = keys
        self._http = client(
            timeout_s=None,
            trust_env=False,
            max_connections=MAX_CONNECTIONS,
            max_idle=64,
            max_bytes=64 * MAX_ANSWER_BYTES,
            # Shorter than the keep-alive of common servers (5 s). Otherwise a request could meet a closing socket.
            keepalive_s=2.0,
        )

    async def deliver(self, message: Message, retried: int, *, at: str) -> Answer:
        """Delivers once, to the URL `at`. Returns an `Answer` whatever happens, and never raises."""
        limit_s = self._config.delivery_timeout_s(message.options.timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                return await self._request(message, retried, at)
        except TimeoutError:
            return Answer(error=f"the destination did not answer within {limit_s:g} s")
        except Exception as error:
            return Answer(error=f"{type(error).__name__}: {error}"[:500])

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def _request(self, message: Message, retried: int, at: str) -> Answer:
        response = await self._http.request(
            message.options.method, at, headers=self._headers(message, retried), content=message.body
        )
        headers = tuple((name.lower(), value) for name, value in response.headers.multi_items())
        return Answer(response.status_code, headers, response.content[:MAX_ANSWER_BYTES])

    def _headers(self, message: Message, retried: int) -> list[tuple[bytes, bytes]]:
        ours = {
            "User-Agent": "Upstash-QStash",
            "Upstash-Signature": self._keys.sign(url=message.url, body=message.body, now_s=time.time()),
            "Upstash-Message-Id": message.message_id,
            "Upstash-Retried": str(retried),
            "Upstash-Caller-Ip": message.caller_ip,
        }
        optional = {
            "Upstash-Topic-Name": message.topic_name,
            "Upstash-Schedule-Id": message.schedule_id,
            "Upstash-Label": ",".join(message.options.labels) or None,
        }
        ours |= {name: value for name, value in optional.items() if value}
        forwarded = [(name, value) for name, value in message.options.forwarded if name not in ours]
        return [(name.encode("latin-1"), _wire(value)) for name, value in [*ours.items(), *forwarded]]


def _wire(value: str) -> bytes:
    # Headers of a single request came in as Latin-1 and go out as the same bytes; those of a batch item
    # are JSON and can hold more.
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")
