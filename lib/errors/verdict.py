"""The verdict on an error: what whoever meets it has to do. The value, and the words it is made with.

Must not know any error. Which verdict an error gets is decided by `lib.errors.classify` alone.
"""

from typing import Final, Literal, TypeAlias

import msgspec

AccountState: TypeAlias = Literal["needs_reauth", "stopped"]
"""needs_reauth: the token is dead. stopped: Meta, or the owner, does not let us send. Ingestion goes on in both."""


class Verdict(msgspec.Struct, frozen=True):
    """What an error means.

    `retryable`: may the very same thing be tried again? Else the error is permanent: it never will work, or, with
    `already_done`, it has; or, with `outcome_unknown`, the message of a send may be out, and only its echo or the
    conversation can say so (a person is never written to twice).

    `code` is stable and snake_case (`lib.errors` lists them all). `retry_after` is in seconds, at most a day, where
    the cause names a delay. `account_state` is set where no send of the account can succeed. `status` is the HTTP
    status that says it best. `message` holds no secret and none of a person's words.
    """

    retryable: bool
    code: str
    message: str
    retry_after: float | None = None
    account_state: AccountState | None = None
    already_done: bool = False
    outcome_unknown: bool = False
    status: int = 500

    @property
    def account_stop(self) -> bool:
        """Must the sends of the account stop?"""
        return self.account_state is not None


def retry(code: str, message: str, *, status: int, retry_after: float | None = None) -> Verdict:
    """It passes: try again."""
    return Verdict(True, code, message, retry_after=retry_after, status=status)


def never(code: str, message: str, *, status: int = 400) -> Verdict:
    """It stays as it is: do not try again."""
    return Verdict(False, code, message, status=status)


UNKNOWN: Final = retry("unknown_error", "something nobody foresaw; the log has its type", status=500)
"""Whatever is in no table. Retried, as nothing may be lost for what we did not think of."""
