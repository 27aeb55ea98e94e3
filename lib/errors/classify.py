"""Errors: the ones we raise ourselves, and `classify`, the one place that says what any error means.

Does no I/O, and is imported by every function: no client library is loaded for it. Must not know who asks.

The codes of a verdict, each for good:

| code | kind |
|---|---|
| `invalid_payload`, `body_too_large`, `client_disconnected`, `wrong_signature` | permanent |
| `bad_configuration`, `token_unreadable` | permanent: a person has to change a setting |
| `deadline_exceeded`, `in_progress`, `send_delayed`, `cancelled` | retryable |
| `timeout`, `pool_exhausted`, `connection_failed`, `io_failed`, `unreadable_answer` | retryable |
| `http_unavailable`, `http_rate_limited` | retryable |
| `http_refused` | permanent |
| `qstash_unavailable`, `qstash_rate_limited`, `qstash_rejected` | retryable |
| `qstash_refused` | permanent |
| `database_unavailable`, `database_rate_limited`, `database_overloaded`, `database_timeout` | retryable |
| `database_conflict`, `database_schema_stale`, `database_read_only`, `database_fault` | retryable |
| `database_refused`, `database_invalid_data`, `database_constraint`, `database_limit` | permanent |
| `database_statement_refused`, `database_request_refused`, `database_raised` | permanent |
| `graph_rate_limited`, `graph_private_reply_limited` | retryable |
| `graph_unavailable`, `graph_timeout`, `graph_connection_failed` | retryable; for a send: outcome unknown |
| `graph_already_sent` | already done |
| `graph_token_invalid`, `graph_session_invalid` | permanent; the account needs its owner's log-in |
| `graph_account_restricted`, `graph_app_blocked`, `graph_access_disabled`, `graph_policy_block` | permanent; stop |
| `graph_refused`, `graph_invalid_parameter`, `graph_object_not_visible`, `graph_outside_window` | permanent |
| `graph_no_such_person`, `graph_person_unavailable`, `graph_consent_missing`, `graph_thread_gone` | permanent |
| `graph_already_replied`, `graph_comment_gone`, `graph_terms_not_accepted` | permanent |
| `graph_permission_missing`, `graph_capability_missing` | permanent |
| `unknown_error` | retryable |
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from lib.errors.exceptions import (
    BadConfiguration,
    GraphError,
    GraphTransportError,
    InProgress,
    InvalidPayload,
    QueueRejected,
    SendDelayed,
)
from lib.errors.retry_after import delay_in, delay_s, delay_until_s, whole_number
from lib.errors.tables import BY_GATEWAY_WORDS, BY_TYPE, of_database, of_status
from lib.errors.verdict import UNKNOWN, Verdict, never, retry

# Compiled where they are first used: every function imports this, and hardly any call gets here.
_QUOTED = r"(?s)(['\"]).*\1"
_SDK_STATUS = r"Request failed with status: ([0-9]{3})\b"


def classify(error: BaseException | Mapping[str, object]) -> Verdict:
    """What `error` means: any exception, or the error body of Graph, PostgREST or QStash. Never raises.

    An exception is judged by its own type or the nearest base that is known, a group by its members: it is
    permanent only if every one of them is.
    """
    try:
        if isinstance(error, Mapping):
            return _of_body(error)
        if isinstance(error, BaseExceptionGroup):
            return _of_group(error)
        return _of_exception(error)
    except Exception:
        # The attributes of a stranger's error may hold anything, or raise when they are read.
        return UNKNOWN


def _of_exception(error: BaseException) -> Verdict:
    for kind in type(error).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _BY_ATTRIBUTES:
            return _BY_ATTRIBUTES[name](error)
        if name in BY_TYPE:
            return BY_TYPE[name]
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


def _of_invalid_payload(error: InvalidPayload) -> Verdict:
    # msgspec quotes a value it does not know ("Invalid enum value '…'"), and it may be somebody's words.
    words = re.sub(_QUOTED, "…", str(error.message))[:500]
    return never("invalid_payload", f"{error.path}: {words}" if error.path else words)


def _of_bad_configuration(error: BadConfiguration) -> Verdict:
    return never("bad_configuration", " ".join(error.problems.values()), status=500)


def _of_in_progress(error: InProgress) -> Verdict:
    return retry("in_progress", "another worker is at it", status=503, retry_after=delay_s(error.retry_after))


def _of_send_delayed(error: SendDelayed) -> Verdict:
    return retry("send_delayed", "a reply has to wait for its turn", status=503, retry_after=delay_s(error.retry_after))


def _of_queue_rejected(error: QueueRejected) -> Verdict:
    verdict = of_status(whole_number(error.status), "qstash")
    return retry("qstash_rejected", "QStash did not take a message", status=502) if verdict is UNKNOWN else verdict


def _of_graph_error(error: GraphError) -> Verdict:
    from lib.errors.graph_codes import of_graph  # noqa: PLC0415  long tables, for who calls Meta

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
    """The SDK (3.4.0) has the status in its message alone, in front of the body."""
    found = re.match(_SDK_STATUS, str(error.args[0])) if error.args else None
    return of_status(whole_number(found.group(1)) if found else None, "qstash")


def _of_qstash_limit(error: Any) -> Verdict:
    return of_status(429, "qstash", retry_after=delay_until_s(error.reset))


def _of_postgrest(error: Any) -> Verdict:
    verdict = of_database(error.code)
    return BY_GATEWAY_WORDS.get(str(error.message), UNKNOWN) if verdict is UNKNOWN else verdict


_OURS = "lib.errors.exceptions"
_BY_ATTRIBUTES: Final[Mapping[str, Callable[[Any], Verdict]]] = {
    f"{_OURS}.InvalidPayload": _of_invalid_payload,
    f"{_OURS}.BadConfiguration": _of_bad_configuration,
    f"{_OURS}.InProgress": _of_in_progress,
    f"{_OURS}.QueueRejected": _of_queue_rejected,
    f"{_OURS}.SendDelayed": _of_send_delayed,
    f"{_OURS}.GraphError": _of_graph_error,
    f"{_OURS}.GraphTransportError": _of_graph_transport,
    "httpx.HTTPStatusError": _of_http_status,
    "qstash.errors.QStashError": _of_qstash,
    "qstash.errors.RateLimitExceededError": _of_qstash_limit,
    "qstash.errors.DailyMessageLimitExceededError": _of_qstash_limit,
    "postgrest.exceptions.APIError": _of_postgrest,
}
"""Types whose attributes say what they mean; `BY_TYPE` has those that say it by themselves."""
