"""One event has one open letter, however often it is given up, and in whatever order that is heard."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.support.world import World

NOON_MS = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp() * 1000)
EVENTS = ("ig_msg_a", "ig_msg_b")


def letter(number: int, event_id: str, minute: int) -> dict[str, Any]:
    """The letter of the message that QStash first tried at `minute`."""
    return {
        "source_message_id": f"msg_{number}",
        "event_id": event_id,
        "error_code": f"code_{number}",
        "first_tried_at": NOON_MS + minute * 60_000,
        "event": {"event_id": event_id, "occurred_at": NOON_MS},
    }


LETTERS = [letter(number, EVENTS[number % 2], number) for number in range(6)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.sampled_from(LETTERS), min_size=1, max_size=12))
def test_an_event_has_one_open_letter_and_it_is_the_newest(world: World, order: list[dict[str, Any]]) -> None:
    with world.db.transaction(force_rollback=True):
        told: set[str] = set()
        for each in order:
            is_new = world.row("select store_dead_letter(%s) as is_new", Jsonb(each))["is_new"]
            assert is_new is (each["source_message_id"] not in told)
            told.add(each["source_message_id"])
        rows = world.rows("select event_id, error_code, event from dead_letters where state = 'open' order by event_id")
        newest = {each["event_id"]: each for each in sorted(order, key=lambda each: each["first_tried_at"])}
        assert [(row["event_id"], row["error_code"]) for row in rows] == [
            (event_id, newest[event_id]["error_code"]) for event_id in sorted(newest)
        ]
        assert all(row["event"] is not None for row in rows)
        others = world.rows("select state, event, closed_at from dead_letters where state <> 'open'")
        assert len(rows) + len(others) == len(told)
        assert all((row["state"], row["event"]) == ("superseded", None) and row["closed_at"] for row in others)


def test_a_letter_that_a_person_closed_stays_closed_when_it_is_delivered_again(world: World) -> None:
    first, second = LETTERS[0], LETTERS[2]
    world.row("select store_dead_letter(%s)", Jsonb(first))
    world.row("select close_dead_letter(%s, 'discarded')", first["source_message_id"])
    assert world.row("select store_dead_letter(%s) as is_new", Jsonb(first)) == {"is_new": False}
    assert world.row("select store_dead_letter(%s) as is_new", Jsonb(second)) == {"is_new": True}
    states = world.rows("select source_message_id, state from dead_letters order by 1")
    assert [row["state"] for row in states] == ["discarded", "open"]


def test_letters_that_are_no_events_stay_open_side_by_side(world: World) -> None:
    for number in range(3):
        foreign = {"source_message_id": f"msg_{number}", "body": "hello", "status": 489}
        world.row("select store_dead_letter(%s)", Jsonb(foreign))
    assert world.count("dead_letters") == 3
    assert {row["state"] for row in world.rows("select state from dead_letters")} == {"open"}
