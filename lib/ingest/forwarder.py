"""From the webhook function to the internal endpoint: one request for the whole webhook, or around the endpoint."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic_core import to_json

from lib.core import log
from lib.core.deadline import Deadline
from lib.core.settings import Settings
from lib.events.model import Event, JsonObject, as_json, event_of
from lib.ingest.response import IngestResult, failed_result, read_results

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.ingest.http_client import IngestHttpClient
    from lib.ingest.ingestor import Ingestor

INGEST_PATH = "/api/internal/ingest-event"
BUDGET_HEADER = "X-Ingest-Budget-Ms"
"""How long the caller waits, in milliseconds. The endpoint splits the time between QStash and direct processing."""

HOP_TIMEOUT_S = 2.0
HOP_MARGIN_S = 0.1
"""The time that the answer needs to travel back."""

_log = log.get(__name__)


class Forwarder:
    """Hands events on: to the internal endpoint, or in this process if the endpoint does not answer."""

    def __init__(self, settings: Settings, *, client: "IngestHttpClient", ingestor: "Callable[[], Ingestor]") -> None:
        self._settings = settings
        self._client = client
        self._ingestor = ingestor

    async def forward(self, events: Sequence[JsonObject | Event], *, deadline: Deadline) -> list[IngestResult]:
        """Returns one result for each event, in order. Never raises for a fault of the endpoint or a dependency.

        An event is a model, or the JSON of one.
        """
        told = [event if isinstance(event, dict) else as_json(event) for event in events]
        if not told or deadline.left_s() <= 0:
            return [failed_result(event["event_id"]) for event in told]
        results = await self._hand_over(told, deadline.at_most(HOP_TIMEOUT_S))
        if results is None:
            return await self._ingestor().ingest(list(map(event_of, told)), deadline=deadline)
        failed = [event for event, result in zip(told, results, strict=True) if not result.is_durable]
        if not failed:
            return results
        # The endpoint has asked QStash already: the time that is left goes to processing.
        second_try = iter(
            await self._ingestor().ingest(list(map(event_of, failed)), deadline=deadline, skip_queue=True)
        )
        return [result if result.is_durable else next(second_try) for result in results]

    async def _hand_over(self, events: Sequence[JsonObject], deadline: Deadline) -> list[IngestResult] | None:
        """Returns the results of the endpoint, or None if it gave no usable answer."""
        budget_s = deadline.left_s() - HOP_MARGIN_S
        if budget_s <= 0:
            return None
        try:
            async with deadline.enforced():
                body = to_json({"events": events})
                status, answer = await self._client.post(body, self._headers(budget_s), timeout_s=deadline.left_s())
            results = read_results(answer)
        except Exception as error:
            _log.error(
                "The internal endpoint did not answer; publishing from here",
                events=len(events),
                error_type=type(error).__name__,
            )
            return None
        if [result.event_id for result in results] != [event["event_id"] for event in events]:
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
