"""What the demo posts: the sample webhooks with today's times, their people, and the rules that answer them."""

from collections.abc import Sequence
from dataclasses import dataclass

from dev.graph.mids import new_mid
from dev.send.redate import redate
from dev.send.samples import samples
from dev.send.webhook import as_meta_writes
from lib.core.safe_json import decode_json
from lib.events.model import Comment, Event
from lib.replies.rules import Rule
from lib.webhooks.parser import parse_webhook

ACCOUNT = "17841478214963307"
MARA = "1038472915560274"

PEOPLE = (
    {"id": MARA, "username": "mara.lindqvist", "name": "Mara Lindqvist"},
    {"id": "962714038851207", "username": "tomas.na.roda", "name": "Tomás Nogueira"},
    {"id": "7714209365581132", "username": "aiko.mori", "name": "森 愛子"},
    {"id": "588203917746120", "username": "jonas.brennt", "name": "Jonas Weiss"},
)
"""The people behind the ids in the samples."""

RULES = (
    Rule(rule_id=1, trigger="story_mention", reply_text="Thank you for the mention, {first_name}!"),
    Rule(
        rule_id=2,
        trigger="comment",
        reply_text="It is 68 €. Shall we put one aside for you?",
        match="exact",
        pattern="price",
    ),
    Rule(
        rule_id=3,
        trigger="postback",
        reply_text="Beginners on Tuesdays, everybody on Saturdays.",
        match="exact",
        pattern="classes",
    ),
)
"""No rule depends on earlier messages, so the answered events are known beforehand."""


@dataclass(frozen=True)
class Post:
    """One webhook: its body as it is posted, and the events that the parser finds in it."""

    sample: str
    kinds: tuple[str, ...]
    body: bytes
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Story:
    """All posts, in order, and one more for the time without QStash."""

    posts: tuple[Post, ...]
    latecomer: Post

    @property
    def commenters(self) -> dict[str, str]:
        """Returns the author of each comment, if Instagram names the author."""
        events = [event for post in self.posts for event in post.events]
        return {
            event.comment_id: event.contact_id for event in events if isinstance(event, Comment) and event.contact_id
        }


def tell(now_ms: int) -> Story:
    """Returns the samples with their newest event now: a reply needs an open window of 24 hours."""
    listed = samples()
    bodies = redate([decode_json(sample.path.read_bytes()) for sample in listed], now_ms=now_ms)
    posts = [_post(sample.name, sample.kinds, body, now_ms) for sample, body in zip(listed, bodies, strict=True)]
    return Story(tuple(posts), _post("(one more)", ("message",), _one_more(now_ms), now_ms))


def _post(sample: str, kinds: Sequence[str], body: object, now_ms: int) -> Post:
    return Post(sample, tuple(kinds), as_meta_writes(body), tuple(parse_webhook(body, received_at=now_ms)))


def _one_more(now_ms: int) -> object:
    words = {"mid": new_mid(ACCOUNT, MARA, now_us=now_ms * 1000), "text": "Perfect, see you on Friday!"}
    item = {"sender": {"id": MARA}, "recipient": {"id": ACCOUNT}, "timestamp": now_ms, "message": words}
    return {"object": "instagram", "entry": [{"time": now_ms, "id": ACCOUNT, "messaging": [item]}]}
