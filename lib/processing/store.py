"""Events and their effects in the database: `record_event`, `begin_send`, `finish_effect`, `finish_event`."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from lib.accounts.access import env_token_digest, env_token_for
from lib.accounts.tokens import StoredToken
from lib.core.model import Model
from lib.core.settings import Settings
from lib.database import Database, read_answer
from lib.dead_letters.letter import given_up_letter
from lib.errors.exceptions import NotRecorded, UnreadableAnswer
from lib.events.model import Event, Via, as_json
from lib.graph.conversation import ConversationMessage
from lib.processing.attempt import Attempt, DatabaseClock
from lib.processing.outbox import ClaimedEffect, EffectEnd
from lib.processing.planner import Plan
from lib.processing.rate_limit import Limits


class KnownProfile(Model):
    """What is known of the person, for the placeholders of a reply."""

    username: str | None = None
    name: str | None = None


class Recorded(Model):
    """The answer of `record_event`; the comment on that function explains the outcomes. `retry_after` is in seconds.

    `contact_id` is the person, whom this form of the event need not name. `knows_both_ids`: the account has a row with
    both of its ids. `token` is the account's own token, if an
    effect that may need it is due or claimed. `now` is the time of the database, if something is due or claimed. With
    `sweep_in_s` the caller has to ask QStash for a sweep.
    """

    outcome: Literal["new", "resumed", "in_progress", "duplicate", "stale_rules"]
    account_id: str = ""
    contact_id: str | None = None
    account_state: str = "active"
    knows_both_ids: bool = True
    profile_due: bool = False
    profile: KnownProfile | None = None
    effects: list[ClaimedEffect] = Field(default_factory=list)
    token: StoredToken | None = None
    retry_after: float | None = None
    rules_version: int = 0
    rules: list[Any] = Field(default_factory=list)
    now: datetime | None = None
    sweep_in_s: float | None = None

    def clock(self) -> DatabaseClock:
        """Returns the clock of the database, if this answer has just arrived."""
        if self.now is None:
            raise UnreadableAnswer("record_event: now is missing")
        return DatabaseClock.read(self.now)


class SendPermit(Model):
    """Whether the message may leave. `code` says why not.

    With `retry_after` the message may leave in so many seconds. If it is `kept`, the effect still belongs to the
    caller; else it went back to `planned`.
    """

    go: bool
    code: str | None = None
    retry_after: float | None = None
    kept: bool = False


class Finished(Model):
    """Whether the event is processed. If not, its remaining effects can be taken up in `retry_after` seconds.

    With `sweep_in_s` something was left undone, and the caller has to ask QStash for a sweep.
    """

    finished: bool
    retry_after: float | None = None
    sweep_in_s: float | None = None


class EventStore:
    """The calls. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def record_event(self, attempt: Attempt, plan: Plan) -> Recorded:
        """Makes an event take effect, once; plans and claims its effects."""
        answer = await self._database.rpc(
            "record_event",
            {
                "p_event": as_json(attempt.event),
                "p_via": attempt.via,
                "p_effects": _effects(plan),
                "p_options": {**self._record_options(), **_own_options(attempt, plan)},
            },
        )
        return read_answer(answer, Recorded)

    async def record_events(
        self, attempts: Sequence[Attempt], plans: Sequence[Plan], *, via: Via
    ) -> list[Recorded | NotRecorded]:
        """Like `record_event` for each event, in one transaction. An event that fails does not undo the others."""
        if len(attempts) == 1:
            return [await self.record_event(attempts[0], plans[0])]
        answers = await self._database.rpc(
            "record_events",
            {
                "p_events": [
                    {"event": as_json(attempt.event), "effects": _effects(plan), "options": _own_options(attempt, plan)}
                    for attempt, plan in zip(attempts, plans, strict=True)
                ],
                "p_via": via,
                "p_options": self._record_options(),
            },
        )
        if not isinstance(answers, list) or len(answers) != len(attempts):
            raise UnreadableAnswer("record_events: not one answer for each event")
        return [_recorded_or_not(answer) for answer in answers]

    def _record_options(self) -> dict[str, Any]:
        """Returns the options that every event has."""
        return {
            "reply_match": self._settings.reply_match,
            "profile_max_age_s": self._settings.profile_max_age_s,
            "env_token_for": env_token_for(self._settings),
            "env_token": env_token_digest(self._settings),
            "replies_per_hour": self._settings.replies_per_hour,
            "app_id": self._settings.meta_app_id,
        }

    async def begin_send(
        self,
        effect_id: str,
        *,
        lease_token: uuid.UUID,
        message: Mapping[str, Any],
        lease_s: int,
        limits: Limits | None,
        not_after: datetime,
        patience_s: float = 0.0,
    ) -> SendPermit:
        """Marks the effect as `sending` before the Graph call, or as `skipped` unless `REPLIES_MODE` is `on`.

        After `not_after`, a time of the database, the call changes nothing. `patience_s` is how long the caller can
        wait for its turn, in seconds.
        """
        answer = await self._database.rpc(
            "begin_send",
            {
                "p_effect_id": effect_id,
                "p_token": str(lease_token),
                "p_message": message,
                "p_lease_s": lease_s,
                "p_options": {
                    "not_after": not_after.isoformat(),
                    "env_token": env_token_digest(self._settings),
                    "mode": self._settings.replies_mode,
                    "replies_per_hour": self._settings.replies_per_hour,
                    **({} if limits is None else {"limits": asdict(limits), "patience_s": patience_s}),
                },
            },
        )
        return read_answer(answer, SendPermit)

    async def give_up(self, event: Event, account_id: str, *, code: str) -> None:
        """Ends what `event` still owes, with an open dead letter for a person. A retry takes the event up again."""
        await self._database.rpc(
            "give_up_event",
            {
                "p_event_id": event.event_id,
                "p_account_id": account_id,
                "p_code": code,
                "p_letter": given_up_letter(event.event_id, account_id, event.kind, code, event),
            },
        )

    async def settle_by_conversation(
        self, account_id: str, contact_id: str, messages: Sequence[ConversationMessage]
    ) -> None:
        """Settles the sends of a conversation that are among `messages`, before one of them is repeated."""
        await self._database.rpc(
            "settle_unknown",
            {
                "p_account_id": account_id,
                "p_contact_id": contact_id,
                "p_messages": [message.model_dump(mode="json") for message in messages],
            },
        )

    async def finish_effect(
        self,
        effect_id: str,
        *,
        lease_token: uuid.UUID,
        state: EffectEnd,
        mid: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        never_left: bool = False,
    ) -> None:
        """Records how one effect ended. With `planned` it is tried again, after `retry_after_s` seconds.

        `never_left` says that nothing of this attempt can have reached Meta: no echo is the echo of it.
        """
        await self._database.rpc(
            "finish_effect",
            {
                "p_effect_id": effect_id,
                "p_token": str(lease_token),
                "p_state": state,
                "p_mid": mid,
                "p_code": code,
                "p_retry_after_s": retry_after_s,
                "p_never_left": never_left,
            },
        )

    async def finish_event(
        self,
        event_id: str,
        account_id: str,
        *,
        lease_token: uuid.UUID,
        published: Mapping[str, str],
        profile: Mapping[str, Any] | None,
        complete: bool,
    ) -> Finished:
        """Closes an event, or leaves it open for another attempt if `complete` is False.

        `account_id` is the account in the answer of `record_event`. `published` has the QStash message id of each next
        phase, by effect id. `profile` is the fetched profile.
        """
        answer = await self._database.rpc(
            "finish_event",
            {
                "p_event_id": event_id,
                "p_account_id": account_id,
                "p_token": str(lease_token),
                "p_published": [
                    {"effect_id": effect_id, "message_id": message_id} for effect_id, message_id in published.items()
                ],
                "p_profile": profile,
                "p_complete": complete,
            },
        )
        return read_answer(answer, Finished)


def _effects(plan: Plan) -> list[dict[str, Any]]:
    return [effect.model_dump(exclude_defaults=True) for effect in plan.effects]


def _own_options(attempt: Attempt, plan: Plan) -> dict[str, Any]:
    return {
        "lease_token": str(attempt.lease_token),
        "lease_s": attempt.lease_s(),
        "rules_version": plan.rules_version,
    }


def _recorded_or_not(answer: object) -> Recorded | NotRecorded:
    code = answer.get("error_code") if isinstance(answer, dict) else None
    return NotRecorded(code) if isinstance(code, str) else read_answer(answer, Recorded)
