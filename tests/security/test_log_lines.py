"""Whatever a request brings, each line of the log is one JSON object, and what came in it is a value in there."""

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from dev.stack import keys
from lib.core.log import JsonLines
from tests.security.callers import CONSUMER, FAILURE, HEALTH, INGEST, STATUS, WEBHOOK, qstash_token
from tests.security.conftest import Lines
from tests.security.functions import HOST, ask
from tests.support.builders import item, now_ms, webhook
from tests.support.logs import HARMLESS, written
from tests.support.world import World

SPOOF = '\n{"level": "error", "message": "all is lost"}\n'
UNRULY = {
    "line feed": SPOOF,
    "carriage return": SPOOF.replace("\n", "\r"),
    "escape": "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "nul": "a\x00b",
    "line separator": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "surrogate": "a\ud800b",
    "right to left": "\u202etxt.exe",
    "quote": '"}, {"a": "\\',
}
EVERY_UNRULY = pytest.mark.parametrize("unruly", UNRULY.values(), ids=UNRULY)


@given(st.dictionaries(st.sampled_from(["event_id", "path", "code", "ms"]), st.text() | st.integers() | st.none()))
def test_any_value_of_any_field_stays_in_its_place(fields: dict[str, Any]) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    record = logging.LogRecord("lib.x", logging.INFO, __file__, 1, "Event processed", (), None)
    record.fields = fields
    handler.emit(record)
    line, end = stream.getvalue().split("\n")
    assert end == ""
    said = written(line)
    assert {name: said[name] for name in fields if fields[name] is not None} == {
        name: value for name, value in fields.items() if value is not None
    }


@EVERY_UNRULY
def test_a_path_and_a_query_stay_in_their_line(apps: dict[str, ASGIApp], logged: Lines, unruly: str) -> None:
    raw = unruly.encode("utf-8", "surrogatepass")
    headers = [(name, raw) for name in (b"user-agent", b"host", b"x-forwarded-for", b"authorization", b"accept")]
    for path, app in apps.items():
        method = "GET" if path in (HEALTH, STATUS) else "POST"
        ask(app, path + unruly, method=method, headers=headers, query=b"code=" + raw)
    ask(apps[WEBHOOK], WEBHOOK + unruly, method="GET", query=b"hub.mode=subscribe&hub.verify_token=" + raw)
    lines = [written(line) for line in logged()]
    if "\n" not in unruly:  # no route matches such a path, and nobody says so
        assert {path + unruly for path in (WEBHOOK, INGEST, CONSUMER, FAILURE)} <= {line.get("path") for line in lines}


@EVERY_UNRULY
def test_headers_of_a_delivery_and_names_in_a_body_stay_in_their_line(
    apps: dict[str, ASGIApp], logged: Lines, unruly: str
) -> None:
    raw = unruly.encode("utf-8", "surrogatepass")
    bodies = {
        CONSUMER: json.dumps({"kind": unruly, "event_id": unruly}).encode(),
        FAILURE: json.dumps({"sourceMessageId": [unruly]}).encode(),
    }
    for path, body in bodies.items():
        token = qstash_token(body, HOST + path).encode()
        headers = [(b"upstash-signature", token), (b"upstash-message-id", raw), (b"upstash-retried", raw)]
        answer = ask(apps[path], path, headers=headers, body=body)
        assert answer.status == 489
    deep = json.dumps({unruly: json.loads("[" * 70 + "]" * 70)}).encode()
    bearer = (b"authorization", f"Bearer {keys.INTERNAL_SECRET}".encode())
    assert ask(apps[INGEST], INGEST, headers=[bearer], body=deep).status == 400
    lines = [written(line) for line in logged()]
    failed = [(line["message_id"], line["retried"]) for line in lines if line["message"] == "Delivery failed"]
    assert failed == [(raw.decode("latin-1"),) * 2] * 2


def test_unruly_ids_of_a_webhook_stay_in_their_line(world: World) -> None:
    before = len(world.functions_log())
    said = [
        item(contact=f"6001{unruly}", message={"mid": f"m{number}{unruly}", "text": "hello"})
        for number, unruly in enumerate(UNRULY.values())
    ]
    said += [
        {"sender": {"id": unruly}, "recipient": {"id": "1"}, unruly: {"mid": unruly}} for unruly in UNRULY.values()
    ]
    body = webhook(*said)
    body["entry"] += [{"id": f"1784{unruly}", "time": now_ms(), "messaging": said[:1]} for unruly in UNRULY.values()]
    world.deliver(body)
    lines = world.functions_log()[before:].splitlines()
    ours = [written(line) for line in lines if not line.startswith(("GET /", "POST /"))]
    assert len({line["event_id"] for line in ours if line["message"] == "Event processed"}) >= 2 * len(UNRULY) - 1


@EVERY_UNRULY
def test_a_path_nobody_serves_stays_in_its_line_too(world: World, unruly: str) -> None:
    before = len(world.functions_log())
    path = "/nowhere" + "".join(f"%{byte:02x}" for byte in unruly.encode("utf-8", "surrogatepass"))
    assert world.http.get(path).status_code == 404
    world.http.get("/api/health")  # by then the line of the first is written
    lines = world.functions_log()[before:].split("\n")
    assert lines[0].startswith("GET /nowhere")
    assert all(set(line) <= HARMLESS and "all is lost" not in line.replace("%", "") for line in lines)
