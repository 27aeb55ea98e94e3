"""What a recorded event still owes, carried out: its profile, its replies, its next phase.

Knows what a failure of each means for the event as a whole. Must not know how one effect is carried out
(`effects`), nor decide what an error is (`errors`).
"""

from collections.abc import Iterable

from lib.accounts.access import Access, NoAccess, access_to
from lib.accounts.store import AccountStore
from lib.core import log
from lib.core.settings import Settings
from lib.errors.exceptions import InProgress
from lib.graph.client import GraphClient
from lib.processing.attempt import Attempt
from lib.processing.outbox import ClaimedEffect
from lib.processing.profile import FetchedProfile, fetch_profile
from lib.processing.sender import EffectResult, Sender
from lib.processing.store import EventStore, KnownProfile, Recorded
from lib.qstash.publisher import Publisher

PROFILE_TIMEOUT_S = 4.0
PROFILE_SHARE = 0.5
"""Of what time is left, the part a profile may take; the replies need the rest."""

_log = log.get(__name__)


class Completion:
    """Carries out what an event owes, and closes it."""

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
        self._graph = graph
        self._sender = Sender(settings, store=store, publisher=publisher, graph=graph)

    async def complete(self, job: Attempt, recorded: Recorded) -> None:
        """Does what is due and claimed, and closes the event if nothing is owed after that.

        Raises the error that makes the event come back, or `InProgress` where another worker holds the rest.
        """
        access = self._access(recorded)
        enrichment = await self._enrich(job, recorded, access)
        profile = _known(recorded.profile, enrichment)
        attempts = {
            effect.effect_id: await self._attempt(job, access, effect, profile) for effect in _in_order(recorded)
        }
        await self._stop_account(recorded, enrichment, attempts.values())

        owed = _owed(enrichment, attempts.values())
        finished = await self._store.finish_event(
            job.event.event_id,
            lease_token=job.lease_token,
            published={
                effect_id: attempt.published_as
                for effect_id, attempt in attempts.items()
                if attempt.published_as is not None
            },
            profile=enrichment.profile,
            complete=owed is None,
        )
        if owed is not None:
            raise owed
        if not finished.finished:
            raise InProgress(retry_after=finished.retry_after or 1.0)

    def _access(self, recorded: Recorded) -> Access:
        access = access_to(recorded.account_id, recorded.token, self._settings)
        if recorded.token is not None and isinstance(access, NoAccess):
            _log.error("Account without access", account_id=recorded.account_id, code=access.code, why=access.reason)
        return access

    async def _enrich(self, job: Attempt, recorded: Recorded, access: Access) -> FetchedProfile:
        if not recorded.profile_due or isinstance(access, NoAccess) or job.event.contact_id is None:
            return FetchedProfile()
        timeout_s = min(PROFILE_TIMEOUT_S, job.deadline.left_s() * PROFILE_SHARE)
        return await fetch_profile(self._graph, access, job.event.contact_id, timeout_s=timeout_s)

    async def _attempt(
        self, job: Attempt, access: Access, effect: ClaimedEffect, profile: KnownProfile
    ) -> EffectResult:
        if effect.kind == "next_phase":
            return await self._sender.publish_next_phase(job, effect)
        return await self._sender.send_reply(job, access, effect, profile)

    async def _stop_account(
        self, recorded: Recorded, enrichment: FetchedProfile, attempts: Iterable[EffectResult]
    ) -> None:
        verdicts = [enrichment.verdict, *(attempt.verdict for attempt in attempts)]
        for verdict in verdicts:
            if verdict is not None and verdict.account_state is not None:
                await self._accounts.stop(recorded.account_id, verdict, failed=recorded.token)
                return


def _in_order(recorded: Recorded) -> list[ClaimedEffect]:
    """Replies first: a person is waiting for them."""
    return sorted(recorded.effects, key=lambda effect: effect.kind == "next_phase")


def _owed(enrichment: FetchedProfile, attempts: Iterable[EffectResult]) -> Exception | None:
    """Why the event has to come back, or None."""
    errors = [attempt.error for attempt in attempts if attempt.error is not None]
    if enrichment.error is not None and enrichment.verdict is not None and enrichment.verdict.retryable:
        errors.append(enrichment.error)
    return errors[0] if errors else None


def _known(before: KnownProfile | None, enrichment: FetchedProfile) -> KnownProfile:
    fetched = enrichment.profile or {}
    if fetched.get("state") == "complete":
        return KnownProfile(username=fetched.get("username"), name=fetched.get("name"))
    return before or KnownProfile()
