"""Does what is due for a recorded event (profile, replies, next phase), and closes the event."""

from collections.abc import Iterable

from lib.accounts.access import Access, NoAccess, access_to
from lib.accounts.ids import IdLearner
from lib.accounts.store import AccountStore
from lib.core import log
from lib.core.settings import Settings
from lib.errors.exceptions import InProgress
from lib.events.model import Comment, Event
from lib.graph.client import GraphClient
from lib.processing.attempt import Attempt
from lib.processing.outbox import ClaimedEffect
from lib.processing.profile import FetchedProfile, fetch_profile
from lib.processing.sender import EffectResult, Sender
from lib.processing.store import EventStore, KnownProfile, Recorded
from lib.qstash.publisher import Publisher

PROFILE_TIMEOUT_S = 4.0
PROFILE_SHARE = 0.5
"""The share of the remaining time that a profile may take. The replies need the rest."""

_log = log.get(__name__)


class Completion:
    """Carries out what an event owes, and closes the event."""

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
        self._accounts = accounts
        self._publisher = publisher
        self._graph = graph
        self._sender = Sender(settings, store=store, publisher=publisher, graph=graph)
        self._ids = IdLearner(accounts, graph)

    async def complete(self, attempt: Attempt, recorded: Recorded) -> None:
        """Does what is due and claimed, and closes the event if nothing is owed after that.

        Raises the error that makes the event come back, or `InProgress` if another worker holds the rest.
        """
        access = self._access(recorded)
        fetched = await self._fetch_profile(attempt, recorded, access)
        profile = _known(recorded.profile, fetched, attempt.event)
        results = {
            effect.effect_id: await self._carry_out(attempt, access, effect, profile)
            for effect in _replies_first(recorded)
        }
        await self._stop_account(recorded, fetched, results.values())

        owed = _owed(fetched, results.values())
        refused_code = next((result.refused_code for result in results.values() if result.refused_code), None)
        finished = await self._store.finish_event(
            attempt.event.event_id,
            recorded.account_id,
            lease_token=attempt.lease_token,
            published={
                effect_id: result.published_as
                for effect_id, result in results.items()
                if result.published_as is not None
            },
            profile=fetched.profile,
            complete=owed is None and refused_code is None,
        )
        if finished.sweep_in_s is not None:
            await self._publisher.ask_for_sweep(finished.sweep_in_s)
        if owed is not None:
            raise owed
        if refused_code is not None:
            # A next phase over QStash's limit, for example: nobody would ever see that it is missing.
            await self._store.give_up(attempt.event, recorded.account_id, code=refused_code)
            _log.error("Next phase given up", event_id=attempt.event.event_id, code=refused_code)
            return
        if not recorded.knows_both_ids and not isinstance(access, NoAccess) and attempt.via == "queue":
            await self._ids.learn(access, timeout_s=attempt.deadline.left_s())
        if not finished.finished:
            raise InProgress(retry_after=finished.retry_after or 1.0)

    def _access(self, recorded: Recorded) -> Access:
        access = access_to(recorded.account_id, recorded.token, self._settings)
        if recorded.token is not None and isinstance(access, NoAccess):
            _log.error("Account without access", account_id=recorded.account_id, code=access.code, why=access.reason)
        return access

    async def _fetch_profile(self, attempt: Attempt, recorded: Recorded, access: Access) -> FetchedProfile:
        contact_id = attempt.event.contact_id
        if not recorded.profile_due or isinstance(access, NoAccess) or contact_id is None:
            return FetchedProfile()
        timeout_s = min(PROFILE_TIMEOUT_S, attempt.deadline.left_s() * PROFILE_SHARE)
        return await fetch_profile(self._graph, access, contact_id, timeout_s=timeout_s)

    async def _carry_out(
        self, attempt: Attempt, access: Access, effect: ClaimedEffect, profile: KnownProfile
    ) -> EffectResult:
        if effect.kind == "next_phase":
            return await self._sender.publish_next_phase(attempt, effect)
        return await self._sender.send_reply(attempt, access, effect, profile)

    async def _stop_account(self, recorded: Recorded, fetched: FetchedProfile, results: Iterable[EffectResult]) -> None:
        verdicts = [fetched.verdict, *(result.verdict for result in results)]
        for verdict in verdicts:
            if verdict is not None and verdict.account_stop:
                await self._accounts.stop(recorded.account_id, verdict, failed=recorded.token)
                return


def _replies_first(recorded: Recorded) -> list[ClaimedEffect]:
    """Returns the effects with the replies first: a person is waiting for them."""
    return sorted(recorded.effects, key=lambda effect: effect.kind == "next_phase")


def _owed(fetched: FetchedProfile, results: Iterable[EffectResult]) -> Exception | None:
    """Returns why the event has to come back, or None."""
    errors = [result.error for result in results if result.error is not None]
    if fetched.error is not None and fetched.verdict is not None and fetched.verdict.retryable:
        errors.append(fetched.error)
    return errors[0] if errors else None


def _known(before: KnownProfile | None, fetched: FetchedProfile, event: Event) -> KnownProfile:
    """Returns what placeholders are filled in with: the profile, or else what the event itself says of its author."""
    known, profile = before or KnownProfile(), fetched.profile or {}
    if profile.get("state") == "complete":
        known = KnownProfile(username=profile.get("username"), name=profile.get("name"))
    if known.username is None and isinstance(event, Comment):
        return known.model_copy(update={"username": event.username})
    return known
