"""Carries out claimed effects: a reply, a private reply, a next phase.

Knows the order that makes each happen once: write down, act, write down. Must not know why an effect was
planned (`plan`, the record transaction), nor what an error means (`errors`).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from lib import log
from lib.errors import DeadlineExceeded, GraphError, GraphTransportError, Verdict, classify
from lib.events import Comment, Event
from lib.graph import Graph, bound_text
from lib.job import Job
from lib.outbox import ClaimedEffect, EffectEnd
from lib.queue import Queue
from lib.replies import render
from lib.store import KnownProfile, Store

SEND_TIMEOUT_S = 10.0
SHORTEST_SEND_S = 1.0
"""With less time than this a send is not begun: cut off half-way it could never be repeated."""

PUBLISH_TIMEOUT_S = 3.0
RESERVE_S = 0.5
"""Kept back from the deadline for writing down how a send ended."""

_log = log.get(__name__)


class Attempt(msgspec.Struct, frozen=True):
    """How one attempt ended. `error` is set where the event has to come back for it, `published_as` is the
    QStash message id of a next phase, `verdict` what the failure of a send means for the account.
    """

    published_as: str | None = None
    error: Exception | None = None
    verdict: Verdict | None = None


class Effects:
    """Carries out effects. Holds no state but its clients."""

    def __init__(self, *, store: Store, queue: Queue, graph: Graph) -> None:
        self._store = store
        self._queue = queue
        self._graph = graph

    async def send_reply(self, job: Job, effect: ClaimedEffect, profile: KnownProfile) -> Attempt:
        """Sends one reply, never twice: once `begin_send` has said "may be on its way", it is not repeated."""
        if job.credentials is None:
            await self._finish(job, effect, "failed", code="no_access_token")
            return Attempt()
        if job.deadline.left_s() < SHORTEST_SEND_S + RESERVE_S:
            await self._finish(job, effect, "planned", code="deadline_exceeded")
            return Attempt(error=DeadlineExceeded())
        message = {"text": reply_text(effect.payload, profile)}
        permit = await self._store.begin_send(
            effect.effect_id, lease_token=job.lease_token, message=message, lease_s=job.lease_s()
        )
        if not permit.go:
            _log.info("Reply not sent", effect_id=effect.effect_id, code=permit.code)
            return Attempt()
        timeout_s = min(SEND_TIMEOUT_S, job.deadline.left_s() - RESERVE_S)
        try:
            mid = await self._graph.send(
                job.credentials, recipient=recipient_of(job.event), message=message, timeout_s=timeout_s
            )
        except Exception as error:
            verdict = classify(error)
            end = end_of_failed_send(error, verdict)
            await self._finish(job, effect, end, code=verdict.code, retry_after_s=verdict.retry_after)
            return Attempt(error=error if end == "planned" else None, verdict=verdict)
        await self._finish(job, effect, "sent", mid=mid)
        return Attempt()

    async def publish_next_phase(self, job: Job, effect: ClaimedEffect) -> Attempt:
        """Publishes one next phase; the caller writes down the message id when it closes the event."""
        try:
            async with job.deadline.at_most(PUBLISH_TIMEOUT_S).enforced():
                published = await self._queue.publish_next_phase(effect.payload)
        except Exception as error:
            verdict = classify(error)
            end: EffectEnd = "planned" if verdict.retryable else "failed"
            await self._finish(job, effect, end, code=verdict.code, retry_after_s=verdict.retry_after)
            return Attempt(error=error if verdict.retryable else None)
        return Attempt(published_as=published.message_id)

    async def _finish(
        self,
        job: Job,
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


def reply_text(payload: Mapping[str, Any], profile: KnownProfile) -> str:
    """The planned text with its placeholders filled in, inside Instagram's limit."""
    return bound_text(render(str(payload["text"]), name=profile.name, username=profile.username))
