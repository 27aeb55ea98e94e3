"""The next phase: what it gets is what its schema says, and the example in docs/ can be taken as it is."""

import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from dev import next_phase_schema
from dev.qstash.signing import SigningKeys
from dev.send.samples import samples
from dev.stack import keys
from dev.stack.config import ROOT
from dev.stack.ports import free_port
from lib.processing.planner import has_next_phase, next_phase_payload
from lib.webhooks.parser import parse_webhook
from tests.support.builders import ACCOUNT, CONTACT, echo, message, new_mid, webhook
from tests.support.receiver import receiver
from tests.support.world import World

SCHEMA: dict[str, Any] = json.loads(next_phase_schema.FILE.read_text("utf-8"))


def closed(schema: Any) -> Any:
    """`schema`, but that a field it does not name is an error."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {name: closed(value) for name, value in schema.items()}
    return {**inside, "additionalProperties": False} if "properties" in schema else inside


def payloads_of(name: str) -> list[dict[str, Any]]:
    body = json.loads((ROOT / "dev" / "samples" / f"{name}.json").read_text("utf-8"))
    events = parse_webhook(body, received_at=1_795_000_000_000)
    return [json.loads(json.dumps(next_phase_payload(event))) for event in events if has_next_phase(event)]


def test_the_schema_in_docs_is_that_of_the_events() -> None:
    assert next_phase_schema.FILE.read_text("utf-8") == next_phase_schema.text(), "run python -m dev.next_phase_schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", [sample.name for sample in samples()])
def test_every_sample_is_sent_on_as_the_schema_says(name: str) -> None:
    for payload in payloads_of(name):
        jsonschema.validate(payload, closed(SCHEMA), cls=jsonschema.Draft202012Validator)


def test_the_samples_show_every_kind_of_the_schema() -> None:
    shown = {payload["kind"] for sample in samples() for payload in payloads_of(sample.name)}
    assert shown == {
        one["properties"]["kind"]["const"] for one in SCHEMA["$defs"].values() if "kind" in one["properties"]
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "unknown"},
        {"event_id": ""},
        {"event_id": "with a blank"},
        {"occurred_at": "yesterday"},
        {"contact_id": 6001},
        {"direction": "sideways"},
        {"mid": None},
    ],
    ids=str,
)
def test_the_schema_refuses_what_we_never_send(wrong: dict[str, Any]) -> None:
    (payload,) = payloads_of("text")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**payload, **wrong}, SCHEMA, cls=jsonschema.Draft202012Validator)


# The example.


@dataclass
class Example:
    """docs/examples/next_phase_receiver.py, running."""

    url: str
    database: Path

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as db:
            return db.execute(query).fetchall()

    def post(self, body: bytes, *, key: str = keys.QSTASH_CURRENT_SIGNING_KEY, url: str = "") -> httpx.Response:
        signature = SigningKeys(key, key).sign(url=url or self.url, body=body, now_s=time.time())
        return httpx.post(self.url, content=body, headers={"Upstash-Signature": signature})


@contextmanager
def running_example(folder: Path) -> Iterator[Example]:
    port = free_port()
    example = Example(f"http://127.0.0.1:{port}/api/next-phase", folder / "next_phase.db")
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "next_phase_receiver:app", "--port", str(port), "--log-level", "warning"],
        cwd=ROOT / "docs" / "examples",
        env={
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "NEXT_PHASE_URL": example.url,
            "NEXT_PHASE_DATABASE": str(example.database),
            "QSTASH_CURRENT_SIGNING_KEY": keys.QSTASH_CURRENT_SIGNING_KEY,
            "QSTASH_NEXT_SIGNING_KEY": keys.QSTASH_NEXT_SIGNING_KEY,
        },
    )
    try:
        deadline = time.monotonic() + 20
        while not _answers(example.url):
            assert server.poll() is None, "the example does not start"
            assert time.monotonic() < deadline, "the example does not answer"
            time.sleep(0.05)
        yield example
    finally:
        server.terminate()
        server.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 405
    except httpx.TransportError:
        return False


def test_the_example_receives_each_event_once_and_says_what_can_never_work(world: World, tmp_path: Path) -> None:
    mids = [new_mid() for _ in range(3)]
    with running_example(tmp_path) as example, world.stack.functions({"PHASE3_URL": example.url}) as base_url:
        body = webhook(*[message(f"line {n}", mid=mid) for n, mid in enumerate(mids)], echo("from us"))
        for _ in range(2):
            world.deliver(body, base_url=base_url)
            world.forget_deduplication()
        assert example.rows("select contact_id, messages from contacts") == [(CONTACT, 3)]
        assert len(example.rows("select * from done")) == 4

        again = {"account_id": ACCOUNT, "event_id": f"ig_msg_{mids[0]}", "kind": "message", "contact_id": CONTACT}
        one = json.dumps(again).encode()
        assert example.post(one).json() == {"status": "duplicate"}
        assert example.post(json.dumps({**again, "account_id": "17841400000000002"}).encode()).json() == {
            "status": "done"
        }
        assert example.post(one, key="sig_of_somebody_else_altogether_").status_code == 401
        assert example.post(one, url="https://elsewhere.example").status_code == 401
        without = [{**again, field: 1} for field in ("account_id", "event_id", "kind")]
        for never in (b"not json", b"[]", b'{"kind": "message"}', *(json.dumps(each).encode() for each in without)):
            refused = example.post(never)
            assert (refused.status_code, refused.headers["upstash-nonretryable-error"]) == (489, "true")
        nobody = json.dumps({**again, "event_id": "ig_msg_x", "contact_id": None}).encode()
        assert example.post(nobody).status_code == 489
        assert not example.rows("select * from done where event_id = 'ig_msg_x'"), "what was not done is not remembered"
        assert example.rows("select messages from contacts order by account_id") == [(3,), (1,)]
    assert {row["state"] for row in world.rows("select state from outbox")} == {"sent"}


def test_a_next_phase_that_is_too_large_for_qstash_is_a_dead_letter_that_somebody_sees(world: World) -> None:
    """The event itself is too large, too: it is processed directly."""
    with receiver() as next_phase, world.stack.functions({"PHASE3_URL": next_phase.url}) as base_url:
        body = webhook(message("x" * 1_100_000, mid="m_1"))
        for _ in range(2):
            world.deliver(body, base_url=base_url)
        assert next_phase.bodies == []
        assert world.row("select mid from messages") == {"mid": "m_1"}
        letter = world.row("select error_code, state, event ->> 'event_id' as event_id from dead_letters")
        assert letter == {"error_code": "qstash_refused", "state": "open", "event_id": "ig_msg_m_1"}
        row = world.row("select processed_at, given_up_code from events")
        assert row == {"processed_at": None, "given_up_code": "qstash_refused"}
        assert world.row("select state, error_code from outbox") == {"state": "failed", "error_code": "given_up"}
        assert world.sweep(base_url=base_url)["taken"] == 0


def test_the_body_of_nothing_that_is_published_is_shown_at_upstash(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    settings = {"QSTASH_REDACT_BODY": "true"}
    with receiver() as next_phase, world.stack.functions({**settings, "PHASE3_URL": next_phase.url}) as base_url:
        world.graph_fault("send", "429", times=1)
        world.db.execute("update ingestion.sweep_state set swept_at = now() - interval '1 day'")
        world.deliver(webhook(message("price of the gardenia")), base_url=base_url)
        assert "gardenia" in json.dumps(next_phase.bodies)
    headers = {"Authorization": f"Bearer {keys.QSTASH_TOKEN}"}
    shown = [
        world.standins.get(f"{world.stack.qstash_url}{path}", headers=headers).json()
        for path in ("/v2/logs", "/v2/dlq")
    ]
    labels = {entry.get("label") for entry in shown[0]["logs"]}
    assert labels >= {"instagram-messaging-event", "instagram-phase3", "instagram-sweep"}
    assert "gardenia" not in json.dumps(shown)
    assert base64.b64encode(b"gardenia").decode().rstrip("=")[:8] not in json.dumps(shown)
    # A failure callback is QStash's own; it has the hidden body of the message that failed.
    ours = [entry for entry in shown[0]["logs"] if not entry["url"].endswith("/instagram-failure")]
    bodies = [entry["body"] for entry in ours if entry.get("body")]
    assert [body for body in bodies if not body.startswith("REDACTED:")] == []
