"""One fact in every form Meta has: under both ids of the account, in both envelopes, under standby, without its sender,
as a message and as its echo, as a postback, with unknown neighbours in its entry.
"""

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from lib.events.model import Event
from tests.pipeline.facts import OTHER_IDS, Fact, Under
from tests.support.world import World

NEIGHBOURS = {"message_requests": [{"from": "somebody"}], "a_new_key": 1}

Change = Callable[[Fact], Fact]


def register(world: World) -> None:
    """Makes both ids of each account known."""
    for account, other in OTHER_IDS.items():
        world.db.execute("insert into accounts (account_id, app_scoped_id) values (%s, %s)", (account, other))


def ledger_key(event: Event) -> tuple[str, str]:
    """Returns the account and the event id under which the ledger has `event`."""
    professional = {other: account for account, other in OTHER_IDS.items()}
    account = professional.get(event.account_id, event.account_id)
    parts = event.event_id.split("_")
    if account in OTHER_IDS and not event.event_id.startswith(("ig_msg_", "ig_del_", "ig_edit_", "ig_cmt_", "ig_si_")):
        parts = [account if part == OTHER_IDS[account] else part for part in parts]
    return account, "_".join(parts)


def _messaging(fact: Fact) -> dict[str, Any]:
    """The messaging item of `fact`, or {} if it has none. A change may wrap it."""
    value = fact.item.get("value") if "field" in fact.item else fact.item
    return value if isinstance(value, dict) and "id" not in value and "media_id" not in value else {}


def _with(fact: Fact, change: Callable[[dict[str, Any]], None]) -> Fact:
    """`fact` with its messaging item changed. A fact without one stays as it is."""
    told = fact._replace(item=copy.deepcopy(fact.item))
    if _messaging(told):
        change(_messaging(told))
    return told


def _under_the_other_id(fact: Fact, *, entry: bool, parties: bool) -> Fact:
    account = fact.account if fact.account in OTHER_IDS else None
    if account is None:
        return fact
    told = fact._replace(item=copy.deepcopy(fact.item))
    value = told.item.get("value", {})
    for one in (_messaging(told).get("sender"), _messaging(told).get("recipient"), value.get("from")):
        if parties and one is not None and one.get("id") == account:
            one["id"] = OTHER_IDS[account]
    return told._replace(account=OTHER_IDS[account]) if entry else told


def _in_envelope(fact: Fact, under: Under, field: str = "messages") -> Fact:
    item = copy.deepcopy(_messaging(fact))
    if not item:
        return fact
    return fact._replace(under=under, item={"field": field, "value": item} if under == "changes" else item)


def _without(*parties: str) -> Change:
    def drop(item: dict[str, Any]) -> None:
        for party in parties:
            item.pop(party, None)

    return lambda fact: _with(fact, drop)


def _as_echo(fact: Fact) -> Fact:
    """The message as the echo of it, or the echo as the message: the other side is then the sender."""

    def turn(item: dict[str, Any]) -> None:
        if "message" in item and "is_self" not in item["message"]:
            item["message"]["is_echo"] = not item["message"].get("is_echo", False)
            sides = {side: item.pop(side) for side in ("sender", "recipient") if side in item}
            item |= {"sender" if side == "recipient" else "recipient": party for side, party in sides.items()}

    return _with(fact, turn)


def _without_echo_flag(fact: Fact) -> Fact:
    def drop(item: dict[str, Any]) -> None:
        item.get("message", {}).pop("is_echo", None)

    return _with(fact, drop)


def _as_postback(fact: Fact) -> Fact:
    def tap(item: dict[str, Any]) -> None:
        if "message" in item and not item["message"].get("is_echo") and not item["message"].get("is_deleted"):
            said = item.pop("message")
            item["postback"] = {"mid": said["mid"], "title": said.get("text", "Button"), "payload": "BUY"}

    return _with(fact, tap)


CHANGES: dict[str, Change] = {
    "under the other id": lambda fact: _under_the_other_id(fact, entry=True, parties=True),
    "in an entry of the other id": lambda fact: _under_the_other_id(fact, entry=True, parties=False),
    "with our other id as a party": lambda fact: _under_the_other_id(fact, entry=False, parties=True),
    "under messaging": lambda fact: _in_envelope(fact, "messaging"),
    "under standby": lambda fact: _in_envelope(fact, "standby"),
    "in a change": lambda fact: _in_envelope(fact, "changes"),
    "in a change of standby": lambda fact: _in_envelope(fact, "changes", "standby"),
    "without its sender": _without("sender"),
    "without its parties": _without("sender", "recipient"),
    "as the echo or the message": _as_echo,
    "without the flag of an echo": _without_echo_flag,
    "as a postback": _as_postback,
    "with neighbours": lambda fact: fact._replace(neighbours=NEIGHBOURS),
}


@st.composite
def told_otherwise(draw: st.DrawFn, fact: Fact) -> Fact:
    """`fact` in another form: up to three of the changes."""
    for name in draw(st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3, unique=True)):
        fact = CHANGES[name](fact)
    return fact


def every_form(fact: Fact) -> dict[str, Fact]:
    """`fact`, and each of its forms that differs from it by one change."""
    forms = {"as it is": fact} | {name: change(fact) for name, change in CHANGES.items()}
    return {name: form for name, form in forms.items() if name == "as it is" or form != fact}
