"""The judge of a chaos run says nothing of tables that are right, and names everything that is not."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.judge import Judgement, Tables, judge
from tests.chaos.model import Expected, Reply, expected
from tests.chaos.traffic import ACCOUNTS, traffic

NOW_MS = 1_795_000_000_000
WANTED = expected(traffic(3, 400, 60, now_ms=NOW_MS), now_ms=NOW_MS)
POISON = "msg_poison"


def right(wanted: Expected) -> Tables:
    """Tables in which everything has taken effect once."""
    replies = [(reply, ending(reply)) for reply in wanted.replies]
    return Tables(
        events=[event(event_id, kind) for event_id, kind in wanted.events.items()],
        messages=[
            {"account_id": account, "mid": mid, **message._asdict(), "unseen": False}
            for (account, mid), message in wanted.messages.items()
        ],
        reactions=[
            {"account_id": account, "mid": mid, "actor_id": actor, **reaction._asdict()}
            for (account, mid, actor), reaction in wanted.reactions.items()
        ],
        people=[
            {"account_id": account, "igsid": igsid, "inbound": one.last_inbound_ms, "read_up_to": one.read_up_to_ms}
            for (account, igsid), one in wanted.people.items()
        ],
        comments=[
            {"account_id": account, "comment_id": comment_id, "text": text}
            for (account, comment_id), text in wanted.comments.items()
        ],
        outbox=[
            *(
                {"event_id": event_id, "kind": "next_phase", "state": "sent", "error_code": None}
                for event_id in wanted.next_phase
            ),
            *({"event_id": reply.event_id, "kind": "dm", **end} for reply, end in replies),
        ],
        letters=[letter(POISON, status=489, event_id=None, error_code="invalid_payload")],
        sent=[
            {"account_id": reply.account, "recipient_id": reply.contact, "text": reply.text}
            for reply, end in replies
            if end["state"] == "sent"
        ],
        dlq=[{"messageId": POISON}],
    )


def event(event_id: str, kind: str) -> dict[str, Any]:
    return {"event_id": event_id, "kind": kind, "done": True, "given_up_code": None}


def ending(reply: Reply) -> dict[str, Any]:
    if reply.may_fail_with:
        return {"state": "failed", "error_code": reply.may_fail_with[0]}
    return {"state": "sent", "error_code": None}


def letter(message_id: str, **columns: Any) -> dict[str, Any]:
    return {"source_message_id": message_id, "status": 500, "state": "open", "error_code": None, **columns}


def judged(
    tables: Tables, *, webhooks: tuple[str, ...] = (), handed_on: dict[str, set[str]] | None = None
) -> Judgement:
    heard = {event_id: {"msg"} for event_id in WANTED.next_phase} if handed_on is None else handed_on
    return judge(WANTED, tables, handed_on=heard, poison=[POISON], webhooks=webhooks)


def test_nothing_is_said_of_tables_that_are_right() -> None:
    judgement = judged(right(WANTED))
    assert judgement.good, judgement
    assert judgement.counts["events told"] == judgement.counts["events processed"] == len(WANTED.events)


def _answered(tables: Tables) -> dict[str, Any]:
    return next(row for row in tables.outbox if row["kind"] == "dm" and row["state"] == "sent")


def _letter(tables: Tables, **columns: Any) -> None:
    tables.letters.append(letter("msg_other", event_id=tables.events[0]["event_id"], **columns))


def _closed_letter_at_qstash(tables: Tables) -> None:
    _letter(tables, state="replayed")
    tables.dlq.append({"messageId": "msg_other"})


def _refused_but_delivered(tables: Tables) -> None:
    """Meta answered with an error of the kind that is final for some people, and delivered all the same."""
    _answered(tables).update(state="failed", error_code="graph_outside_window")


Damage = Callable[[Tables], Any]

DAMAGES: dict[str, tuple[str, Damage]] = {
    "an event is missing": ("lost", lambda t: t.events.pop()),
    "an event is unfinished": ("lost", lambda t: t.events[0].update(done=False)),
    "an event is nobody's": ("doubled", lambda t: t.events.append(event("x", "message"))),
    "an event is given up": ("lost", lambda t: t.events[0].update(given_up_code="too_many_sweeps")),
    "a message is missing": ("lost", lambda t: t.messages.pop()),
    "a message says something else": ("lost", lambda t: t.messages[0].update(text="something else")),
    "a message was never seen": ("lost", lambda t: t.messages[0].update(unseen=True)),
    "a message is there twice": ("doubled", lambda t: t.messages.append({**t.messages[0], "mid": "another"})),
    "a reaction is the older one": ("lost", lambda t: t.reactions[0].update(action="none")),
    "a person's window is wrong": ("lost", lambda t: t.people[0].update(inbound=1)),
    "a comment is missing": ("lost", lambda t: t.comments.pop()),
    "a next phase is open": ("lost", lambda t: t.outbox[0].update(state="planned")),
    "a next phase is planned twice": ("doubled", lambda t: t.outbox.append(dict(t.outbox[0]))),
    "a reply is not planned": ("lost", lambda t: t.outbox.remove(_answered(t))),
    "a reply is planned twice": ("doubled", lambda t: t.outbox.append(dict(_answered(t)))),
    "a reply is sent twice": ("double_dms", lambda t: t.sent.append(dict(t.sent[0]))),
    "a reply never left": ("wrong_verdicts", lambda t: t.sent.pop()),
    "a reply that left is called unknown": ("wrong_verdicts", lambda t: _answered(t).update(state="unknown")),
    "a reply waits for ever": ("wrong_verdicts", lambda t: _answered(t).update(state="planned")),
    "a reply is given up without reason": ("wrong_verdicts", lambda t: _answered(t).update(state="failed")),
    "a dead letter is open": ("lost", _letter),
    "an event is refused for good": ("wrong_verdicts", lambda t: _letter(t, status=489, state="replayed")),
    "what is no event is called done": ("wrong_verdicts", lambda t: t.letters[0].update(state="replayed")),
    "what is no event is tried again": ("wrong_verdicts", lambda t: t.letters[0].update(status=500)),
    "QStash alone has a letter": ("lost", lambda t: t.dlq.append({"messageId": "msg_unheard_of"})),
    "QStash still has a closed letter": ("wrong_verdicts", _closed_letter_at_qstash),
    "a refused reply that was delivered stays failed": ("wrong_verdicts", _refused_but_delivered),
    "a refused reply that was delivered is sent again": ("double_dms", lambda t: t.sent.append(dict(t.sent[-1]))),
    "what is no event is in no list": ("wrong_verdicts", lambda t: t.letters.clear()),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_is_named(name: str) -> None:
    where, damage = DAMAGES[name]
    tables = right(WANTED)
    damage(tables)
    judgement = judged(tables)
    assert not judgement.good
    assert getattr(judgement, where), judgement


def test_a_next_phase_that_nobody_heard_of_is_lost_and_one_heard_of_twice_is_counted() -> None:
    heard = {event_id: {"msg"} for event_id in WANTED.next_phase}
    one, *_ = heard
    assert judged(right(WANTED), handed_on={**heard, one: {"msg_1", "msg_2"}}).good
    del heard[one]
    assert judged(right(WANTED), handed_on=heard).lost


def test_what_is_no_event_and_met_no_function_before_qstash_gave_up_is_an_open_letter_too() -> None:
    tables = right(WANTED)
    tables.letters[0].update(status=0)
    assert judged(tables).good


def test_a_wrong_answer_to_meta_is_a_wrong_verdict() -> None:
    assert judged(right(WANTED), webhooks=("a genuine webhook was answered 401",)).wrong_verdicts


def test_an_unknown_reply_that_never_left_is_for_people_and_no_fault() -> None:
    tables = right(WANTED)
    row = _answered(tables)
    row["state"] = "unknown"
    (reply,) = [reply for reply in WANTED.replies if reply.event_id == row["event_id"]]
    tables.sent = [one for one in tables.sent if (one["recipient_id"], one["text"]) != (reply.contact, reply.text)]
    assert reply.account in ACCOUNTS
    assert judged(tables).good
