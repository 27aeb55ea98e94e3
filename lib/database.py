"""Supabase: one SQL function, called over PostgREST, is one transaction."""

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from lib.core import log
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.errors.exceptions import UnreadableAnswer

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


class Database:
    """The database. One instance a process: it holds the connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AsyncPostgrestClient | None = None
        self._http: httpx.AsyncClient | None = None

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
