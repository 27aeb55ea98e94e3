"""One HTTP call to Meta's Graph API: with credentials, a deadline, a bounded answer, and failures told apart.

No token gets out in an exception, a repr or a log line.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import httpx

from lib.core.safe_json import decode_clean
from lib.core.settings import LoginFlavour
from lib.errors.exceptions import BadJson, GraphError, GraphTransportError, InvalidPayload
from lib.graph.usage import Usage, longest_regain_s, read_usage
from lib.http.errors import MetClosed

MAX_ANSWER_BYTES = 1_000_000
"""Twenty messages of a conversation are about 40 kB. A larger answer is not Meta's."""

_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_TOKEN_EXPIRED = 190
_NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
"""They are raised before a byte of the request is written. After any other error Meta may have the request."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Our account (`entry.id`), its token, the log-in that issued the token, and the secret of that app."""

    account_id: str
    token: str = field(repr=False)
    flavour: LoginFlavour
    app_secret: str = field(default="", repr=False)

    def proof(self) -> dict[str, str]:
        """Returns `appsecret_proof` (Meta, "Secure Graph API Calls"), or nothing without a secret."""
        if not self.app_secret:
            return {}
        digest = hmac.new(self.app_secret.encode(), self.token.encode(), hashlib.sha256).hexdigest()
        return {"appsecret_proof": digest}


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `path` has no host and no version; `query` may hold secrets, so no repr shows it.

    `changes`: the GET changes something at Meta, so it is not made twice.
    """

    method: Literal["GET", "POST"]
    path: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Mapping[str, object] | None = field(default=None, repr=False)
    versioned: bool = True
    bearer: bool = True
    is_send: bool = False
    changes: bool = False


class GraphTransport:
    """Makes calls through the given clients, and does not close them.

    A GET may go out on a connection that `http` has kept. Meta closes idle connections, sometimes just when a request
    arrives, and then nobody knows whether Meta has read the request. A send that may have left is never repeated. So a
    POST goes through `fresh_http`, which keeps no connection. Without `fresh_http`, `http` must keep none.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        version: str,
        instagram_url: str,
        facebook_url: str,
        fresh_http: httpx.AsyncClient | None = None,
    ) -> None:
        self._http = http
        self._fresh_http = fresh_http or http
        self._version = version
        self._hosts: dict[LoginFlavour, str] = {
            "instagram": instagram_url.rstrip("/"),
            "facebook": facebook_url.rstrip("/"),
        }
        self._usage: dict[str, dict[str, Usage]] = {}
        logging.getLogger("httpx").addFilter(_QUERY_HIDER)

    def usage(self, account_id: str) -> dict[str, Usage]:
        """Returns the use of each limit (`app`, or Meta's `type`) in Meta's last answer to this account."""
        return dict(self._usage.get(account_id, {}))

    async def call(self, creds: Credentials, call: Call, *, timeout_s: float) -> dict[str, object]:
        """Returns Meta's answer: a JSON object, made storable (`core.safe_json.clean`).

        `timeout_s` bounds the whole call. Raises `GraphError` if Meta refuses, `GraphTransportError` if there is no
        answer or an unreadable one, and `InvalidPayload` for an id that cannot be part of a path.
        """
        url = self._url(creds, call)
        if timeout_s <= 0:
            raise GraphTransportError(kind="timeout", request_left=False, is_send=call.is_send)
        if not _TOKEN.fullmatch(creds.token):  # httpx would put it into its complaint
            raise _no_token(is_send=call.is_send)
        # The error is raised here and not where it was caught: the httpx error holds the URL and the headers, and
        # must not travel on as the context of this one.
        answer = await self._exchange(creds, call, url, timeout_s)
        if isinstance(answer, GraphTransportError):
            raise answer
        usage = read_usage(answer.headers, now_s=time.monotonic())
        body = _json(answer.body)
        if not 200 <= answer.status < 300 or (isinstance(body, dict) and "error" in body):
            self._usage.setdefault(creds.account_id, {}).update(usage)
            raise GraphError.from_response(
                answer.status, answer.headers, body, is_send=call.is_send, regain_s=longest_regain_s(usage)
            )
        # Meta names a limit only when some of it is used: a limit that a good answer leaves out is far away.
        self._usage[creds.account_id] = usage
        if not isinstance(body, dict):
            raise unreadable(call)
        return body

    def _url(self, creds: Credentials, call: Call) -> str:
        version = (self._version,) if call.versioned else ()
        return "/".join((self._hosts[creds.flavour], *version, *map(path_segment, call.path)))

    async def _exchange(
        self, creds: Credentials, call: Call, url: str, timeout_s: float
    ) -> "_Answer | GraphTransportError":
        """Makes the call. A GET that finds its kept connection closed is made once more, on a fresh connection."""
        deadline_s = time.monotonic() + timeout_s
        if call.method != "GET" or call.changes:
            return await self._attempt(self._fresh_http, creds, call, url, timeout_s)
        answer = await self._attempt(self._http, creds, call, url, timeout_s)
        left_s = deadline_s - time.monotonic()
        if not isinstance(answer, _MetClosed) or left_s <= 0:
            return answer
        return await self._attempt(self._fresh_http, creds, call, url, left_s)

    async def _attempt(
        self, http: httpx.AsyncClient, creds: Credentials, call: Call, url: str, timeout_s: float
    ) -> "_Answer | GraphTransportError":
        try:
            async with asyncio.timeout(timeout_s):
                response = await http.request(
                    call.method,
                    url,
                    params={**call.query, **creds.proof()},
                    content=None if call.body is None else json.dumps(call.body),
                    headers=_headers(creds, call),
                    follow_redirects=False,
                    # The wait for a free connection ends first, so that it can be told from a slow answer.
                    timeout=httpx.Timeout(timeout_s, pool=timeout_s * 0.9),
                )
        except (TimeoutError, httpx.RequestError) as error:
            kind = _MetClosed if isinstance(error.__cause__, MetClosed) else GraphTransportError
            return kind(
                kind="timeout" if isinstance(error, TimeoutError | httpx.TimeoutException) else "connection",
                request_left=not isinstance(error, _NEVER_LEFT),
                is_send=call.is_send,
            )
        return _Answer(response.status_code, response.headers, response.content)


def path_segment(value: str) -> str:
    """Returns `value`, which can stand in a path. Raises `InvalidPayload`: no id from outside may steer a call."""
    if not _SEGMENT.fullmatch(value):
        raise InvalidPayload(None, "an id for the Graph API may hold only letters, digits, _ and -")
    return value


def unreadable(call: Call) -> GraphTransportError:
    """Returns the error for an answer that cannot be read: a send may have been done."""
    return GraphTransportError(kind="connection", request_left=True, is_send=call.is_send)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes


class _MetClosed(GraphTransportError):
    """The request went out on a kept connection that Meta had closed."""


class _QueryHider(logging.Filter):
    """Removes the query from URLs that httpx logs: a token refresh has its token there."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                argument.copy_with(query=None) if isinstance(argument, httpx.URL) else argument
                for argument in record.args
            )
        return True


_QUERY_HIDER = _QueryHider()


def _headers(creds: Credentials, call: Call) -> dict[str, str]:
    # Not compressed, so that MAX_ANSWER_BYTES bounds the memory too.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if call.bearer:
        headers["Authorization"] = f"Bearer {creds.token}"
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    return headers


def _json(body: bytes) -> object:
    try:
        return decode_clean(body)
    except BadJson:
        return None


def _no_token(*, is_send: bool) -> GraphError:
    """Returns Meta's answer to a missing or mangled token, without a call."""
    return GraphError(
        status=401,
        code=_TOKEN_EXPIRED,
        subcode=None,
        is_transient=False,
        retry_after=None,
        fbtrace_id=None,
        is_send=is_send,
    )
