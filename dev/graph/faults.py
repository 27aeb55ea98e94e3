"""What goes wrong on purpose: one fault an endpoint, for everybody or one person, for a number of calls or without end.

`app` acts on the faults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product

from dev.graph import refusals
from dev.graph.refusals import Refusal

ENDPOINTS = ("send", "profile", "conversations", "me", "refresh", "subscribed_apps")
EVERY = "*"
EVERYBODY = ""


class Fault(StrEnum):
    """How an endpoint behaves. "Accepts" means that the call takes effect, and that the echo of a send is posted."""

    OK = "ok"
    LATENCY = "latency"
    """Like `ok`, after `latency_ms`. Any other fault may have a latency too."""
    TOO_MANY_REQUESTS = "429"
    SERVER_ERROR = "500"
    SERVER_ERROR_AFTER_ACCEPT = "500_after_accept"
    TRANSIENT = "transient"
    RATE_LIMIT = "rate_limit"
    RATE_LIMIT_THREAD = "rate_limit_thread"
    OUTSIDE_WINDOW = "outside_window"
    EXPIRED_TOKEN = "expired_token"
    PERMISSION_MISSING = "permission_missing"
    NO_CONSENT = "no_consent"
    USER_GONE = "user_gone"
    FIELD_REFUSED = "field_refused"
    """Refuses requests for follower and verified fields, as without their permission."""
    CUT_BEFORE_ACCEPT = "cut_before_accept"
    CUT_AFTER_ACCEPT = "cut_after_accept"
    """Accepts, then closes the connection without a byte of answer."""
    TIMEOUT_DROPPED = "timeout_dropped"
    """Never answers, and does not accept."""
    TIMEOUT_ACCEPTED = "timeout_accepted"
    """Accepts, and never answers."""
    GARBAGE = "garbage"
    """Accepts, and answers 200 with something that is not JSON."""
    ALREADY_SENT = "already_sent"
    """Accepts, and answers error 1/1357046."""
    ACTION_BLOCKED = "action_blocked"
    INVALID_PARAMETER = "invalid_parameter"
    CLOSE_KEPT = "close_kept"
    """Closes a connection on its second request, like a server that has just given up the idle connection."""


REFUSES: Mapping[Fault, Refusal] = {
    Fault.TOO_MANY_REQUESTS: refusals.TOO_MANY_REQUESTS,
    Fault.SERVER_ERROR: refusals.SERVER_ERROR,
    Fault.TRANSIENT: refusals.TRANSIENT,
    Fault.RATE_LIMIT: refusals.RATE_LIMIT,
    Fault.RATE_LIMIT_THREAD: refusals.RATE_LIMIT_THREAD,
    Fault.OUTSIDE_WINDOW: refusals.OUTSIDE_WINDOW,
    Fault.EXPIRED_TOKEN: refusals.EXPIRED_TOKEN,
    Fault.PERMISSION_MISSING: refusals.PERMISSION_MISSING,
    Fault.NO_CONSENT: refusals.NO_CONSENT,
    Fault.USER_GONE: refusals.USER_GONE,
    Fault.ACTION_BLOCKED: refusals.ACTION_BLOCKED,
    Fault.INVALID_PARAMETER: refusals.invalid_parameter("Invalid parameter"),
}
REFUSES_AFTER_ACCEPTING: Mapping[Fault, Refusal] = {
    Fault.ALREADY_SENT: refusals.ALREADY_SENT,
    Fault.SERVER_ERROR_AFTER_ACCEPT: refusals.SERVER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A fault, the wait before it, and the number of calls that it is still for (None: no end).

    `accepts`: the call takes effect, and is refused all the same. Meta was seen to do that to sends.
    """

    fault: Fault = Fault.OK
    latency_ms: int = 0
    times: int | None = None
    accepts: bool = False


class Faults:
    """The fault of each endpoint. A person's fault wins over everybody's, and an endpoint's fault over that of `*`."""

    def __init__(self) -> None:
        self._settings: dict[tuple[str, str], Setting] = {}

    def set(self, endpoint: str, setting: Setting, *, person: str = EVERYBODY) -> None:
        self._settings[person, endpoint] = setting

    def clear(self) -> None:
        self._settings.clear()

    def take(self, endpoint: str, *, person: str = EVERYBODY) -> Setting:
        """Returns the fault for one call, about `person` if it is about one, and counts the call."""
        for key in product((person, EVERYBODY), (endpoint, EVERY)):
            setting = self._settings.get(key)
            if setting is None or setting.times == 0:
                continue
            if setting.times is not None:
                self._settings[key] = replace(setting, times=setting.times - 1)
            return setting
        return Setting()
