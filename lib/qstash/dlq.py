"""QStash's own dead letter queue (Upstash, API reference, "DLQ"): lists and deletes the entries of our consumer."""

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
    """The messages to our consumer that QStash gave up on. The plan says how long QStash keeps them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sdk: AsyncQStash | None = None

    async def page(self, cursor: str | None) -> tuple[list["DlqMessage"], str | None]:
        """Returns up to 100 entries, newest first, and the cursor of the next page, or None at the end.

        Raises the errors of the SDK.
        """
        async with asyncio.timeout(CALL_TIMEOUT_S):
            page = await self._client().dlq.list(cursor=cursor, filter={"label": EVENT_LABEL})
        # Other deployments can share the Upstash account. Only the entries to our own URL are ours.
        consumer = self._settings.base_url + CONSUMER_PATH
        return [entry for entry in page.messages if entry.url == consumer], page.cursor or None

    async def delete(self, dlq_id: str) -> None:
        """Deletes one entry. An entry that is gone already is no error. Raises the errors of the SDK."""
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
