"""Deduplication ids: what QStash takes for the same message (Upstash, "Deduplication": for ten minutes, without `:`).

Meta tells one event in several forms: under `standby` and not, with and without its sender, as a message and as its
echo, under either id of an account. The forms share an event id, and the database merges them. QStash must not drop one
of them, or the order of arrival would decide the outcome. So the same form has the same deduplication id, and another
form has another one:

    ig_msg_{mid}            the event as it is ordinarily told, to the account of the deployment
    ig_msg_{mid}~{digest}   any other form, account or attempt
"""

import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from lib.events.model import Event

WINDOW_S = 600.0
"""How long QStash knows a deduplication id."""

MAX_REMEMBERED = 10_000
MAX_HEAD_CHARS = 256
"""The most characters of an event id before a suffix. The digest tells apart the ids that are cut."""

_OF_NOBODY = ("mention", "handover", "unknown")
"""The kinds that Meta may ordinarily tell without a person."""

_SUFFIXED = re.compile(r"[^~]*~.*[0-9a-f]{32}")


def of_event(event: Event, *, own_account: str, again: str = "") -> str:
    """Returns the deduplication id of `event`.

    `own_account` is the account of the deployment, or "" if that is not known: then every account is ordinary.
    `again` names a later attempt, which QStash must not take for the first one.
    """
    if again or not _is_ordinary(event) or own_account not in ("", event.account_id):
        return of_form(event, again)
    return _plain(event.event_id) or of_form(event, again)


def of_form(event: Event, again: str = "") -> str:
    """Returns the deduplication id of `event` with the suffix of its form and account."""
    form = (
        event.kind,
        event.account_id,
        event.contact_id,
        event.direction,
        event.standby,
        getattr(event, "is_echo", False),
        event.is_self,
        event.is_test,
    )
    return _suffixed(event.event_id, form, again)


def of_next_phase(payload: Mapping[str, Any], *, own_account: str) -> str:
    """Returns the deduplication id of the next-phase message with `payload`. `own_account` is as in `of_event`."""
    is_own = own_account in ("", payload.get("account_id"))
    return (_plain(f"ig_phase3_{payload['event_id']}") if is_own else None) or of_next_phase_account(payload)


def of_next_phase_account(payload: Mapping[str, Any]) -> str:
    """Returns the deduplication id of the next-phase message with `payload`, with the suffix of its account."""
    return _suffixed(f"ig_phase3_{payload['event_id']}", (payload.get("account_id"),), "")


def has_suffix(deduplication_id: str) -> bool:
    """Returns whether `deduplication_id` has a suffix, which names the account, too."""
    return _SUFFIXED.fullmatch(deduplication_id) is not None


class RecentAccounts:
    """The account of each plain deduplication id that this process published in the last ten minutes.

    Without `INSTAGRAM_ACCOUNT_ID` the events of two accounts can have one plain id. If QStash says that it has the id
    already, this tells whether it has the event of the same account.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def remember(self, deduplication_id: str, account_id: str) -> None:
        """Notes that QStash took `deduplication_id` as a new one, for an event of `account_id`."""
        self._accounts.pop(deduplication_id, None)
        self._accounts[deduplication_id] = (self._clock(), account_id)
        if len(self._accounts) > MAX_REMEMBERED:
            self._accounts.popitem(last=False)

    def is_of(self, deduplication_id: str, account_id: str) -> bool:
        """Returns whether this process knows that QStash has `deduplication_id` for an event of `account_id`."""
        published_s, account = self._accounts.get(deduplication_id, (0.0, None))
        return account == account_id and self._clock() - published_s < WINDOW_S


def _is_ordinary(event: Event) -> bool:
    """Returns whether `event` is told as Meta ordinarily tells it: by a person, to us, in a thread of ours."""
    return (
        event.kind != "echo"
        and event.direction == "inbound"
        and not (event.standby or event.is_self or event.is_test)
        and (event.contact_id is not None or event.kind in _OF_NOBODY)
    )


def _plain(event_id: str) -> str | None:
    """Returns `event_id`, or None if QStash refuses it or if it could be another id with its suffix."""
    return None if ":" in event_id or _SUFFIXED.fullmatch(event_id) else event_id


def _suffixed(event_id: str, form: tuple[object, ...], again: str) -> str:
    text = json.dumps([event_id, form, again], ensure_ascii=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{event_id[:MAX_HEAD_CHARS]}~{again}{'.' if again else ''}{digest}".replace(":", "_")
