"""Whole bodies: our own samples, and captured ones where somebody has put them beside the project."""

import json
from pathlib import Path
from typing import Any

import pytest

from lib.clean import decode_json
from lib.events import decode, encode
from lib.parse import check_envelope, parse_webhook
from tests.parse.builders import RECEIVED_AT

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "dev" / "samples"
CAPTURED = ROOT.parent / "shared" / "samples"


def _index(folder: Path) -> list[dict[str, Any]]:
    path = folder / "INDEX.json"
    if not path.is_file():
        return []
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return entries


def _events(folder: Path, name: str) -> list[Any]:
    return list(parse_webhook(decode_json((folder / name).read_bytes()), received_at=RECEIVED_AT))


@pytest.mark.parametrize("listed", _index(OWN), ids=lambda listed: str(listed["file"]))
def test_an_own_sample_is_read_as_its_index_says(listed: dict[str, Any]) -> None:
    events = _events(OWN, listed["file"])
    assert [event.kind for event in events] == listed["kinds"]
    assert all(decode(encode(event)) == event for event in events)
    assert listed["about"].endswith(".")


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
    assert all(check_envelope(json.loads((CAPTURED / each["file"]).read_text("utf-8"))) is None for each in captured)
