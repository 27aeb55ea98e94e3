"""What the tables must hold once everything that was told has taken effect: worked out from what was told alone.

Pure, and independent of the SQL: the rules are those of the design (first message, highest edit, sticky unsend, newest
reaction, furthest read). Only an event's id is taken from the parser. Must not know what the tables do hold.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from lib.events.model import Event
from lib.webhooks.parser import parse_webhook
from tests.chaos.traffic import REFUSED, Told

NEXT_PHASE_KINDS_LEFT_OUT = frozenset({"unknown"})


class Message(NamedTuple):
    """A row of `messages`: what a person would read."""

    direction: str
    text: str | None
    attachments: int
    unsent: bool


class Reaction(NamedTuple):
    """A row of `reactions`."""

    action: str
    emoji: str | None


class Person(NamedTuple):
    """A row of `profiles`; times in milliseconds since the epoch."""

    last_inbound_ms: int | None
    read_up_to_ms: int | None


class Reply(NamedTuple):
    """A reply that is owed once, and which codes it may fail with."""

    event_id: str
    account: str
    contact: str
    text: str
    may_fail_with: tuple[str, ...]


Key: TypeAlias = tuple[str, ...]


@dataclass
class Expected:
    """The tables, by their keys."""

    events: dict[str, str] = field(default_factory=dict)
    messages: dict[Key, Message] = field(default_factory=dict)
    reactions: dict[Key, Reaction] = field(default_factory=dict)
    people: dict[Key, Person] = field(default_factory=dict)
    comments: dict[Key, str] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    next_phase: set[str] = field(default_factory=set)


def envelope(told: Told, *, now_ms: int) -> dict[str, Any]:
    """The entry Meta would tell it in, sent at `now_ms`."""
    under, unit = ("changes", 1000) if told.what == "change" else ("messaging", 1)
    return {"id": told.account, "time": now_ms // unit, under: [dict(told.item)]}


def event_of(told: Told, *, now_ms: int) -> Event:
    """What the parser makes of it."""
    body = {"object": "instagram", "entry": [envelope(told, now_ms=now_ms)]}
    (event,) = parse_webhook(body, received_at=now_ms)
    return event


def expected(told: Iterable[Told], *, now_ms: int) -> Expected:
    """What must be there after all of `told`, in whatever order and however often it came."""
    tables = Expected()
    genuine = [one for one in told if one.what in ("item", "change")]
    for one in genuine:
        event = event_of(one, now_ms=now_ms)
        tables.events[event.event_id] = event.kind
        if event.kind not in NEXT_PHASE_KINDS_LEFT_OUT:
            tables.next_phase.add(event.event_id)
        if one.answer is not None:
            codes = next((codes for ending, codes in REFUSED.items() if one.contact.endswith(ending)), ())
            tables.replies.append(Reply(event.event_id, one.account, one.contact, one.answer, codes))
    _messages(tables, genuine)
    _reactions(tables, genuine)
    _people(tables, genuine)
    tables.comments = {
        (one.account, one.item["value"]["id"]): one.item["value"]["text"] for one in genuine if one.what == "change"
    }
    return tables


def _messages(tables: Expected, told: Iterable[Told]) -> None:
    edits: dict[Key, tuple[int, str]] = {}
    unsent: set[Key] = set()
    for one in told:
        match one.item:
            case {"message": {"mid": str(mid), "is_deleted": True}}:
                unsent.add((one.account, mid))
            case {"message": {"mid": str(mid)} as said} | {"postback": {"mid": str(mid)} as said}:
                tables.messages[one.account, mid] = _first_told(said)
            case {"message_edit": {"mid": str(mid), "num_edit": int(number), "text": str(text)}}:
                edits[one.account, mid] = max(edits.get((one.account, mid), (0, "")), (number, text))
    for key, (_, text) in edits.items():
        tables.messages[key] = tables.messages[key]._replace(text=text)
    for key in unsent:
        tables.messages[key] = tables.messages[key]._replace(text=None, attachments=0, unsent=True)


def _first_told(said: Mapping[str, Any]) -> Message:
    direction = "outbound" if said.get("is_echo") else "inbound"
    return Message(direction, said.get("text", said.get("title")), len(said.get("attachments", ())), False)


def _reactions(tables: Expected, told: Iterable[Told]) -> None:
    newest: dict[Key, int] = {}
    for one in told:
        match one.item:
            case {"reaction": {"mid": str(mid)} as what, "timestamp": int(at_ms)}:
                key = (one.account, mid, one.contact)
                if at_ms > newest.get(key, 0):
                    newest[key] = at_ms
                    tables.reactions[key] = Reaction(what["action"], what.get("emoji"))


def _people(tables: Expected, told: Iterable[Told]) -> None:
    for one in told:
        key = (one.account, one.contact)
        before = tables.people.get(key, Person(None, None))
        match one.item:
            case {"delivery": _}:
                continue  # of a kind we do not know, and so it says nothing of a person
            case {"message": {"is_deleted": True}} | {"message": {"is_echo": True}}:
                after = before
            case {"message": _, "timestamp": int(at_ms)} | {"postback": _, "timestamp": int(at_ms)}:
                after = before._replace(last_inbound_ms=max(before.last_inbound_ms or 0, at_ms))
            case {"read": _, "timestamp": int(at_ms)}:
                after = before._replace(read_up_to_ms=max(before.read_up_to_ms or 0, at_ms))
            case _:
                after = before
        tables.people[key] = after


def missing_or_extra(wanted: Mapping[Any, object], found: Mapping[Any, object]) -> tuple[list[Any], list[Any]]:
    """The keys that are not there or not as wanted, and those nobody wanted."""
    wrong = [key for key, value in wanted.items() if found.get(key) != value]
    return wrong, [key for key in found if key not in wanted]
