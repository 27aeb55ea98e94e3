"""Everything Meta can say of a few conversations, drawn from so few ids and times that it collides.

Two accounts of ours share one person. An example is about a few messages only; a message, and what is said of it, are
drawn independently, so an edit, an unsend or a reaction may speak of a message that never comes. One thing may be told
twice and not alike: under `standby` and under `messaging`, wrapped in a change, notified at another time, with another
text. A message keeps its author and its conversation, as at Meta.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from hypothesis import strategies as st

from lib.events.model import Event
from lib.webhooks.parser import parse_webhook
from tests.support.builders import item

Under: TypeAlias = Literal["messaging", "standby", "changes", "flat"]

ACCOUNTS = ("17841400000000001", "17841400000000002")
OTHER_IDS = {ACCOUNTS[0]: "26000000000000001", ACCOUNTS[1]: "26000000000000002"}
"""The app-scoped id of each account."""

PERSON = "6001234567890123"
NO_CONSENT = "6001234567000230"
"""Graph refuses this one's profile (`dev/graph/refusals.py`)."""

SELF = "6001234567890999"
"""The account's own scoped id, to which it writes notes."""

NOON_MS = 1_767_614_400_000
TIMES_MS = (NOON_MS, NOON_MS + 1, NOON_MS + 60_000)


class Mid(NamedTuple):
    """A message: whose it is, and in which conversation."""

    account: str
    contact: str
    number: int
    outbound: bool

    @property
    def name(self) -> str:
        return f"mid{MIDS.index(self)}x"

    def words(self, wording: object) -> str:
        """Something only this message says."""
        return f"said in {self.name} {wording}"


MIDS = (
    *(Mid(ACCOUNTS[0], PERSON, number, outbound=number == 1) for number in range(3)),
    *(Mid(ACCOUNTS[1], PERSON, number, outbound=number == 1) for number in range(2)),
    Mid(ACCOUNTS[0], NO_CONSENT, 0, outbound=False),
    Mid(ACCOUNTS[0], SELF, 0, outbound=True),
)


class Fact(NamedTuple):
    """One item as Meta sends it, when it was sent (`entry.time`), and what its entry has beside it."""

    account: str
    under: Under
    item: dict[str, Any]
    sent_ms: int
    neighbours: Mapping[str, Any] = {}

    @property
    def tells_its_time(self) -> bool:
        """Whether its time does not depend on when it is received."""
        return self.under in ("changes", "flat") or "timestamp" in self.item

    def entry(self) -> dict[str, Any]:
        """Its entry in a webhook."""
        if self.under == "flat":
            return {"id": self.account, "time": self.sent_ms // 1000, **self.item, **self.neighbours}
        time = self.sent_ms // 1000 if self.under == "changes" else self.sent_ms
        return {"id": self.account, "time": time, self.under: [self.item], **self.neighbours}

    def event(self) -> Event:
        """What the parser makes of the item, received a second after it was sent."""
        return self.events()[0]

    def events(self) -> list[Event]:
        """The event of the item, and the one of its neighbours."""
        body = {"object": "instagram", "entry": [self.entry()]}
        return parse_webhook(body, received_at=self.sent_ms + 1000)


Mids: TypeAlias = st.SearchStrategy[Mid]

_times = st.sampled_from(TIMES_MS)
_wordings = st.integers(0, 1)
_sent = st.sampled_from((NOON_MS + 1_000, NOON_MS + 2_000, NOON_MS + 90_000))


@st.composite
def _fact(draw: st.DrawFn, account: str, contact: str, outbound: bool, what: dict[str, Any]) -> Fact:
    """An item about `what`, at some time or without one, in one of its three places."""
    built = item(contact=contact, account=account, outbound=outbound, at_ms=draw(_times), **what)
    if draw(st.integers(0, 9)) == 9:
        del built["timestamp"]
    under: Under = draw(st.sampled_from(("messaging", "messaging", "messaging", "standby", "changes")))
    if under == "changes":
        built = {"field": "messages", "value": built}
    return Fact(account, under, built, draw(_sent))


@st.composite
def _messages(draw: st.DrawFn, mids: Mids) -> Fact:
    mid = draw(mids)
    words, other = mid.words(draw(_wordings)), draw(mids)
    link = {"type": "image", "payload": {"url": f"https://cdn.example/{words}"}}
    content: dict[str, Any] = draw(
        st.sampled_from(
            (
                {"text": words},
                {"text": words, "reply_to": {"mid": other.name}},
                {"text": words, "reply_to": {"story": {"id": "1", "url": f"https://cdn.example/{words}"}}},
                {"text": words, "quick_reply": {"payload": words}},
                {"text": words, "referral": {"ref": words, "source": "ADS", "type": "OPEN_THREAD"}},
                {"attachments": [link]},
                {"attachments": [link, link], "text": words},
                {"attachments": [{"type": "ephemeral"}]},
                {"is_unsupported": True},
                {},
            )
        )
    )
    flags: dict[str, Any] = {"is_echo": True} if mid.outbound else {}
    if mid.contact == SELF:
        # Nobody says whether a note to oneself is told as the message, as its echo, or as both.
        flags = {"is_self": True, **draw(st.sampled_from(({"is_echo": True}, {})))}
    what = {"message": {"mid": mid.name, **flags, **content}}
    return draw(_fact(mid.account, mid.contact, mid.outbound, what))


@st.composite
def _unsends(draw: st.DrawFn, mids: Mids) -> Fact:
    mid = draw(mids)
    flags = {"is_echo": True} if mid.outbound and draw(st.booleans()) else {}
    what = {"message": {"mid": mid.name, "is_deleted": True, **flags}}
    return draw(_fact(mid.account, mid.contact, mid.outbound, what))


@st.composite
def _edits(draw: st.DrawFn, mids: Mids) -> Fact:
    mid = draw(mids)
    number = draw(st.sampled_from((0, 1, 1, 2, "2", None)))
    edit = {"mid": mid.name, "text": mid.words(draw(_wordings)), "num_edit": number}
    if draw(st.integers(0, 4)) == 4:
        edit = {"mid": mid.name, "num_edit": 0}
    fact = draw(_fact(mid.account, mid.contact, mid.outbound, {"message_edit": edit}))
    if fact.under in ("messaging", "standby") and draw(st.booleans()):
        for party in ("sender", "recipient"):
            del fact.item[party]
    return fact


@st.composite
def _reactions(draw: st.DrawFn, mids: Mids) -> Fact:
    mid = draw(mids)
    what: dict[str, Any] = draw(
        st.sampled_from(
            (
                {"action": "react", "reaction": "love", "emoji": "\u2764"},
                {"action": "react", "reaction": "laugh", "emoji": "\U0001f606"},
                {"action": "react"},
                {"action": "unreact"},
            )
        )
    )
    return draw(_fact(mid.account, mid.contact, draw(st.booleans()), {"reaction": {"mid": mid.name, **what}}))


@st.composite
def _reads(draw: st.DrawFn, mids: Mids) -> Fact:
    mid = draw(mids)
    what = draw(
        st.sampled_from(({"mid": mid.name}, {"watermark": draw(_times)}, {"mid": mid.name, "watermark": draw(_times)}))
    )
    more: dict[str, Any] = {"is_self": True} if mid.contact == SELF and draw(st.booleans()) else {}
    return draw(_fact(mid.account, mid.contact, mid.outbound, {"read": what, **more}))


@st.composite
def _postbacks(draw: st.DrawFn, mids: Mids) -> Fact:
    """A tap; now and then with the mid of a message, for nobody says that the two never share one."""
    mid = draw(mids)
    what: dict[str, Any] = draw(
        st.sampled_from(
            (
                {"title": mid.words(draw(_wordings)), "mid": mid.name, "payload": "BUY"},
                {"title": mid.words(draw(_wordings)), "mid": mid.name},  # as under standby
                {"title": "No mid", "payload": "BUY"},
            )
        )
    )
    return draw(_fact(mid.account, mid.contact, False, {"postback": what}))


@st.composite
def _others(draw: st.DrawFn, mids: Mids) -> Fact:
    """What lives in the ledger alone."""
    what: dict[str, Any] = draw(
        st.sampled_from(
            (
                {"delivery": {"mids": [MIDS[1].name], "watermark": NOON_MS}},
                {"typing": {"on": True}},
                {"policy_enforcement": {"action": "warning", "reason": "spam"}},
                {"response_feedback": {"mid": MIDS[1].name, "feedback": "Good response"}},
                {"referral": {"ref": "shelf", "source": "SHORTLINK", "type": "OPEN_THREAD"}},
                {"optin": {"ref": "news"}},
                {"pass_thread_control": {"new_owner_app_id": 1, "previous_owner_app_id": "2"}},
                {"take_thread_control": {"new_owner_app_id": "2", "previous_owner_app_id": 1}},
                {"app_roles": {"1": ["primary_receiver"]}},
            )
        )
    )
    return draw(_fact(draw(mids).account, PERSON, False, what))


@st.composite
def _comments(draw: st.DrawFn, mids: Mids) -> Fact:
    """Under an ad a comment is notified twice; a change has no time but that of its sending."""
    account = draw(mids).account
    value: dict[str, Any] = {"id": f"1785{ACCOUNTS.index(account)}", "text": f"comment {draw(_wordings)}"}
    author = draw(
        st.sampled_from(({"id": PERSON, "username": "ada"}, {"username": "ada"}, {"id": PERSON}, {"id": account}, None))
    )
    media = draw(st.sampled_from(({"id": "179"}, {"id": "179", "ad_id": "23", "media_product_type": "AD"}, None)))
    value |= {name: part for name, part in (("from", author), ("media", media)) if part is not None}
    field = draw(st.sampled_from(("comments", "comments", "live_comments")))
    under: Under = draw(st.sampled_from(("changes", "flat")))
    return Fact(account, under, {"field": field, "value": value}, draw(_sent))


@st.composite
def _mentions(draw: st.DrawFn, mids: Mids) -> Fact:
    account = draw(mids).account
    field, value = draw(
        st.sampled_from(
            (
                ("mentions", {"media_id": f"17{account}"}),
                ("mentions", {"media_id": f"17{account}"}),
                ("mentions", {"media_id": f"17{account}", "comment_id": "1786"}),
                ("story_insights", {"media_id": f"18{account}", "impressions": 12, "reach": 11}),
            )
        )
    )
    return Fact(account, "changes", {"field": field, "value": value}, draw(_sent))


DASHBOARD_TEST = Fact(
    "0",
    "messaging",
    {
        "sender": {"id": "12334"},
        "recipient": {"id": "23245"},
        "timestamp": "1527459824",
        "message": {"mid": "random_mid", "text": "random_text"},
    },
    NOON_MS,
)

OTHER_WORDS = ((' 0"', ' 1"'), ('"love"', '"laugh"'), (f'"timestamp": {NOON_MS},', f'"timestamp": {NOON_MS + 1},'))


@st.composite
def _told_again(draw: st.DrawFn, fact: Fact) -> Fact:
    """The same with one thing changed, if it has such a thing: when it was sent, under what, or what it says."""
    change = draw(st.sampled_from(("sent", "under", *OTHER_WORDS)))
    if change == "sent":
        return fact._replace(sent_ms=draw(_sent))
    if change == "under":
        return fact._replace(under="messaging") if fact.under == "standby" else fact
    one, other = change
    return fact._replace(item=json.loads(json.dumps(fact.item).replace(one, other)))


def _facts(mids: Mids) -> st.SearchStrategy[Fact]:
    return st.one_of(
        _messages(mids), _messages(mids), _messages(mids), _edits(mids), _edits(mids), _unsends(mids),
        _reactions(mids), _reactions(mids), _reads(mids), _postbacks(mids), _comments(mids), _mentions(mids),
        _others(mids), st.just(DASHBOARD_TEST),
    )  # fmt: skip


@st.composite
def conversations(draw: st.DrawFn, most: int) -> list[Fact]:
    """Up to `most` facts about one to three messages, some of them told again."""
    mids = st.sampled_from(draw(st.lists(st.sampled_from(MIDS), min_size=1, max_size=3, unique=True)))
    size = draw(st.integers(1, most))
    facts = draw(st.lists(_facts(mids), min_size=size, max_size=size))
    facts += [draw(_told_again(fact)) for fact in facts[: most - size] if draw(st.booleans())]
    return list({repr(fact): fact for fact in facts}.values())


@st.composite
def facts_about(draw: st.DrawFn) -> Fact:
    """One fact about one of two messages of one conversation, a person's and ours."""
    return draw(_facts(st.sampled_from(draw(st.sampled_from((MIDS[:2], MIDS[3:5], MIDS[6:7]))))))
