"""record → profile → effects: the one way in which an event takes effect, from every caller."""

import uuid
from dataclasses import replace
from typing import Literal, TypeAlias

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
from lib.replies.rules import RuleBook

Processed: TypeAlias = Literal["processed", "duplicate"]

ANSWER_MARGIN_S = 0.05
"""Direct processing: the part of the deadline that is kept for answering that the event is recorded."""

_MATCH_ATTEMPTS = 3

_log = log.get(__name__)


class Processor:
    """Makes events take effect. One instance a process: it remembers the reply rules between events."""

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
        self._publisher = publisher
        self._completion = Completion(settings, store=store, accounts=accounts, publisher=publisher, graph=graph)
        self._rules = RuleBook()

    async def process(self, event: Event, *, via: Via, deadline: Deadline) -> Processed:
        """Makes `event` take effect once, however often and by whatever path it comes.

        Raises `InProgress` if another worker holds the event, `DeadlineExceeded` when the time is up, and any error
        that kept the event from being finished; `errors.classify` says what each means. What was recorded stays
        recorded.

        Direct processing ends once the event is recorded: the sender waits, and the sweeper finishes the event.
        """
        async with deadline.enforced():
            return await self._process(Attempt(event, via, uuid.uuid4(), deadline))

    async def _process(self, attempt: Attempt) -> Processed:
        recorded = await self._record(attempt)
        if recorded.sweep_in_s is not None:
            await self._publisher.ask_for_sweep(recorded.sweep_in_s)
        if recorded.outcome == "duplicate":
            return "duplicate"
        if recorded.outcome == "in_progress":
            if attempt.via == "direct":
                return "duplicate"
            raise InProgress(retry_after=recorded.retry_after or 1.0)
        if recorded.profile_due or recorded.effects:
            event = attempt.event.model_copy(update={"contact_id": recorded.contact_id})
            await self._complete(replace(attempt, event=event, clock=recorded.clock()), recorded)
        return "processed"

    async def _complete(self, attempt: Attempt, recorded: Recorded) -> None:
        if attempt.via != "direct":
            await self._completion.complete(attempt, recorded)
            return
        deadline = attempt.deadline.at_most(attempt.deadline.left_s() - ANSWER_MARGIN_S)
        try:
            async with deadline.enforced():
                await self._completion.complete(replace(attempt, deadline=deadline), recorded)
        except Exception as error:
            verdict = classify(error)
            if not verdict.retryable:
                raise
            _log.warning("Left to the sweeper", event_id=attempt.event.event_id, code=verdict.code)

    async def _record(self, attempt: Attempt) -> Recorded:
        for _ in range(_MATCH_ATTEMPTS):
            plan = plan_effects(attempt.event, self._rules, self._settings)
            recorded = await self._store.record_event(
                attempt.event,
                via=attempt.via,
                effects=plan.effects,
                lease_token=attempt.lease_token,
                lease_s=attempt.lease_s(),
                rules_version=plan.rules_version,
            )
            if recorded.outcome != "stale_rules":
                return recorded
            self._rules = RuleBook.of_rows(recorded.rules, version=recorded.rules_version)
            for bad in self._rules.bad:
                # One bad rule must not silence the others. The operator sees which rule is bad.
                _log.error("Reply rule left out", rule_id=bad.rule_id, why=bad.reason)
        # The rules change faster than we match them: come back later.
        raise InProgress(retry_after=1.0)
