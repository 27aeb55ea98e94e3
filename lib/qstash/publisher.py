"""QStash, outgoing: events to our consumer, and next-phase messages to the downstream receiver."""

import asyncio
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast
from urllib.parse import quote

from lib.core import log
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.errors.exceptions import QueueRejected
from lib.events.model import Event, encode
from lib.qstash import deduplication
from lib.qstash.client import close, connect

if TYPE_CHECKING:
    from qstash import AsyncQStash
    from qstash.message import BatchRequest, Redact

CONSUMER_PATH = "/api/qstash/instagram-ingestion"
FAILURE_PATH = "/api/qstash/instagram-failure"
SWEEP_PATH = "/api/cron/sweep"
EVENT_LABEL = "instagram-messaging-event"
NEXT_PHASE_LABEL = "instagram-phase3"
SWEEP_LABEL = "instagram-sweep"

DELIVERY_RETRIES = 3
DELIVERY_TIMEOUT = "30s"

BATCH_SIZE = 100
"""Messages in one batch request. A webhook carries at most 1000 events, which are ten requests."""

SWEEP_ASK_TIMEOUT_S = 3.0

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """A message that QStash accepted. `deduplicated` says that QStash had it already."""

    message_id: str
    deduplicated: bool = False


class _Options(TypedDict):
    """The options that every message has. `headers` are forwarded; `redact` hides the body at Upstash."""

    url: str
    label: str
    headers: NotRequired[dict[str, str]]
    redact: NotRequired["Redact"]


class Publisher:
    """Publishes to QStash. One instance for each process: it holds the connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sdk: AsyncQStash | None = None
        self._recent_accounts = deduplication.RecentAccounts()

    async def publish_events(self, events: Sequence[Event], *, again: str = "") -> list[Published | QueueRejected]:
        """Returns one outcome for each event, in order.

        `again` names a later attempt at the same events: without it QStash would drop them as duplicates. An outcome is
        `deduplicated` only if QStash has this event of this account already. Raises the errors of the SDK if the only
        batch failed as a whole. The caller bounds the time.
        """
        batches = [events[start : start + BATCH_SIZE] for start in range(0, len(events), BATCH_SIZE)]
        results = await asyncio.gather(
            *(self._publish_batch(batch, again) for batch in batches), return_exceptions=True
        )
        outcomes: list[Published | QueueRejected] = []
        for batch, result in zip(batches, results, strict=True):
            if isinstance(result, BaseException):
                if len(batches) == 1:
                    raise result
                # The other batches may be in, so the caller needs an outcome for each event.
                _log.warning("QStash batch failed", error_type=type(result).__name__, events=len(batch))
                outcomes += [QueueRejected(status=None, reason=type(result).__name__)] * len(batch)
            else:
                outcomes += result
        return outcomes

    async def publish_next_phase(self, payload: Mapping[str, Any]) -> Published:
        """Publishes one next-phase message to the downstream receiver (`PHASE3_URL`).

        QStash drops a repetition within ten minutes. After that the receiver can tell by the account and event ids in
        `payload`. Raises the errors of the SDK, and `QueueRejected`.
        """
        deduplication_id = deduplication.of_next_phase(payload, own_account=self._settings.instagram_account_id)
        published = await self._publish_next_phase(payload, deduplication_id)
        if self._may_be_of_another_account(deduplication_id, str(payload.get("account_id")), published):
            return await self._publish_next_phase(payload, deduplication.of_next_phase_account(payload))
        return published

    async def _publish_next_phase(self, payload: Mapping[str, Any], deduplication_id: str) -> Published:
        try:
            response = await self._client().message.publish_json(
                body=dict(payload),
                deduplication_id=deduplication_id,
                retries=DELIVERY_RETRIES,
                **self._options(self._settings.next_phase_url, NEXT_PHASE_LABEL),
            )
        except json.JSONDecodeError:
            raise QueueRejected(status=None, reason="the answer is not JSON") from None
        if isinstance(response, list):
            raise QueueRejected(status=None, reason="answered as for a URL group")
        return Published(response.message_id, bool(response.deduplicated))

    async def ask_for_sweep(self, in_s: float) -> None:
        """Asks QStash to call the sweep in so many seconds. Never raises: a later delivery asks again.

        The caller has claimed to ask (`claim_sweep` in the database), so this is one call in ten minutes.
        """
        due_s = int(time.time() + in_s)
        try:
            async with asyncio.timeout(SWEEP_ASK_TIMEOUT_S):
                await self._client().message.publish(
                    method="POST",
                    delay=f"{int(in_s)}s",
                    deduplication_id=f"sweep_{due_s // 60}",
                    retries=1,
                    **self._options(self._settings.base_url + SWEEP_PATH, SWEEP_LABEL),
                )
        except Exception as error:
            _log.warning("Sweep not asked for", code=classify(error).code)

    async def ping(self) -> None:
        """Makes a call that needs a valid token. Raises the errors of the SDK."""
        await self._client().signing_key.get()

    async def _publish_batch(self, events: Sequence[Event], again: str) -> list[Published | QueueRejected]:
        own_account = self._settings.instagram_account_id
        ids = [deduplication.of_event(event, own_account=own_account, again=again) for event in events]
        outcomes = await self._send_batch(events, ids)
        unclear = [
            index
            for index, (event, outcome) in enumerate(zip(events, outcomes, strict=True))
            if self._may_be_of_another_account(ids[index], event.account_id, outcome)
        ]
        if unclear:
            repeated = [events[index] for index in unclear]
            second = await self._send_batch(repeated, [deduplication.of_form(event) for event in repeated])
            for index, outcome in zip(unclear, second, strict=True):
                outcomes[index] = outcome
        return outcomes

    def _may_be_of_another_account(
        self, deduplication_id: str, account_id: str, outcome: Published | QueueRejected
    ) -> bool:
        """Returns whether QStash may have dropped a message because another account's event has the same id.

        Only a plain id can be another account's, and only if `INSTAGRAM_ACCOUNT_ID` does not say whose it is. A
        redelivery then costs one more message, and the consumer answers `duplicate`.
        """
        if self._settings.instagram_account_id or deduplication.has_suffix(deduplication_id):
            return False
        if isinstance(outcome, QueueRejected):
            return False
        if not outcome.deduplicated:
            self._recent_accounts.remember(deduplication_id, account_id)
            return False
        return not self._recent_accounts.is_of(deduplication_id, account_id)

    async def _send_batch(self, events: Sequence[Event], ids: Sequence[str]) -> list[Published | QueueRejected]:
        # The SDK's batch_json (3.4.0) raises KeyError if one item was refused, and then nobody knows which items are
        # in. So only its request and its headers are used, and the answer is read here.
        from qstash.message import prepare_batch_message_body  # noqa: PLC0415

        try:
            answers = await self._client().http.request(
                path="/v2/batch",
                method="POST",
                headers={"Content-Type": "application/json"},
                body=prepare_batch_message_body(self._event_messages(events, ids)),
            )
        except json.JSONDecodeError:
            raise QueueRejected(status=None, reason="the answer is not JSON") from None
        return read_batch_answer(answers, len(events))

    def _event_messages(self, events: Sequence[Event], ids: Sequence[str]) -> "list[BatchRequest]":
        base_url = self._settings.base_url
        options = self._options(base_url + CONSUMER_PATH, EVENT_LABEL)
        of_all: dict[str, Any] = {
            **options,
            "content_type": "application/json",
            "retries": DELIVERY_RETRIES,
            "timeout": DELIVERY_TIMEOUT,
            "failure_callback": base_url + FAILURE_PATH,
        }
        if "headers" in options:
            of_all["failure_callback_headers"] = {
                f"Upstash-Failure-Callback-Forward-{name}": value for name, value in options["headers"].items()
            }
        messages = [
            {
                **of_all,
                "body": encode(event).decode(),
                "deduplication_id": deduplication_id,
                # One conversation is never processed twice at the same time; conversations run side by side.
                "flow_control": {"key": conversation_key(event), "parallelism": 1},
            }
            for event, deduplication_id in zip(events, ids, strict=True)
        ]
        return cast("list[BatchRequest]", messages)

    def _options(self, url: str, label: str) -> "_Options":
        """Returns the options that every message has, whatever it carries and wherever it goes."""
        options: _Options = {"url": url, "label": label}
        # Preview deployments stand behind Vercel's Deployment Protection (Vercel, "Protection Bypass for
        # Automation"). The secret goes to our own deployment only.
        secret = self._settings.vercel_automation_bypass_secret
        if secret and f"{url}/".startswith(f"{self._settings.base_url}/"):
            options["headers"] = {"x-vercel-protection-bypass": secret}
        if self._settings.qstash_redact_body:
            options["redact"] = {"body": True}
        return options

    async def close(self) -> None:
        """Closes the connections, for a process that goes on without them."""
        if self._sdk is not None:
            await close(self._sdk)

    def _client(self) -> "AsyncQStash":
        if self._sdk is None:
            # The SDK's defaults (600 s, five retries with sleeps) are for scripts. Ours runs while Meta
            # waits: one quick second attempt for a connection gone stale, and the caller bounds the whole.
            self._sdk = connect(self._settings, retry={"retries": 1, "backoff": lambda attempt: 50 * math.exp(attempt)})
        return self._sdk


def conversation_key(event: Event) -> str:
    """Returns the flow-control key of a conversation: account and contact, or the account if no contact is known."""
    # QStash allows letters, digits, `-`, `_` and `.` in a key. Other characters are percent-encoded, with `_` for `%`.
    parts = ("ig", event.account_id, event.contact_id or "-")
    return ".".join(map(_key_part, parts))[:255]


def _key_part(part: str) -> str:
    if part.isascii() and part.isalnum():  # as nearly every id
        return part
    return quote(part, safe="").replace("%", "_").replace("~", "_7E")


def read_batch_answer(answers: object, expected: int) -> list[Published | QueueRejected]:
    """Returns the outcome of each item of a batch, in order (Upstash, API reference, `POST /v2/batch`).

    Raises `QueueRejected` if the answer does not have one part for each item: then no item is known to be in.
    """
    if not isinstance(answers, list) or len(answers) != expected:
        raise QueueRejected(status=None, reason="the batch answer does not match the batch")
    return [_read_item(item) for item in answers]


def _read_item(item: object) -> Published | QueueRejected:
    if isinstance(item, dict):
        message_id = item.get("messageId")
        if isinstance(message_id, str) and message_id and not item.get("error"):
            return Published(message_id, item.get("deduplicated") is True)
        status = item.get("status")
        return QueueRejected(status=status if isinstance(status, int) else None, reason="QStash refused the message")
    return QueueRejected(status=None, reason="the item is not an object")
