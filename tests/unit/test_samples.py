"""Whole bodies: our own samples, and captured ones where somebody has put them beside the project.

`golden.json` says what each own sample is read as, field by field: everything an event has but `raw` and
`received_at`, with the mids, which are long, named after the sample they first appear in. Every line of it
was compared with its body by eye: a sample that changes changes there too.
"""

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lib.events.model import as_json, decode, encode
from lib.webhooks.payload import check_envelope
from tests.support.samples import CAPTURED, OWN, _events, _index

GOLDEN: dict[str, list[dict[str, Any]]] = json.loads(Path(__file__).with_name("golden.json").read_text("utf-8"))
_LONG_MID = re.compile(r'"mid": "(\w{100,})"')


@pytest.mark.parametrize("listed", _index(OWN), ids=lambda listed: str(listed["file"]))
def test_an_own_sample_is_read_as_its_index_says(listed: dict[str, Any]) -> None:
    events = _events(OWN, listed["file"])
    assert [event.kind for event in events] == listed["kinds"]
    assert all(decode(encode(event)) == event for event in events)
    assert listed["about"].endswith(".")


@pytest.mark.parametrize("file", [listed["file"] for listed in _index(OWN)])
def test_an_own_sample_is_read_as_these_fields_and_no_others(file: str) -> None:
    assert [_shown(event) for event in _events(OWN, file)] == GOLDEN[file]


def _shown(event: Any) -> dict[str, Any]:
    fields = as_json(event)
    for told_elsewhere in ("raw", "received_at"):
        del fields[told_elsewhere]
    text = json.dumps(fields, ensure_ascii=False)
    for mid, name in _names_of_mids().items():
        text = text.replace(mid, name)
    shown: dict[str, Any] = json.loads(text)
    return shown


@cache
def _names_of_mids() -> dict[str, str]:
    names: dict[str, str] = {}
    for listed in _index(OWN):
        found = _LONG_MID.findall((OWN / listed["file"]).read_text("utf-8"))
        for number, mid in enumerate((mid for mid in dict.fromkeys(found) if mid not in names), start=1):
            stem = listed["file"].removesuffix(".json")
            names[mid] = f"{{{stem}}}" if number == 1 else f"{{{stem} {number}}}"
    return names


@pytest.mark.parametrize("folder", [OWN, CAPTURED], ids=["own", "captured"])
def test_the_ids_of_samples_are_those_of_the_table(folder: Path) -> None:
    events = [event for listed in _index(folder) for event in _events(folder, listed["file"])]
    if not events:
        pytest.skip("no shared/samples/INDEX.json beside the project: captured bodies are not part of it")
    assert {event.event_id: event.raw for event in events if event.event_id != _id_by_the_table(event)} == {}


def _id_by_the_table(event: Any) -> str:
    """What the id of an event is made of, kind by kind, worked out from it and its item without `lib.ids`."""
    item, account = event.raw, event.account_id
    sender = (item.get("sender") or {}).get("id", "-")
    time = "-" if event.occurred_at == event.received_at else event.occurred_at
    digest = hashlib.sha256(
        json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()[:16]
    match event.kind:
        case "message" | "echo":
            return f"ig_msg_{event.mid}"
        case "unsend":
            return f"ig_del_{event.mid}"
        case "edit":
            return f"ig_edit_{event.mid}_{item['message_edit']['num_edit']}"
        case "reaction":
            return f"ig_rx_{event.mid}_{sender}_{event.action}_{time}"
        case "read":
            return f"ig_read_{account}_{sender}_{event.mid}"
        case "postback" if event.mid:
            return f"ig_pb_{event.mid}"
        case "comment":
            return f"ig_cmt_{event.comment_id}"
        case "mention":
            return f"ig_men_{account}_{event.media_id}_{event.comment_id or '-'}"
    if event.kind == "unknown" and event.topic == "story_insights":
        sent = str(event.occurred_at)  # stands there as Meta sent it: in seconds, but for one capture
        return f"ig_si_{item['value']['media_id']}_{sent if event.event_id.endswith(sent) else sent[:-3]}"
    named = {"postback": "pb", "policy_enforcement": "policy", "response_feedback": "feedback"}
    namespace = named.get(event.topic if event.kind == "unknown" else event.kind, event.kind)
    if namespace == "unknown":
        return f"ig_unk_{account}_{digest}"
    return f"ig_{namespace}_{account}_{sender}_{time}_{digest}"


def test_every_own_sample_is_in_the_index_once() -> None:
    files = sorted(path.name for path in OWN.glob("*.json") if path.name != "INDEX.json")
    assert sorted(listed["file"] for listed in _index(OWN)) == files
    assert len(files) > 30


def test_the_own_samples_tell_one_story_of_one_account_and_no_fact_twice() -> None:
    events = [event for listed in _index(OWN) for event in _events(OWN, listed["file"])]
    assert len({event.event_id for event in events}) == len(events)
    assert len({event.account_id for event in events if not event.is_test}) == 1
    messages = {event.mid for event in events if event.kind in ("message", "echo")}
    referred = [event for event in events if event.kind in ("unsend", "reaction", "read")]
    referred += [event for event in events if event.kind == "edit" and event.num_edit]
    assert referred
    assert {event.mid for event in referred} <= messages


@pytest.mark.parametrize("kind", ["message", "echo", "unsend", "edit", "reaction", "postback", "read", "referral"])
def test_the_own_samples_show_what_happens_in_a_thread(kind: str) -> None:
    assert any(kind in listed["kinds"] for listed in _index(OWN))


def test_captured_samples_are_read_as_their_index_says() -> None:
    captured = _index(CAPTURED)
    if not captured:
        pytest.skip("no shared/samples/INDEX.json beside the project: captured bodies are not part of it")
    wrong = {}
    for listed in captured:
        kinds = [event.kind for event in _events(CAPTURED, listed["file"])]
        if kinds != listed["expected_kinds"]:
            wrong[listed["file"]] = kinds
    assert wrong == {}
    for each in captured:
        check_envelope(json.loads((CAPTURED / each["file"]).read_text("utf-8")))
