"""The tables, held against the model: what is lost, doubled, sent twice, or judged wrongly.

Reads with SQL and from Instagram's stand-in. Must not know what happened on the way.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString, TypeAlias

import httpx
import psycopg
from psycopg.rows import dict_row

from dev.stack import Stack
from tests.chaos.dlq import entries_to_consumer
from tests.chaos.model import Expected, Message, Person, Reaction, Reply, missing_or_extra

NO_EVENT = (489, 0, None)
"""How QStash gives up on what is no event: at our word, or, if no function answers as long as it tries, by itself."""

Rows: TypeAlias = list[dict[str, Any]]


@dataclass
class Judgement:
    """A sentence for everything that is not as promised, and counts of what is worth knowing besides."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    double_dms: list[str] = field(default_factory=list)
    wrong_verdicts: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether the promise held."""
        return not (self.lost or self.doubled or self.double_dms or self.wrong_verdicts)


@dataclass
class Tables:
    """What there is: rows, by the names that `read_tables` gives their columns, and what Instagram's stand-in took."""

    events: Rows
    messages: Rows
    reactions: Rows
    people: Rows
    comments: Rows
    outbox: Rows
    letters: Rows
    sent: Rows
    dlq: Rows
    """What QStash's own dead letter queue holds of our events."""


def read_tables(stack: Stack) -> Tables:
    """The tables of a local stack, as they are now."""
    sent = httpx.get(f"{stack.graph_url}/__dev/sent", timeout=30, trust_env=False).raise_for_status().json()
    with psycopg.connect(stack.dsn, row_factory=dict_row) as database:

        def read(query: LiteralString) -> Rows:
            return database.execute(query).fetchall()

        return Tables(
            events=read("select event_id, kind, processed_at is not null as done, given_up_code from events"),
            messages=read(
                "select account_id, mid, direction, text, jsonb_array_length(attachments) as attachments,"
                " unsent_at is not null as unsent, is_placeholder or is_provisional as unseen from messages"
            ),
            reactions=read("select account_id, mid, actor_id, action, emoji from reactions"),
            people=read(
                "select account_id, igsid, (extract(epoch from last_inbound_at) * 1000)::bigint as inbound,"
                " (extract(epoch from read_watermark_at) * 1000)::bigint as read_up_to from profiles"
            ),
            comments=read("select account_id, comment_id, text from comments"),
            outbox=read("select event_id, kind, state, error_code from outbox"),
            letters=read("select source_message_id, event_id, status, error_code, state from dead_letters"),
            sent=sent,
            dlq=entries_to_consumer(stack),
        )


def judge(
    wanted: Expected,
    found: Tables,
    *,
    handed_on: Mapping[str, set[str]],
    poison: Iterable[str],
    webhooks: Iterable[str],
) -> Judgement:
    """`handed_on` is what the next phase heard, `poison` the QStash ids of what is no event, `webhooks` what was wrong
    about the answers to Meta.
    """
    verdict = Judgement(wrong_verdicts=list(webhooks))
    _ledger(verdict, wanted, found)
    _rows(verdict, wanted, found)
    _next_phase(verdict, wanted, found, handed_on)
    _replies(verdict, wanted.replies, found)
    _dead_letters(verdict, found, set(poison))
    _qstash_dlq(verdict, found)
    return verdict


def _ledger(verdict: Judgement, wanted: Expected, found: Tables) -> None:
    kinds = {row["event_id"]: row["kind"] for row in found.events}
    lost, extra = missing_or_extra(wanted.events, kinds)
    verdict.lost += [f"event {event_id} is not in the ledger" for event_id in lost]
    verdict.doubled += [f"event {event_id} is nobody's" for event_id in extra]
    verdict.lost += [f"event {row['event_id']} was never finished" for row in found.events if not row["done"]]
    given_up = [row for row in found.events if row["given_up_code"] is not None]
    verdict.lost += [f"event {row['event_id']} was given up: {row['given_up_code']}" for row in given_up]
    verdict.counts["events told"] = len(wanted.events)
    verdict.counts["events given up"] = len(given_up)
    verdict.counts["events processed"] = sum(row["done"] for row in found.events)


def _rows(verdict: Judgement, wanted: Expected, found: Tables) -> None:
    verdict.lost += [f"message {row['mid']} was never seen" for row in found.messages if row["unseen"]]
    messages = {
        (row["account_id"], row["mid"]): Message(row["direction"], row["text"], row["attachments"], row["unsent"])
        for row in found.messages
    }
    reactions = {
        (row["account_id"], row["mid"], row["actor_id"]): Reaction(row["action"], row["emoji"])
        for row in found.reactions
    }
    people = {(row["account_id"], row["igsid"]): Person(row["inbound"], row["read_up_to"]) for row in found.people}
    comments = {(row["account_id"], row["comment_id"]): row["text"] for row in found.comments}
    compared: tuple[tuple[str, Mapping[Any, object], Mapping[Any, object]], ...] = (
        ("message", wanted.messages, messages),
        ("reaction", wanted.reactions, reactions),
        ("person", wanted.people, people),
        ("comment", wanted.comments, comments),
    )
    for what, of_model, of_table in compared:
        wrong, extra = missing_or_extra(of_model, of_table)
        verdict.lost += [f"{what} {key} is not as it was told" for key in wrong]
        verdict.doubled += [f"{what} {key} is nobody's" for key in extra]
        verdict.counts[f"{what} rows"] = len(of_table)


def _next_phase(verdict: Judgement, wanted: Expected, found: Tables, handed_on: Mapping[str, set[str]]) -> None:
    """QStash tells two publications of one event apart for ten minutes only, so a receiver keeps the event's id: being
    handed on twice is counted, and no fault. Being planned twice would be one.
    """
    planned = Counter(row["event_id"] for row in found.outbox if row["kind"] == "next_phase")
    verdict.lost += [
        f"event {one} never reached the next phase" for one in sorted(wanted.next_phase - handed_on.keys())
    ]
    verdict.lost += [
        f"the next phase of {row['event_id']} is {row['state']}"
        for row in found.outbox
        if row["kind"] == "next_phase" and row["state"] != "sent"
    ]
    verdict.doubled += [f"event {one} has {count} next phases" for one, count in planned.items() if count > 1]
    verdict.doubled += [f"the next phase got {one}, which is nobody's" for one in handed_on.keys() - wanted.next_phase]
    verdict.counts["handed to the next phase"] = len(handed_on)
    verdict.counts["handed to the next phase more than once"] = sum(len(ids) > 1 for ids in handed_on.values())


def _replies(verdict: Judgement, replies: Iterable[Reply], found: Tables) -> None:
    arrived = Counter((one["account_id"], one["recipient_id"], one["text"]) for one in found.sent)
    verdict.double_dms += [f"{contact} got {text!r} {n} times" for (_, contact, text), n in arrived.items() if n > 1]
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in found.outbox:
        if row["kind"] != "next_phase":
            rows.setdefault(row["event_id"], []).append(row)
    states: Counter[str] = Counter()
    for reply in replies:
        mine = rows.pop(reply.event_id, [])
        if len(mine) != 1:
            (verdict.lost if not mine else verdict.doubled).append(f"{reply.event_id} has {len(mine)} replies planned")
            continue
        states[mine[0]["state"]] += 1
        delivered = arrived[reply.account, reply.contact, reply.text]
        if complaint := _complaint(reply, mine[0], delivered=delivered):
            verdict.wrong_verdicts.append(f"reply to {reply.event_id}: {complaint}")
    verdict.doubled += [f"{event_id} is answered, and should not be" for event_id in rows]
    verdict.counts |= {f"replies {state}": count for state, count in sorted(states.items())}


def _complaint(reply: Reply, row: Mapping[str, Any], *, delivered: int) -> str | None:
    """What is wrong about how a reply ended; None where it ended as it may."""
    state, code = row["state"], row["error_code"]
    match state:
        case "sent" if delivered == 1:
            return None
        case "unknown" if not delivered:
            # Instagram never took it, and nobody can know: it is shown to people and not sent again.
            return None
        case "failed" | "skipped" if delivered == 0 and code in reply.may_fail_with:
            return None
    return f"{state} ({code}), and Instagram delivered {delivered}"


def _dead_letters(verdict: Judgement, found: Tables, poison: set[str]) -> None:
    letters = {row["source_message_id"]: row for row in found.letters}
    for message_id in poison:
        letter = letters.pop(message_id, None)
        if letter is None or letter["state"] != "open" or letter["status"] not in NO_EVENT:
            verdict.wrong_verdicts.append(f"{message_id} is no event, and is no open dead letter with 489 either")
    # Where QStash took it and its answer was lost, it has it twice, and once under an id we never heard of.
    of_events = [
        letter for letter in letters.values() if letter["event_id"] is not None or letter["status"] not in NO_EVENT
    ]
    for letter in of_events:
        if letter["status"] == 489:
            verdict.wrong_verdicts.append(f"{letter['event_id']} was refused for good: {letter['error_code']}")
        if letter["state"] == "open":
            verdict.lost.append(f"the dead letter of {letter['event_id']} is still open: {letter['error_code']}")
    verdict.counts["dead letters replayed"] = len(of_events)
    verdict.counts["dead letters of what is no event"] = len(poison)


def _qstash_dlq(verdict: Judgement, found: Tables) -> None:
    """QStash forgets its dead letters after days. So each has a letter of ours, and is gone once that is closed."""
    states = {row["source_message_id"]: row["state"] for row in found.letters}
    for entry in found.dlq:
        state = states.get(entry["messageId"])
        if state is None:
            verdict.lost.append(f"only QStash's dead letter queue holds {entry['messageId']}")
        elif state != "open":
            verdict.wrong_verdicts.append(f"QStash's dead letter queue still holds {entry['messageId']}: {state}")
    verdict.counts["entries in QStash's dead letter queue"] = len(found.dlq)
