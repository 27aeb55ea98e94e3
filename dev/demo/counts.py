"""What the tables must hold after the demo, what they hold, and where the two differ.

The expected counts come from the samples, never from the tables: their index has the kinds, the parser the ids.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from dev.demo.story import RULES, Post
from lib.events.model import Comment, Echo, Event, Mention, Message, Postback, Reaction
from lib.replies.rules import RuleBook

Rows: TypeAlias = Sequence[Mapping[str, Any]]
Snapshot: TypeAlias = Mapping[str, Rows]
"""Every row of every table, by table."""

Counts: TypeAlias = Mapping[str, int]
"""By what is counted, in words."""


def expected(posts: Sequence[Post], *, direct: int, echoes: bool) -> Counts:
    """Returns the counts after `posts`, each posted any number of times. `direct` of their events found no QStash."""
    events = {event.event_id: event for post in posts for event in post.events}
    replies = reply_count(events.values())
    kinds = Counter(kind for post in posts for kind in post.kinds)
    kinds["echo"] += replies if echoes else 0
    every = list(events.values())
    messages = [event for event in every if isinstance(event, Message | Echo | Postback)]
    return {
        "events in the ledger": kinds.total(),
        "events processed": kinds.total(),
        "events lost": 0,
        "events by the queue": kinds.total() - direct,
        "events processed directly": direct,
        **{f"events of kind {kind}": count for kind, count in sorted(kinds.items())},
        "messages": len({event.mid or event.event_id for event in messages}) + replies,
        "reactions": len({(event.mid, event.actor_id) for event in every if isinstance(event, Reaction)}),
        "comments": len({event.comment_id for event in every if isinstance(event, Comment)}),
        "mentions": sum(isinstance(event, Mention) for event in every),
        "profiles": len({event.contact_id for event in every if not (event.is_test or event.is_self)} - {None}),
        "replies sent": replies,
        "replies Instagram received": replies,
        "replies sent twice": 0,
        "dead letters": 0,
    }


def found(snapshot: Snapshot, sent: Rows, posts: Sequence[Post]) -> Counts:
    """Returns the same counts of what there is. `sent` is every message that Instagram's stand-in has received."""
    events, outbox = snapshot["events"], snapshot["outbox"]
    processed = {row["event_id"] for row in events if row["processed_at"] is not None}
    kinds = Counter(row["kind"] for row in events)
    via = Counter(row["via"] for row in events)
    replies = [row for row in outbox if row["kind"] in ("dm", "private_reply") and row["state"] == "sent"]
    return {
        "events in the ledger": len(events),
        "events processed": len(processed),
        "events lost": len({event.event_id for post in posts for event in post.events} - processed),
        "events by the queue": via["queue"],
        "events processed directly": via["direct"],
        **{f"events of kind {kind}": count for kind, count in sorted(kinds.items())},
        "messages": sum(not row["is_placeholder"] for row in snapshot["messages"]),
        "reactions": len(snapshot["reactions"]),
        "comments": len(snapshot["comments"]),
        "mentions": len(snapshot["mentions"]),
        "profiles": len(snapshot["profiles"]),
        "replies sent": len(replies),
        "replies Instagram received": len(sent),
        "replies sent twice": len({one["message_id"] for one in sent} - {row["mid"] for row in outbox}),
        "dead letters": len(snapshot["dead_letters"]),
    }


def wrong(expected: Counts, found: Counts) -> list[str]:
    """Returns a sentence for each wrong count, or []."""
    return [
        f"expected {expected.get(what, 0)} {what}, found {found.get(what, 0)}"
        for what in {**expected, **found}
        if expected.get(what, 0) != found.get(what, 0)
    ]


@dataclass(frozen=True)
class Verdict:
    """The last line of the demo, and its exit status."""

    exit_code: int
    text: str


def verdict(expected: Counts, found: Counts) -> Verdict:
    """Returns the verdict, which is good only if every count is right."""
    mistakes = wrong(expected, found)
    if mistakes:
        return Verdict(1, "\n".join([f"{len(mistakes)} of {len(expected)} counts are wrong:", *mistakes]))
    return Verdict(
        0,
        f"{found['events in the ledger']} events, {found['events processed']} processed, {found['events lost']} lost, "
        f"{found['replies sent twice']} doubled. All counts are right.",
    )


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Returns a sentence for each table that differs between two snapshots, or []."""
    sentences = []
    for table in sorted({*before, *after}):
        old, new = before.get(table, []), after.get(table, [])
        changed = sum(row not in old for row in new) + sum(row not in new for row in old)
        if changed or len(old) != len(new):
            sentences.append(
                f"{table}: {len(old)} rows before, {len(new)} after, {changed} in one and not in the other"
            )
    return sentences


def reply_count(events: Iterable[Event]) -> int:
    """Returns how many of `events` the rules answer, each at most once."""
    book = RuleBook(RULES)
    return sum(bool(book.matching(event)) for event in events)
