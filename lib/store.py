"""Supabase: the SQL functions of `supabase/migrations`, called over PostgREST, one transaction a call.

Knows the names and shapes of those functions. Must not know why they are called, nor decide what an error
means: everything the client raises passes through to `errors`.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from lib import log
from lib.accounts import env_token_for
from lib.errors import UnreadableAnswer, classify
from lib.events import Event
from lib.job import Via
from lib.outbox import ClaimedEffect, EffectEnd, PlannedEffect
from lib.pace import Limits
from lib.replies import Rule
from lib.settings import Settings
from lib.tokens import StoredToken

if TYPE_CHECKING:
    import httpx
    from postgrest import AsyncPostgrestClient


T = TypeVar("T")

_log = log.get(__name__)

CALL_TIMEOUT_S = 10.0
"""Longest one database call may take; the caller's own deadline is usually shorter."""

MAX_CONNECTIONS = 32

CALLED_OFF = ("40001", "40P01")
"""The database undid the whole of a transaction so that another one could go on (PostgreSQL, "Error Codes":
serialization_failure, deadlock_detected). Nothing of it happened, and at once is the time to do it again: an event that
waits for QStash's next attempt would meet its own lease.
"""

CALLED_OFF_AT_MOST = 2


class KnownProfile(msgspec.Struct, frozen=True):
    """What is known of the person, for the placeholders of a reply."""

    username: str | None = None
    name: str | None = None


class Recorded(msgspec.Struct, frozen=True):
    """The answer of `record_event`; see its comment for the outcomes. `retry_after` is in seconds.

    `token` is the account's own, where something that may need it is due or claimed.
    """

    outcome: Literal["new", "resumed", "in_progress", "duplicate", "stale_rules"]
    account_id: str = ""
    account_state: str = "active"
    profile_due: bool = False
    profile: KnownProfile | None = None
    effects: list[ClaimedEffect] = []
    token: StoredToken | None = None
    retry_after: float | None = None
    rules_version: int = 0
    rules: list[Rule] = []


class SendPermit(msgspec.Struct, frozen=True):
    """May the message leave? `code` says why not.

    With `retry_after` it may in so many seconds: `kept`, the effect is still the caller's; else it was put back.
    """

    go: bool
    code: str | None = None
    retry_after: float | None = None
    kept: bool = False


class Finished(msgspec.Struct, frozen=True):
    """Is the event processed? If not, what it owes can be taken up again in `retry_after` seconds."""

    finished: bool
    retry_after: float | None = None


class Store:
    """The database. One instance a process: it holds the connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AsyncPostgrestClient | None = None
        self._http: httpx.AsyncClient | None = None

    async def record_event(
        self,
        event: Event,
        *,
        via: Via,
        effects: Sequence[PlannedEffect],
        lease_token: uuid.UUID,
        lease_s: int,
        rules_version: int | None,
    ) -> Recorded:
        """Makes `event` take effect, once; plans and claims what it owes.

        `rules_version` is the version `effects` was matched with, None where rules do not matter.
        """
        answer = await self.rpc(
            "record_event",
            {
                "p_event": msgspec.to_builtins(event),
                "p_via": via,
                "p_effects": msgspec.to_builtins(effects),
                "p_options": {
                    "lease_token": str(lease_token),
                    "lease_s": lease_s,
                    "reply_match": self._settings.reply_match,
                    "profile_max_age_s": self._settings.profile_max_age_s,
                    "env_token_for": env_token_for(self._settings),
                    "app_id": self._settings.meta_app_id,
                    "rules_version": rules_version,
                },
            },
        )
        return read_answer(answer, Recorded)

    async def begin_send(
        self,
        effect_id: str,
        *,
        lease_token: uuid.UUID,
        message: Mapping[str, Any],
        lease_s: int,
        limits: Limits | None,
        patience_s: float = 0.0,
    ) -> SendPermit:
        """Writes that `message` may be on its way, before it leaves; without `limits`, that it would have left, were
        this no dry run. `patience_s` is how long the caller can wait for its turn.
        """
        answer = await self.rpc(
            "begin_send",
            {
                "p_effect_id": effect_id,
                "p_token": str(lease_token),
                "p_message": message,
                "p_lease_s": lease_s,
                "p_options": {"dry_run": True}
                if limits is None
                else {"limits": msgspec.to_builtins(limits), "patience_s": patience_s},
            },
        )
        return read_answer(answer, SendPermit)

    async def finish_effect(
        self,
        effect_id: str,
        *,
        lease_token: uuid.UUID,
        state: EffectEnd,
        mid: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Records how one effect ended; `planned` puts it back for `retry_after_s` seconds."""
        await self.rpc(
            "finish_effect",
            {
                "p_effect_id": effect_id,
                "p_token": str(lease_token),
                "p_state": state,
                "p_mid": mid,
                "p_code": code,
                "p_retry_after_s": retry_after_s,
            },
        )

    async def finish_event(
        self,
        event_id: str,
        *,
        lease_token: uuid.UUID,
        published: Mapping[str, str],
        profile: Mapping[str, Any] | None,
        complete: bool,
    ) -> Finished:
        """Closes an event: `published` next phases (effect id to QStash message id) and the fetched `profile`.

        With `complete` false it stays open for another attempt.
        """
        answer = await self.rpc(
            "finish_event",
            {
                "p_event_id": event_id,
                "p_token": str(lease_token),
                "p_published": [
                    {"effect_id": effect_id, "message_id": message_id} for effect_id, message_id in published.items()
                ],
                "p_profile": profile,
                "p_complete": complete,
            },
        )
        return read_answer(answer, Finished)

    async def store_dead_letter(self, letter: Mapping[str, Any]) -> bool:
        """Keeps a dead letter, once per `source_message_id`. True where it was not kept before."""
        return bool(await self.rpc("store_dead_letter", {"p_letter": letter}))

    async def status(self) -> dict[str, Any]:
        """The counts of `ingestion_status`, for health."""
        return read_answer(await self.rpc("ingestion_status", {}), dict[str, Any])

    async def rpc(self, function: str, params: dict[str, Any]) -> object:
        """What the SQL function answers, as JSON. Raises what the client raises, and `UnreadableAnswer`."""
        for _ in range(CALLED_OFF_AT_MOST):
            try:
                return await self._call(function, params)
            except Exception as error:
                if getattr(error, "code", None) not in CALLED_OFF:
                    raise
                _log.warning("Transaction called off; again", function=function, code=classify(error).code)
        return await self._call(function, params)

    async def _call(self, function: str, params: dict[str, Any]) -> object:
        if self._client is None:
            self._http, self._client = connect(self._settings)
        try:
            return (await self._client.rpc(function, params).execute()).data
        except ValueError as error:
            # Answered 200 with something that is no JSON: a proxy's page, a cut body.
            raise UnreadableAnswer(f"{function}: {type(error).__name__}") from None

    async def close(self) -> None:
        """Closes the connections, for a process that goes on without them."""
        if self._http is not None:
            await self._http.aclose()


def read_answer(answer: object, shape: type[T]) -> T:
    """`answer` in the shape it should have. Raises `UnreadableAnswer`."""
    try:
        return msgspec.convert(answer, shape)
    except msgspec.ValidationError as error:
        raise UnreadableAnswer(str(error)) from None


def connect(settings: Settings) -> "tuple[httpx.AsyncClient, AsyncPostgrestClient]":
    """The official Supabase client's part that speaks to the database, as that client makes it, and its connections.

    The whole of it (`supabase`) would import authentication, storage, functions and realtime too: 100 ms of a cold
    start.
    Bounded for a function: our own timeout, no retries behind our back.
    """
    import httpx  # noqa: PLC0415
    from postgrest import AsyncPostgrestClient  # noqa: PLC0415

    http = httpx.AsyncClient(
        timeout=httpx.Timeout(CALL_TIMEOUT_S, connect=3.0),
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
    )
    key = settings.supabase_service_role_key
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    url = f"{settings.supabase_url.rstrip('/')}/rest/v1"
    return http, AsyncPostgrestClient(url, headers=headers, http_client=http, retry_enabled=False)
