"""Erases a person's data on request, and stops an account whose owner removed the app.

A log line has the confirmation code of a request, never the id of the person.
"""

import base64
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from lib.core import log
from lib.core.deadline import Deadline
from lib.core.model import Model
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.privacy.signed_request import SignedRequest
from lib.privacy.store import Deauthorized, Erasure, ErasureStore
from lib.web.responses import Refused

STATUS_PATH = "/api/privacy/deletion-status"

STEP = 2000
"""Rows in one transaction: it works, and holds its locks, for well under a second."""

_CODE_BYTES = 15
_CODE = re.compile(r"[A-Z2-7]{24}")

_log = log.get(__name__)
_summary_log = log.summary(__name__)


LookUp: TypeAlias = Erasure | Literal["malformed", "unavailable"]
"""Result of looking up a confirmation code: the request, or "malformed", or "unavailable" (database down)."""


class Receipt(Model):
    """The address and the code that Meta shows the person (Meta, "Data Deletion Request Callback")."""

    url: str
    confirmation_code: str


@dataclass(frozen=True, slots=True)
class FinishedErasures:
    """How many erasures are done, and how many had no time. `failed` has an error code by confirmation code."""

    done: int
    left: int
    failed: dict[str, str]


async def erase_on_request(
    request: SignedRequest, settings: Settings, erasures: ErasureStore, *, now: datetime, deadline: Deadline
) -> Receipt:
    """Records a request that Meta passed on, and erases until the deadline. `finish_pending` does the rest.

    The same request, delivered again, gets the same code, and erases nothing that is newer than the request. Raises
    `Refused` (409) if the proof was taken at the other callback. Raises the error if the request could not be recorded:
    then Meta, or the person, has to ask again.
    """
    until = _end_of_second(request, now)
    async with deadline.enforced():
        erasure = await erasures.request_signed(new_code(), request.user_id, until=until, proof=request.proof)
    if erasure.state == "refused":
        raise _taken_elsewhere()
    code = erasure.code
    _summary_log.info("Erasure requested", confirmation_code=code, scope=erasure.scope, state=erasure.state)
    try:
        async with deadline.enforced():
            await carry_out(erasures, code, deadline=deadline)
    except Exception as error:
        # The request is recorded, so the person gets a receipt, and the daily job erases the rest.
        _log.warning("Erasure left for later", confirmation_code=code, code=classify(error).code)
    return Receipt(url=status_url(settings.base_url, code), confirmation_code=code)


async def carry_out(erasures: ErasureStore, code: str, *, deadline: Deadline) -> Erasure:
    """Erases step by step. Starts no step after the deadline. Raises the database's errors.

    A request that is unresolved waits until the second id of every account is known (`accounts.learn`).
    """
    erasure = await erasures.run(code, limit=STEP)
    while erasure.state == "pending" and deadline.left_s() > 0:
        erasure = await erasures.run(code, limit=STEP)
    _log.info("Erasure carried on", confirmation_code=code, state=erasure.state, rows=erasure.rows_erased)
    return erasure


async def finish_pending(erasures: ErasureStore, *, deadline: Deadline) -> FinishedErasures:
    """Carries out the requests that are not done, oldest first. A failed one does not stop the others."""
    codes = await erasures.pending()
    done, failed = 0, {}
    for code in codes:
        if deadline.left_s() == 0:
            break
        try:
            erasure = await carry_out(erasures, code, deadline=deadline)
        except Exception as error:
            failed[code] = classify(error).code
            _log.error("Erasure failed", confirmation_code=code, code=failed[code])
        else:
            done += erasure.state == "done"
    finished = FinishedErasures(done, len(codes) - done - len(failed), failed)
    if codes:
        _summary_log.info("Pending erasures worked on", done=finished.done, left=finished.left, failed=len(failed))
    return finished


async def deauthorize(request: SignedRequest, erasures: ErasureStore, *, now: datetime) -> Deauthorized:
    """Stops the account whose owner removed the app, and deletes its token. Returns the result.

    Raises `Refused` (409) if the proof was taken at the other callback.
    """
    outcome = await erasures.deauthorize(request.user_id, at=_end_of_second(request, now), proof=request.proof)
    if outcome is Deauthorized.REFUSED:
        raise _taken_elsewhere()
    _summary_log.error("Account deauthorized", account_id=request.user_id, outcome=outcome)
    return outcome


async def look_up(erasures: ErasureStore, code: str, *, deadline: Deadline) -> LookUp:
    """Returns the state of the request with this confirmation code. Never raises."""
    if not is_code(code):
        return "malformed"
    try:
        async with deadline.enforced():
            return await erasures.status(code)
    except Exception as error:
        _log.exception("Erasure not shown", confirmation_code=code, code=classify(error).code)
        return "unavailable"


def new_code() -> str:
    """Returns a random confirmation code: 24 characters of base32, as Meta allows letters and digits only."""
    return base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode()


def is_code(text: str) -> bool:
    """Returns whether `text` has the form of a confirmation code."""
    return _CODE.fullmatch(text) is not None


def status_url(base_url: str, code: str) -> str:
    """Returns the address at which a person sees the state of their request."""
    return f"{base_url}{STATUS_PATH}?code={code}"


def _end_of_second(request: SignedRequest, now: datetime) -> datetime:
    """Returns when the request was made. Meta's time is in whole seconds: what happened in that second came before."""
    return now if request.issued_at_s is None else datetime.fromtimestamp(request.issued_at_s + 1, UTC)


def _taken_elsewhere() -> Refused:
    return Refused(409, "proof_already_used", "this signed_request was taken at the other privacy callback")
