"""POST /api/internal/ingest-event, through the front door."""

import pytest

from tests.support.deliveries import event
from tests.support.world import INGEST, World


def test_one_event_is_queued_and_has_the_message_id_of_qstash(world: World) -> None:
    one = event()
    answer = world.post_events(one)
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    assert (result["event_id"], result["status"], result["via"]) == (one["event_id"], "queued", "queue")
    assert result["message_id"].startswith("msg_")
    world.settle()
    assert world.count("messages") == 1


def test_the_same_event_again_is_deduplicated_with_the_same_message_id(world: World) -> None:
    one = event()
    first = world.post_events(one).json()["results"][0]
    again = world.post_events({"events": [one]}).json()["results"][0]
    assert (again["status"], again["message_id"]) == ("deduplicated", first["message_id"])


def test_a_thousand_events_are_taken_in_one_request_and_one_more_is_413(world: World) -> None:
    answer = world.post_events({"events": [event() for _ in range(1000)]})
    assert answer.status_code == 200
    assert [result["status"] for result in answer.json()["results"]] == ["queued"] * 1000
    refused = world.post_events({"events": [event() for _ in range(1001)]})
    assert refused.status_code == 413
    assert (refused.json()["error"]["code"], refused.json()["error"]["path"]) == ("too_many_events", "$.events")
    world.settle(timeout_s=90)
    assert world.count("messages") == 1000


@pytest.mark.parametrize("secret", ["", "guess"])
def test_a_wrong_secret_is_401(world: World, secret: str) -> None:
    assert world.post_events(event(), secret=secret).status_code == 401


def test_a_missing_secret_is_401_and_nothing_is_read(world: World) -> None:
    assert world.http.post(INGEST, content=b"not even json").status_code == 401


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"{", None),
        (b"[]", "$"),
        (b"{}", "$.kind"),
        (b'{"events": {}}', "$.events"),
        (b'{"events": [1]}', "$.events[0]"),
        (b'{"events": [{"kind": "message"}]}', "$.events[0].event_id"),
        (b'{"events": [{"kind": "made up"}]}', "$.events[0].kind"),
    ],
)
def test_an_invalid_body_is_400_with_the_path_of_the_field(world: World, body: bytes, path: str | None) -> None:
    answer = world.post_events(body)
    assert answer.status_code == 400, answer.text
    if path is not None:
        assert answer.json()["error"]["path"] == path


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", ""),
        ("event_id", "with space"),
        ("event_id", "line\nbreak"),
        ("event_id", "x" * 513),
        ("account_id", 17),
        ("occurred_at", -1),
        ("occurred_at", 10**18),
        ("occurred_at", "now"),
        ("text", 5),
        ("attachments", [1]),
        ("direction", "sideways"),
        ("mid", ""),
    ],
)
def test_a_field_of_the_wrong_type_is_400_with_its_path_and_nothing_goes_out(
    world: World, field: str, value: object
) -> None:
    answer = world.post_events({"events": [event(), event(**{field: value})]})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["path"].startswith(f"$.events[1].{field}")
    world.settle()
    assert world.count("events") == 0


def test_a_permanent_failure_of_direct_processing_is_400_and_kept_as_a_dead_letter(world: World) -> None:
    # What the schema refuses for good: a message whose direction contradicts the check constraint cannot be
    # made through the front door, so the table itself is made stricter for the length of this test.
    world.db.execute("alter table messages add constraint no_such_words check (text <> 'refused')")
    try:
        with world.qstash_fault(publish="refuse"):
            answer = world.post_events({"events": [event(text="refused"), event()]})
    finally:
        world.db.execute("alter table messages drop constraint no_such_words")
    assert answer.status_code == 400, answer.text
    first, second = answer.json()["results"]
    assert (first["status"], first["via"], first["error"]["kind"]) == ("rejected", "direct", "permanent")
    assert second["status"] == "processed"
    letter = world.row("select * from dead_letters")
    assert (letter["event_id"], letter["state"]) == (first["event_id"], "open")
    assert letter["event"]["text"] == "refused"
    assert world.count("messages") == 1
