"""The log: each delivery is one line with all six fields, any other request ends in one with verdict, code and ms."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from dev.stack import keys
from lib.core.log import MAX_LINE_BYTES
from lib.core.request_log import MAX_LINES
from tests.support.builders import message, new_mid, webhook
from tests.support.deliveries import body_of, event, failure_callback, signature
from tests.support.logs import objects, words_refused, written
from tests.support.world import CONSUMER, FAILURE, SWEEP, World

SIX_FIELDS = {"event_id", "message_id", "retried", "outcome", "code", "ms"}


@contextmanager
def lines_written(world: World) -> Iterator[list[dict[str, Any]]]:
    """The lines that the functions write inside the block; there when it ends."""
    before = len(world.functions_log())
    lines: list[dict[str, Any]] = []
    yield lines
    lines += objects(world.functions_log()[before:])


def deliveries(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines about attempts at a delivery of an event."""
    return [line for line in lines if "retried" in line]


def told(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line.get(name) for name in ("event_id", "message_id", "retried", "outcome", "code"))


def deliver(world: World, path: str, body: bytes, *, message_id: str, retried: int) -> httpx.Response:
    """One attempt, as QStash makes it."""
    headers = {
        "Upstash-Signature": signature(body, world.stack.functions_url + path),
        "Upstash-Message-Id": message_id,
        "Upstash-Retried": str(retried),
    }
    return world.http.post(path, content=body, headers=headers)


def test_each_delivery_is_one_line_with_all_six_fields(world: World) -> None:
    one = event()
    with lines_written(world) as lines:
        for _ in range(2):
            assert deliver(world, CONSUMER, body_of(one), message_id="msg_one", retried=0).status_code == 200
        with words_refused(world):
            refused = event(text="refused")
            assert deliver(world, CONSUMER, body_of(refused), message_id="msg_two", retried=3).status_code == 489
    first, again, third = deliveries(lines)
    assert [set(line) >= SIX_FIELDS for line in (first, again, third)] == [True] * 3
    assert told(first) == (one["event_id"], "msg_one", 0, "processed", "ok")
    assert told(again) == (one["event_id"], "msg_one", 0, "duplicate", "ok")
    assert told(third) == (refused["event_id"], "msg_two", 3, "permanent", "database_constraint")


def test_every_attempt_of_qstash_is_one_line_with_all_six_fields(world: World) -> None:
    world.graph_fault("profile", "500", times=1)
    mid = new_mid()
    with lines_written(world) as lines:
        world.deliver(webhook(message(mid=mid)))
    failed, processed = deliveries(lines)
    (queued,) = [line for line in lines if line["message"] == "Event enqueued to QStash successfully"]
    assert [set(line) >= SIX_FIELDS for line in (failed, processed)] == [True] * 2
    assert told(failed)[:4] == (f"ig_msg_{mid}", queued["message_id"], 0, "retryable")
    assert failed["code"].startswith("graph_")
    assert told(processed) == (f"ig_msg_{mid}", queued["message_id"], 1, "processed", "ok")
    assert (queued["event_id"], queued["outcome"], queued["code"]) == (f"ig_msg_{mid}", "queued", "ok")


def test_a_delivery_that_is_no_event_is_one_line_without_an_event_id(world: World) -> None:
    with lines_written(world) as lines:
        assert deliver(world, CONSUMER, b'{"kind": "made up"}', message_id="msg_x", retried=0).status_code == 489
    (line,) = lines
    assert set(line) >= SIX_FIELDS - {"event_id"}
    assert told(line) == (None, "msg_x", 0, "permanent", "invalid_payload")


def test_a_dead_letter_is_one_line_that_says_which_event_and_why(world: World) -> None:
    with lines_written(world) as lines:
        deliver(world, FAILURE, failure_callback(), message_id="msg_callback", retried=0)
        deliver(
            world, FAILURE, failure_callback(body=None, sourceMessageId="msg_2", status=504), message_id="m", retried=0
        )
    mine, timed_out = lines
    assert told(mine) == ("ig_msg_dead", "msg_callback", 0, "stored", "invalid_payload")
    assert (mine["level"], mine["source_message_id"]) == ("error", "msg_1")
    assert timed_out["code"] == "status_504"


def test_a_webhook_is_one_line_with_its_counts_and_so_is_what_the_internal_endpoint_did(world: World) -> None:
    with lines_written(world) as lines:
        world.deliver(webhook(message(), message()))
    (received,) = [line for line in lines if line["message"] == "Webhook received"]
    (ingested,) = [line for line in lines if line["message"] == "Events ingested"]
    assert (received["received"], received["queued"], received["outcome"], received["code"]) == (2, 2, "durable", "ok")
    assert (ingested["events"], ingested["queued"], ingested["outcome"], ingested["code"]) == (2, 2, "durable", "ok")
    assert received["ms"] >= ingested["ms"] > 0


def test_a_webhook_that_meta_has_to_send_again_is_one_line_that_says_so(world: World) -> None:
    mid = new_mid()
    with world.stack.functions({"QSTASH_URL": "http://127.0.0.1:9", "SUPABASE_URL": "http://127.0.0.1:9"}) as base_url:
        assert world.post_webhook(webhook(message(mid=mid)), base_url=base_url).status_code == 503
        log = world.stack.log_path(f"functions-{httpx.URL(base_url).port}").read_text()
    lines = objects(log)
    (refused,) = [line for line in lines if line["message"] == "Webhook refused for now"]
    assert (refused["failed"], refused["outcome"], refused["code"]) == (1, "retryable", "not_durable")
    direct = [line for line in lines if line["message"].startswith("Direct processing failed")]
    assert {(line["event_id"], line["outcome"], line["via"]) for line in direct} == {
        (f"ig_msg_{mid}", "retryable", "direct")
    }


def test_the_jobs_and_what_is_refused_say_verdict_code_and_time(world: World) -> None:
    with lines_written(world) as lines:
        world.sweep()
        for job in ("retention", "refresh-tokens"):
            answer = world.http.get(f"/api/cron/{job}", headers={"Authorization": f"Bearer {keys.CRON_SECRET}"})
            assert answer.status_code == 200
        assert world.http.post(CONSUMER, content=b"{}").status_code == 401
    last = {line["message"]: (line["outcome"], line["code"]) for line in lines if line["ms"] >= 0}
    assert last == {
        "Swept": ("done", "ok"),
        "Raw items expired": ("done", "ok"),
        "Access refreshed": ("done", "ok"),
        "Request refused": ("permanent", "missing_signature"),
    }


# However much one request has to say: Vercel shows 256 lines of it, and no more than 1 MB.

MANY = 400
NOBODY = "http://127.0.0.1:9"


def lines_of(world: World, env: dict[str, str], request: Callable[[str], httpx.Response]) -> list[str]:
    """The lines that one instance writes for one request."""
    with world.stack.functions(env) as base_url:
        request(base_url)
        text = world.stack.log_path(f"functions-{httpx.URL(base_url).port}").read_text()
    return [line for line in text.splitlines() if not line.startswith(("GET /", "POST /"))]


def bounded(lines: list[str], *, first: str, dropped: int) -> list[dict[str, Any]]:
    """The objects in `lines`, if they are few and short, the summary first and the count of what is missing last."""
    said = [written(line) for line in lines]
    assert len(lines) < 250
    assert max(map(len, lines)) <= MAX_LINE_BYTES
    assert said[0]["message"] == first
    assert said[-1]["message"] == "Log lines dropped"
    assert said[-1]["log_lines_dropped"] == sum(said[-1]["dropped"].values()) == dropped
    return said


def test_many_events_that_are_queued_are_few_lines_the_sum_first(world: World) -> None:
    events = [event() for _ in range(MANY)]
    with lines_written(world) as lines:
        assert world.post_events({"events": events}).status_code == 200
    world.cancel_deliveries()
    mine = [line for line in lines if line["message"] != "Event processed"]
    assert (mine[0]["message"], mine[0]["queued"]) == ("Events ingested", MANY)
    assert [line["message"] for line in mine[1:-1]] == ["Event enqueued to QStash successfully"] * MAX_LINES
    assert mine[-1]["log_lines_dropped"] == MANY - MAX_LINES


def test_many_events_that_are_refused_for_good_are_few_lines_the_sum_first(world: World) -> None:
    events = [event(text="refused") for _ in range(MANY)]
    with words_refused(world):
        lines = lines_of(world, {"QSTASH_URL": NOBODY}, lambda url: world.post_events({"events": events}, base_url=url))
    said = [written(line) for line in lines]
    assert said[0].get("rejected", 0) + said[0].get("failed", 0) == MANY
    bounded(lines, first="Events ingested", dropped=said[-1]["log_lines_dropped"])
    assert len(said) - 2 + said[-1]["log_lines_dropped"] >= 2 * MANY
    assert {line["level"] for line in said[1:]} <= {"error", "warning"}


@pytest.mark.parametrize("env", [{"SUPABASE_URL": NOBODY}, {}], ids=["nothing answers", "all is refused"])
def test_a_webhook_of_many_items_that_fail_is_few_lines_the_sum_first(world: World, env: dict[str, str]) -> None:
    nobody = {"QSTASH_URL": NOBODY, "PUBLIC_URL": NOBODY, **env}
    with words_refused(world):
        body = webhook(*(message("refused") for _ in range(MANY)))
        lines = lines_of(world, nobody, lambda url: world.post_webhook(body, base_url=url))
    said = bounded(lines, first=written(lines[0])["message"], dropped=written(lines[-1])["log_lines_dropped"])
    assert said[0]["message"] in ("Webhook received", "Webhook refused for now")
    assert said[0]["received"] == MANY
    assert len(said) - 2 + said[-1]["log_lines_dropped"] >= MANY


def test_a_sweep_that_gives_many_events_up_is_few_lines_and_says_how_many(world: World) -> None:
    bodies = [webhook(*(message("hello") for _ in range(100))) for _ in range(MANY // 100)]
    for body in bodies:
        world.deliver(body)
    world.db.execute("delete from ingestion.raw_items")
    world.db.execute(
        "update events set processed_at = null, recorded_at = recorded_at - interval '1 hour',"
        " sweep_after = now() - interval '1 minute'"
    )
    lines = lines_of(
        world,
        {},
        lambda url: world.http.get(url + SWEEP, headers={"Authorization": f"Bearer {keys.CRON_SECRET}"}, timeout=60),
    )
    said = [written(line) for line in lines]
    (swept,) = [line for line in said if line["message"] == "Swept"]
    assert (swept["taken"], swept["given_up"]) == (MANY, MANY)
    assert len(lines) < 250
    assert said[-1]["log_lines_dropped"] == MANY + 2 - len(lines)
