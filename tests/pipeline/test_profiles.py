"""The person behind a message: fetched, refreshed, or remembered as not to be had; never in the message's way."""

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.builders import CONTACT, echo, message, webhook
from tests.support.world import World


def asked(world: World) -> int:
    return len([call for call in world.graph_calls() if call["endpoint"] == "profile"])


@pytest.mark.parametrize(
    ("contact", "code"),
    [
        ("6001000000000230", "graph_consent_missing"),
        ("6001000000009010", "graph_no_such_person"),
        ("6001000002534014", "graph_no_such_person"),
    ],
)
def test_a_refusal_is_remembered_and_only_the_next_message_asks_again(world: World, contact: str, code: str) -> None:
    asked_by_then = []
    for _ in range(4):
        world.deliver(webhook(message("hello", contact=contact)))
        asked_by_then.append(asked(world))
    assert asked_by_then == [1, 2, 2, 2]
    row = world.row("select state, unavailable_code, username from profiles")
    assert row == {"state": "unavailable", "unavailable_code": code, "username": None}
    assert world.count("messages") == 4
    assert world.count("dead_letters") == 0


def test_whoever_could_not_be_shown_is_shown_once_there_is_consent(world: World) -> None:
    world.graph_fault("profile", "no_consent", times=1)
    for _ in range(2):
        world.deliver(webhook(message("hello")))
    row = world.row("select state, unavailable_code, refusals, username is not null as is_known from profiles")
    assert row == {"state": "complete", "unavailable_code": None, "refusals": 0, "is_known": True}


def test_an_echo_asks_for_nobody(world: World) -> None:
    world.deliver(webhook(echo("hello")))
    assert asked(world) == 0
    assert world.row("select state from profiles")["state"] == "pending"


@pytest.mark.parametrize("flavour", ["instagram", "facebook"])
def test_without_the_permission_for_follower_fields_the_rest_is_there(world: World, flavour: str) -> None:
    world.graph_fault("profile", "field_refused")
    with world.stack.functions({"INSTAGRAM_LOGIN_FLAVOUR": flavour}) as base_url:
        world.deliver(webhook(message("hello")), base_url=base_url)
    row = world.row(
        "select state, username is not null as has_username, follower_count, is_verified_user from profiles"
    )
    assert row == {"state": "complete", "has_username": True, "follower_count": None, "is_verified_user": None}


@pytest.mark.parametrize(("age", "asks"), [("23 hours", 1), ("25 hours", 2)])
def test_a_profile_is_fetched_again_at_the_first_message_after_its_age(world: World, age: str, asks: int) -> None:
    world.deliver(webhook(message("hello")))
    world.db.execute("update profiles set username = 'old.name', fetched_at = now() - %s::interval", (age,))
    world.deliver(webhook(message("hello again")))
    assert asked(world) == asks
    assert (world.row("select username from profiles")["username"] == "old.name") is (asks == 1)


def test_the_age_is_a_setting(world: World) -> None:
    world.deliver(webhook(message("hello")))
    world.db.execute("update profiles set fetched_at = now() - interval '90 seconds'")
    with world.stack.functions({"PROFILE_MAX_AGE_S": "60"}) as base_url:
        world.deliver(webhook(message("hello again")), base_url=base_url)
    assert asked(world) == 2


def test_a_profile_that_can_not_be_had_is_not_in_the_way_of_the_message(world: World) -> None:
    world.graph_fault("profile", "429")
    world.deliver(webhook(message("hello")))
    assert world.row("select text from messages")["text"] == "hello"
    assert world.row("select state from profiles")["state"] == "pending"
    world.graph_fault("profile", "ok")
    world.sweep()
    assert world.row("select state from profiles")["state"] == "complete"
    assert world.row("select processed_at from events")["processed_at"] is not None


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**25), 10**25), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=20), st.sampled_from(("\0", "x" * 100_000)),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip
_FIELDS = (
    "name", "username", "profile_pic", "follower_count", "is_verified_user", "is_user_follow_business",
    "is_business_follow_user",
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shown=st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=7))
@example(shown={"follower_count": 2**31})
@example(shown={"follower_count": 2**31 - 1})
def test_whatever_meta_says_of_a_person_the_event_is_processed(world: World, shown: dict[str, Any]) -> None:
    world.db.execute("truncate events, profiles, messages, outbox, dead_letters")
    world.show_profile({"id": CONTACT, **shown})
    world.deliver(webhook(message("hello")))
    assert world.row("select processed_at is not null as done from events")["done"]
    assert world.count("dead_letters") == 0
    row = world.row("select state, follower_count from profiles")
    number = shown.get("follower_count")
    fits = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**31
    assert row == {"state": "complete", "follower_count": number if fits else row["follower_count"]}
