"""A send of which nobody knows whether it left, and whose echo never comes, is looked for in its conversation."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dev.stack import keys
from lib.graph.conversation import ConversationMessage, sent_by_us
from tests.support.builders import ACCOUNT, CONTACT, OTHER_CONTACT, message, webhook
from tests.support.world import HEALTH, World

THEIRS = {"id": CONTACT, "username": "ada"}
SHOWN: dict[str, Any] = {
    "id": "m_1",
    "created_time": "2026-11-24T15:47:17+0000",
    "from": {"id": ACCOUNT, "username": "shop"},
    "to": {"data": [THEIRS]},
    "message": "20.",
}


def answered(world: World, *faults: str, contact: str = CONTACT) -> None:
    """A message, and a reply of the same words to it, for each of `faults`."""
    world.rule(trigger="keyword", pattern="price", reply_text="20.", cooldown_s=0)
    for fault in faults:
        world.graph_fault("send", fault, times=1)
        world.deliver(webhook(message("price", contact=contact)))


def minutes_pass(world: World, minutes: int = 3) -> None:
    world.db.execute(
        "update outbox set sending_at = sending_at - make_interval(mins => %(m)s),"
        " look_after = look_after - make_interval(mins => %(m)s)",
        {"m": minutes},
    )


def found(world: World, *, base_url: str = "") -> int:
    """How many the sweeper finds."""
    return int(world.sweep(base_url=base_url)["found_sends"])


def states(world: World) -> list[str]:
    return [row["state"] for row in world.rows("select state from outbox order by planned_at")]


def looked(world: World) -> int:
    return sum(call["endpoint"] == "conversations" for call in world.graph_calls())


def test_an_unknown_send_that_its_conversation_shows_was_sent(world: World) -> None:
    answered(world, "cut_after_accept")
    minutes_pass(world)
    assert found(world) == 1
    (sent,) = world.sent()
    row = world.row("select state, mid, mid_guessed, error_code from outbox")
    assert row == {"state": "sent", "mid": sent["message_id"], "mid_guessed": True, "error_code": None}
    shown = world.row("select mid, text, is_provisional from messages where direction = 'outbound'")
    assert shown == {"mid": sent["message_id"], "text": "20.", "is_provisional": True}


def test_a_send_that_left_no_trace_stays_unknown_for_people_to_see_and_is_not_repeated(world: World) -> None:
    answered(world, "cut_before_accept")
    minutes_pass(world)
    assert (found(world), states(world), world.sent()) == (0, ["unknown"], [])
    health = world.http.get(HEALTH, headers={"Authorization": f"Bearer {keys.INTERNAL_SECRET}"}).json()
    assert health["checks"]["postgres"]["detail"]["unknown_sends"] == 1


def test_its_echo_is_waited_for_first(world: World) -> None:
    answered(world, "cut_after_accept")
    assert (found(world), looked(world)) == (0, 0)


def test_of_two_equal_sends_the_one_that_left_is_found_and_not_the_other_one_too(world: World) -> None:
    answered(world, "cut_before_accept", "cut_after_accept")
    world.db.execute(
        "update outbox set sending_at = sending_at - interval '4 minutes'"
        " where effect_id = (select effect_id from outbox order by planned_at limit 1)"
    )
    minutes_pass(world)
    assert found(world) == 1
    assert found(world) == 0
    assert sorted(states(world)) == ["sent", "unknown"]


@pytest.mark.parametrize("other", [{"text": "21."}, {"minutes": 30}, {"contact": OTHER_CONTACT}])
def test_another_message_is_not_taken_for_it(world: World, other: dict[str, Any]) -> None:
    answered(world, "cut_before_accept")
    sent = world.standins.post(
        f"{world.stack.graph_url}/v26.0/{ACCOUNT}/messages",
        json={"recipient": {"id": other.get("contact", CONTACT)}, "message": {"text": other.get("text", "20.")}},
        headers={"Authorization": f"Bearer {keys.ACCESS_TOKEN}"},
    )
    assert sent.status_code == 200
    minutes_pass(world, other.get("minutes", 3))
    assert (found(world), states(world)) == (0, ["unknown"])


def test_it_is_looked_for_ever_more_rarely_and_after_three_days_no_more(world: World) -> None:
    answered(world, "cut_before_accept")
    minutes_pass(world, 60)
    for _ in range(2):
        found(world)
    assert looked(world) == 1
    minutes_pass(world, 59)
    found(world)
    assert looked(world) == 1
    minutes_pass(world, 2)
    found(world)
    assert looked(world) == 2
    minutes_pass(world, 3 * 24 * 60)
    found(world)
    assert looked(world) == 2


def test_while_meta_is_away_the_sweeper_works_on_and_finds_it_later(world: World) -> None:
    answered(world, "cut_after_accept")
    minutes_pass(world)
    world.graph_fault("conversations", "500", times=1)
    assert (found(world), states(world)) == (0, ["unknown"])
    minutes_pass(world, 4)
    assert (found(world), states(world)) == (1, ["sent"])


def test_one_person_meta_does_not_speak_of_keeps_nobody_else_from_being_found(world: World) -> None:
    for contact in sorted((CONTACT, OTHER_CONTACT)):
        answered(world, "cut_after_accept", contact=contact)
    minutes_pass(world)
    world.graph_fault("conversations", "user_gone", times=1)
    assert (found(world), sorted(states(world))) == (1, ["sent", "unknown"])


def test_a_dead_token_stops_the_account_and_asks_for_nobody_else(world: World) -> None:
    for contact in (CONTACT, OTHER_CONTACT):
        answered(world, "cut_after_accept", contact=contact)
    minutes_pass(world)
    world.graph_fault("conversations", "expired_token")
    assert (found(world), looked(world)) == (0, 1)
    assert world.row("select state from accounts") == {"state": "needs_reauth"}
    minutes_pass(world, 10)
    assert (found(world), looked(world)) == (0, 1)


def test_without_a_token_nothing_is_asked(world: World) -> None:
    answered(world, "cut_after_accept")
    minutes_pass(world)
    with world.stack.functions({"INSTAGRAM_ACCESS_TOKEN": ""}) as base_url:
        assert (found(world, base_url=base_url), looked(world)) == (0, 0)


def test_what_we_sent_is_told_from_what_they_sent_and_what_nobody_can_tell() -> None:
    ours = ConversationMessage(mid="m_1", text="20.", at=datetime(2026, 11, 24, 15, 47, 17, tzinfo=UTC))
    assert sent_by_us([SHOWN], CONTACT) == [ours]
    assert sent_by_us([{**SHOWN, "from": {"id": "178414000000"}}], CONTACT) == [ours], "whichever of our ids it is"
    assert sent_by_us([{**SHOWN, "message": ""}], CONTACT) == [ours.model_copy(update={"text": ""})], "an attachment"
    unusable: list[dict[str, Any]] = [
        {"from": THEIRS},
        {"from": None},
        {"from": {}},
        {"id": ""},
        {"id": None},
        {"id": "m" * 513},
        {"message": None},
        {"created_time": "yesterday"},
        {"created_time": "2026-11-24T15:47:17"},
        {"created_time": 1764000000},
    ]
    assert sent_by_us([{**SHOWN, **other} for other in unusable], CONTACT) == []
