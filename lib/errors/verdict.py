"""What the caller should do about an error: retry, give up, or stop the account."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

AccountState: TypeAlias = Literal["needs_reauth", "stopped"]
"""needs_reauth: the token is dead. stopped: Meta, or the owner, does not let us send. Ingestion goes on in both."""

NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an error means.

    `retryable`: the very same call may be tried again. If False, the error is permanent: the call never works. So only
    a fault of the event itself, or of the person or thing it is about, is permanent. Two errors of a send are not
    retryable for another reason. With `already_done` the message was sent. With `outcome_unknown` it may have been
    sent, and only its echo or the conversation can tell (a person is never written to twice).

    `is_outage`: the fault is ours, and no event's: a key, a role, a setting, a missing migration, a proxy in the way.
    It passes when a person mends it. What waits for that stays planned.

    `code` is stable and snake_case; `classify.py` lists all codes. `message` holds no secret and none of a person's
    words. `status` is the HTTP status that fits best. `retry_after` is in seconds, at most a day, if the cause names
    a delay. `account_state` is set if no send of the account can succeed. `repeat_at_once`: nothing happened, and the
    call may be repeated without a wait.
    """

    retryable: bool
    code: str
    message: str
    retry_after: float | None = None
    account_state: AccountState | None = None
    already_done: bool = False
    outcome_unknown: bool = False
    is_outage: bool = False
    repeat_at_once: bool = False
    status: int = 500

    @property
    def kind(self) -> Literal["retryable", "permanent"]:
        """The word for it in answers and log lines."""
        return "retryable" if self.retryable else "permanent"

    @property
    def account_stop(self) -> bool:
        """Whether the sends of the account must stop."""
        return self.account_state is not None

    @property
    def is_gone(self) -> bool:
        """Whether the thing that was asked for is not there. For a deletion that is success."""
        return self.status == NOT_FOUND


def retry(code: str, message: str, *, status: int, retry_after: float | None = None) -> Verdict:
    """Returns the verdict on an error that passes with time."""
    return Verdict(True, code, message, retry_after=retry_after, status=status)


MINUTE_S = 60.0
MEND_S = 300.0
"""How long a fault that a person has to mend is left alone before the next attempt."""


def outage(code: str, message: str, *, status: int = 503, retry_after: float = MEND_S) -> Verdict:
    """Returns the verdict on a fault of ours, or of the way to a dependency: no event is to blame, and none ends by it.

    `retry_after` is long, because QStash tries only some times, and a setting is not mended within seconds.
    """
    return Verdict(True, code, message, retry_after=retry_after, is_outage=True, status=status)


def never(code: str, message: str, *, status: int = 400) -> Verdict:
    """Returns the verdict on an error that stays: it is the event's own."""
    return Verdict(False, code, message, status=status)


UNKNOWN: Final = retry("unknown_error", "an error that is in no table; the log has its type", status=500)
"""For every error in no table. It is retried: nothing may be lost because we did not think of an error."""
