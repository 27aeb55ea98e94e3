"""The envelope: order, what counts as ours, and what is refused."""

import json
from typing import Any

import pytest

from lib.errors.exceptions import InvalidPayload, TooManyEvents
from lib.events.model import Unknown
from lib.webhooks.parser import parse_items, parse_webhook
from lib.webhooks.payload import check_envelope
from lib.webhooks.request import read_items
from lib.webhooks.walk import walk
from tests.support.items import ACCOUNT, RECEIVED_AT, SENT_AT, body, change, entry, item, parse


def _kinds(payload: object) -> list[str]:
    return [event.kind for event in parse_webhook(payload, received_at=RECEIVED_AT)]


def _ignored(payload: object) -> int:
    return walk(payload)[1]


def test_events_come_in_the_order_of_entries_and_items() -> None:
    texts = [f"m{n}" for n in range(6)]
    made = [item(message={"mid": mid}) for mid in texts]
    events = parse_webhook(body(entry(*made[:4]), entry(*made[4:])), received_at=RECEIVED_AT)
    assert [event.event_id for event in events] == [f"ig_msg_{mid}" for mid in texts]


def test_an_entry_gives_messaging_then_standby_then_changes_whatever_the_order_of_its_keys() -> None:
    mixed = {
        "changes": [change("comments", {"id": "c1"})],
        "standby": [item(read={"mid": "m1"})],
        "messaging": [item(message={"mid": "m2"})],
        "time": 1,
        "id": ACCOUNT,
    }
    assert _kinds(body(mixed)) == ["message", "read", "comment"]


def test_a_body_may_be_an_array_of_bodies() -> None:
    one, two = body(entry(item(message={"mid": "m1"}))), body(entry(item(read={"mid": "m1"})))
    assert _kinds([one, two]) == ["message", "read"]
    check_envelope([one, two])


def test_one_item_that_is_no_array_is_an_item() -> None:
    assert _kinds(body({"id": ACCOUNT, "messaging": item(message={"mid": "m1"})})) == ["message"]


def test_an_entry_with_something_else_than_we_know_is_kept() -> None:
    [event] = parse_webhook(body({"id": ACCOUNT, "time": 5, "new_kind": [1]}), received_at=RECEIVED_AT)
    assert isinstance(event, Unknown)
    assert (event.topic, event.raw, event.account_id) == ("new_kind", {"new_kind": [1]}, ACCOUNT)


@pytest.mark.parametrize(
    "beside",
    [
        {"messaging": [item(message={"mid": "m1"})]},
        {"standby": [item(message={"mid": "m1"})], "messaging": []},
        {"changes": [change("comments", {"id": "c1"})]},
        {"messaging": None, "changes": []},
        change("comments", {"id": "c1"}),
        {},
    ],
    ids=lambda beside: "+".join(beside) or "nothing",
)
def test_what_an_entry_has_beside_what_we_know_is_one_unknown_event(beside: dict[str, Any]) -> None:
    new = {"message_requests": [item(message={"mid": "m2"})], "a_new_key": None, "more": 0}
    known = parse_webhook(body({"id": ACCOUNT, "time": SENT_AT, **beside}), received_at=RECEIVED_AT)
    payload = body({"id": ACCOUNT, **new, "time": SENT_AT, **beside})
    *others, event = parse_webhook(payload, received_at=RECEIVED_AT)
    assert (others, _ignored(payload)) == (known, 0)
    assert isinstance(event, Unknown)
    assert (event.topic, event.raw, event.account_id) == ("a_new_key", new, ACCOUNT)
    assert event.occurred_at == SENT_AT


def test_a_messaging_item_that_lies_flat_on_its_entry_is_read() -> None:
    [event] = parse_webhook(body({"id": ACCOUNT, "time": 5, **item(message={"mid": "m1"})}), received_at=RECEIVED_AT)
    assert (event.kind, event.event_id, event.occurred_at) == ("message", "ig_msg_m1", SENT_AT)


@pytest.mark.parametrize("odd", [0, False, 1, "x", [None], [0], [{}], {"a": 1}])
@pytest.mark.parametrize("container", ["messaging", "standby", "changes"])
def test_whatever_an_array_holds_is_an_event(container: str, odd: object) -> None:
    payload = body({"id": ACCOUNT, container: odd})
    assert (_kinds(payload), _ignored(payload)) == (["unknown"], 0)


def test_an_entry_without_an_id_gives_what_it_holds() -> None:
    assert _kinds(body({"messaging": [item(message={"mid": "m1"})], "new": 1})) == ["message", "unknown"]


@pytest.mark.parametrize("more", [{"new": 1}, {"entry": [entry(item(message={"mid": "m1"}))], "new": 1}])
@pytest.mark.parametrize("name", ["instagram", "page"])
def test_keys_beside_the_entries_are_counted(more: dict[str, Any], name: str) -> None:
    ours = name == "instagram" and "entry" in more
    payload = {"object": name, **more}
    assert (_kinds(payload), _ignored(payload)) == (["message"] if ours else [], 1 if ours else len(more))


def _of_size(count: int) -> object:
    """A body with six events in every place where an event can be, thousands of another object, and `count` events."""
    several = item(message={"mid": "m1"}, read={"mid": "m1"})
    first = {**entry(several), "standby": [item()], "changes": [change("feed", {})], "new": 1, **change("comments", {})}
    return [body(first), {**body(entry(*[1] * 2000)), "object": "page"}, body(entry(*[{}] * count))]


def test_a_body_of_more_than_a_thousand_events_is_refused_before_any_is_read() -> None:
    for others, refused in ((994, False), (995, True), (500_000, True)):
        raw = json.dumps(_of_size(others)).encode()
        if refused:
            with pytest.raises(TooManyEvents):
                read_items(raw)
        else:
            items, ignored = read_items(raw)
            assert len(parse_items(items, received_at=RECEIVED_AT)) == 1000
            assert ignored == 2000


@pytest.mark.parametrize("quiet", [{}, [], body(), body({"id": ACCOUNT, "time": 5}), body(entry())])
def test_a_body_that_says_nothing_gives_nothing_and_counts_nothing(quiet: object) -> None:
    assert (_kinds(quiet), _ignored(quiet)) == ([], 0)
    check_envelope(quiet)


def test_items_of_another_object_are_counted_and_not_read() -> None:
    foreign = {**body(entry(item(), item()), entry(change("feed", {}), under="changes")), "object": "page"}
    assert (_kinds(foreign), _ignored(foreign)) == ([], 3)


def test_a_bare_change_without_an_envelope_is_counted_and_not_read() -> None:
    bare = change("messages", item(message={"text": "random_text"}))
    assert (_kinds(bare), _ignored(bare)) == ([], 1)
    check_envelope(bare)


def test_an_entry_that_is_no_object_is_counted_and_its_neighbours_are_read() -> None:
    mixed = body("nonsense", entry(item(message={"mid": "m1"})), None)
    assert (_kinds(mixed), _ignored(mixed)) == (["message"], 2)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (None, "$: Input should be an object or an array of objects"),
        ("x", "$: Input should be an object or an array of objects"),
        (True, "$: Input should be an object or an array of objects"),
        (1.5, "$: Input should be an object or an array of objects"),
        ([{}, 1], "$[1]: Input should be an object"),
        ({"entry": "x"}, "$.entry: Input should be an array"),
        ([{"entry": {}}], "$[0].entry: Input should be an array"),
        ({"object": "instagram", "entry": None}, "$.entry: Input should be an array"),
    ],
)
def test_a_broken_envelope_is_complained_about_with_its_path(payload: object, complaint: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        check_envelope(payload)
    assert str(refused.value) == complaint
    assert _kinds(payload) == []


def test_clean_items_are_kept_without_a_copy() -> None:
    received = item(message={"mid": "m1", "text": "hi", "attachments": [{"type": "image"}]})
    [event] = parse(received)
    assert event.raw == received
    assert event.raw["message"] is received["message"]
