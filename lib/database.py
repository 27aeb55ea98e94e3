"""Supabase: one SQL function, called over PostgREST, is one transaction."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from lib.core import log
from lib.core.model import invalid_payload
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.errors.exceptions import UnreadableAnswer

if TYPE_CHECKING:
    import httpx

    from supabase import AsyncClient

T = TypeVar("T")

CALL_TIMEOUT_S = 10.0
"""The longest time for one call. The caller's own deadline is usually shorter."""

MAX_CONNECTIONS = 32
MAX_ANSWER_BYTES = 64_000_000
"""A page of the archive is the largest answer: a hundred events, each with its raw item."""
REPETITIONS = 2
"""How often a transaction that the database undid is repeated at once."""

_log = log.get(__name__)


class Database:
    """Calls SQL functions. One instance a process: it holds the connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AsyncClient | None = None
        self._http: httpx.AsyncClient | None = None

    async def rpc(self, function: str, params: Mapping[str, Any]) -> object:
        """Returns the JSON that the SQL function answers.

        A transaction that the database undid is repeated at once. Raises the errors of the client, and
        `UnreadableAnswer`; `errors.classify` says what each means.
        """
        for _ in range(REPETITIONS):
            try:
                return await self._call(function, params)
            except Exception as error:
                verdict = classify(error)
                if not verdict.repeat_at_once:
                    raise
                _log.warning("Transaction undone; repeating", function=function, code=verdict.code)
        return await self._call(function, params)

    async def _call(self, function: str, params: Mapping[str, Any]) -> object:
        if self._client is None:
            self._http, self._client = connect(self._settings)
        try:
            return (await self._client.rpc(function, dict(params)).execute()).data
        except ValueError as error:
            # The status was 200, but the body is no JSON: a proxy's page, or a body that was cut off.
            raise UnreadableAnswer(f"{function}: {type(error).__name__}") from None

    async def close(self) -> None:
        """Closes the connections, for a process that goes on without them."""
        if self._http is not None:
            await self._http.aclose()


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def read_answer(answer: object, shape: type[T]) -> T:
    """Returns `answer` as a `shape`. Raises `UnreadableAnswer` if the answer has another shape."""
    try:
        # Not strict: the client has decoded the JSON, in which a time is a string.
        value: T = _adapter(cast("Any", shape)).validate_python(answer, strict=False)
    except ValidationError as error:
        raise UnreadableAnswer(str(invalid_payload(error))) from None
    return value


def connect(settings: Settings) -> "tuple[httpx.AsyncClient, AsyncClient]":
    """Returns the official Supabase client and the HTTP client under it.

    The HTTP client is ours, so there is one pool, our own timeout, and no retry that we do not know of.
    """
    # The whole client takes about 100 ms to import; a webhook that QStash takes needs no database.
    from lib.http.transport import client as http_client  # noqa: PLC0415
    from supabase import AsyncClient, AsyncClientOptions  # noqa: PLC0415

    http = http_client(
        timeout_s=CALL_TIMEOUT_S,
        max_connections=MAX_CONNECTIONS,
        max_idle=MAX_CONNECTIONS,
        max_bytes=MAX_ANSWER_BYTES,
    )
    options = AsyncClientOptions(
        httpx_client=http, postgrest_client_retry=False, auto_refresh_token=False, persist_session=False
    )
    client = AsyncClient(settings.supabase_url, settings.supabase_service_role_key, options)
    if not settings.has_legacy_supabase_key:
        # An `sb_secret_…` key is no JWT. It goes into `apikey` alone (Supabase, "Understanding API keys").
        del client.options.headers["Authorization"]
    return http, client
