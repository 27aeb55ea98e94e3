"""QStash's own dead letter queue: what lies in it for our consumer, and how it gets out.

Knows the `qstash` SDK (Upstash, API reference, "DLQ"). Must not know our own dead letters.
"""

import asyncio
from typing import TYPE_CHECKING

from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.qstash.publisher import CONSUMER_PATH, EVENT_LABEL

if TYPE_CHECKING:
    from qstash import AsyncQStash
    from qstash.dlq import DlqMessage

CALL_TIMEOUT_S = 10.0
"""The SDK's own default is ten minutes."""

GONE = 404


class DeadLetterQueue:
    """The messages to our consumer that QStash gave up on, for as long as the plan keeps them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sdk: AsyncQStash | None = None

    async def page(self, cursor: str | None) -> tuple[list["DlqMessage"], str | None]:
        """Up to 100 entries, newest first, and where the next ones begin. Raises what the SDK raises.

        Another deployment under the same Upstash account has entries too: only those to our own URL are ours.
        """
        async with asyncio.timeout(CALL_TIMEOUT_S):
            answer = await self._client().dlq.list(cursor=cursor, filter={"label": EVENT_LABEL})
        consumer = self._settings.base_url + CONSUMER_PATH
        return [entry for entry in answer.messages if entry.url == consumer], answer.cursor or None

    async def delete(self, dlq_id: str) -> None:
        """Deletes one entry, or finds it gone. Raises what the SDK raises."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await self._client().dlq.delete(dlq_id)
        except Exception as error:
            if classify(error).status != GONE:
                raise

    def _client(self) -> "AsyncQStash":
        if self._sdk is None:
            from qstash import AsyncQStash  # noqa: PLC0415

            self._sdk = AsyncQStash(self._settings.qstash_token, retry=False, base_url=self._settings.qstash_url)
        return self._sdk
