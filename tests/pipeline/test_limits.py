"""How fast replies leave: below Meta's limits, each in its turn, and later rather than never."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from dev.stack import Stack
from lib.events.model import encode
from lib.processing.rate_limit import limits_at
from lib.webhooks.parser import parse_webhook
from tests.support.builders import ACCOUNT, CONTACT, comment, message, new_mid, now_ms, webhook
from tests.support.deliveries import signature
from tests.support.receiver import receiver
from tests.support.world import CONSUMER, World

LIMITS = {
    "account": {"count": 5, "window_s": 1.0},
    "thread": {"count": 1, "window_s": 1.0},
    "private_reply": {"count": 2, "window_s": 3600.0},
}


def claimed(
    world: World, *, kind: str = "dm", contact: str | None = None, account: str = ACCOUNT
) -> tuple[str, uuid.UUID]:
    """A reply that a worker has claimed and is about to send."""
    effect_id, token = f"dm:{new_mid()}", uuid.uuid4()
    world.db.execute(
        "insert into events (event_id, kind, account_id, contact_id, direction, via, occurred_at, received_at)"
        " values (%s, 'message', %s, %s, 'inbound', 'queue', now(), now())",
        (effect_id, account, contact or effect_id),
    )
    world.db.execute(
        "insert into profiles (account_id, igsid, first_seen_at, last_seen_at, last_inbound_at)"
        " values (%s, %s, now(), now(), now()) on conflict do nothing",
        (account, contact or effect_id),
    )
    world.db.execute(
        "insert into outbox"
        " (effect_id, event_id, kind, account_id, contact_id, payload, state, lease_token, lease_until)"
        " values (%s, %s, %s, %s, %s, '{}', 'claimed', %s, now() + interval '1 minute')",
        (effect_id, effect_id, kind, account, contact or effect_id, token),
    )
    return effect_id, token


def begin(
    db: "psycopg.Connection[dict[str, Any]]", effect: tuple[str, uuid.UUID], patience_s: float = 0.0
) -> dict[str, Any]:
    options = Jsonb({"limits": LIMITS, "patience_s": patience_s})
    row = db.execute(
        "select begin_send(%s, %s, %s, 30, %s) as permit", (*effect, Jsonb({"text": "20."}), options)
    ).fetchone()
    assert row is not None
    permit: dict[str, Any] = row["permit"]
    return permit


# The slots.


def test_what_is_over_the_limit_of_the_account_gets_a_turn_of_its_own(world: World) -> None:
    permits = [begin(world.db, claimed(world)) for _ in range(12)]
    assert [permit["go"] for permit in permits] == [True] * 5 + [False] * 7
    waits = [round(permit["retry_after"]) for permit in permits[5:]]
    assert waits == [1, 1, 1, 1, 1, 2, 2]
    rows = world.rows(
        "select state, waits_for, not_before = slot_at as at_its_turn from outbox where state = 'planned'"
    )
    assert rows == [{"state": "planned", "waits_for": "account", "at_its_turn": True}] * 7


def test_one_person_gets_one_reply_a_second_and_holds_up_nobody_else(world: World) -> None:
    permits = [begin(world.db, claimed(world, contact=CONTACT)) for _ in range(20)]
    assert [round(permit.get("retry_after", 0)) for permit in permits] == list(range(20))
    assert begin(world.db, claimed(world))["go"]


def test_private_replies_have_an_hourly_limit_that_holds_up_no_message(world: World) -> None:
    permits = [begin(world.db, claimed(world, kind="private_reply")) for _ in range(6)]
    assert [round(permit.get("retry_after", 0) / 3600) for permit in permits] == [0, 0, 1, 1, 2, 2]
    assert all(begin(world.db, claimed(world))["go"] for _ in range(3))


def test_each_account_has_limits_of_its_own(world: World) -> None:
    permits = [begin(world.db, claimed(world, account=account)) for account in (ACCOUNT, "17841400000000099") * 5]
    assert all(permit["go"] for permit in permits)


def test_a_turn_that_was_given_is_kept_and_asked_for_only_once(world: World) -> None:
    for _ in range(5):
        begin(world.db, claimed(world))
    late = claimed(world)
    assert not begin(world.db, late, patience_s=0.5)["go"]
    for _ in range(5):
        begin(world.db, claimed(world))
    world.db.execute("update outbox set slot_at = slot_at - interval '1.5 seconds'")
    # Five others wait behind it; it does not queue behind them.
    token = uuid.uuid4()
    world.db.execute(
        "update outbox set state = 'claimed', lease_token = %s, lease_until = now() + interval '1 minute'"
        " where effect_id = %s", (token, late[0]),
    )  # fmt: skip
    assert begin(world.db, (late[0], token))["go"]


def test_who_can_wait_as_long_as_it_takes_keeps_the_effect(world: World) -> None:
    begin(world.db, claimed(world, contact=CONTACT))
    patient = claimed(world, contact=CONTACT)
    permit = begin(world.db, patient, patience_s=2)
    assert (permit["go"], permit["kept"]) == (False, True)
    assert 0.5 < permit["retry_after"] <= 1
    assert world.row("select state from outbox where effect_id = %s", patient[0])["state"] == "claimed"


def test_workers_at_the_same_moment_never_share_a_turn(world: World) -> None:
    effects = [claimed(world) for _ in range(48)]
    seen: list[dict[str, Any]] = []

    def work(part: list[tuple[str, uuid.UUID]]) -> None:
        with psycopg.connect(world.stack.dsn, autocommit=True, row_factory=psycopg.rows.dict_row) as db:
            seen.extend(begin(db, effect) for effect in part)

    workers = [threading.Thread(target=work, args=(effects[start::8],)) for start in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(seen) == 48
    moments = [row["slot_at"] for row in world.rows("select slot_at from outbox order by slot_at")]
    gaps = [(later - earlier).total_seconds() for earlier, later in zip(moments, moments[5:], strict=False)]
    assert min(gaps) >= 1, "six sends within a second"


STEPS = st.one_of(
    st.tuples(st.just("new"), st.sampled_from(("dm", "private_reply", "private_reply")), st.integers(0, 3)),
    st.tuples(st.just("new"), st.sampled_from(("dm", "private_reply", "private_reply")), st.integers(0, 3)),
    st.tuples(st.just("ask"), st.integers(0, 30), st.just(0)),
    st.tuples(st.just("ask"), st.integers(0, 30), st.just(0)),
    st.tuples(st.just("later"), st.sampled_from((0.3, 1.1, 3.0, 1800.0, 3601.0)), st.just(0)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=st.lists(STEPS, min_size=20, max_size=60))
def test_whatever_waits_and_in_whatever_order_it_asks_again_no_window_has_too_many(
    world: World, steps: list[tuple[str, Any, Any]]
) -> None:
    """Slots are promises: many may fall due together. What leaves is bounded all the same."""
    world.db.execute("truncate events, profiles, outbox")
    effects: list[tuple[tuple[str, uuid.UUID], str, str]] = []
    departures: list[tuple[float, str, str]] = []
    gone: set[str] = set()
    clock_s, started_s = 0.0, time.monotonic()

    def ask(index: int) -> None:
        effect, kind, contact = effects[index]
        world.db.execute("update outbox set state = 'claimed', lease_token = %s where effect_id = %s", effect[::-1])
        if begin(world.db, effect, patience_s=0)["go"]:
            gone.add(effect[0])
            departures.append((clock_s + time.monotonic() - started_s, kind, contact))

    for what, first, second in steps:
        if what == "new":
            contact = f"600123456789012{second}"
            effects.append((claimed(world, kind=first, contact=contact), first, contact))
            ask(len(effects) - 1)
        elif what == "ask" and (waiting := [n for n, (effect, *_) in enumerate(effects) if effect[0] not in gone]):
            ask(waiting[first % len(waiting)])
        elif what == "later":
            clock_s += first
            world.db.execute("update outbox set slot_at = slot_at - %s * interval '1 second'", (first,))
    by_scope = {
        "account": [at for at, _, _ in departures],
        "private_reply": [at for at, kind, _ in departures if kind == "private_reply"],
        **{contact: [at for at, _, to in departures if to == contact] for contact in {to for _, _, to in departures}},
    }
    for scope, moments in by_scope.items():
        limit = LIMITS.get(scope, LIMITS["thread"])
        count, window_s = int(limit["count"]), limit["window_s"]
        for earlier, later in zip(moments, moments[count:], strict=False):
            assert later - earlier >= window_s - 0.05, scope


def test_the_limits_of_python_are_what_the_database_reads(world: World) -> None:
    limits = limits_at([], sends_per_second=1, now_s=0.0)
    options = Jsonb({"limits": asdict(limits)})
    permits = []
    for _ in range(2):
        effect = claimed(world)
        permits.append(world.row("select begin_send(%s, %s, '{}', 30, %s) as permit", *effect, options)["permit"])
    assert [permit["go"] for permit in permits] == [True, False]


# Through the pipeline.


def test_two_messages_of_one_person_are_answered_a_second_apart(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.", cooldown_s=0)
    world.deliver(webhook(message("price"), message("price?")))
    assert len(world.sent()) == 2
    first, second = (row["slot_at"] for row in world.rows("select slot_at from outbox order by slot_at"))
    assert (second - first).total_seconds() >= 1
    assert world.count("dead_letters") == 0


def test_replies_to_many_people_leave_at_the_rate_of_the_setting_and_none_is_lost(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    people = [f"60012345678902{number:02}" for number in range(9)]
    with world.stack.functions({"SENDS_PER_SECOND": "4"}) as base_url:
        world.deliver(webhook(*[message("price", contact=person) for person in people]), base_url=base_url)
        moments = [
            row["slot_at"] for row in world.rows("select slot_at from outbox where state = 'sent' order by slot_at")
        ]
        world.sweep(base_url=base_url)
    assert len(moments) >= 5
    assert (moments[4] - moments[0]).total_seconds() >= 1
    assert Counter(sent["recipient_id"] for sent in world.sent()) == Counter(people)


@pytest.fixture(scope="module")
def others(stack: Stack) -> Iterator[str]:
    """Another instance: what it hears from Meta of an account's usage, the first one does not know."""
    with stack.functions({}) as base_url:
        yield base_url


@pytest.mark.parametrize("fault", ["429", "rate_limit", "rate_limit_thread"])
def test_a_reply_that_meta_throttles_is_sent_once_after_the_named_time(world: World, others: str, fault: str) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    body = webhook(message("price"))
    world.graph_fault("send", fault, times=1)
    world.deliver(body, base_url=others)
    row = world.row("select state, extract(epoch from not_before - sending_at)::float as wait_s from outbox")
    assert row["state"] == "planned"
    assert row["wait_s"] == pytest.approx({"429": 2, "rate_limit": 60, "rate_limit_thread": 60}[fault], abs=1.5)
    assert world.sent() == []
    assert world.row("select processed_at from events")["processed_at"] is None
    for _ in range(2):
        world.sweep()
        world.deliver(body)
    assert len(world.sent()) == 1
    assert world.row("select state from outbox")["state"] == "sent"
    assert world.row("select processed_at from events")["processed_at"] is not None


def test_a_throttled_private_reply_is_sent_once_too(world: World) -> None:
    world.rule(trigger="comment", reply_text="Look into your messages")
    world.graph_fault("send", "429", times=1)
    world.deliver(webhook(comment("hi"), under="changes"))
    world.sweep()
    assert len(world.sent()) == 1


def test_nothing_is_sent_while_meta_says_that_a_limit_is_nearly_used_up(world: World, others: str) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.", cooldown_s=0)
    world.graph_fault("send", "rate_limit", times=1)
    world.deliver(webhook(message("price")), base_url=others)
    world.deliver(webhook(message("price again")), base_url=others)
    calls = [call for call in world.graph_calls() if call["endpoint"] == "send"]
    assert len(calls) == 1, "Meta was asked again while it throttled"
    assert {row["state"] for row in world.rows("select state from outbox")} == {"planned"}
    world.sweep()
    assert len(world.sent()) == 2


def test_a_throttled_reply_is_owed_although_the_next_phase_is_done(world: World) -> None:
    """The event is taken up again for its next phase while the reply still has to wait."""
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "rate_limit", times=1)
    [event] = parse_webhook(webhook(message("price")), received_at=now_ms())
    body = encode(event)
    with receiver() as there, world.stack.functions({"PHASE3_URL": there.url}) as base_url:
        headers = {"Upstash-Signature": signature(body, base_url + CONSUMER), "Upstash-Message-Id": "msg_test"}
        with world.qstash_fault(publish="error"):
            world.http.post(base_url + CONSUMER, content=body, headers=headers)
        again = world.http.post(base_url + CONSUMER, content=body, headers=headers)
        states = {row["kind"]: row["state"] for row in world.rows("select kind, state from outbox")}
        assert states == {"next_phase": "sent", "dm": "planned"}
        assert again.status_code == 503
        assert world.row("select processed_at from events")["processed_at"] is None
    world.sweep()  # at another instance: this one knows of the limit, and waits it out
    assert len(world.sent()) == 1
    assert world.row("select processed_at from events")["processed_at"] is not None
