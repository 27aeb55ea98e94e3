"""Deduplication ids: the same for the same form of an event, and different for any other form, account or attempt."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.events.model import Event
from lib.qstash.deduplication import MAX_REMEMBERED, WINDOW_S, RecentAccounts, of_event, of_next_phase
from tests.support.items import ACCOUNT, PERSON, change, from_account, item, parse_one
from tests.support.strategies import IDS

OTHER_ACCOUNT = "17841478214963308"
MID = "aWdfZAG1faXRlbToxOk"


def id_of(event: Event, *, own: str = ACCOUNT, again: str = "") -> str:
    return of_event(event, own_account=own, again=again)


@pytest.mark.parametrize(
    "about",
    [
        {"message": {"mid": MID, "text": "hi"}},
        {"message": {"mid": MID, "is_unsupported": True}},
        {"message": {"mid": MID, "is_deleted": True}},
        {"message_edit": {"mid": MID, "num_edit": 1}},
        {"reaction": {"mid": MID, "action": "react"}},
        {"read": {"mid": MID}},
        {"postback": {"mid": MID}},
        {"postback": {"title": "t"}},
        {"referral": {"ref": "r"}},
        {"future": 1},
        {"sender": ..., "policy_enforcement": {}},
        {"sender": ..., "app_roles": {}},
    ],
    ids=str,
)
@pytest.mark.parametrize("own", [ACCOUNT, ""])
def test_an_event_as_it_is_ordinarily_told_has_its_own_id(about: dict[str, Any], own: str) -> None:
    event = parse_one(item(**about))
    assert id_of(event, own=own) == event.event_id
    wrapped = parse_one(change("messages", item(**about)), under="changes")
    assert id_of(wrapped, own=own) == wrapped.event_id


@pytest.mark.parametrize("value", [{"id": "1", "from": {"id": PERSON}}, {"media_id": "1"}])
def test_a_comment_and_a_mention_have_their_own_id(value: dict[str, Any]) -> None:
    event = parse_one(change("comments" if "id" in value else "mentions", value), under="changes")
    assert id_of(event) == event.event_id


def _forms(mid: str) -> list[Event]:
    """One message in every form that changes an outcome."""
    said = {"mid": mid, "text": "hi"}
    return [
        parse_one(item(message=said)),
        parse_one(item(message=said), under="standby"),
        parse_one(item(message=said, sender=...)),
        parse_one(item(message=said, sender=...), under="standby"),
        parse_one(from_account(message={**said, "is_echo": True})),
        parse_one(from_account(message={**said, "is_echo": True}), under="standby"),
        parse_one(item(message={**said, "is_self": True})),
        parse_one(from_account(message={**said, "is_echo": True, "is_self": True})),
        parse_one(from_account(message=said)),
        parse_one(item(message=said), account=OTHER_ACCOUNT),
        parse_one(item(message=said), account=OTHER_ACCOUNT, under="standby"),
        parse_one(item(message=said), account="0"),
    ]


_ODD_MIDS = IDS | st.text(st.characters(codec="ascii"), min_size=1, max_size=40) | st.sampled_from([MID, "mid.1:2:3"])


@given(_ODD_MIDS)
def test_each_form_of_a_message_has_an_id_of_its_own(mid: str) -> None:
    ids = [id_of(event, again=again) for event in _forms(mid) for again in ("", "sweep_1", "replay_msg_2")]
    assert len(set(ids)) == len(ids)
    assert [id_of(event) for event in _forms(mid)] == ids[::3]
    plain = _forms(mid)[0].event_id
    assert all(each.startswith(plain[:256].replace(":", "_")) for each in ids)


@given(st.lists(_ODD_MIDS | st.text(min_size=1, max_size=600), min_size=2, max_size=2, unique=True))
@settings(max_examples=300)
def test_no_two_events_forms_or_attempts_share_an_id_and_every_id_fits_a_header(mids: list[str]) -> None:
    events = [event for mid in mids for event in _forms(mid)]
    # A mid that looks like an id with its suffix, and the next phase of the same events.
    events += [parse_one(item(message={"mid": id_of(event).removeprefix("ig_msg_")})) for event in events[1:3]]
    ids = {(event.event_id, id_of(event, again=again)) for event in events for again in ("", "1")}
    next_ids = {
        of_next_phase({"event_id": event.event_id, "account_id": account}, own_account=ACCOUNT)
        for event in events
        for account in (ACCOUNT, OTHER_ACCOUNT)
    }
    assert len({each for _, each in ids} | next_ids) == len(ids) + len(next_ids)
    assert len(next_ids) == 2 * len({event.event_id for event in events})
    for each in (*(each for _, each in ids), *next_ids):
        assert 0 < len(each) <= 600
        assert all("!" <= char <= "~" and char != ":" for char in each)


def test_without_an_account_of_the_deployment_the_next_phase_has_the_plain_id() -> None:
    payload = {"event_id": "ig_cmt_1", "account_id": OTHER_ACCOUNT}
    assert of_next_phase(payload, own_account="") == "ig_phase3_ig_cmt_1"
    assert of_next_phase(payload, own_account=OTHER_ACCOUNT) == "ig_phase3_ig_cmt_1"


def test_the_account_of_an_id_is_remembered_for_ten_minutes() -> None:
    now = [0.0]
    recent = RecentAccounts(clock=lambda: now[0])
    recent.remember("one", ACCOUNT)
    assert (recent.is_of("one", ACCOUNT), recent.is_of("one", OTHER_ACCOUNT), recent.is_of("two", ACCOUNT)) == (
        True,
        False,
        False,
    )
    now[0] = WINDOW_S
    assert not recent.is_of("one", ACCOUNT)
    for number in range(MAX_REMEMBERED):
        recent.remember(str(number), ACCOUNT)
    assert (recent.is_of("one", ACCOUNT), recent.is_of("0", ACCOUNT)) == (False, True)
