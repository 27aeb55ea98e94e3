"""Properties that hold for any JSON whatever."""

import contextlib
import copy
import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from lib.core.safe_json import clean
from lib.errors.exceptions import InvalidPayload
from lib.events.model import decode, encode, event_of
from lib.webhooks.parser import parse_items, parse_webhook
from lib.webhooks.payload import check_envelope
from lib.webhooks.request import read_items
from lib.webhooks.walk import walk
from tests.support.items import ACCOUNT, RECEIVED_AT, body, entry
from tests.support.strategies import changes, json_values, messaging_items, payloads

_thorough = settings(max_examples=150)


@given(payloads())
@_thorough
def test_any_json_gives_events_that_travel_and_ids_that_fit_a_header(payload: Any) -> None:
    for event in parse_webhook(payload, received_at=RECEIVED_AT):
        assert decode(encode(event)) == event
        assert 0 < len(event.event_id) <= 512
        assert all("!" <= char <= "~" for char in event.event_id)
        assert event.event_id.startswith("ig_")
        assert 0 < event.occurred_at <= 4_102_444_800_000
        assert clean(event.raw) is event.raw
    with contextlib.suppress(InvalidPayload):
        check_envelope(payload)


@given(json_values())
def test_any_json_at_all_is_read_without_a_fault(payload: Any) -> None:
    items, ignored = walk(payload)
    assert len(parse_webhook(payload, received_at=RECEIVED_AT)) == len(items)
    assert ignored >= 0


@given(payloads())
@_thorough
def test_the_events_of_a_body_are_those_of_its_payload(payload: Any) -> None:
    """The webhook cleans a body once, as a whole; an archived item is cleaned by itself."""
    try:
        items, ignored = read_items(json.dumps(payload).encode())
    except InvalidPayload:
        return
    told = parse_items(items, received_at=RECEIVED_AT)
    assert [event_of(event) for event in told] == parse_webhook(payload, received_at=RECEIVED_AT)
    assert [decode(to_json(event)) for event in told] == parse_webhook(payload, received_at=RECEIVED_AT)
    assert ignored == walk(payload)[1]


@given(payloads())
@_thorough
def test_the_same_body_gives_the_same_events_and_is_left_as_it_was(payload: Any) -> None:
    before = copy.deepcopy(payload)
    first = parse_webhook(payload, received_at=RECEIVED_AT)
    assert first == parse_webhook(payload, received_at=RECEIVED_AT)
    assert repr(payload) == repr(before)


@given(
    st.lists(messaging_items(), max_size=4),
    st.lists(changes(), max_size=3),
    st.integers(1, 2**41),
    st.integers(1, 2**41),
    st.randoms(use_true_random=False),
)
@_thorough
def test_a_redelivery_sent_later_batched_otherwise_with_other_key_order_has_the_same_ids(
    messaging: list[Any], changed: list[Any], sent: int, resent: int, chance: random.Random
) -> None:
    once = body({"id": ACCOUNT, "time": sent, "messaging": messaging, "changes": changed})
    again = body(
        *[{"changes": [_shuffled(each, chance)], "time": resent, "id": ACCOUNT} for each in reversed(changed)],
        *[entry(_shuffled(each, chance), time=resent + at) for at, each in enumerate(messaging)],
    )
    assert _ids(once) == _ids(again)


def test_a_hundred_thousand_levels_are_read_without_a_fault() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    very: Any = {}
    for _ in range(100_000):
        very = {"message": very}
    everywhere = {"id": deep, "time": deep, "messaging": [deep, very, {"message": very}], "changes": deep}
    assert parse_webhook(deep, received_at=RECEIVED_AT) == []
    assert parse_webhook(very, received_at=RECEIVED_AT) == []
    events = parse_webhook(body(everywhere, {"standby": very}, deep), received_at=RECEIVED_AT)
    assert {event.kind for event in events} == {"unknown"}
    assert all(decode(encode(event)) == event for event in events)


def _ids(payload: Any) -> list[str]:
    return sorted(event.event_id for event in parse_webhook(payload, received_at=RECEIVED_AT))


def _shuffled(value: Any, chance: random.Random) -> Any:
    """The same JSON with the keys of every object in another order."""
    if isinstance(value, list):
        return [_shuffled(each, chance) for each in value]
    if not isinstance(value, dict):
        return value
    pairs = [(key, _shuffled(each, chance)) for key, each in value.items()]
    chance.shuffle(pairs)
    return dict(pairs)
