"""QStash, outgoing: events to our consumer, next phases to the receiver of the user.

Knows the `qstash` SDK and reads the batch answer item by item. Must not know what happens to what it could
not publish: that is for `ingest` and `effects` to decide.
"""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lib.core import log
from lib.core.settings import Settings
from lib.errors.exceptions import QueueRejected
from lib.events.model import Event, encode

if TYPE_CHECKING:
    from qstash import AsyncQStash
    from qstash.message import BatchRequest

CONSUMER_PATH = "/api/qstash/instagram-ingestion"
FAILURE_PATH = "/api/qstash/instagram-failure"
EVENT_LABEL = "instagram-messaging-event"
PHASE3_LABEL = "instagram-phase3"

DELIVERY_RETRIES = 3
DELIVERY_TIMEOUT = "30s"

BATCH_SIZE = 100
"""Messages a batch request; 1000 events, the most one webhook carries, are ten requests."""

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """What QStash said of one message it accepted. `deduplicated`: it already had it."""

    message_id: str
    deduplicated: bool = False


class Publisher:
    """Publishes to QStash. One instance a process: it holds the connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sdk: AsyncQStash | None = None

    async def publish_events(self, events: Sequence[Event], *, again: str = "") -> list[Published | QueueRejected]:
        """One outcome an event, in order. `again` names a later attempt at the same events, which QStash would
        otherwise take for the first one, delivered twice.

        A batch can fail for one message and succeed for the others, so each answer is read on its own; of
        several batches one can fail and the others succeed, too. Raises what the SDK raises where nothing
        went in; the caller bounds the time.
        """
        batches = [events[start : start + BATCH_SIZE] for start in range(0, len(events), BATCH_SIZE)]
        answers = await asyncio.gather(
            *(self._publish_batch(batch, again) for batch in batches), return_exceptions=True
        )
        outcomes: list[Published | QueueRejected] = []
        for batch, answer in zip(batches, answers, strict=True):
            if isinstance(answer, BaseException):
                if len(batches) == 1:
                    raise answer
                _log.warning("QStash batch failed", error_type=type(answer).__name__, events=len(batch))
                outcomes += [QueueRejected(status=None, reason=type(answer).__name__)] * len(batch)
            else:
                outcomes += answer
        return outcomes

    async def publish_next_phase(self, payload: Mapping[str, Any]) -> Published:
        """Publishes one next-phase message to `PHASE3_URL`.

        The deduplication id makes a repetition safe inside QStash's ten minutes; beyond that the receiver
        has the same id in `payload["event_id"]`. Raises what the SDK raises, and `QueueRejected`.
        """
        try:
            answer = await self._client().message.publish_json(
                url=self._settings.phase3_url,
                body=dict(payload),
                deduplication_id=f"ig_phase3_{payload['event_id']}",
                retries=DELIVERY_RETRIES,
                label=PHASE3_LABEL,
                headers=self._forwarded_headers(self._settings.phase3_url),
            )
        except json.JSONDecodeError:
            raise QueueRejected(status=None, reason="the answer is not JSON") from None
        if isinstance(answer, list):
            raise QueueRejected(status=None, reason="answered as for a URL group")
        return Published(answer.message_id, bool(answer.deduplicated))

    async def ping(self) -> None:
        """Asks QStash something only a valid token may ask. Raises what the SDK raises."""
        await self._client().signing_key.get()

    async def _publish_batch(self, events: Sequence[Event], again: str) -> list[Published | QueueRejected]:
        # The SDK's batch_json (3.4.0) raises KeyError when one item was refused, and then nobody knows
        # which items are in. Its request and its header preparation are used; the answer is read here.
        from qstash.message import prepare_batch_message_body  # noqa: PLC0415

        try:
            answer = await self._client().http.request(
                path="/v2/batch",
                method="POST",
                headers={"Content-Type": "application/json"},
                body=prepare_batch_message_body([self._event_message(event, again) for event in events]),
            )
        except json.JSONDecodeError:
            raise QueueRejected(status=None, reason="the answer is not JSON") from None
        return read_batch_answer(answer, len(events))

    def _event_message(self, event: Event, again: str) -> "BatchRequest":
        base_url = self._settings.base_url
        message: BatchRequest = {
            "url": base_url + CONSUMER_PATH,
            "body": encode(event).decode(),
            "content_type": "application/json",
            "deduplication_id": f"{event.event_id}_{again}" if again else event.event_id,
            "retries": DELIVERY_RETRIES,
            "timeout": DELIVERY_TIMEOUT,
            "label": EVENT_LABEL,
            "failure_callback": base_url + FAILURE_PATH,
            # One conversation is never processed twice at the same time; conversations run side by side.
            "flow_control": {"key": conversation_key(event), "parallelism": 1},
        }
        forwarded = self._forwarded_headers(base_url)
        if forwarded:
            message["headers"] = dict(forwarded)
            message["failure_callback_headers"] = {
                f"Upstash-Failure-Callback-Forward-{name}": value for name, value in forwarded.items()
            }
        if self._settings.qstash_redact_body:
            message["redact"] = {"body": True}
        return message

    def _forwarded_headers(self, destination: str) -> dict[str, str]:
        # Preview deployments stand behind Vercel's Deployment Protection (Vercel, "Protection Bypass for
        # Automation"). The secret goes to our own deployment only.
        secret = self._settings.vercel_automation_bypass_secret
        if secret and f"{destination}/".startswith(f"{self._settings.base_url}/"):
            return {"x-vercel-protection-bypass": secret}
        return {}

    def _client(self) -> "AsyncQStash":
        if self._sdk is None:
            from qstash import AsyncQStash  # noqa: PLC0415  the webhook rarely needs it, and it is slow to import

            # The SDK's defaults (600 s, five retries with sleeps) are for scripts. Ours runs while Meta
            # waits: one quick second attempt for a connection gone stale, and the caller bounds the whole.
            self._sdk = AsyncQStash(
                self._settings.qstash_token,
                retry={"retries": 1, "backoff": lambda attempt: 50 * math.exp(attempt)},
                base_url=self._settings.qstash_url,
            )
        return self._sdk


def conversation_key(event: Event) -> str:
    """The flow-control key of a conversation: account and contact, or the account where no contact is known.

    QStash allows letters, digits, `-`, `_` and `.` in a key, so anything else is percent-encoded with `.`.
    """
    parts = ("ig", event.account_id, event.contact_id or "-")
    return ".".join(quote(part, safe="").replace("%", "_").replace("~", "_7E") for part in parts)[:255]


def read_batch_answer(answer: object, expected: int) -> list[Published | QueueRejected]:
    """The outcome of each item of a batch, in order (Upstash, API reference, `POST /v2/batch`).

    Raises `QueueRejected` where the answer as a whole is nonsense: then nothing is known of any item.
    """
    if not isinstance(answer, list) or len(answer) != expected:
        raise QueueRejected(status=None, reason="the batch answer does not match the batch")
    return [_read_item(item) for item in answer]


def _read_item(item: object) -> Published | QueueRejected:
    if isinstance(item, dict):
        message_id = item.get("messageId")
        if isinstance(message_id, str) and message_id and not item.get("error"):
            return Published(message_id, item.get("deduplicated") is True)
        status = item.get("status")
        return QueueRejected(status=status if isinstance(status, int) else None, reason="QStash refused the message")
    return QueueRejected(status=None, reason="the item is not an object")
