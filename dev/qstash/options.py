"""The options that a publisher gives in headers, read and checked.

Source: Upstash, API reference, "Publish a Message".
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast, get_args

from dev.qstash.backoff import DEFAULT_RETRIES
from dev.qstash.destinations import check_url
from dev.qstash.durations import parse_duration_s
from dev.qstash.errors import bad_request
from dev.qstash.expression import Expression, parse_expression
from dev.qstash.limits import Limits, check_key, parse_limits
from dev.qstash.methods import Method
from dev.qstash.redaction import Redaction, parse_redaction

HeaderPairs = tuple[tuple[str, str], ...]
"""Header names in canonical form (`My-Header`) with their values, in order."""

MAX_DEDUPLICATION_ID = 512

_FORWARD = "Upstash-Forward-"
_CALLBACK = "Upstash-Callback-"
_FAILURE_CALLBACK = "Upstash-Failure-Callback-"

# The connection to the destination has its own framing, so these headers are not forwarded.
_NOT_FORWARDED = {"Content-Length", "Transfer-Encoding", "Connection", "Host", "Upgrade"}

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_UNSENDABLE = re.compile("[\r\n\0\ud800-\udfff]")

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Options:
    """The checked options of one publish request.

    `source` are the headers it was read from, so that a schedule can publish again.
    `forwarded` are the headers the destination gets, `Content-Type` included.
    """

    source: HeaderPairs
    method: Method
    forwarded: HeaderPairs
    timeout_s: float | None
    retries: int
    retry_delay: Expression | None
    delay_s: float
    not_before_s: int | None
    labels: tuple[str, ...]
    flow_key: str | None
    limits: Limits | None
    deduplication_id: str | None
    content_based: bool
    callback: str | None
    callback_source: HeaderPairs
    failure_callback: str | None
    failure_callback_source: HeaderPairs
    redaction: Redaction


def canonical(name: str) -> str:
    """`upstash-RETRIES` becomes `Upstash-Retries`, as Go writes header names."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def read_source(headers: Iterable[tuple[str, str]]) -> HeaderPairs:
    """Returns the headers that describe the message: `Upstash-*` and `Content-Type`."""
    pairs = ((canonical(name), value.strip()) for name, value in headers)
    return tuple((name, value) for name, value in pairs if name == "Content-Type" or name.startswith("Upstash-"))


def parse_options(source: HeaderPairs) -> Options:
    """Reads and checks headers. Raises `ApiError` 400 that names the wrong header."""
    named: dict[str, str] = {}
    for name, value in source:
        # HTTP guards the headers of a single request. The headers of a batch item are JSON and can hold anything.
        if not _TOKEN.fullmatch(name) or _UNSENDABLE.search(value):
            raise bad_request(f"invalid header {name[:60]!r}")
        named.setdefault(name, value)
    flow_key, limits = _flow_control(named)
    return Options(
        source=source,
        method=_method(named),
        forwarded=_forwarded(source),
        timeout_s=_read(named, "Upstash-Timeout", parse_duration_s),
        retries=_natural(named, "Upstash-Retries", DEFAULT_RETRIES),
        retry_delay=_read(named, "Upstash-Retry-Delay", parse_expression),
        delay_s=_read(named, "Upstash-Delay", parse_duration_s) or 0.0,
        not_before_s=_natural(named, "Upstash-Not-Before", 0) if "Upstash-Not-Before" in named else None,
        labels=tuple(label.strip() for label in named.get("Upstash-Label", "").split(",") if label.strip()),
        flow_key=flow_key,
        limits=limits,
        deduplication_id=_deduplication_id(named),
        content_based=_flag(named, "Upstash-Content-Based-Deduplication"),
        callback=_url(named, "Upstash-Callback"),
        callback_source=_callback_source(source, _CALLBACK),
        failure_callback=_url(named, "Upstash-Failure-Callback"),
        failure_callback_source=_callback_source(source, _FAILURE_CALLBACK),
        redaction=_read(named, "Upstash-Redact-Fields", parse_redaction) or Redaction(),
    )


def _read(named: Mapping[str, str], name: str, parse: Callable[[str], _Value]) -> _Value | None:
    value = named.get(name)
    if value is None:
        return None
    try:
        return parse(value)
    except ValueError as error:
        raise bad_request(f"invalid {name} header: {error}") from None


def _method(named: Mapping[str, str]) -> Method:
    method = named.get("Upstash-Method", "POST").upper()
    if method not in get_args(Method):
        raise bad_request(f"invalid Upstash-Method header: {method!r} is not one of {get_args(Method)}")
    return cast(Method, method)


def _natural(named: Mapping[str, str], name: str, default: int) -> int:
    value = named.get(name)
    if value is None:
        return default
    if not re.fullmatch(r"\d{1,12}", value, re.ASCII):
        raise bad_request(f"invalid {name} header: {value[:40]!r} is not a non-negative integer")
    return int(value)


def _flag(named: Mapping[str, str], name: str) -> bool:
    # The Python SDK sends `True`, the documentation says `true`.
    value = named.get(name, "false").lower()
    if value not in ("true", "false"):
        raise bad_request(f"invalid {name} header: {value[:40]!r} is neither true nor false")
    return value == "true"


def _deduplication_id(named: Mapping[str, str]) -> str | None:
    value = named.get("Upstash-Deduplication-Id")
    if value is None:
        return None
    if not (value.isprintable() and 0 < len(value) <= MAX_DEDUPLICATION_ID):
        raise bad_request(
            f"invalid Upstash-Deduplication-Id header: expected 1 to {MAX_DEDUPLICATION_ID} printable characters"
        )
    if ":" in value:
        raise bad_request("invalid Upstash-Deduplication-Id header: an id cannot contain ':'")
    return value


def _url(named: Mapping[str, str], name: str) -> str | None:
    return _read(named, name, check_url)


def _flow_control(named: Mapping[str, str]) -> tuple[str | None, Limits | None]:
    key = _read(named, "Upstash-Flow-Control-Key", check_key)
    limits = _read(named, "Upstash-Flow-Control-Value", parse_limits)
    if (key is None) != (limits is None):
        raise bad_request("Upstash-Flow-Control-Key and Upstash-Flow-Control-Value must be given together")
    return key, limits


def _forwarded(source: HeaderPairs) -> HeaderPairs:
    pairs = ((name.removeprefix(_FORWARD), value) for name, value in source if name.startswith(_FORWARD))
    forwarded = tuple((name, value) for name, value in pairs if name and name not in _NOT_FORWARDED)
    if any(name == "Content-Type" for name, _ in forwarded):
        return forwarded
    return tuple(pair for pair in source if pair[0] == "Content-Type")[:1] + forwarded


def _callback_source(source: HeaderPairs, prefix: str) -> HeaderPairs:
    """`Upstash-Callback-Retries: 1` is to the callback what `Upstash-Retries: 1` is to the message."""
    return tuple(
        (f"Upstash-{name.removeprefix(prefix)}", value)
        for name, value in source
        if name.startswith(prefix) and name != prefix
    )
