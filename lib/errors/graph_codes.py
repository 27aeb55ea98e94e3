"""What Meta's error codes mean for us.

Sources: Meta, "Handling Errors" (Graph API), "Error Codes" (Messenger Platform) and "Rate Limits", and answers that
others saw in production. (code, subcode) decides, then the code, then the HTTP status. `type` never decides: a closed
window is an `OAuthException` too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from lib.errors.verdict import UNKNOWN, AccountState, Verdict

Kind: TypeAlias = Literal["refused", "limited", "passing", "ambiguous", "ours", "stopped", "needs_reauth", "done"]
"""refused: not done, and it never will be. limited, passing: not done; try later. ambiguous: it may have been done.
ours: not done, until a person mends the app. needs_reauth: not done, until the owner logs in again. stopped: not done,
and no other send of the account will be done: that is Meta's decision about the account, for a person to look at, and
sends must not wait for it. done: done, in spite of the error.
"""

_NO_CONSENT = 230
_PERSON_SUBCODES = frozenset({33, 2018001, 2534014})
"""Of code 100: the id belongs to nobody, or is not visible to us. Other fields would not help."""

_STATUS: Final[Mapping[Kind, int]] = {
    "refused": 400,
    "limited": 429,
    "passing": 503,
    "ambiguous": 502,
    "ours": 403,
    "stopped": 403,
    "needs_reauth": 401,
    "done": 200,
}
_STATES: Final[Mapping[Kind, AccountState]] = {"stopped": "stopped", "needs_reauth": "needs_reauth"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of the tables."""

    kind: Kind
    code: str
    message: str


_LIMITED = Meaning("limited", "graph_rate_limited", "Meta's rate limit is reached")
_UNAVAILABLE = Meaning("ambiguous", "graph_unavailable", "Meta could not answer")
_TRANSIENT = Meaning("passing", "graph_unavailable", "Meta says that it passes")
_PERMISSION = Meaning("ours", "graph_permission_missing", "the app lacks a permission, or is not live")
_WINDOW = Meaning("refused", "graph_outside_window", "the person's last message is more than 24 hours ago")
_NOBODY = Meaning("refused", "graph_no_such_person", "no person of that id, or not for this account")
_UNAVAILABLE_PERSON = Meaning("refused", "graph_person_unavailable", "the person does not receive messages now")
_REPLIED = Meaning("refused", "graph_already_replied", "the comment had its one private reply")
_COMMENT = Meaning("refused", "graph_comment_gone", "the comment is gone")
_PARAMETER = Meaning("refused", "graph_invalid_parameter", "Meta does not take a parameter")
_TOKEN = Meaning(
    "needs_reauth", "graph_token_invalid", "the access token is dead; the account has to be connected anew"
)
_SESSION = Meaning("needs_reauth", "graph_session_invalid", "the session is dead; the account has to be connected anew")
_REFUSED = Meaning("refused", "graph_refused", "Meta refused the call")

BY_SUBCODE: Final[Mapping[tuple[int, int], Meaning]] = {
    (1, 1357046): Meaning("done", "graph_already_sent", "Meta sent the message, and answered with an error"),
    (2, 1545133): Meaning("passing", "graph_unavailable", "Meta's messaging is away"),
    (2, 2018344): Meaning("ours", "graph_terms_not_accepted", "the page has terms of Meta's to accept"),
    (10, 1893063): Meaning("stopped", "graph_account_restricted", "Meta keeps the account from sending for a time"),
    (10, 2018278): _WINDOW,
    (100, 33): Meaning("refused", "graph_object_not_visible", "the object is not there, or not for us to see"),
    (100, 2018001): _NOBODY,
}

OF_INSTAGRAM: Final[Mapping[int, Meaning]] = {
    2534001: Meaning("refused", "graph_thread_gone", "the owner archived or deleted the conversation"),
    2534013: Meaning("limited", "graph_private_reply_limited", "the limit of private replies is reached"),
    2534014: _NOBODY,
    2534022: _WINDOW,
    2534025: _REPLIED,
    2534029: Meaning("stopped", "graph_app_blocked", "Meta keeps the app from messaging"),
    2534041: Meaning("stopped", "graph_access_disabled", "the owner turned off access to messages"),
}
"""Instagram's own numbers. They mean the same as a subcode, under any code, and as a code."""

BY_CODE: Final[Mapping[int, Meaning]] = {
    **dict.fromkeys((1, 2), _UNAVAILABLE),
    3: Meaning("ours", "graph_capability_missing", "the app lacks a capability"),
    **dict.fromkeys((4, 17, 32, 341, 613, 80002, 80006), _LIMITED),
    10: _PERMISSION,
    100: _PARAMETER,
    102: _SESSION,
    190: _TOKEN,
    **dict.fromkeys(range(200, 300), _PERMISSION),
    230: Meaning("refused", "graph_consent_missing", "the person has not written to the account yet"),
    368: Meaning("stopped", "graph_policy_block", "Meta blocked the account for a time, for its policies"),
    551: _UNAVAILABLE_PERSON,
    9010: _NOBODY,
    10900: _COMMENT,
    10903: _REPLIED,
    **OF_INSTAGRAM,
}


def of_graph(
    code: int | None,
    subcode: int | None,
    *,
    status: int | None,
    is_transient: bool,
    retry_after: float | None,
    is_send: bool,
) -> Verdict:
    """Returns the verdict on an error of Meta's: its numbers, and its HTTP `status` (None: not known).

    With `is_send`, an error that does not say whether the message left has an unknown outcome.
    """
    meaning = _meaning(code, subcode, status, is_transient=is_transient)
    if meaning is None:
        return _unknown(UNKNOWN, is_send=is_send)
    if meaning.kind == "ambiguous":
        return _unknown(_verdict(meaning, code, subcode, retry_after), is_send=is_send)
    return _verdict(meaning, code, subcode, retry_after)


def refuses_fields(code: int | None, subcode: int | None) -> bool:
    """Returns whether Meta refused the fields that were asked for, and not the person they were asked of.

    So it does for a missing permission, or a parameter that we may not use. Fewer fields may then be answered.
    """
    if code is None or subcode in _PERSON_SUBCODES:
        return False
    return code in (10, 100) or (200 <= code <= 299 and code != _NO_CONSENT)


def of_graph_transport(kind: object, *, may_be_done: bool) -> Verdict:
    """Returns the verdict on a call without an answer. `may_be_done`: it was a send that had begun to leave."""
    if kind == "timeout":
        verdict = Verdict(True, "graph_timeout", "Meta did not answer in time", status=504)
    else:
        verdict = Verdict(True, "graph_connection_failed", "the connection to Meta failed", status=502)
    return _unknown(verdict, is_send=may_be_done)


def _meaning(code: int | None, subcode: int | None, status: int | None, *, is_transient: bool) -> Meaning | None:
    listed = _listed(code, subcode)
    # Meta's `is_transient` outweighs a refusal, but not a stop of the account or a message that was sent.
    if is_transient and listed is not None and listed.kind in ("refused", "ours"):
        return _TRANSIENT
    if listed is not None:
        return listed
    if is_transient:
        return _UNAVAILABLE
    return _by_status(status)


def _listed(code: int | None, subcode: int | None) -> Meaning | None:
    if code is not None and subcode is not None and (code, subcode) in BY_SUBCODE:
        return BY_SUBCODE[code, subcode]
    if subcode is not None and subcode in OF_INSTAGRAM:
        return OF_INSTAGRAM[subcode]
    return BY_CODE.get(code) if code is not None else None


def _by_status(status: int | None) -> Meaning | None:
    if status is None:
        return None
    if status == 429:
        return _LIMITED
    if status in (408, 425) or 500 <= status <= 599:
        return _UNAVAILABLE
    return _REFUSED if 400 <= status <= 499 else None


def _verdict(meaning: Meaning, code: int | None, subcode: int | None, retry_after: float | None) -> Verdict:
    retryable = meaning.kind in ("limited", "passing", "ambiguous")
    return Verdict(
        retryable,
        meaning.code,
        meaning.message + _numbers(code, subcode),
        retry_after=retry_after if retryable else None,
        is_outage=meaning.kind in ("ours", "needs_reauth"),
        account_state=_STATES.get(meaning.kind),
        already_done=meaning.kind == "done",
        status=_STATUS[meaning.kind],
    )


def _numbers(code: int | None, subcode: int | None) -> str:
    """Returns Meta's numbers, so that they can be looked up."""
    named = [f"{name} {number}" for name, number in (("code", code), ("subcode", subcode)) if number is not None]
    return f" ({', '.join(named)})" if named else ""


def _unknown(verdict: Verdict, *, is_send: bool) -> Verdict:
    """Returns `verdict`; for a send, one that may have left and must not be tried again."""
    if not is_send:
        return verdict
    return replace(verdict, retryable=False, outcome_unknown=True, retry_after=None)
