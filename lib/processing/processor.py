"""record → profile → effects: the one way in which an event takes effect, from every caller."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Literal, TypeAlias

from lib.accounts.store import AccountStore
from lib.core import log
from lib.core.deadline import Deadline
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.errors.exceptions import InProgress, NotRecorded
from lib.events.model import Event, Via
from lib.graph.client import GraphClient
from lib.processing.attempt import Attempt
from lib.processing.completion import Completion
from lib.processing.planner import Plan, plan_effects
from lib.processing.store import EventStore, Recorded
from lib.qstash.publisher import Publisher
from lib.replies.rules import RuleBook

Processed: TypeAlias = Literal["processed", "duplicate"]

ANSWER_MARGIN_S = 0.05
"""Direct processing: the part of the deadline that is kept for answering that the event is recorded."""

BATCH_SIZE = 100
BATCHES_AT_ONCE = 4
"""Direct processing: the events that are recorded in one call, and the calls at once. Each person in a call takes a
lock of the database until its end, and the locks are few (PostgreSQL, `max_locks_per_transaction`)."""

EVENTS_AT_ONCE = 16
"""Direct processing: the events whose profile and effects are done at once."""

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
        """
        async with deadline.enforced():
            attempt = Attempt(event, via, uuid.uuid4(), deadline)
            return await self._finish(attempt, await self._record(attempt))

    async def process_directly(self, events: Sequence[Event], *, deadline: Deadline) -> list[Processed | Exception]:
        """Makes each of `events` take effect once, around QStash. Returns what became of each, or why nothing did.

        The events are recorded together. That makes them durable: the sender waits, so what they owe is done as far as
        the time goes, and the rest is left to the sweeper.
        """
        attempts = [Attempt(event, "direct", uuid.uuid4(), deadline) for event in events]
        batches = [attempts[start : start + BATCH_SIZE] for start in range(0, len(attempts), BATCH_SIZE)]
        gate = asyncio.Semaphore(BATCHES_AT_ONCE)
        recorded = await asyncio.gather(*(self._record_batch(batch, gate) for batch in batches))
        work = asyncio.Semaphore(EVENTS_AT_ONCE)
        return await asyncio.gather(
            *(
                self._finish_directly(attempt, outcome, work)
                for attempt, outcome in zip(attempts, chain.from_iterable(recorded), strict=True)
            )
        )

    async def _finish(self, attempt: Attempt, recorded: Recorded) -> Processed:
        """Does what a recorded event owes."""
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
            await self._completion.complete(replace(attempt, event=event, clock=recorded.clock()), recorded)
        return "processed"

    async def _finish_directly(
        self, attempt: Attempt, outcome: Recorded | Exception, work: asyncio.Semaphore
    ) -> Processed | Exception:
        if isinstance(outcome, Exception):
            return outcome
        deadline = attempt.deadline.at_most(attempt.deadline.left_s() - ANSWER_MARGIN_S)
        try:
            async with deadline.enforced(), work:
                return await self._finish(replace(attempt, deadline=deadline), outcome)
        except Exception as error:
            verdict = classify(error)
            if not verdict.retryable:
                return error
            _log.warning("Left to the sweeper", event_id=attempt.event.event_id, code=verdict.code)
            return "processed"

    async def _record(self, attempt: Attempt) -> Recorded:
        for _ in range(_MATCH_ATTEMPTS):
            recorded = await self._store.record_event(attempt, self._plan(attempt))
            if recorded.outcome != "stale_rules":
                return recorded
            self._take_rules(recorded)
        raise InProgress(retry_after=1.0)  # the rules change faster than they can be matched

    async def _record_batch(self, attempts: Sequence[Attempt], gate: asyncio.Semaphore) -> list[Recorded | Exception]:
        """Returns the answer for each event, or the error that kept it from being recorded."""
        left = list(range(len(attempts)))
        answers: dict[int, Recorded | Exception] = {}
        try:
            async with attempts[0].deadline.enforced(), gate:
                for _ in range(_MATCH_ATTEMPTS):
                    batch = [attempts[index] for index in left]
                    plans = list(map(self._plan, batch))
                    found = await self._store.record_events(batch, plans, via="direct")
                    answers.update(zip(left, found, strict=True))
                    left = [index for index, answer in zip(left, found, strict=True) if self._comes_again(answer)]
                    if not left:
                        break
        except Exception as error:
            if len(left) > 1 and not classify(error).retryable:
                # One event is to blame, and the database did not get as far as to say which.
                alone = await asyncio.gather(*(self._record_batch([attempts[index]], gate) for index in left))
                answers.update(zip(left, chain.from_iterable(alone), strict=True))
            else:
                answers.update(dict.fromkeys(left, error))
        return [_in_progress_if_stale(answers[index]) for index in range(len(attempts))]

    def _comes_again(self, answer: Recorded | NotRecorded) -> bool:
        """Returns whether an event has to be recorded once more, and takes newer rules if there are any."""
        if isinstance(answer, NotRecorded):
            return classify(answer).repeat_at_once
        if answer.outcome == "stale_rules":
            self._take_rules(answer)
        return answer.outcome == "stale_rules"

    def _plan(self, attempt: Attempt) -> Plan:
        return plan_effects(attempt.event, self._rules, self._settings)

    def _take_rules(self, recorded: Recorded) -> None:
        if recorded.rules_version == self._rules.version:
            return
        self._rules = RuleBook.of_rows(recorded.rules, version=recorded.rules_version)
        for bad in self._rules.bad:
            # One bad rule must not silence the others. The operator sees which rule is bad.
            _log.error("Reply rule left out", rule_id=bad.rule_id, why=bad.reason)


def _in_progress_if_stale(answer: Recorded | Exception) -> Recorded | Exception:
    """Returns an error if the rules changed faster than they could be matched: the event comes back later."""
    is_stale = isinstance(answer, Recorded) and answer.outcome == "stale_rules"
    return InProgress(retry_after=1.0) if is_stale else answer
