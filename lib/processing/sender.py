"""Carries out claimed effects: a reply, a private reply, a next phase.

Knows the order that makes each happen once: write down, act, write down. Must not know why an effect was
planned (`plan`, the record transaction), nor what an error means (`errors`).
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from lib.accounts.access import Access, NoAccess
from lib.core import log
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.errors.exceptions import DeadlineExceeded, GraphError, GraphTransportError, SendDelayed
from lib.errors.verdict import Verdict
from lib.events.model import Comment, Event
from lib.graph.client import GraphClient
from lib.graph.transport import Credentials
from lib.processing.attempt import Attempt
from lib.processing.outbox import ClaimedEffect, EffectEnd
from lib.processing.rate_limit import Limits, hold_s, limits_at
from lib.processing.store import EventStore, KnownProfile, SendPermit
from lib.qstash.publisher import Publisher
from lib.replies.message import filled_in

SEND_TIMEOUT_S = 10.0
SHORTEST_SEND_S = 1.0
"""With less time than this a send is not begun: cut off half-way it could never be repeated."""

PATIENCE_S = 2.0
"""A reply that has to wait no longer than this for its turn waits here: coming back costs one of QStash's retries."""

PUBLISH_TIMEOUT_S = 3.0
RESERVE_S = 0.5
"""Kept back from the deadline for writing down how a send ended."""

_log = log.get(__name__)


class EffectResult(msgspec.Struct, frozen=True):
    """How one attempt ended. `error` is set where the event has to come back for it, `published_as` is the
    QStash message id of a next phase, `verdict` what the failure of a send means for the account.
    """

    published_as: str | None = None
    error: Exception | None = None
    verdict: Verdict | None = None


class Sender:
    """Carries out effects. Holds no state but its clients."""

    def __init__(self, settings: Settings, *, store: EventStore, publisher: Publisher, graph: GraphClient) -> None:
        self._settings = settings
        self._store = store
        self._publisher = publisher
        self._graph = graph

    async def send_reply(
        self, job: Attempt, access: Access, effect: ClaimedEffect, profile: KnownProfile
    ) -> EffectResult:
        """Sends one reply, never twice: once `begin_send` has said "may be on its way", it is not repeated."""
        message = filled_in(effect.payload, name=profile.name, username=profile.username)
        if self._settings.replies_mode == "dry_run":
            await self._begin(job, effect, message, limits=None)
            return EffectResult()
        if isinstance(access, NoAccess):
            await self._finish(job, effect, "failed", code=access.code)
            return EffectResult()
        if _spare_s(job) <= 0:
            await self._finish(job, effect, "planned", code="deadline_exceeded")
            return EffectResult(error=DeadlineExceeded())
        kept_back = await self._kept_back(job, access, effect, message)
        return kept_back or await self._send(job, access, effect, message)

    async def _kept_back(
        self, job: Attempt, access: Credentials, effect: ClaimedEffect, message: Mapping[str, Any]
    ) -> EffectResult | None:
        """Why the reply does not leave now. None: it is written down as on its way, and has to be sent."""
        usage = self._graph.usage(access.account_id).values()
        pause_s = hold_s(usage, now_s=time.monotonic())
        if pause_s > 0:
            await self._finish(job, effect, "planned", code="send_delayed", retry_after_s=pause_s)
            return EffectResult(error=SendDelayed(pause_s))
        limits = limits_at(usage, sends_per_second=self._settings.sends_per_second, now_s=time.monotonic())
        while True:
            permit = await self._begin(job, effect, message, limits=limits)
            if permit.go:
                return None
            if not permit.kept:
                return EffectResult(error=None if permit.retry_after is None else SendDelayed(permit.retry_after))
            await asyncio.sleep(permit.retry_after or 0)

    async def _begin(
        self, job: Attempt, effect: ClaimedEffect, message: Mapping[str, Any], *, limits: Limits | None
    ) -> SendPermit:
        """Asks for the permit to send; without `limits` it is a dry run, and there is none."""
        permit = await self._store.begin_send(
            effect.effect_id,
            lease_token=job.lease_token,
            message=message,
            lease_s=job.lease_s(),
            limits=limits,
            patience_s=min(PATIENCE_S, _spare_s(job)),
        )
        if not permit.go and not permit.kept:
            _log.info("Reply not sent", effect_id=effect.effect_id, code=permit.code, retry_after=permit.retry_after)
        return permit

    async def _send(
        self, job: Attempt, access: Credentials, effect: ClaimedEffect, message: Mapping[str, Any]
    ) -> EffectResult:
        timeout_s = min(SEND_TIMEOUT_S, job.deadline.left_s() - RESERVE_S)
        try:
            mid = await self._graph.send(
                access, recipient=recipient_of(job.event), message=message, timeout_s=timeout_s
            )
        except Exception as error:
            return await self._not_sent(job, access, effect, error)
        await self._finish(job, effect, "sent", mid=mid)
        return EffectResult()

    async def _not_sent(
        self, job: Attempt, access: Credentials, effect: ClaimedEffect, error: Exception
    ) -> EffectResult:
        verdict = classify(error)
        end = end_of_failed_send(error, verdict)
        retry_after = verdict.retry_after
        comes_back: Exception = error
        if retry_after is None and (
            pause_s := hold_s(self._graph.usage(access.account_id).values(), now_s=time.monotonic())
        ):
            # Refused for the rate, without a word of how long: as long as the percentages say.
            retry_after, comes_back = pause_s, SendDelayed(pause_s)
        await self._finish(job, effect, end, code=verdict.code, retry_after_s=retry_after)
        return EffectResult(error=comes_back if end == "planned" else None, verdict=verdict)

    async def publish_next_phase(self, job: Attempt, effect: ClaimedEffect) -> EffectResult:
        """Publishes one next phase; the caller writes down the message id when it closes the event."""
        try:
            async with job.deadline.at_most(PUBLISH_TIMEOUT_S).enforced():
                published = await self._publisher.publish_next_phase(effect.payload)
        except Exception as error:
            verdict = classify(error)
            end: EffectEnd = "planned" if verdict.retryable else "failed"
            await self._finish(job, effect, end, code=verdict.code, retry_after_s=verdict.retry_after)
            return EffectResult(error=error if verdict.retryable else None)
        return EffectResult(published_as=published.message_id)

    async def _finish(
        self,
        job: Attempt,
        effect: ClaimedEffect,
        state: EffectEnd,
        *,
        mid: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        await self._store.finish_effect(
            effect.effect_id,
            lease_token=job.lease_token,
            state=state,
            mid=mid,
            code=code,
            retry_after_s=retry_after_s,
        )
        _log.info("Effect finished", effect_id=effect.effect_id, kind=effect.kind, state=state, code=code)


def end_of_failed_send(error: Exception, verdict: Verdict) -> EffectEnd:
    """How a send that raised `error` ended, on the safe side: only what certainly was not sent is repeated."""
    if verdict.already_done:
        return "sent"
    if verdict.outcome_unknown:
        return "unknown"
    if not verdict.retryable:
        return "failed"
    return "planned" if isinstance(error, GraphError | GraphTransportError) else "unknown"


def recipient_of(event: Event) -> dict[str, str]:
    """Whom to write to (Meta, Send API and Private Replies): the comment for a comment, else the person."""
    if isinstance(event, Comment):
        return {"comment_id": event.comment_id}
    return {"id": event.contact_id or ""}


def _spare_s(job: Attempt) -> float:
    """Seconds that can be waited before the shortest send has to begin."""
    return job.deadline.left_s() - SHORTEST_SEND_S - RESERVE_S
