"""Carries out claimed effects: sends a reply or a private reply, publishes a next phase.

The order makes each happen once: write down, act, write down.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib.accounts.access import Access, NoAccess
from lib.core import log
from lib.core.settings import Settings
from lib.errors.classify import classify, end_of_failed_send, never_left
from lib.errors.exceptions import DeadlineExceeded, SendDelayed, UnreadableAnswer
from lib.errors.verdict import Verdict
from lib.events.model import Comment, Event
from lib.graph.client import GraphClient
from lib.graph.conversation import sent_by_us
from lib.graph.transport import Credentials
from lib.processing.attempt import Attempt, DatabaseClock
from lib.processing.outbox import ClaimedEffect, EffectEnd
from lib.processing.rate_limit import Limits, hold_s, limits_at
from lib.processing.store import EventStore, KnownProfile, SendPermit
from lib.qstash.publisher import Publisher
from lib.replies.message import fill_in, is_empty

SEND_TIMEOUT_S = 10.0
SHORTEST_SEND_S = 1.0
"""With less time than this no send begins: a send that is cut off could never be repeated."""

MEND_WAIT_S = 900.0
"""How long an effect waits for a person to mend a token, a permission or a setting."""

LOOK_TIMEOUT_S = 4.0
LOOK_AGAIN_S = 30.0
"""If the conversation cannot be read for now, a repetition waits so long."""

PERMIT_WITHIN_S = 4.0
"""The permit to send is asked for again and again for so long, if the database does not answer."""

ASK_AGAIN_S = 0.1
"""The pause before the database is asked again."""

PATIENCE_S = 2.0
"""A reply that has to wait no longer than this waits here: to come back costs one of QStash's retries."""

PUBLISH_TIMEOUT_S = 3.0
RESERVE_S = 0.5
"""The part of the deadline that is kept for writing down how a send ended."""

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class EffectResult:
    """How one attempt at an effect ended.

    `error` is set if the event has to come back for the effect. `published_as` is the QStash message id of a next
    phase. `refused_code` says that QStash takes the next phase never. `verdict` tells what the failure of a send means
    for the account.
    """

    published_as: str | None = None
    error: Exception | None = None
    refused_code: str | None = None
    verdict: Verdict | None = None


class Sender:
    """Carries out effects. Holds no state but its clients."""

    def __init__(self, settings: Settings, *, store: EventStore, publisher: Publisher, graph: GraphClient) -> None:
        self._settings = settings
        self._store = store
        self._publisher = publisher
        self._graph = graph

    async def send_reply(
        self, attempt: Attempt, access: Access, effect: ClaimedEffect, profile: KnownProfile
    ) -> EffectResult:
        """Sends one reply, never twice: once `begin_send` has marked it `sending`, it is not repeated."""
        message = fill_in(effect.payload, name=profile.name, username=profile.username)
        if is_empty(message):
            await self._finish(attempt, effect, "skipped", code="empty_reply", never_left=True)
            return EffectResult()
        if self._settings.replies_mode != "on":
            await self._begin(attempt, effect, message, limits=None)
            return EffectResult()
        if isinstance(access, NoAccess):
            # A setting is missing or wrong. The reply waits for it, as long as its window is open.
            await self._finish(attempt, effect, "planned", code=access.code, retry_after_s=MEND_WAIT_S, never_left=True)
            return EffectResult(error=SendDelayed(MEND_WAIT_S))
        if _spare_s(attempt) <= 0:
            await self._finish(attempt, effect, "planned", code="deadline_exceeded")
            return EffectResult(error=DeadlineExceeded())
        if effect.may_have_left and (wait := await self._look_first(attempt, access, effect)) is not None:
            return wait
        held_back = await self._hold_back(attempt, access, effect, message)
        return held_back or await self._send(attempt, access, effect, message)

    async def _look_first(self, attempt: Attempt, access: Credentials, effect: ClaimedEffect) -> EffectResult | None:
        """Looks for a reply in its conversation before the reply is repeated: Meta may have delivered what it refused.

        Its echo may be late, and the conversation is not. Returns why the reply has to wait, or None. A reply that is
        found is settled, so that `begin_send` gives no permit. If Meta does not show us conversations at all, the echo
        has to do.
        """
        contact_id = attempt.event.contact_id
        if contact_id is None:
            return None
        try:
            shown = await self._graph.conversation_messages(
                access, contact_id, timeout_s=min(LOOK_TIMEOUT_S, _spare_s(attempt))
            )
        except Exception as error:
            verdict = classify(error)
            _log.warning("Reply not looked for before its repetition", effect_id=effect.effect_id, code=verdict.code)
            if not verdict.retryable:
                return None
            wait_s = verdict.retry_after or LOOK_AGAIN_S
            await self._finish(attempt, effect, "planned", code=verdict.code, retry_after_s=wait_s, never_left=True)
            return EffectResult(error=SendDelayed(wait_s))
        await self._store.settle_by_conversation(access.account_id, contact_id, sent_by_us(shown, contact_id))
        return None

    async def _hold_back(
        self, attempt: Attempt, access: Credentials, effect: ClaimedEffect, message: Mapping[str, Any]
    ) -> EffectResult | None:
        """Returns why the reply must wait, or None once it is marked `sending`; then the caller must send it."""
        usage = self._graph.usage(access.account_id).values()
        pause_s = hold_s(usage, now_s=time.monotonic())
        if pause_s > 0:
            await self._finish(attempt, effect, "planned", code="send_delayed", retry_after_s=pause_s)
            return EffectResult(error=SendDelayed(pause_s))
        limits = limits_at(usage, sends_per_second=self._settings.sends_per_second, now_s=time.monotonic())
        while True:
            try:
                permit = await self._begin(attempt, effect, message, limits=limits)
            except Exception as error:
                return await self._take_back(attempt, effect, error)
            if permit.go:
                return None
            if not permit.kept:
                return EffectResult(error=None if permit.retry_after is None else SendDelayed(permit.retry_after))
            await asyncio.sleep(permit.retry_after or 0)

    async def _begin(
        self, attempt: Attempt, effect: ClaimedEffect, message: Mapping[str, Any], *, limits: Limits | None
    ) -> SendPermit:
        """Asks for the permit to send. With `limits=None` (dry run) there is none.

        If the answer is lost, the permit may have been given. So it is asked for again: to ask twice changes nothing.
        A call that arrives after we have given up comes too late to change anything (`not_after`). Raises the
        database's last error, or `DeadlineExceeded`.
        """
        window = attempt.deadline.at_most(min(PERMIT_WITHIN_S, _spare_s(attempt)))
        while True:
            try:
                async with window.enforced():
                    permit = await self._store.begin_send(
                        effect.effect_id,
                        lease_token=attempt.lease_token,
                        message=message,
                        lease_s=attempt.lease_s(),
                        limits=limits,
                        not_after=_clock(attempt).at(window.at_s),
                        patience_s=min(PATIENCE_S, _spare_s(attempt)),
                    )
            except Exception as error:
                if window.left_s() <= ASK_AGAIN_S or not _may_pass_soon(error):
                    raise
                await asyncio.sleep(ASK_AGAIN_S)
                continue
            if permit.code == "too_late":
                raise DeadlineExceeded
            if not permit.go and not permit.kept:
                _log.info(
                    "Reply not sent", effect_id=effect.effect_id, code=permit.code, retry_after=permit.retry_after
                )
            return permit

    async def _take_back(self, attempt: Attempt, effect: ClaimedEffect, error: Exception) -> EffectResult:
        """Plans a reply again whose permit never came: nothing left, and only we know."""
        code = classify(error).code
        _log.warning("No permit to send", effect_id=effect.effect_id, code=code)
        await self._finish(attempt, effect, "planned", code=code, never_left=True)
        return EffectResult(error=error)

    async def _send(
        self, attempt: Attempt, access: Credentials, effect: ClaimedEffect, message: Mapping[str, Any]
    ) -> EffectResult:
        timeout_s = min(SEND_TIMEOUT_S, attempt.deadline.left_s() - RESERVE_S)
        try:
            mid = await self._graph.send(
                access, recipient=recipient_of(attempt.event), message=message, timeout_s=timeout_s
            )
        except Exception as error:
            return await self._send_failed(attempt, access, effect, error)
        await self._finish(attempt, effect, "sent", mid=mid)
        return EffectResult()

    async def _send_failed(
        self, attempt: Attempt, access: Credentials, effect: ClaimedEffect, error: Exception
    ) -> EffectResult:
        verdict = classify(error)
        end = end_of_failed_send(error, verdict)
        retry_after = verdict.retry_after
        comes_back: Exception = error
        if verdict.is_outage:
            # Meta's answer is final for this token or this app, and not for the event.
            retry_after, comes_back = MEND_WAIT_S, SendDelayed(MEND_WAIT_S)
        elif retry_after is None and (
            pause_s := hold_s(self._graph.usage(access.account_id).values(), now_s=time.monotonic())
        ):
            # Meta refused for the rate and named no time: the percentages say how long to wait.
            retry_after, comes_back = pause_s, SendDelayed(pause_s)
        await self._finish(
            attempt, effect, end, code=verdict.code, retry_after_s=retry_after, never_left=never_left(error)
        )
        return EffectResult(error=comes_back if end == "planned" else None, verdict=verdict)

    async def publish_next_phase(self, attempt: Attempt, effect: ClaimedEffect) -> EffectResult:
        """Publishes one next phase. The caller writes down its message id, or that it was refused for good."""
        try:
            async with attempt.deadline.at_most(PUBLISH_TIMEOUT_S).enforced():
                published = await self._publisher.publish_next_phase(effect.payload)
        except Exception as error:
            verdict = classify(error)
            if not verdict.retryable:
                return EffectResult(refused_code=verdict.code)
            wait_s = MEND_WAIT_S if verdict.is_outage else verdict.retry_after
            await self._finish(attempt, effect, "planned", code=verdict.code, retry_after_s=wait_s)
            return EffectResult(error=SendDelayed(wait_s) if wait_s else error)
        return EffectResult(published_as=published.message_id)

    async def _finish(
        self,
        attempt: Attempt,
        effect: ClaimedEffect,
        state: EffectEnd,
        *,
        mid: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        never_left: bool = False,
    ) -> None:
        """Writes down how the effect ended, until the database answers: to write it twice changes nothing."""
        while True:
            try:
                await self._store.finish_effect(
                    effect.effect_id,
                    lease_token=attempt.lease_token,
                    state=state,
                    mid=mid,
                    code=code,
                    retry_after_s=retry_after_s,
                    never_left=never_left,
                )
                break
            except Exception as error:
                if attempt.deadline.left_s() <= ASK_AGAIN_S or not _may_pass_soon(error):
                    raise
                await asyncio.sleep(ASK_AGAIN_S)
        _log.info("Effect finished", effect_id=effect.effect_id, kind=effect.kind, state=state, code=code)


def recipient_of(event: Event) -> dict[str, str]:
    """Returns whom to write to: the comment for a comment, else the person (Meta, Send API and Private Replies)."""
    if isinstance(event, Comment):
        return {"comment_id": event.comment_id}
    return {"id": event.contact_id or ""}


def _may_pass_soon(error: Exception) -> bool:
    verdict = classify(error)
    return verdict.retryable and not verdict.is_outage


def _clock(attempt: Attempt) -> DatabaseClock:
    if attempt.clock is None:
        raise UnreadableAnswer("the attempt has no clock of the database")
    return attempt.clock


def _spare_s(attempt: Attempt) -> float:
    """Returns the seconds until the shortest send has to begin."""
    return attempt.deadline.left_s() - SHORTEST_SEND_S - RESERVE_S
