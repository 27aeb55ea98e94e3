"""Any exception or error body → verdict: retryable or permanent, and why.

Every function imports this module, so it loads no client library: their errors are known by name (`tables.py`).

The codes of a verdict. A code never changes its meaning. An outage is a fault of ours and of no event: it is retried,
and what waits for it stays planned. (A call to Meta that failed so is not repeated as it is: the same token, or the
same app, would be refused again.)

| code | kind |
|---|---|
| `invalid_payload`, `too_many_events`, `body_too_large`, `client_disconnected`, `wrong_signature` | permanent |
| `bad_configuration`, `token_unreadable` | outage: a person has to change a setting |
| `deadline_exceeded`, `in_progress`, `send_delayed`, `cancelled` | retryable |
| `timeout`, `pool_exhausted`, `connection_failed`, `io_failed`, `unreadable_answer` | retryable |
| `http_unavailable`, `http_rate_limited` | retryable |
| `http_refused` | outage |
| `qstash_unavailable`, `qstash_rate_limited`, `qstash_rejected` | retryable |
| `qstash_refused` | outage; 413: permanent |
| `database_unavailable`, `database_rate_limited`, `database_overloaded`, `database_timeout` | retryable |
| `database_conflict`, `database_fault` | retryable |
| `database_schema_stale`, `database_read_only` | outage |
| `database_statement_refused`, `database_request_refused`, `database_raised` | outage |
| `database_refused` | outage; 413: permanent |
| `database_invalid_data`, `database_constraint`, `database_limit` | permanent |
| `graph_rate_limited`, `graph_private_reply_limited` | retryable |
| `graph_unavailable`, `graph_timeout`, `graph_connection_failed` | retryable; for a send: outcome unknown |
| `graph_already_sent` | already done |
| `graph_token_invalid`, `graph_session_invalid` | outage: the account needs its owner's log-in |
| `graph_account_restricted`, `graph_app_blocked`, `graph_access_disabled`, `graph_policy_block` | permanent; stop |
| `graph_refused`, `graph_invalid_parameter`, `graph_object_not_visible`, `graph_outside_window` | permanent |
| `graph_no_such_person`, `graph_person_unavailable`, `graph_consent_missing`, `graph_thread_gone` | permanent |
| `graph_already_replied`, `graph_comment_gone` | permanent |
| `graph_permission_missing`, `graph_capability_missing`, `graph_terms_not_accepted` | outage |
| `unknown_error` | retryable |
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from lib.errors.exceptions import (
    BadConfiguration,
    GraphError,
    GraphTransportError,
    InProgress,
    InvalidPayload,
    NotRecorded,
    QueueRejected,
    SendDelayed,
    TooManyEvents,
)
from lib.errors.retry_after import delay_in, delay_s, delay_until_s, whole_number
from lib.errors.tables import BY_CLASS, BY_GATEWAY_WORDS, BY_NAME, of_database, of_status
from lib.errors.verdict import UNKNOWN, Verdict, never, outage, retry

FailedSendEnd: TypeAlias = Literal["sent", "failed", "unknown", "planned"]
"""`planned`: the send certainly did not leave, and is tried again."""

# Compiled at their first use: every function imports this module, and few calls get here.
_QUOTED = r"(?s)(['\"]).*\1"
_SDK_STATUS = r"Request failed with status: ([0-9]{3})\b"


def classify(error: BaseException | Mapping[str, object]) -> Verdict:
    """Returns the verdict on any exception, or on an error body of Graph, PostgREST or QStash. Never raises.

    The type of an exception decides, or its nearest known base. A group is permanent only if each member is.
    """
    try:
        if isinstance(error, Mapping):
            return _of_body(error)
        if isinstance(error, BaseExceptionGroup):
            return _of_group(error)
        return _of_exception(error)
    except Exception:
        # The attributes of a foreign error may hold anything, or raise when they are read.
        return UNKNOWN


def end_of_failed_send(error: Exception, verdict: Verdict) -> FailedSendEnd:
    """Returns how a send that raised `error` ended: only a send that certainly did not leave may be repeated."""
    if verdict.already_done:
        return "sent"
    if verdict.outcome_unknown:
        return "unknown"
    if verdict.is_outage:
        return "planned"
    if not verdict.retryable:
        return "failed"
    # An error from elsewhere than Meta's API says nothing about the message.
    return "planned" if isinstance(error, GraphError | GraphTransportError) else "unknown"


def never_left(error: Exception) -> bool:
    """Returns whether a send that raised `error` certainly did not reach Meta."""
    return isinstance(error, GraphTransportError) and not error.request_left


def _of_exception(error: BaseException) -> Verdict:
    for kind in type(error).__mro__:
        if kind in _BY_CLASS:
            return _BY_CLASS[kind](error)
        if kind in BY_CLASS:
            return BY_CLASS[kind]
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _BY_NAME:
            return _BY_NAME[name](error)
        if name in BY_NAME:
            return BY_NAME[name]
    return UNKNOWN


def _of_group(group: BaseExceptionGroup[BaseException]) -> Verdict:
    verdicts = [classify(member) for member in group.exceptions]
    return next((verdict for verdict in verdicts if verdict.retryable), verdicts[0])


def _of_body(body: Mapping[str, object]) -> Verdict:
    """Graph's `{"error": {code, …}}`, PostgREST's `{code, message, …}`, QStash's `{"error": …, "status"?}`."""
    error = body.get("error")
    if isinstance(error, Mapping):
        return _of_graph_error(GraphError.from_response(0, {}, body, is_send=False))
    if "code" in body:
        return of_database(body["code"])
    return of_status(whole_number(body.get("status")), "qstash")


def _of_too_many_events(error: TooManyEvents) -> Verdict:
    return never("too_many_events", f"{error.path} {error.message}", status=413)


def _of_invalid_payload(error: InvalidPayload) -> Verdict:
    # A quoted part could be somebody's words. Our own messages quote a field or an expected value in backticks.
    message = re.sub(_QUOTED, "…", str(error.message))[:500]
    return never("invalid_payload", f"{error.path}: {message}" if error.path else message)


def _of_bad_configuration(error: BadConfiguration) -> Verdict:
    return outage("bad_configuration", " ".join(error.problems.values()))


def _of_in_progress(error: InProgress) -> Verdict:
    return retry("in_progress", "another worker is at it", status=503, retry_after=delay_s(error.retry_after))


def _of_send_delayed(error: SendDelayed) -> Verdict:
    return retry("send_delayed", "a reply has to wait for its turn", status=503, retry_after=delay_s(error.retry_after))


def _of_queue_rejected(error: QueueRejected) -> Verdict:
    verdict = of_status(whole_number(error.status), "qstash")
    return retry("qstash_rejected", "QStash did not take a message", status=502) if verdict is UNKNOWN else verdict


def _of_graph_error(error: GraphError) -> Verdict:
    from lib.errors.graph_codes import of_graph  # noqa: PLC0415  long tables, needed only after a call to Meta

    return of_graph(
        whole_number(error.code),
        whole_number(error.subcode),
        status=whole_number(error.status),
        is_transient=error.is_transient is True,
        retry_after=delay_s(error.retry_after),
        is_send=bool(error.is_send),
    )


def _of_graph_transport(error: GraphTransportError) -> Verdict:
    from lib.errors.graph_codes import of_graph_transport  # noqa: PLC0415

    return of_graph_transport(error.kind, may_be_done=bool(error.is_send and error.request_left))


def _of_http_status(error: Any) -> Verdict:
    response = error.response
    return of_status(whole_number(response.status_code), "http", retry_after=delay_in(response.headers))


def _of_qstash(error: BaseException) -> Verdict:
    """The SDK (3.4.0) puts the status only into its message, before the body."""
    found = re.match(_SDK_STATUS, str(error.args[0])) if error.args else None
    return of_status(whole_number(found.group(1)) if found else None, "qstash")


def _of_qstash_limit(error: Any) -> Verdict:
    return of_status(429, "qstash", retry_after=delay_until_s(error.reset))


def _of_not_recorded(error: NotRecorded) -> Verdict:
    return of_database(error.code)


def _of_postgrest(error: Any) -> Verdict:
    verdict = of_database(error.code)
    return BY_GATEWAY_WORDS.get(str(error.message), UNKNOWN) if verdict is UNKNOWN else verdict


_BY_CLASS: Final[Mapping[type, Callable[[Any], Verdict]]] = {
    InvalidPayload: _of_invalid_payload,
    TooManyEvents: _of_too_many_events,
    BadConfiguration: _of_bad_configuration,
    InProgress: _of_in_progress,
    NotRecorded: _of_not_recorded,
    QueueRejected: _of_queue_rejected,
    SendDelayed: _of_send_delayed,
    GraphError: _of_graph_error,
    GraphTransportError: _of_graph_transport,
}
_BY_NAME: Final[Mapping[str, Callable[[Any], Verdict]]] = {
    "httpx.HTTPStatusError": _of_http_status,
    "qstash.errors.QStashError": _of_qstash,
    "qstash.errors.RateLimitExceededError": _of_qstash_limit,
    "qstash.errors.DailyMessageLimitExceededError": _of_qstash_limit,
    "postgrest.exceptions.APIError": _of_postgrest,
}
"""Errors whose attributes decide. The errors whose type decides alone are in `tables.py`."""
