"""The official QStash client, over our pool of connections."""

from typing import TYPE_CHECKING, Literal

from lib.core.settings import Settings

if TYPE_CHECKING:
    from qstash import AsyncQStash
    from qstash.http import RetryConfig

MAX_CONNECTIONS = 32
MAX_ANSWER_BYTES = 64_000_000
"""A page of the dead letter queue is the largest answer: up to 100 messages with their bodies."""

CALL_TIMEOUT_S = 60.0
"""The SDK's own default is ten minutes. Every caller of ours sets a shorter time of its own."""


def connect(settings: Settings, *, retry: "RetryConfig | Literal[False]") -> "AsyncQStash":
    """Returns a client for `QSTASH_URL` with `QSTASH_TOKEN`."""
    from qstash import AsyncQStash  # noqa: PLC0415  the webhook rarely needs it, and it is slow to import

    from lib.http.transport import client as http_client  # noqa: PLC0415

    sdk = AsyncQStash(settings.qstash_token, retry=retry, base_url=settings.qstash_url)
    # The SDK (3.4.0) takes no HTTP client from its caller. The one that it has made has opened nothing yet.
    sdk.http._client = http_client(
        timeout_s=CALL_TIMEOUT_S,
        max_connections=MAX_CONNECTIONS,
        max_idle=MAX_CONNECTIONS,
        max_bytes=MAX_ANSWER_BYTES,
    )
    return sdk


async def close(sdk: "AsyncQStash") -> None:
    """Closes the connections."""
    await sdk.http._client.aclose()
