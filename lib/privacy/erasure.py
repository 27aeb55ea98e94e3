"""Privacy: data is erased when its owner asks for it, and an account whose owner removed the app is left alone.

Decides what a request comes to and how long to work on it. Must not know HTTP, nor where data lies
(`erasure_store`). No id of a person who is erased is logged: only the code of the request.
"""

import base64
import hashlib
import hmac
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

STATUS_PATH = "/api/privacy/deletion-status"

STEP = 2000
"""Rows a transaction: well under a second of work, and of locks."""

_CODE_BYTES = 15
_CODE = re.compile(r"[A-Z2-7]{24}")

_log = log.get(__name__)


Found: TypeAlias = Erasure | Literal["malformed", "unavailable"]
"""What a code leads to: a request; nothing, as it is no code; or the database is away."""


class Receipt(Model):
    """What Meta shows the person (Meta, "Data Deletion Request Callback"): where to look, and with which code."""

    url: str
    confirmation_code: str


@dataclass(frozen=True, slots=True)
class Finished:
    """How many erasures are done now, how many there was no time for, and which failed: code and why."""

    done: int
    left: int
    failed: dict[str, str]


async def erase_on_request(
    asked: SignedRequest, settings: Settings, erasures: ErasureStore, *, now: datetime, deadline: Deadline
) -> Receipt:
    """Takes up what Meta passed on, and erases as much as there is time for; `finish_pending` does the rest.

    Raises what keeps the request from being taken up: then Meta, or the person, has to ask again.
    """
    code = code_of(asked, settings.internal_api_secret, now=now)
    async with deadline.enforced():
        taken = await erasures.request(code, asked.user_id, via="callback")
    _log.info("Erasure requested", confirmation_code=code, scope=taken.scope)
    try:
        async with deadline.enforced():
            await carry_out(erasures, code, deadline=deadline)
    except Exception as error:
        _log.warning("Erasure left for later", confirmation_code=code, code=classify(error).code)
    return Receipt(url=status_url(settings.base_url, code), confirmation_code=code)


async def carry_out(erasures: ErasureStore, code: str, *, deadline: Deadline) -> Erasure:
    """Erases step by step; begins none once the deadline has passed. Raises what the database client raises."""
    erasure = await erasures.run(code, limit=STEP)
    while erasure.state == "pending" and deadline.left_s() > 0:
        erasure = await erasures.run(code, limit=STEP)
    _log.info("Erasure carried on", confirmation_code=code, state=erasure.state, rows=erasure.rows_erased)
    return erasure


async def finish_pending(erasures: ErasureStore, *, deadline: Deadline) -> Finished:
    """Finishes what a callback had no time for, the oldest first; one that fails does not keep the others back."""
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
    finished = Finished(done, len(codes) - done - len(failed), failed)
    if codes:
        _log.info("Pending erasures worked on", done=finished.done, left=finished.left, failed=len(failed))
    return finished


async def deauthorize(asked: SignedRequest, erasures: ErasureStore, *, now: datetime) -> Deauthorized:
    """The owner removed the app: sends stop, and the token is forgotten. Says what it came to."""
    outcome = await erasures.deauthorize(asked.user_id, at=_issued_at(asked, now))
    _log.error("Account deauthorized", account_id=asked.user_id, outcome=outcome)
    return outcome


async def look_up(erasures: ErasureStore, code: str, *, deadline: Deadline) -> Found:
    """How far the request with this code is, if that can be known just now. Never raises."""
    if not is_code(code):
        return "malformed"
    try:
        async with deadline.enforced():
            return await erasures.status(code)
    except Exception as error:
        _log.exception("Erasure not shown", confirmation_code=code, code=classify(error).code)
        return "unavailable"


def code_of(asked: SignedRequest, secret: str, *, now: datetime) -> str:
    """The confirmation code of a request: the same however often it is delivered, and nobody else can tell it."""
    said = f"erasure {asked.user_id} {_issued_at(asked, now).timestamp():.0f}"
    return _code(hmac.new(secret.encode(), said.encode(), hashlib.sha256).digest()[:_CODE_BYTES])


def new_code() -> str:
    """A confirmation code for a request that Meta did not pass on."""
    return _code(secrets.token_bytes(_CODE_BYTES))


def is_code(text: str) -> bool:
    """Could `text` be a confirmation code?"""
    return _CODE.fullmatch(text) is not None


def status_url(base_url: str, code: str) -> str:
    """Where a person sees how far their request is."""
    return f"{base_url}{STATUS_PATH}?code={code}"


def _issued_at(asked: SignedRequest, now: datetime) -> datetime:
    return now if asked.issued_at_s is None else datetime.fromtimestamp(asked.issued_at_s, UTC)


def _code(data: bytes) -> str:
    """Letters and digits only, as Meta wants it: 24 of base32."""
    return base64.b32encode(data).decode()
