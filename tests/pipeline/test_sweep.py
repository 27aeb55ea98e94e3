"""The sweeper: what was recorded and never finished is finished, once; and the direct way leaves it to it."""

import itertools
import threading
from collections import Counter
from typing import Any

import httpx
import pytest

from dev.later import an_hour_passes
from dev.stack import keys
from lib.qstash.dlq import DlqSize
from tests.support.builders import ACCOUNT, CONTACT, comment, message, new_mid, webhook
from tests.support.deliveries import signature
from tests.support.receiver import receiver
from tests.support.world import HEALTH, SWEEP, World

OURS = {"Authorization": f"Bearer {keys.CRON_SECRET}"}
NOTHING = {
    "taken": 0,
    "queued": 0,
    "processed": 0,
    "failed": 0,
    "given_up": 0,
    "letters_found": 0,
    "redelivered": 0,
    "expired_sends": 0,
    "found_sends": 0,
    "unknown_sends_for_a_day": 0,
    "done": True,
}


def unfinished(world: World) -> int:
    return int(world.row("select count(*) as n from events where processed_at is null")["n"])


def states(world: World) -> list[str]:
    return [row["state"] for row in world.rows("select state from outbox order by planned_at")]


# Who may, and what there is to do.


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_the_cron_secret_sweeps(world: World, method: str, header: dict[str, str]) -> None:
    answer = world.http.request(method, SWEEP, headers=header)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "wrong_cron_secret")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_where_all_is_finished_there_is_nothing_to_do(world: World, method: str) -> None:
    world.deliver(webhook(message("hello")))
    assert world.http.request(method, SWEEP, headers=OURS).json() == NOTHING


def test_a_schedule_of_qstash_sweeps_with_the_secret_it_is_given(world: World) -> None:
    """The schedule of docs/operations.md, but at once."""
    answer = world.standins.post(
        f"{world.stack.qstash_url}/v2/publish/{world.stack.functions_url}{SWEEP}",
        headers={
            "Authorization": f"Bearer {keys.QSTASH_TOKEN}",
            "Upstash-Forward-Authorization": f"Bearer {keys.CRON_SECRET}",
            "Upstash-Retries": "0",
        },
    )
    assert answer.status_code == 200, answer.text
    state = world.settle()
    assert state["dlq"] == 0, state


def test_nothing_is_taken_before_its_time(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429", times=1)
    world.deliver(webhook(message("price")))
    assert world.http.get(SWEEP, headers=OURS).json() == NOTHING, "it is young"
    world.db.execute("update events set recorded_at = recorded_at - interval '1 hour'")
    world.db.execute("update outbox set not_before = now() + interval '1 minute'")
    assert world.http.get(SWEEP, headers=OURS).json() == NOTHING, "it has to wait"
    world.db.execute(
        "update outbox set state = 'claimed', lease_until = now() + interval '1 minute', not_before = null"
    )
    assert world.http.get(SWEEP, headers=OURS).json() == NOTHING, "a worker is at it"
    assert world.sweep() == {**NOTHING, "taken": 1, "queued": 1}
    assert states(world) == ["sent"]


# The direct way is not held up.


def test_a_webhook_is_accepted_although_its_next_phase_can_not_be_published(world: World) -> None:
    mid = new_mid()
    with receiver() as next_phase, world.stack.functions({"PHASE3_URL": next_phase.url}) as base_url:
        with world.qstash_fault(publish="refuse"):
            answer = world.post_webhook(webhook(message("on you go", mid=mid)), base_url=base_url)
        assert (answer.status_code, answer.json()["processed"]) == (200, 1)
        assert (states(world), unfinished(world)) == (["planned"], 1)
        assert world.sweep(base_url=base_url) == {**NOTHING, "taken": 1, "queued": 1}
        assert world.sweep(base_url=base_url) == NOTHING
    assert [body["event_id"] for body in next_phase.bodies] == [f"ig_msg_{mid}"]
    assert (states(world), unfinished(world)) == (["sent"], 0)


@pytest.mark.parametrize(("endpoint", "fault"), [("send", "429"), ("profile", "500"), ("profile", "timeout_dropped")])
def test_a_webhook_is_accepted_although_graph_fails(world: World, endpoint: str, fault: str) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault(endpoint, fault)
    with world.qstash_fault(publish="refuse"):
        answer = world.post_webhook(webhook(message("price")))
    assert (answer.status_code, answer.json()["processed"]) == (200, 1)
    assert unfinished(world) == 1
    world.graph_fault(endpoint, "ok")
    world.sweep()
    assert unfinished(world) == 0
    assert world.row("select state from profiles")["state"] == "complete"
    assert [sent["message"]["text"] for sent in world.sent()] == ["20."]


def test_what_is_delivered_again_while_it_waits_is_accepted_too(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429", times=1)
    body = webhook(message("price"))
    with world.qstash_fault(publish="refuse"):
        answers = [world.post_webhook(body) for _ in range(3)]
    assert [(answer.status_code, answer.json()["processed"]) for answer in answers] == [(200, 1)] * 3
    world.sweep()
    assert len(world.sent()) == 1


def test_the_sweeper_works_while_qstash_is_down(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429")
    with world.qstash_fault(publish="refuse"):
        world.post_webhook(webhook(message("price")))
        world.graph_fault("send", "ok")
        assert world.sweep() == {**NOTHING, "taken": 1, "processed": 1}
    assert (states(world), unfinished(world)) == (["sent"], 0)


# What QStash gave up on, and what a crash left behind.


def test_what_qstash_gave_up_on_is_finished_once_the_cause_is_gone(world: World) -> None:
    world.rule(trigger="comment", reply_text="Look into your messages")
    world.graph_fault("send", "429")
    world.deliver(webhook(comment("hi"), under="changes"))
    assert world.count("dead_letters") == 1
    assert world.sweep()["queued"] == 1
    assert world.sent() == []
    world.graph_fault("send", "ok")
    world.forget_deduplication()
    assert world.sweep()["queued"] == 1
    assert len(world.sent()) == 1
    assert unfinished(world) == 0


def test_an_effect_whose_worker_died_before_sending_is_sent(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429", times=1)
    world.deliver(webhook(message("price")))
    world.db.execute("update outbox set state = 'claimed', lease_token = gen_random_uuid(), not_before = null")
    world.sweep()
    assert states(world) == ["sent"]


def test_a_send_whose_worker_died_becomes_unknown_and_is_never_repeated(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429", times=1)
    world.deliver(webhook(message("price")))
    world.db.execute(
        "update outbox set state = 'sending', sending_at = now(), lease_token = gen_random_uuid(), not_before = null"
    )
    swept = world.sweep()
    assert (swept["expired_sends"], swept["unknown_sends_for_a_day"]) == (1, 0)
    assert (states(world), unfinished(world)) == (["unknown"], 0)
    assert world.sent() == []
    world.db.execute("update outbox set finished_at = now() - interval '25 hours'")
    assert world.sweep() == {**NOTHING, "unknown_sends_for_a_day": 1}


# Bounded, and safe twice at once.


def test_two_sweepers_at_once_take_each_event_once(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    people = [f"{CONTACT}{number:02}" for number in range(30)]
    world.graph_fault("send", "429")
    with world.qstash_fault(publish="refuse"):
        world.post_webhook(webhook(*[message("price", contact=person) for person in people]))
    world.graph_fault("send", "ok")
    world.db.execute("update events set recorded_at = recorded_at - interval '1 hour'")
    world.db.execute("update outbox set not_before = null where state = 'planned'")
    taken: list[int] = []

    def run() -> None:
        answer = httpx.get(world.stack.functions_url + SWEEP, headers=OURS, timeout=30)
        taken.append(answer.json()["taken"])

    sweepers = [threading.Thread(target=run) for _ in range(4)]
    for sweeper in sweepers:
        sweeper.start()
    for sweeper in sweepers:
        sweeper.join()
    world.settle()
    assert sum(taken) == 30
    assert Counter(sent["recipient_id"] for sent in world.sent()) == Counter(people)


def test_what_can_not_be_finished_is_taken_up_ever_more_rarely(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429")
    world.deliver(webhook(message("price")))
    assert world.sweep()["taken"] == 1
    row = world.row("select extract(epoch from sweep_after - now())::float as rests_s from events")
    assert row["rests_s"] == pytest.approx(3600, abs=60)
    world.db.execute("update outbox set not_before = null where state = 'planned'")
    assert world.http.get(SWEEP, headers=OURS).json() == NOTHING


def test_an_event_without_its_raw_item_is_given_up_and_not_guessed_at(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429", times=1)
    world.deliver(webhook(message("price")))
    world.db.execute("delete from ingestion.raw_items")
    # It has a letter from QStash by now, which gives way to the sweeper's.
    assert world.sweep() == {**NOTHING, "taken": 1, "given_up": 1}
    assert states(world) == ["failed"]
    assert world.row("select given_up_code from events") == {"given_up_code": "raw_expired"}
    assert world.sweep() == NOTHING


# An end for what cannot be finished.


def owing(world: World) -> None:
    """An event that owes a reply which Meta does not take for now."""
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429")
    world.deliver(webhook(message("price")))


def health(world: World) -> dict[str, Any]:
    answer = world.http.get(HEALTH, headers={"Authorization": f"Bearer {keys.INTERNAL_SECRET}"})
    return dict(answer.json()["checks"])


def test_an_event_that_comes_back_for_ever_is_given_up_after_ten_attempts(world: World) -> None:
    owing(world)
    for _ in range(10):
        assert world.sweep()["given_up"] == 0
    assert world.sweep()["given_up"] == 1
    assert states(world) == ["failed"]
    letter = world.row("select source_message_id, error_code, event from dead_letters where state = 'open'")
    event_id = world.row("select event_id from events")["event_id"]
    assert letter["source_message_id"] == f"sweeper:{event_id}:{ACCOUNT}"
    assert (letter["error_code"], letter["event"]["event_id"]) == ("too_many_attempts", event_id)
    assert world.sweep() == NOTHING
    status = health(world)["postgres"]["detail"]
    assert (status["unfinished_events"], status["open_dead_letters"]) == (0, 1)
    # A person discards the letter, and nothing is left to look at.
    world.rows("select close_dead_letter(%s, 'discarded')", letter["source_message_id"])
    assert health(world)["postgres"]["detail"]["open_dead_letters"] == 0


def test_a_retry_takes_an_event_up_again_that_was_given_up(world: World) -> None:
    owing(world)
    world.db.execute("update events set sweeps = 10")
    assert world.sweep()["given_up"] == 1
    world.graph_fault("send", "ok")
    [letter] = world.rows("select event from dead_letters where state = 'open'")
    world.forget_deduplication()
    assert world.post_events(letter["event"]).status_code == 200
    world.settle()
    world.sweep()
    assert (states(world), len(world.sent())) == (["sent"], 1)
    assert world.rows("select from dead_letters where state = 'open'") == []
    assert world.row("select given_up_at, sweeps from events") == {"given_up_at": None, "sweeps": 0}


def test_poison_never_comes_first_in_every_sweep(world: World) -> None:
    """Events that were taken before wait behind those that have been due for longer."""
    owing(world)
    first = world.row("select event_id from events")["event_id"]
    world.db.execute(
        "update events set recorded_at = now() - interval '2 days', sweep_after = now() - interval '1 minute'"
    )
    world.db.execute("update outbox set not_before = null where state = 'planned'")
    world.db.execute(
        "insert into events (event_id, account_id, kind, direction, via, occurred_at, received_at, recorded_at)"
        " values ('ig_msg_young', %s, 'message', 'inbound', 'queue', now(), now(), now() - interval '1 hour')",
        (ACCOUNT,),
    )
    taken = [row["event_id"] for _ in range(2) for row in world.row("select unfinished_events(300, 1) as rows")["rows"]]
    assert taken == ["ig_msg_young", first]


def test_a_page_with_an_event_that_cannot_be_parsed_goes_on_with_the_others(world: World) -> None:
    owing(world)
    world.db.execute(
        "insert into events (event_id, account_id, kind, direction, via, occurred_at, received_at, recorded_at)"
        " values ('ig_msg_bad', %s, 'message', 'inbound', 'queue', now(), now(), now() - interval '1 hour')",
        (ACCOUNT,),
    )
    world.put_raw("ig_msg_bad", [1])
    world.graph_fault("send", "ok")
    swept = world.sweep()
    assert states(world) == ["sent"]
    assert swept["given_up"] <= 1


# QStash's own dead letter queue.


def test_what_only_qstash_has_is_taken_in_by_the_sweep(world: World) -> None:
    dead_in_qstash_alone(world)
    assert (world.count("events"), world.count("dead_letters")) == (0, 0)
    assert health(world)["qstash_dlq"]["detail"]["entries"] == 1
    assert world.sweep()["letters_found"] == 1
    assert world.row("select state, kind, account_id from dead_letters") == {
        "state": "open", "kind": "message", "account_id": ACCOUNT,
    }  # fmt: skip


def test_what_qstash_hides_is_delivered_again_and_takes_effect(world: World) -> None:
    with world.stack.functions({"QSTASH_REDACT_BODY": "true"}) as base_url:
        dead_in_qstash_alone(world, base_url=base_url)
        assert world.sweep(base_url=base_url)["redelivered"] == 1
        world.settle()
        assert world.count("messages") == 1
        assert world.sweep(base_url=base_url) == NOTHING


def test_an_old_entry_of_qstashs_is_a_warning_in_time(world: World) -> None:
    dead_in_qstash_alone(world)
    assert health(world)["qstash_dlq"]["ok"]
    assert not DlqSize(entries=1, more=False, oldest_hours=47.9).expires_soon
    assert DlqSize(entries=1, more=False, oldest_hours=48.0).expires_soon


def test_the_sweep_goes_on_without_qstash(world: World) -> None:
    owing(world)
    world.graph_fault("send", "ok")
    world.settle()
    with world.qstash_fault(publish="refuse"):
        assert world.sweep()["taken"] == 1
    assert states(world) == ["sent"]


def dead_in_qstash_alone(world: World, *, base_url: str = "") -> None:
    """QStash gave up on an event, and its failure callbacks never reached us."""
    world.gateway_fault(function="", times=10_000, status=503, body="", content_type="text/plain")
    world.post_webhook(webhook(message("hello")), base_url=base_url)
    world.settle()
    world.gateway_fault(times=0)


# When it runs. Recovery does not depend on a cron job.


def asked_for(world: World) -> list[dict[str, Any]]:
    """The messages to the sweep that QStash has and has not delivered yet."""
    delayed = world.standins.get(
        f"{world.stack.qstash_url}/v2/logs?label=instagram-sweep&state=CREATED",
        headers={"Authorization": f"Bearer {keys.QSTASH_TOKEN}"},
    ).json()
    return list(delayed["logs"])


def swept_ago(world: World, minutes: float) -> None:
    world.db.execute(
        "update ingestion.sweep_state set swept_at = now() - %s * interval '1 minute', next_at = null", (minutes,)
    )


def test_a_delivery_that_finds_the_last_sweep_too_old_starts_one(world: World) -> None:
    swept_ago(world, 9.9)
    world.deliver(webhook(message("hello")))
    assert asked_for(world) == []
    swept_ago(world, 10.1)
    world.deliver(webhook(*[message("hello", contact=f"60055500000000{n:02}") for n in range(20)]))
    assert len(asked_for(world)) == 1, "of many at once one asks"
    assert world.row("select swept_at > now() - interval '1 minute' as now from ingestion.sweep_state")["now"]


def test_a_reply_that_was_refused_is_sent_without_any_cron_job(world: World) -> None:
    """The sweep that the failed delivery asks for takes the event, and asks for the next one as long as it must."""
    owing(world)
    assert world.qstash_state()["delayed"] == 1
    world.graph_fault("send", "ok")
    sweeps = 0
    while states(world) != ["sent"]:
        an_hour_passes(world.db)
        assert world.hasten() == 1
        sweeps += 1
        assert sweeps < 5
    assert len(world.sent()) == 1
    assert world.hasten() == 0, "nothing is open any more"


def test_sweeps_do_not_multiply(world: World) -> None:
    """Each sweep that finds work asks for its successor: however many start, one is asked for."""
    owing(world)
    world.http.get(SWEEP, headers=OURS)
    asked = world.qstash_state()["delayed"]
    assert asked <= 2, "the one of the delivery, and one that comes sooner"
    for _ in range(5):
        assert world.http.get(SWEEP, headers=OURS).status_code == 200
    assert world.qstash_state()["delayed"] == asked


def test_a_sweep_that_was_not_done_is_followed_at_once(world: World) -> None:
    world.db.execute(
        "insert into events (event_id, account_id, kind, direction, via, occurred_at, received_at, recorded_at)"
        " select 'ig_msg_' || n, %s, 'message', 'inbound', 'queue', now(), now(), now() - interval '1 hour'"
        " from generate_series(1, 2100) n",
        (ACCOUNT,),
    )
    world.http.get(SWEEP, headers=OURS)
    while world.hasten():
        pass
    assert world.row("select count(*) as n from events where given_up_at is null") == {"n": 0}


@pytest.mark.parametrize("secret", ["", "a-secret-of-the-cron-job"])
def test_qstash_needs_no_secret_of_ours_and_nobody_else_can_sign(world: World, secret: str) -> None:
    with world.stack.functions({"CRON_SECRET": secret}) as base_url:
        url = base_url + SWEEP
        ours = {"Upstash-Signature": signature(b"", url)}
        assert httpx.post(url, headers=ours).status_code == 200
        for other in (
            signature(b"", url, key="of somebody else, and as long as a key has to be"),
            signature(b"x", url),
            "x",
        ):
            assert httpx.post(url, headers={"Upstash-Signature": other}).status_code == 401
        assert httpx.post(url).status_code == 401


def test_a_reply_is_tried_until_just_before_its_window_ends(world: World) -> None:
    """An outage of 23 hours: the reply leaves in the last quarter of an hour of its window."""
    owing(world)
    attempts = []
    for minute in range(0, 24 * 60, 5):
        world.db.execute("update profiles set last_inbound_at = now() - %s * interval '1 minute'", (minute,))
        world.db.execute("update events set recorded_at = now() - %s * interval '1 minute'", (minute,))
        world.db.execute("update outbox set not_before = null")
        taken = world.row("select unfinished_events() as rows")["rows"]
        attempts += [minute] * len(taken)
        world.db.execute("update events set sweep_after = sweep_after - interval '5 minutes'")
    assert attempts[-1] >= 23 * 60 + 30
    assert len(attempts) <= 10
    assert max(later - earlier for earlier, later in itertools.pairwise(attempts)) <= 8 * 60 + 5


def test_who_processes_directly_claims_no_sweep(world: World) -> None:
    """It cannot reach QStash, and the next delivery has to ask instead of it."""
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429")
    swept_ago(world, 30)
    with world.qstash_fault(publish="refuse"):
        world.deliver(webhook(message("price")))
    assert unfinished(world) == 1
    assert world.row("select next_at from ingestion.sweep_state") == {"next_at": None}
    world.deliver(webhook(message("hello")))
    assert len(asked_for(world)) == 1
