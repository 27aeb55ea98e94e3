"""The sweeper: what was recorded and never finished is finished, once; and the direct way leaves it to it."""

import threading
from collections import Counter

import httpx
import pytest

from dev.stack import keys
from tests.support.builders import CONTACT, comment, message, new_mid, webhook
from tests.support.receiver import receiver
from tests.support.world import SWEEP, World

OURS = {"Authorization": f"Bearer {keys.CRON_SECRET}"}
NOTHING = {
    "taken": 0,
    "queued": 0,
    "processed": 0,
    "failed": 0,
    "unreadable": 0,
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


def test_an_event_without_its_raw_item_is_counted_and_not_guessed_at(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429", times=1)
    world.deliver(webhook(message("price")))
    world.db.execute("update events set raw = null")
    assert world.sweep() == {**NOTHING, "taken": 1, "unreadable": 1}
    assert states(world) == ["planned"]
