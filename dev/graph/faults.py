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
    ACTION_BLOCKED = "action_blocked"
    """Error 4/2207051."""
    SPAM_SUSPECTED = "spam_suspected"
    """Error 20/1772107."""
    INVALID_PARAMETER = "invalid_parameter"
    """Error 100."""
    EXPIRED_TOKEN = "expired_token"
    PERMISSION_MISSING = "permission_missing"
    UNAVAILABLE = "unavailable"
    """Error 551: the person does not receive messages."""
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
    CLOSE_AFTER_ANSWER = "close_after_answer"
    """Like `ok`. Then the connection is closed at once, and no header has said so."""
    CLOSE_IDLE = "close_idle"
    """Like `ok`. Then the connection is closed if no other request comes on it soon (`IDLE_S`)."""
    CLOSE_KEPT = "close_kept"
    """Closes a connection that the client has kept, just as the next request arrives, and does not accept."""


REFUSES: Mapping[Fault, Refusal] = {
    Fault.TOO_MANY_REQUESTS: refusals.TOO_MANY_REQUESTS,
    Fault.SERVER_ERROR: refusals.SERVER_ERROR,
    Fault.TRANSIENT: refusals.TRANSIENT,
    Fault.RATE_LIMIT: refusals.RATE_LIMIT,
    Fault.RATE_LIMIT_THREAD: refusals.RATE_LIMIT_THREAD,
    Fault.ACTION_BLOCKED: refusals.ACTION_BLOCKED,
    Fault.SPAM_SUSPECTED: refusals.SPAM_SUSPECTED,
    Fault.INVALID_PARAMETER: refusals.REFUSED_PARAMETER,
    Fault.OUTSIDE_WINDOW: refusals.OUTSIDE_WINDOW,
    Fault.EXPIRED_TOKEN: refusals.EXPIRED_TOKEN,
    Fault.PERMISSION_MISSING: refusals.PERMISSION_MISSING,
    Fault.UNAVAILABLE: refusals.UNAVAILABLE,
    Fault.NO_CONSENT: refusals.NO_CONSENT,
    Fault.USER_GONE: refusals.USER_GONE,
}
REFUSES_AFTER_ACCEPTING: Mapping[Fault, Refusal] = {
    Fault.ALREADY_SENT: refusals.ALREADY_SENT,
    Fault.SERVER_ERROR_AFTER_ACCEPT: refusals.SERVER_ERROR,
}


IDLE_S = 0.3
CLOSES_AFTER_S: Mapping[Fault, float] = {Fault.CLOSE_AFTER_ANSWER: 0.0, Fault.CLOSE_IDLE: IDLE_S}


@dataclass(frozen=True, slots=True)
class Setting:
    """A fault, the wait before it, and the number of calls that it is still for (None: no end).

    With `accepts` a refusal is a lie: the call takes effect, the echo of a send is posted, and the answer refuses.
    """

    fault: Fault = Fault.OK
    latency_ms: int = 0
    times: int | None = None
    accepts: bool = False

    @property
    def refuses(self) -> Refusal | None:
        """The refusal of a call that does not take effect."""
        return None if self.accepts else REFUSES.get(self.fault)

    @property
    def refuses_after_accepting(self) -> Refusal | None:
        """The refusal of a call that has taken effect."""
        return REFUSES_AFTER_ACCEPTING.get(self.fault) or (REFUSES.get(self.fault) if self.accepts else None)


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
