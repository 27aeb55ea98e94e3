"""QStash's own dead letter queue (Upstash, API reference, "DLQ"): lists, retries and deletes our consumer's entries."""

import asyncio
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from lib.core.model import Model
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.qstash.client import close, connect
from lib.qstash.publisher import CONSUMER_PATH, EVENT_LABEL

if TYPE_CHECKING:
    from qstash import AsyncQStash
    from qstash.dlq import DlqMessage

CALL_TIMEOUT_S = 10.0
"""The SDK's own default is ten minutes."""

GONE = 404

EXPIRES_SOON_HOURS = 48.0
"""QStash's free plan keeps an entry for 3 days (Upstash, "Pricing"), and no plan for less. From here on it is time."""


class DlqSize(Model):
    """How many entries there are; `more`: and others on further pages. `oldest_hours` is the age of the oldest one."""

    entries: int
    more: bool
    oldest_hours: float | None

    @property
    def expires_soon(self) -> bool:
        """Whether QStash may forget the oldest entry within a day."""
        return self.oldest_hours is not None and self.oldest_hours >= EXPIRES_SOON_HOURS


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

    async def retry(self, dlq_id: str) -> None:
        """Lets QStash deliver an entry again, with the body that QStash hides from us. The entry is then gone.

        An entry that is gone already is no error. Raises the errors of the SDK.
        """
        # The SDK (3.4.0) has no call for it.
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await self._client().http.request(path=f"/v2/dlq/retry/{quote(dlq_id, safe='')}", method="POST")
        except Exception as error:
            if classify(error).status != GONE:
                raise

    async def measure(self) -> DlqSize:
        """Returns how many entries of ours there are, as far as the newest page shows. Raises the errors of the SDK."""
        entries, cursor = await self.page(None)
        oldest_ms = min((entry.created_at for entry in entries), default=None)
        hours = None if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000) / 3600
        return DlqSize(entries=len(entries), more=cursor is not None, oldest_hours=hours)

    async def close(self) -> None:
        """Closes the connections, for a process that goes on without them."""
        if self._sdk is not None:
            await close(self._sdk)

    def _client(self) -> "AsyncQStash":
        if self._sdk is None:
            self._sdk = connect(self._settings, retry=False)
        return self._sdk
