"""process(event) = record → enrich → effects: the one way in which an event takes effect.

Knows the order of the steps. Must not know who called (the consumer, or the fallback of the ingest endpoint),
nor any HTTP status.
"""

import uuid
from typing import Literal, TypeAlias

import msgspec

from lib import log
from lib.deadline import Deadline
from lib.errors import InProgress, classify
from lib.events import Event
from lib.fulfil import Fulfilment
from lib.graph import Graph
from lib.job import Job, Via
from lib.plan import effects_of
from lib.queue import Queue
from lib.replies import RuleBook, may_be_answered
from lib.settings import Settings
from lib.store import Recorded, Store

Processed: TypeAlias = Literal["processed", "duplicate"]

ANSWER_MARGIN_S = 0.05
"""On the direct road, what is kept back from the deadline for saying that the event is recorded."""

_MATCH_ATTEMPTS = 3

_log = log.get(__name__)


class Processor:
    """Makes events take effect. One instance a process; it remembers the reply rules between events."""

    def __init__(self, settings: Settings, *, store: Store, queue: Queue, graph: Graph) -> None:
        self._settings = settings
        self._store = store
        self._fulfilment = Fulfilment(settings, store=store, queue=queue, graph=graph)
        self._rules = RuleBook()

    async def process(self, event: Event, *, via: Via, deadline: Deadline) -> Processed:
        """Makes `event` take effect, once, however often and by whatever road it comes.

        Raises `InProgress` where another worker is at it, `DeadlineExceeded` when time ran out, and whatever
        kept it from being finished; `errors.classify` says what each means. What was recorded stays recorded.

        By the direct road it is enough that it is recorded: its sender waits, and the sweeper finishes it.
        """
        async with deadline.enforced():
            return await self._process(Job(event, via, uuid.uuid4(), deadline))

    async def _process(self, job: Job) -> Processed:
        recorded = await self._record(job)
        if recorded.outcome == "duplicate":
            return "duplicate"
        if recorded.outcome == "in_progress":
            if job.via == "direct":
                return "duplicate"
            raise InProgress(retry_after=recorded.retry_after or 1.0)
        if recorded.profile_due or recorded.effects:
            await self._fulfil(job, recorded)
        return "processed"

    async def _fulfil(self, job: Job, recorded: Recorded) -> None:
        if job.via != "direct":
            await self._fulfilment.fulfil(job, recorded)
            return
        deadline = job.deadline.at_most(job.deadline.left_s() - ANSWER_MARGIN_S)
        try:
            async with deadline.enforced():
                await self._fulfilment.fulfil(msgspec.structs.replace(job, deadline=deadline), recorded)
        except Exception as error:
            verdict = classify(error)
            if not verdict.retryable:
                raise
            _log.warning("Left to the sweeper", event_id=job.event.event_id, code=verdict.code)

    async def _record(self, job: Job) -> Recorded:
        asks_rules = self._settings.replies_mode != "off" and may_be_answered(job.event)
        for _ in range(_MATCH_ATTEMPTS):
            recorded = await self._store.record_event(
                job.event,
                via=job.via,
                effects=effects_of(job.event, self._rules, self._settings),
                lease_token=job.lease_token,
                lease_s=job.lease_s(),
                rules_version=self._rules.version if asks_rules else None,
            )
            if recorded.outcome != "stale_rules":
                return recorded
            self._rules = RuleBook(recorded.rules, version=recorded.rules_version)
        # Somebody is changing the rules faster than we match: come back.
        raise InProgress(retry_after=1.0)
