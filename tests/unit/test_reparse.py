"""What the archive keeps of an event is enough to read it again: parse, archive, parse, and nothing has moved."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.events.model import Event, Unknown
from lib.webhooks.parser import parse_webhook
from lib.webhooks.payload import EVENT_KEYS, ITEM_KEYS
from lib.webhooks.reparse import ArchivedEvent, reparse
from tests.support.items import ACCOUNT, PERSON, RECEIVED_AT, SENT_AT, body, change, from_account, item
from tests.support.samples import CAPTURED, CHANGES, ITEMS, OWN, _events, _has, _index
from tests.support.strategies import json_values

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ACCOUNTS = st.sampled_from([ACCOUNT, "0", "1_2", "<1>", "é", 17841478214963307])
TIMES: st.SearchStrategy[Any] = st.sampled_from(
    [SENT_AT, SENT_AT // 1000, str(SENT_AT), "2021-09-08T06:34:04+0000", 5, 0, None, "x", 1.5, []]
)


# The archive does not say which array an item came in; its names do. Left out is what has names
# of the other array, as no item of Meta's has.
FLAT = st.dictionaries(st.text(min_size=1, max_size=8), json_values(), max_size=3).filter(
    lambda one: not _has(one, *ITEM_KEYS, *EVENT_KEYS)
)


def archived(event: Event, **changed: Any) -> ArchivedEvent:
    """The row that `record_event` writes of `event`, its item through JSON and back."""
    fields = {
        "event_id": event.event_id,
        "kind": event.kind,
        "account_id": event.account_id,
        "topic": event.topic if isinstance(event, Unknown) else None,
        "via_standby": event.standby,
        "occurred_at": EPOCH + timedelta(milliseconds=event.occurred_at),
        "received_at": EPOCH + timedelta(milliseconds=event.received_at),
        "recorded_at": EPOCH + timedelta(milliseconds=event.received_at + 50),
        "raw": json.loads(json.dumps(event.raw)),
    }
    return ArchivedEvent(**{**fields, **changed})


def read(*entries: Any) -> list[Event]:
    return parse_webhook(body(*entries), received_at=RECEIVED_AT)


@given(ACCOUNTS, TIMES, st.lists(ITEMS, max_size=3), st.lists(ITEMS, max_size=2), st.lists(CHANGES, max_size=3))
@settings(max_examples=300)
def test_whatever_came_in_is_read_again_as_it_was(
    account: Any, time: Any, messaging: list[Any], standby: list[Any], changed: list[Any]
) -> None:
    for event in read({"id": account, "time": time, "messaging": messaging, "standby": standby, "changes": changed}):
        assert reparse(archived(event)) == event


@given(FLAT, TIMES)
@settings(max_examples=100)
def test_what_lay_flat_on_an_entry_is_read_again_as_it_was(flat: dict[str, Any], time: Any) -> None:
    for event in read({**flat, "id": ACCOUNT, "time": time}):
        assert reparse(archived(event)) == event


@pytest.mark.parametrize("folder", [OWN, CAPTURED], ids=["own", "captured"])
def test_every_sample_is_read_again_as_it_was(folder: Any) -> None:
    events = [event for listed in _index(folder) for event in _events(folder, listed["file"])]
    if not events:
        pytest.skip("no shared/samples/INDEX.json beside the project: captured bodies are not part of it")
    assert [reparse(archived(event)) for event in events] == events


@given(FLAT.filter(bool), st.lists(ITEMS, max_size=2), st.lists(CHANGES, max_size=1), TIMES)
@settings(max_examples=100)
def test_what_lay_beside_the_arrays_of_an_entry_is_read_again_as_it_was(
    flat: dict[str, Any], messaging: list[Any], changed: list[Any], time: Any
) -> None:
    for event in read({**flat, "id": ACCOUNT, "time": time, "messaging": messaging, "changes": changed}):
        assert reparse(archived(event)) == event


@pytest.mark.parametrize(
    "rest",
    [{"timestamp": SENT_AT}, {"is_self": 1, "x": 2}, {"x" * 300: 1}, item(future=1), item(message={"mid": "m1"})],
)
def test_what_an_entry_holds_under_odd_names_is_read_again_as_it_was(rest: dict[str, Any]) -> None:
    [_, event] = read({"id": ACCOUNT, "time": SENT_AT, "messaging": [item(read={"mid": "m1"})], **rest})
    assert reparse(archived(event)) == event


def test_a_comment_stays_where_its_notification_had_put_it() -> None:
    [event] = read({"id": ACCOUNT, "time": SENT_AT // 1000, "changes": [change("comments", {"id": "c1"})]})
    assert event.occurred_at == SENT_AT // 1000 * 1000 != event.received_at
    assert reparse(archived(event)) == event


@pytest.mark.parametrize("time", [SENT_AT // 1000, SENT_AT, "1789376400", None, "2021-09-08T06:34:04+0000"])
def test_counts_of_a_story_keep_the_id_that_has_the_sending_time_in_it(time: Any) -> None:
    counts = change("story_insights", {"media_id": "1", "reach": 3})
    [event] = read({"id": ACCOUNT, "time": time, "changes": [counts]})
    again = reparse(archived(event))
    assert again == event
    assert event.event_id.startswith("ig_si_1_")


def test_an_event_that_was_given_the_professional_id_of_the_account_keeps_its_own_id() -> None:
    [event] = read({"id": "5550001", "messaging": [item(read={"mid": "m1"})]})
    again = reparse(archived(event, account_id=ACCOUNT))
    assert again is not None
    assert (again.event_id, again.account_id) == (event.event_id, ACCOUNT)
    assert (again.contact_id, again.direction) == (PERSON, "inbound")


@pytest.mark.parametrize("container", ["messaging", "standby"])
def test_an_entry_without_an_id_leaves_the_account_where_the_parties_put_it(container: str) -> None:
    ours = from_account(message={"mid": "m1", "is_echo": True})
    nobodys: dict[str, Any] = {"app_roles": {}}
    for one in (item(message={"mid": "m1"}), ours, nobodys):
        [event] = read({container: [one]})
        assert reparse(archived(event)) == event


def test_words_taken_out_by_an_unsend_change_neither_kind_nor_id() -> None:
    redacted = item(message_edit={"mid": "m1"})
    [event] = read({"id": ACCOUNT, "messaging": [item(message_edit={"mid": "m1", "text": "so"})]})
    again = reparse(archived(event, raw=redacted))
    assert again is not None
    assert (again.event_id, again.kind) == (event.event_id, "edit")


def test_what_was_unknown_and_is_known_now_has_its_right_kind_and_id() -> None:
    [event] = read({"id": ACCOUNT, "messaging": [item(message={"mid": "m1", "text": "hi"})]})
    row = archived(event, event_id=f"ig_unk_{ACCOUNT}_0123456789abcdef", kind="unknown", topic="message")
    assert reparse(row) == event


def test_what_was_known_and_is_unknown_now_stays_as_it_is() -> None:
    [event] = read({"id": ACCOUNT, "messaging": [item(message={"mid": "m1"})]})
    assert reparse(archived(event, raw={"made": "up"})) is None


def test_an_array_nobody_knew_stays_one_event_when_its_items_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    [event] = read({"id": ACCOUNT, "time": SENT_AT, "new_kind": [1, 2]})
    monkeypatch.setattr("lib.webhooks.reparse.parse_webhook", lambda _body, *, received_at: [event, event])
    assert reparse(archived(event)) is None


@pytest.mark.parametrize(
    "odd",
    [{"id": 5}, {"time": 5, "x": 1}, {"messaging": [1]}, {"value": 5}, {"value": item(postback=1)}, {}, 5, None],
)
@pytest.mark.parametrize("container", ["messaging", "standby", "changes"])
def test_an_item_that_looks_like_something_else_is_read_again_as_it_was(container: str, odd: Any) -> None:
    [event] = read({"id": ACCOUNT, "time": SENT_AT, container: [odd]})
    assert reparse(archived(event)) == event


def test_what_is_still_unknown_may_get_a_topic_and_keeps_its_id() -> None:
    [event] = read({"id": ACCOUNT, "messaging": [item(policy_enforcement={"action": "warning"})]})
    again = reparse(archived(event, event_id="ig_unk_of_old", topic=None))
    assert again == event.model_copy(update={"event_id": "ig_unk_of_old"})
