"""What the errors of libraries, of HTTP and of the database mean for us.

Libraries are named and not imported: a library that raised is loaded already, and a cold start need not wait for the
others.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

from lib.errors.exceptions import BadJson, BodyTooLarge, DeadlineExceeded, TokenUnreadable, UnreadableAnswer
from lib.errors.retry_after import whole_number
from lib.errors.verdict import MEND_S, MINUTE_S, UNKNOWN, Verdict, never, outage, retry

_TIMEOUT = retry("timeout", "no answer in time", status=504)
_POOL = retry("pool_exhausted", "no connection was free in time", status=503)
_CONNECTION = retry("connection_failed", "the connection failed", status=502)
_CANCELLED = retry("cancelled", "the work was called off before its end", status=503)
_UNREADABLE = retry("unreadable_answer", "the answer could not be read", status=502)
_INVALID = never("invalid_payload", "a body is not what it should be")
_MISCONFIGURED = outage("bad_configuration", "a setting holds what a client can not work with")

BY_CLASS: Final[Mapping[type, Verdict]] = {
    BadJson: _INVALID,
    BodyTooLarge: never("body_too_large", "the body is over the limit", status=413),
    DeadlineExceeded: retry("deadline_exceeded", "our own time ran out", status=504),
    TokenUnreadable: outage("token_unreadable", "a stored access token can not be decrypted"),
    UnreadableAnswer: _UNREADABLE,
}
"""Our own errors, by their class."""

BY_NAME: Final[Mapping[str, Verdict]] = {
    # Python
    "builtins.TimeoutError": _TIMEOUT,
    "builtins.ConnectionError": _CONNECTION,
    "builtins.EOFError": _CONNECTION,
    "builtins.OSError": retry("io_failed", "the network or the system failed", status=502),
    "builtins.UnicodeError": _INVALID,
    "asyncio.exceptions.CancelledError": _CANCELLED,
    "concurrent.futures._base.CancelledError": _CANCELLED,
    "json.decoder.JSONDecodeError": _INVALID,
    "socket.gaierror": _CONNECTION,
    "socket.herror": _CONNECTION,
    "ssl.SSLError": _CONNECTION,
    # httpx
    "httpx.TimeoutException": _TIMEOUT,
    "httpx.PoolTimeout": _POOL,
    "httpx.RequestError": _CONNECTION,
    "httpx.DecodingError": _UNREADABLE,
    "httpx.InvalidURL": _MISCONFIGURED,
    "httpx.UnsupportedProtocol": _MISCONFIGURED,
    # other libraries
    "pydantic_core._pydantic_core.ValidationError": _INVALID,
    "qstash.errors.SignatureError": never("wrong_signature", "the signature is not QStash's", status=401),
    "starlette.requests.ClientDisconnect": never("client_disconnected", "the caller hung up half-way", status=400),
}
"""The errors of libraries, by the dotted name of the class or of its nearest base that is listed."""

Source = Literal["http", "qstash", "database"]


def of_status(status: int | None, source: Source, *, retry_after: float | None = None) -> Verdict:
    """Returns the verdict on an HTTP `status` from `source`. 408 and 425 are the 4xx that pass with time.

    Of the other 4xx only 413 may be the event's: it is too large. The rest says that the way is wrong: a key, an
    address, a route, a proxy's own page.
    """
    if status is None or not 400 <= status <= 599:
        return UNKNOWN
    if status == 429:
        return retry(f"{source}_rate_limited", "a rate limit is reached", status=429, retry_after=retry_after)
    if status in (408, 425) or status >= 500:
        message = f"answered HTTP {status}"
        return retry(f"{source}_unavailable", message, status=status, retry_after=retry_after)
    if status == 413:
        return never(f"{source}_refused", f"answered HTTP {status}", status=status)
    # At Supabase such an answer without a code of PostgREST's own comes from a gateway, and often passes.
    after_s = MINUTE_S if source == "database" else MEND_S
    return outage(f"{source}_refused", f"answered HTTP {status}", status=status, retry_after=retry_after or after_s)


_AWAY = retry("database_unavailable", "the database can not be reached", status=503)
_OVERLOADED = retry("database_overloaded", "the database has no room for more", status=503)
_SLOW = retry("database_timeout", "the database called a statement off", status=504)
_CONFLICT = retry("database_conflict", "another transaction was in the way", status=503)
_UNDONE = replace(_CONFLICT, repeat_at_once=True)
_STALE = outage("database_schema_stale", "PostgREST does not know the schema yet", retry_after=10.0)
_READ_ONLY = outage("database_read_only", "the database takes no writes", retry_after=MINUTE_S)
_FAULT = retry("database_fault", "the database met an error of its own", status=500)
_DATA = never("database_invalid_data", "the database does not take the data")
_CONSTRAINT = never("database_constraint", "the data breaks a rule of the database")
_STATEMENT = outage("database_statement_refused", "the database does not take the statement: a migration is missing?")
_RAISED = outage("database_raised", "a function of the database refused: a trigger of your own?")
_TOO_COMPLEX = never("database_limit", "the data is too large or too complex for the database")
_REQUEST = outage("database_request_refused", "PostgREST does not take the request")
_KEY = outage("bad_configuration", "the database refuses SUPABASE_SERVICE_ROLE_KEY or its role")
# For an `sb_secret_…` key Supabase's gateway makes a JWT that lives for seconds, and now and then PostgREST refuses it:
# "JWT issued at future". The same request works a second later.
_JWT = outage(
    "bad_configuration", "PostgREST refuses the JWT of SUPABASE_SERVICE_ROLE_KEY, for now or for good", retry_after=10.0
)

BY_DATABASE_CODE: Final[Mapping[str, Verdict]] = {
    # SQLSTATE (PostgreSQL, "PostgreSQL Error Codes"), by its longest beginning that is listed
    "08": _AWAY,
    "0L": _KEY,
    "0P": _KEY,
    "21": _STATEMENT,
    "22": _DATA,
    "22023": _STATEMENT,  # invalid_parameter_value: our own functions raise it for a call of another version
    "23": _CONSTRAINT,
    "25006": _READ_ONLY,  # a standby after a failover, or Supabase with a full disk
    "25P03": _SLOW,
    "25P04": _SLOW,
    "28": _KEY,
    "3F": _STATEMENT,
    "40": _CONFLICT,
    # serialization_failure, deadlock_detected: the database undid the whole transaction so that another could go on.
    # The call is repeated at once: an event that waited for QStash's next attempt would meet its own lease.
    "40001": _UNDONE,
    "40P01": _UNDONE,
    "42": _STATEMENT,
    "42501": _KEY,
    "53": _OVERLOADED,
    "54": _TOO_COMPLEX,
    "55006": _CONFLICT,
    "55P03": _CONFLICT,
    "57014": _SLOW,
    "57P0": _AWAY,
    "58": _FAULT,
    "P0": _RAISED,
    "XX": _FAULT,
    # PostgREST ("Errors")
    "PGRST00": _AWAY,
    "PGRST003": _OVERLOADED,
    "PGRST1": _REQUEST,
    "PGRST200": _STALE,
    "PGRST201": _REQUEST,
    "PGRST202": _STALE,
    "PGRST203": _REQUEST,
    "PGRST204": _STALE,
    "PGRST205": _STALE,
    "PGRST30": _JWT,
    "PGRSTX": _FAULT,
}

BY_GATEWAY_WORDS: Final[Mapping[str, Verdict]] = {
    "Invalid API key": _KEY,
    "No API key found in request": _KEY,
}
"""Supabase's gateway, in front of PostgREST, refuses a key with these words and without a code."""

_DATABASE_CODE = re.compile(r"[0-9A-Z]{5}|PGRST[0-9A-Z]{3}")


def of_database(code: object) -> Verdict:
    """Returns the verdict on the `code` of a PostgREST error.

    The code is a SQLSTATE or `PGRST…`; it is an HTTP status if the answer was not PostgREST's own JSON.
    """
    text = code if isinstance(code, str) else str(whole_number(code))
    if len(text) == 3:
        return of_status(whole_number(text), "database")
    if not _DATABASE_CODE.fullmatch(text):
        return UNKNOWN
    beginnings = (text[:length] for length in range(len(text), 1, -1))
    listed = next((BY_DATABASE_CODE[beginning] for beginning in beginnings if beginning in BY_DATABASE_CODE), None)
    return UNKNOWN if listed is None else replace(listed, message=f"{listed.message} ({text})")
