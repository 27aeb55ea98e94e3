"""process(event) = record → enrich → effects: the one way in which an event takes effect.

Knows the order of the steps and what a failure of each means for the event. Must not know who called
(the consumer, or the fallback of the ingest endpoint), nor any HTTP status.
"""

import time
import uuid
from typing import Literal, TypeAlias


from lib import log
from lib.accounts import credentials_for
from lib.deadline import Deadline
from lib.effects import Attempt, Effects
from lib.enrich import Enrichment, fetch_profile
from lib.errors import InProgress, Verdict
from lib.events import Event
from lib.graph import Credentials, Graph
from lib.outbox import ClaimedEffect
from lib.plan import effects_of
from lib.queue import Queue
from lib.replies import RuleBook, may_be_answered
from lib.settings import Settings
from lib.store import KnownProfile, Recorded, Store, Via

Processed: TypeAlias = Literal["processed", "duplicate"]

PROFILE_TIMEOUT_S = 4.0
LEASE_MARGIN_S = 5
"""A lease outlives the deadline of the worker that holds it, so that no one else starts while it works."""

_MATCH_ATTEMPTS = 3

_log = log.get(__name__)


class Processor:
    """Makes events take effect. One instance a process; it remembers the reply rules between events."""

    def __init__(self, settings: Settings, *, store: Store, queue: Queue, graph: Graph) -> None:
        self._settings = settings
        self._store = store
        self._graph = graph
        self._effects = Effects(store=store, queue=queue, graph=graph)
        self._rules = RuleBook()

    async def process(self, event: Event, *, via: Via, deadline: Deadline) -> Processed:
        """Makes `event` take effect, once, however often and by whatever road it comes.

        Raises `InProgress` where another worker is at it, `DeadlineExceeded` when time ran out, and whatever
        kept it from being finished; `errors.classify` says what each means. What was recorded stays recorded.
        """
        started = time.monotonic()
        async with deadline.enforced():
            outcome = await self._process(event, via, deadline)
        _log.info(
            "Event processed",
            event_id=event.event_id,
            kind=event.kind,
            verdict=outcome,
            via=via,
            ms=round((time.monotonic() - started) * 1000, 1),
        )
        return outcome

    async def _process(self, event: Event, via: Via, deadline: Deadline) -> Processed:
        lease_token = uuid.uuid4()
        credentials = credentials_for(event.account_id, self._settings)
        recorded = await self._record(event, via, credentials, lease_token, deadline)
        if recorded.outcome == "duplicate":
            return "duplicate"
        if recorded.outcome == "in_progress":
            raise InProgress(retry_after=recorded.retry_after or 1.0)
        if recorded.profile_due or recorded.effects:
            await self._fulfil(event, via, credentials, recorded, lease_token, deadline)
        return "processed"

    async def _record(
        self,
        event: Event,
        via: Via,
        credentials: Credentials | None,
        lease_token: uuid.UUID,
        deadline: Deadline,
    ) -> Recorded:
        asks_rules = self._settings.replies_mode != "off" and may_be_answered(event)
        for _ in range(_MATCH_ATTEMPTS):
            recorded = await self._store.record_event(
                event,
                via=via,
                effects=effects_of(event, self._rules, self._settings),
                lease_token=lease_token,
                lease_s=int(deadline.left_s()) + LEASE_MARGIN_S,
                rules_version=self._rules.version if asks_rules else None,
                profile_max_age_s=self._settings.profile_max_age_s if credentials else None,
            )
            if recorded.outcome != "stale_rules":
                return recorded
            self._rules = RuleBook(recorded.rules, version=recorded.rules_version)
        # Somebody is changing the rules faster than we match: come back.
        raise InProgress(retry_after=1.0)

    async def _fulfil(
        self,
        event: Event,
        via: Via,
        credentials: Credentials | None,
        recorded: Recorded,
        lease_token: uuid.UUID,
        deadline: Deadline,
    ) -> None:
        enrichment = await self._enrich(event, credentials, recorded, deadline)
        profile = _known(recorded.profile, enrichment)
        attempts: list[Attempt] = []
        published: dict[str, str] = {}
        for effect in _replies_first(recorded.effects):
            if effect.kind == "next_phase":
                attempt = await self._effects.publish_next_phase(
                    effect, lease_token=lease_token, deadline=deadline
                )
                if attempt.message_id is not None:
                    published[effect.effect_id] = attempt.message_id
            else:
                attempt = await self._effects.send_reply(
                    effect,
                    event,
                    credentials=credentials,
                    profile=profile,
                    lease_token=lease_token,
                    deadline=deadline,
                )
            attempts.append(attempt)

        await self._stop_account(recorded.account_id, enrichment, attempts)
        owed = _owed(via, enrichment, attempts)
        finished = await self._store.finish_event(
            event.event_id,
            lease_token=lease_token,
            published=published,
            profile=enrichment.profile,
            complete=owed is None,
        )
        if owed is not None:
            raise owed
        if not finished.finished:
            raise InProgress(retry_after=finished.retry_after or 1.0)

    async def _enrich(
        self, event: Event, credentials: Credentials | None, recorded: Recorded, deadline: Deadline
    ) -> Enrichment:
        if not recorded.profile_due or credentials is None or event.contact_id is None:
            return Enrichment()
        timeout_s = min(PROFILE_TIMEOUT_S, deadline.left_s() * 0.5)
        return await fetch_profile(self._graph, credentials, event.contact_id, timeout_s=timeout_s)

    async def _stop_account(
        self, account_id: str, enrichment: Enrichment, attempts: list[Attempt]
    ) -> None:
        verdicts = [enrichment.verdict, *(attempt.account_stop for attempt in attempts)]
        stops: list[Verdict] = [verdict for verdict in verdicts if verdict is not None and verdict.account_stop]
        if stops:
            state = "needs_reauth" if stops[0].code in TOKEN_CODES else "stopped"
            _log.error("Account stopped", account_id=account_id, state=state, code=stops[0].code)
            await self._store.mark_account(account_id, state=state, code=stops[0].code)


TOKEN_CODES = frozenset({"graph_token_invalid", "graph_session_invalid"})


def _owed(via: Via, enrichment: Enrichment, attempts: list[Attempt]) -> Exception | None:
    """Why the event has to come back, or None.

    A profile is worth a retry from QStash, but not an answer to Meta that the message was not received.
    """
    errors = [attempt.error for attempt in attempts if attempt.error is not None]
    transient = enrichment.verdict is not None and enrichment.verdict.retryable
    if enrichment.error is not None and transient and via == "queue":
        errors.append(enrichment.error)
    return errors[0] if errors else None


def _known(before: KnownProfile | None, enrichment: Enrichment) -> KnownProfile:
    fetched = enrichment.profile or {}
    if fetched.get("state") == "complete":
        return KnownProfile(username=fetched.get("username"), name=fetched.get("name"))
    return before or KnownProfile()


def _replies_first(effects: list[ClaimedEffect]) -> list[ClaimedEffect]:
    return sorted(effects, key=lambda effect: effect.kind == "next_phase")


