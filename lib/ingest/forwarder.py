"""From the webhook function to the internal endpoint, in one request for the whole webhook; or around it.

Knows the hop and what to do when it breaks. Must not know Meta's payloads, nor what ingesting means.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from lib.core import log
from lib.core.deadline import Deadline
from lib.core.settings import Settings
from lib.events.model import MAX_EVENTS_PER_REQUEST, Event

if TYPE_CHECKING:
    from lib.ingest.http_client import IngestHttpClient
    from lib.ingest.ingestor import Ingestor, Result

INGEST_PATH = "/api/internal/ingest-event"
BUDGET_HEADER = "X-Ingest-Budget-Ms"
"""How long the caller will wait, in milliseconds: the endpoint splits it between its two roads."""

HOP_TIMEOUT_S = 2.0
HOP_MARGIN_S = 0.1
"""What the answer itself needs to travel back."""

_log = log.get(__name__)


class Handled(msgspec.Struct, frozen=True):
    """What the webhook has to know of one event, whatever road it took."""

    event_id: str
    status: str
    via: str = ""


class _HopAnswer(msgspec.Struct, frozen=True):
    results: list[Handled]


class Forwarder:
    """Hands events on, by the internal endpoint if it answers, else in this process."""

    def __init__(self, settings: Settings, *, client: "IngestHttpClient", ingestor: "Callable[[], Ingestor]") -> None:
        self._settings = settings
        self._client = client
        self._ingestor = ingestor

    async def forward(self, events: Sequence[Event], *, deadline: Deadline) -> list[Handled]:
        """One outcome an event, in order. Never raises for what the endpoint or a dependency does."""
        handled: list[Handled] = []
        for start in range(0, len(events), MAX_EVENTS_PER_REQUEST):
            some = events[start : start + MAX_EVENTS_PER_REQUEST]
            if deadline.left_s() > 0:
                handled += await self._forward(some, deadline)
            else:
                handled += [Handled(event.event_id, "failed") for event in some]
        return handled

    async def _forward(self, events: Sequence[Event], deadline: Deadline) -> list[Handled]:
        answered = await self._hand_over(events, deadline.at_most(HOP_TIMEOUT_S))
        if answered is None:
            return [_handled(result) for result in await self._ingestor().ingest(events, deadline=deadline)]
        failed = [event for event, done in zip(events, answered, strict=True) if done.status == "failed"]
        if not failed:
            return answered
        # The endpoint has asked QStash already: what time is left goes to processing.
        here = await self._ingestor().ingest(failed, deadline=deadline, skip_queue=True)
        second = iter(here)
        return [_handled(next(second)) if done.status == "failed" else done for done in answered]

    async def _hand_over(self, events: Sequence[Event], deadline: Deadline) -> list[Handled] | None:
        budget_s = deadline.left_s() - HOP_MARGIN_S
        if budget_s <= 0:
            return None
        try:
            async with deadline.enforced():
                body = msgspec.json.encode({"events": events})
                status, answer = await self._client.post(body, self._headers(budget_s), timeout_s=deadline.left_s())
            results = msgspec.json.decode(answer, type=_HopAnswer).results
        except Exception as error:
            _log.error(
                "The internal endpoint did not answer; publishing from here",
                events=len(events),
                error_type=type(error).__name__,
            )
            return None
        if [result.event_id for result in results] != [event.event_id for event in events]:
            _log.error("The internal endpoint answered for other events", status=status)
            return None
        return results

    def _headers(self, budget_s: float) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {self._settings.internal_api_secret}",
            "Content-Type": "application/json",
            BUDGET_HEADER: str(int(budget_s * 1000)),
        }
        if self._settings.vercel_automation_bypass_secret:
            headers["x-vercel-protection-bypass"] = self._settings.vercel_automation_bypass_secret
        return headers


def _handled(result: "Result") -> Handled:
    return Handled(result.event_id, result.status, result.via)
