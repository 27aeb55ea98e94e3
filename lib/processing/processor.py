"""process(event) = record → enrich → effects: the one way in which an event takes effect.

Knows the order of the steps. Must not know who called (the consumer, or the fallback of the ingest endpoint),
nor any HTTP status.
"""

import uuid
from typing import Literal, TypeAlias

import msgspec

from lib.accounts.store import AccountStore
from lib.core import log
from lib.core.deadline import Deadline
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.errors.exceptions import InProgress
from lib.events.model import Event, Via
from lib.graph.client import GraphClient
from lib.processing.attempt import Attempt
from lib.processing.completion import Completion
from lib.processing.planner import plan_effects
from lib.processing.store import EventStore, Recorded
from lib.qstash.publisher import Publisher
from lib.replies.rules import RuleBook, may_be_answered

Processed: TypeAlias = Literal["processed", "duplicate"]

ANSWER_MARGIN_S = 0.05
"""On the direct road, what is kept back from the deadline for saying that the event is recorded."""

_MATCH_ATTEMPTS = 3

_log = log.get(__name__)


class Processor:
    """Makes events take effect. One instance a process; it remembers the reply rules between events."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: EventStore,
        accounts: AccountStore,
        publisher: Publisher,
        graph: GraphClient,
    ) -> None:
        self._settings = settings
        self._store = store
        self._completion = Completion(settings, store=store, accounts=accounts, publisher=publisher, graph=graph)
        self._rules = RuleBook()

    async def process(self, event: Event, *, via: Via, deadline: Deadline) -> Processed:
        """Makes `event` take effect, once, however often and by whatever road it comes.

        Raises `InProgress` where another worker is at it, `DeadlineExceeded` when time ran out, and whatever
        kept it from being finished; `errors.classify` says what each means. What was recorded stays recorded.

        By the direct road it is enough that it is recorded: its sender waits, and the sweeper finishes it.
        """
        async with deadline.enforced():
            return await self._process(Attempt(event, via, uuid.uuid4(), deadline))

    async def _process(self, job: Attempt) -> Processed:
        recorded = await self._record(job)
        if recorded.outcome == "duplicate":
            return "duplicate"
        if recorded.outcome == "in_progress":
            if job.via == "direct":
                return "duplicate"
            raise InProgress(retry_after=recorded.retry_after or 1.0)
        if recorded.profile_due or recorded.effects:
            await self._complete(job, recorded)
        return "processed"

    async def _complete(self, job: Attempt, recorded: Recorded) -> None:
        if job.via != "direct":
            await self._completion.complete(job, recorded)
            return
        deadline = job.deadline.at_most(job.deadline.left_s() - ANSWER_MARGIN_S)
        try:
            async with deadline.enforced():
                await self._completion.complete(msgspec.structs.replace(job, deadline=deadline), recorded)
        except Exception as error:
            verdict = classify(error)
            if not verdict.retryable:
                raise
            _log.warning("Left to the sweeper", event_id=job.event.event_id, code=verdict.code)

    async def _record(self, job: Attempt) -> Recorded:
        asks_rules = self._settings.replies_mode != "off" and may_be_answered(job.event)
        for _ in range(_MATCH_ATTEMPTS):
            recorded = await self._store.record_event(
                job.event,
                via=job.via,
                effects=plan_effects(job.event, self._rules, self._settings),
                lease_token=job.lease_token,
                lease_s=job.lease_s(),
                rules_version=self._rules.version if asks_rules else None,
            )
            if recorded.outcome != "stale_rules":
                return recorded
            self._rules = RuleBook(recorded.rules, version=recorded.rules_version)
        # Somebody is changing the rules faster than we match: come back.
        raise InProgress(retry_after=1.0)
