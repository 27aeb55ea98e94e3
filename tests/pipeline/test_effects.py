"""What an event sets off: a profile, a reply, a next phase; each once."""

import pytest

from tests.support.builders import CONTACT, comment, echo, message, new_mid, postback, reaction, unsend, webhook
from tests.support.receiver import receiver
from tests.support.world import World


def test_a_matching_message_is_answered_once_however_often_it_is_delivered(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="Hello {username}, it is 20.")
    body = webhook(message("What is the PRICE?"))
    for _ in range(3):
        world.deliver(body)
    (sent,) = world.sent()
    username = world.row("select username from profiles")["username"]
    assert sent["message"]["text"] == f"Hello {username}, it is 20."
    assert sent["recipient_id"] == CONTACT
    row = world.row("select * from outbox")
    assert (row["kind"], row["state"], row["mid"]) == ("dm", "sent", sent["message_id"])


def test_the_echo_of_our_own_reply_is_one_message_not_two(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.deliver(webhook(message("price")))
    (sent,) = world.sent()
    world.deliver(webhook(echo("20.", mid=sent["message_id"])))
    rows = world.rows("select * from messages where direction = 'outbound'")
    assert [(row["mid"], row["is_provisional"]) for row in rows] == [(sent["message_id"], False)]


@pytest.mark.parametrize("silent", ["echo", "standby", "self", "reaction", "test"])
def test_nobody_is_answered_who_did_not_write_to_us(world: World, silent: str) -> None:
    for trigger in ("keyword", "first_message"):
        world.rule(trigger=trigger, pattern="price" if trigger == "keyword" else None, reply_text="20.")
    bodies = {
        "echo": webhook(echo("price")),
        "standby": webhook(message("price"), under="standby"),
        "self": webhook(message("price", is_echo=True, is_self=True)),
        "reaction": webhook(reaction("m_price")),
        "test": webhook(message("price", mid="random_mid"), account="0"),
    }
    world.deliver(bodies[silent])
    assert world.sent() == []
    assert world.count("outbox") == 0


def test_a_message_taken_back_before_it_came_is_not_answered(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    mid = new_mid()
    world.deliver(webhook(unsend(mid)))
    world.deliver(webhook(message("price", mid=mid)))
    assert world.sent() == []


def test_a_message_outside_the_window_is_not_answered_and_the_outbox_says_why(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.deliver(webhook(message("price", at_ms=1_700_000_000_000)))
    assert world.sent() == []
    row = world.row("select state, error_code from outbox")
    assert (row["state"], row["error_code"]) == ("skipped", "outside_window")
    assert world.row("select processed_at from events")["processed_at"] is not None


def test_a_reply_refused_by_meta_is_failed_and_the_event_is_processed(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "outside_window")
    world.deliver(webhook(message("price")))
    row = world.row("select state, error_code from outbox")
    assert row["state"] == "failed"
    assert row["error_code"]
    assert world.row("select processed_at from events")["processed_at"] is not None


def test_a_throttled_reply_is_sent_later(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429", times=1)
    world.deliver(webhook(message("price")))
    assert world.sent() == []
    world.sweep()
    assert len(world.sent()) == 1
    assert world.row("select state from outbox")["state"] == "sent"


def test_a_reply_whose_answer_was_cut_is_never_repeated_and_its_echo_settles_it(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "cut_after_accept", times=1)
    body = webhook(message("price"))
    world.deliver(body)
    world.deliver(body)
    (sent,) = world.sent()
    world.deliver(webhook(echo("20.", mid=sent["message_id"])))
    row = world.row("select state, mid from outbox")
    assert (row["state"], row["mid"]) == ("sent", sent["message_id"])
    assert len(world.sent()) == 1


def test_an_expired_token_stops_the_sends_of_the_account_until_it_is_renewed(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.", cooldown_s=0)
    world.deliver(webhook(message("hello")))
    world.graph_fault("send", "expired_token", times=1)
    world.deliver(webhook(message("price")))
    account = world.row("select state, state_code from accounts")
    assert account["state"] == "needs_reauth"
    world.deliver(webhook(message("price again")))
    assert world.sent() == []
    rows = world.rows("select state, error_code from outbox order by planned_at")
    assert [(row["state"], row["error_code"]) for row in rows] == [
        ("planned", "graph_token_invalid"),
        ("planned", "account_needs_reauth"),
    ]
    assert world.count("messages") == 3


def test_the_cooldown_holds_back_the_second_reply(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.", cooldown_s=3600)
    for _ in range(2):
        world.deliver(webhook(message("price")))
    assert len(world.sent()) == 1


def test_only_the_first_message_of_a_person_is_greeted(world: World) -> None:
    world.rule(trigger="first_message", reply_text="Welcome")
    for _ in range(2):
        world.deliver(webhook(message("hello")))
    assert [sent["message"]["text"] for sent in world.sent()] == ["Welcome"]


def test_a_changed_rule_is_in_force_at_once(world: World) -> None:
    rule_id = world.rule(trigger="postback", pattern="START", match="exact", reply_text="one", cooldown_s=0)
    world.deliver(webhook(postback("START")))
    world.db.execute("update reply_rules set reply_text = 'two' where rule_id = %s", (rule_id,))
    world.deliver(webhook(postback("START")))
    assert [sent["message"]["text"] for sent in world.sent()] == ["one", "two"]


def test_a_comment_gets_a_private_reply(world: World) -> None:
    world.rule(trigger="comment", pattern="link", reply_text="Here it is")
    world.deliver(webhook(comment("link please", comment_id="17858893269000001"), under="changes"))
    (sent,) = world.sent()
    assert sent["comment_id"] == "17858893269000001"
    assert world.row("select kind, state from outbox") == {"kind": "private_reply", "state": "sent"}


def test_a_person_without_consent_is_remembered_as_unavailable(world: World) -> None:
    world.graph_fault("profile", "no_consent")
    for _ in range(4):
        world.deliver(webhook(message("hello")))
    assert world.row("select state from profiles")["state"] == "unavailable"
    assert world.count("messages") == 4
    asked = [call for call in world.graph_calls() if call["endpoint"] == "profile"]
    assert len(asked) == 2


def test_a_fresh_profile_is_not_fetched_again(world: World) -> None:
    for _ in range(3):
        world.deliver(webhook(message("hello")))
    assert len([call for call in world.graph_calls() if call["endpoint"] == "profile"]) == 1


def test_a_profile_that_failed_for_a_moment_is_fetched_by_the_retry(world: World) -> None:
    world.graph_fault("profile", "500", times=1)
    world.deliver(webhook(message("hello")))
    assert world.row("select state from profiles")["state"] == "complete"
    assert world.row("select processed_at from events")["processed_at"] is not None


def test_the_next_phase_gets_each_event_once_under_its_label(world: World) -> None:
    mid = new_mid()
    with receiver() as next_phase, world.stack.functions({"PHASE3_URL": next_phase.url}) as base_url:
        body = webhook(message("on you go", mid=mid))
        for _ in range(2):
            assert world.post_webhook(body, base_url=base_url).status_code == 200
            world.settle()
    (payload,) = next_phase.bodies
    assert payload["event_id"] == f"ig_msg_{mid}"
    assert (payload["kind"], payload["mid"], payload["text"]) == ("message", mid, "on you go")
    assert "raw" not in payload
    row = world.row("select * from outbox")
    assert (row["kind"], row["state"]) == ("next_phase", "sent")
    assert row["mid"].startswith("msg_")


def test_a_next_phase_that_qstash_answered_with_nonsense_is_published_again(world: World) -> None:
    body = webhook(message("on you go"))
    with receiver() as next_phase, world.stack.functions({"PHASE3_URL": next_phase.url}) as base_url:
        with world.qstash_fault(publish="garbage"):
            assert world.post_webhook(body, base_url=base_url).json()["processed"] == 1
        world.sweep(base_url=base_url)
    assert len(next_phase.bodies) == 1
