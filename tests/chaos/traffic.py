"""What Meta has to tell in a run: conversations with a few accounts, some of it answered by rules. The same for the
same seed, but for the clock.

Pure. Knows Meta's shapes. Must not know how any of it is delivered, nor what the tables make of it.
"""

import base64
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from lib.replies.rules import Rule

ACCOUNTS = ("17841400000000071", "17841400000000072")
"""With tokens that work: the first has the environment's, the second one of its own."""

STORED = ACCOUNTS[1]
"""Its token is in the database."""

LOCKED_OUT = "17841400000000073"
"""Its token has expired: what people write is kept, and nobody is answered."""

PRICE, CLASSES, STORY, COMMENT = "It is 68 €.", "On Tuesdays.", "Thank you for the mention!", "I write to you."
RULES = (
    Rule(rule_id=1, trigger="keyword", reply_text=PRICE, match="contains", pattern="price"),
    Rule(rule_id=2, trigger="postback", reply_text=CLASSES, match="exact", pattern="CLASSES"),
    Rule(rule_id=3, trigger="story_mention", reply_text=STORY),
    Rule(rule_id=4, trigger="comment", reply_text=COMMENT, match="contains", pattern="price"),
)

REFUSED: Mapping[str, tuple[str, ...]] = {
    "000230": ("graph_consent_missing",),
    "000551": ("graph_person_unavailable",),
    "2534022": ("graph_outside_window",),
}
"""People to whom every send is refused for good, by how their ids end (as `dev.graph` has it), and the code of it."""

MOST_OF_A_CONVERSATION = 12
REPEATED = 0.15
"""The part of what was accepted that Meta tells again all the same."""

What: TypeAlias = Literal["item", "change", "forged", "poison"]


@dataclass(frozen=True)
class Told:
    """One thing Meta tells, `at_s` from the start, and again `again_after_s` once it was accepted.

    `forged` is signed by somebody else. `poison` comes from another publisher, by QStash, and is no event at all.
    `answer` is the text of the reply it sets off.
    """

    number: int
    at_s: float
    what: What
    account: str
    contact: str
    item: Mapping[str, Any]
    again_after_s: tuple[float, ...] = ()
    answer: str | None = None


@dataclass
class _Conversation:
    """One person with one account, as far as it has come."""

    account: str
    contact: str
    begins_ms: int
    serial: int
    dice: random.Random
    mids: list[tuple[str, bool]] = field(default_factory=list)
    edits: dict[str, int] = field(default_factory=dict)
    set_off: set[str] = field(default_factory=set)
    over: set[tuple[str, str]] = field(default_factory=set)
    """What can be said of a message once only, and has been."""

    said: int = 0

    def item(self, *, outbound: bool = False, **what: Any) -> dict[str, Any]:
        """A `messaging[]` item, a little later than the one before."""
        self.said += 1
        sender, recipient = (self.account, self.contact) if outbound else (self.contact, self.account)
        at_ms = self.begins_ms + self.said * 1000
        return {"sender": {"id": sender}, "recipient": {"id": recipient}, "timestamp": at_ms, **what}

    def new_mid(self) -> str:
        name = f"ig_dm_item:chaos:{self.account}:{self.contact}:{self.serial}:{self.said}"
        return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def traffic(seed: int, events: int, lasts_s: float, *, now_ms: int) -> list[Told]:
    """`events` things, in the order Meta first tells them; not quite the order in which they happened."""
    dice = random.Random(f"{seed}/traffic")
    told = list(_numbered(dice, events, now_ms))
    pace_s = lasts_s / max(len(told), 1)
    jittered = [
        Told(
            one.number,
            max(0.0, one.number * pace_s + dice.uniform(-1, 1) * pace_s * MOST_OF_A_CONVERSATION * 2),
            one.what,
            one.account,
            one.contact,
            one.item,
            _again(dice, lasts_s) if one.what in ("item", "change") else (),
            one.answer,
        )
        for one in told
    ]
    return sorted(jittered, key=lambda one: one.at_s)


def _again(dice: random.Random, lasts_s: float) -> tuple[float, ...]:
    if dice.random() >= REPEATED:
        return ()
    return tuple(dice.uniform(0, lasts_s / 3) for _ in range(dice.randint(1, 2)))


def _numbered(dice: random.Random, events: int, now_ms: int) -> Iterator[Told]:
    number = 0
    serial = 0
    while number < events:
        serial += 1
        length = min(dice.randint(3, MOST_OF_A_CONVERSATION), events - number)
        conversation = _begin(dice, serial, now_ms)
        for _ in range(length):
            yield _one(conversation, number)
            number += 1


def _begin(dice: random.Random, serial: int, now_ms: int) -> _Conversation:
    ending = dice.choice(list(REFUSED)) if dice.random() < 0.1 else f"{dice.randrange(10**5):05d}1"
    account = LOCKED_OUT if dice.random() < 0.1 else dice.choice(ACCOUNTS)
    contact = f"60{serial:08d}{ending}"
    return _Conversation(account, contact, now_ms - 3_600_000 + serial, serial, dice)


def _one(at: _Conversation, number: int) -> Told:
    roll = at.dice.random()
    if roll < 0.015:
        return Told(number, 0, "forged", at.account, at.contact, at.item(message={"mid": "forged", "text": "forged"}))
    if roll < 0.025:
        return Told(number, 0, "poison", at.account, at.contact, {"kind": "message", "number": number})
    if roll < 0.07:
        return _comment(at, number)
    item, answer = _item(at)
    return Told(number, 0, "item", at.account, at.contact, item, answer=answer)


def _comment(at: _Conversation, number: int) -> Told:
    asks = COMMENT not in at.set_off
    at.set_off.add(COMMENT)
    at.said += 1
    value = {
        "id": f"1790{at.serial:08d}{at.said:04d}",
        "text": "What is the price?" if asks else "Beautiful",
        "from": {"id": at.contact, "username": f"person.{at.serial}"},
        "media": {"id": "17900000000000001", "media_product_type": "FEED"},
    }
    answer = COMMENT if asks else None
    return Told(number, 0, "change", at.account, at.contact, {"field": "comments", "value": value}, answer=answer)


def _item(at: _Conversation) -> tuple[dict[str, Any], str | None]:
    """Something in the conversation, and the text that answers it. A message that is answered stays as it is: whether
    one that is taken back is still answered would depend on which came first.
    """
    about = list(at.mids)
    kind = at.dice.choices(
        ("text", "image", "asks", "taps", "mentions", "echo", "edit", "unsend", "react", "read", "other"),
        (30, 4, 10, 6, 4, 10, 8 * bool(about), 6 * bool(about), 14 * bool(about), 8 * bool(about), 2),
    )[0]
    if kind in ("asks", "taps", "mentions"):
        return _answered(at, kind)
    if kind == "other":
        return at.item(delivery={"mids": ["m"], "watermark": at.begins_ms + at.said}), None
    if kind in ("text", "image", "echo"):
        return _said(at, kind), None
    return _about(at, kind, *at.dice.choice(about)), None


def _answered(at: _Conversation, kind: str) -> tuple[dict[str, Any], str | None]:
    mid = at.new_mid()
    answer = {"asks": PRICE, "taps": CLASSES, "mentions": STORY}[kind]
    if answer in at.set_off:
        return _said(at, "text"), None
    at.set_off.add(answer)
    if kind == "taps":
        return at.item(postback={"mid": mid, "title": "Classes", "payload": "CLASSES"}), answer
    if kind == "asks":
        return at.item(message={"mid": mid, "text": "And the PRICE?"}), answer
    story = {"type": "story_mention", "payload": {"url": "https://cdn.example/story"}}
    return at.item(message={"mid": mid, "attachments": [story]}), answer


def _said(at: _Conversation, kind: str) -> dict[str, Any]:
    mid, outbound = at.new_mid(), kind == "echo"
    at.mids.append((mid, outbound))
    content: dict[str, Any] = {"text": f"words {at.serial}.{at.said} \U0001f338"}
    if kind == "image":
        content = {"attachments": [{"type": "image", "payload": {"url": f"https://cdn.example/{at.said}"}}]}
    flags = {"is_echo": True} if outbound else {}
    return at.item(outbound=outbound, message={"mid": mid, **content, **flags})


def _about(at: _Conversation, kind: str, mid: str, outbound: bool) -> dict[str, Any]:
    if (kind, mid) in at.over:
        return _said(at, "text")
    if kind in ("unsend", "read"):
        at.over.add((kind, mid))
    if kind == "unsend":
        flags = {"is_echo": True} if outbound else {}
        return at.item(outbound=outbound, message={"mid": mid, "is_deleted": True, **flags})
    if kind == "edit":
        at.edits[mid] = at.edits.get(mid, 0) + 1
        what = {"mid": mid, "text": f"edited {at.edits[mid]}", "num_edit": at.edits[mid]}
        return at.item(outbound=outbound, message_edit=what)
    if kind == "read":
        return at.item(read={"mid": mid})
    what = {"mid": mid, "action": "unreact"}
    if at.dice.random() < 0.7:
        name, emoji = at.dice.choice((("love", "\u2764"), ("laugh", "\U0001f606")))
        what = {"mid": mid, "action": "react", "reaction": name, "emoji": emoji}
    return at.item(reaction=what)
