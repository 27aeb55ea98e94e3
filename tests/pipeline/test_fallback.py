"""QStash is away, slow or talks nonsense; the internal endpoint is away: events still become durable."""

import asyncio
import time

import psycopg
import pytest

from lib.core.deadline import Deadline
from lib.core.settings import load
from lib.ingest.forwarder import Forwarder
from lib.ingest.http_client import IngestHttpClient
from lib.ingest.ingestor import Ingestor
from lib.webhooks.parser import parse_webhook
from tests.support.builders import message, webhook
from tests.support.deliveries import event
from tests.support.settings import COMPLETE
from tests.support.world import World

ANSWER_WITHIN_S = 5.0
"""What Meta allows."""


@pytest.mark.parametrize(
    "fault",
    [
        {"publish": "refuse"},
        {"publish": "error", "status": 503},
        {"publish": "error", "status": 401},
        {"publish": "hang"},
        {"publish": "garbage"},
        {"publish": "rate_limit"},
        {"publish": "daily_limit"},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_events_are_processed_directly_while_qstash_fails(world: World, fault: dict[str, object]) -> None:
    with world.qstash_fault(**fault):
        started = time.monotonic()
        answer = world.post_webhook(webhook(message("direct"), message("channel")))
        took = time.monotonic() - started
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"received": 2, "queued": 0, "processed": 2, "ignored": 0}
    assert took < ANSWER_WITHIN_S
    assert [row["via"] for row in world.rows("select via from events")] == ["direct", "direct"]
    assert world.count("messages") == 2


def test_the_result_of_the_endpoint_says_which_channel_was_taken(world: World) -> None:
    with world.qstash_fault(publish="refuse"):
        (result,) = world.post_events(event()).json()["results"]
    assert (result["status"], result["via"]) == ("processed", "direct")


def test_an_event_seen_before_is_a_duplicate_on_the_direct_channel(world: World) -> None:
    one = event()
    world.post_events(one)
    world.settle()
    with world.qstash_fault(publish="refuse"):
        (result,) = world.post_events(one).json()["results"]
    assert (result["status"], result["via"]) == ("duplicate", "direct")


def test_what_qstash_refused_of_a_batch_is_processed_directly_and_the_rest_is_queued(world: World) -> None:
    with world.qstash_fault(publish="partial"):
        answer = world.post_webhook(webhook(*[message(f"line {n}") for n in range(6)]))
    assert answer.status_code == 200
    assert answer.json() == {"received": 6, "queued": 3, "processed": 3, "ignored": 0}
    world.settle()
    assert world.count("messages") == 6
    assert {row["via"] for row in world.rows("select via from events")} == {"direct", "queue"}


def test_the_webhook_publishes_itself_when_the_internal_endpoint_is_away(world: World) -> None:
    with world.stack.functions({"PUBLIC_URL": "http://127.0.0.1:9"}) as base_url:
        answer = world.post_webhook(webhook(message("no hop")), base_url=base_url)
    assert answer.status_code == 200, answer.text
    assert answer.json()["queued"] == 1


def test_nothing_durable_is_answered_503_with_retry_after_and_in_time(world: World) -> None:
    settings = {"SUPABASE_URL": "http://127.0.0.1:9"}
    with world.stack.functions(settings) as base_url, world.qstash_fault(publish="refuse"):
        started = time.monotonic()
        answer = world.post_webhook(webhook(message()), base_url=base_url)
        took = time.monotonic() - started
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["failed"] == 1
    assert took < ANSWER_WITHIN_S


def test_the_webhook_answers_in_time_while_everything_hangs(world: World) -> None:
    world.graph_fault("*", "timeout_dropped")
    with world.qstash_fault(publish="hang"):
        started = time.monotonic()
        answer = world.post_webhook(webhook(message(), message(contact="6002")))
        took = time.monotonic() - started
    assert took < ANSWER_WITHIN_S
    assert answer.status_code == 200, answer.text
    assert world.count("messages") == 2


def test_the_same_events_by_both_channels_leave_one_trace(world: World) -> None:
    body = webhook(message("both"), message("channels"))
    world.deliver(body)
    before = world.snapshot()
    with world.qstash_fault(publish="refuse"):
        assert world.post_webhook(body).json()["processed"] == 2
    world.deliver(body)
    assert world.snapshot() == before


def test_what_no_time_is_left_for_is_not_begun_and_comes_again() -> None:
    def no_ingestor() -> Ingestor:
        raise AssertionError("there was no time for it")

    async def forwarded() -> list[str]:
        forwarder = Forwarder(load(COMPLETE), client=IngestHttpClient("https://nowhere.example"), ingestor=no_ingestor)
        events = parse_webhook(webhook(message(), message()), received_at=1)
        return [handled.status for handled in await forwarder.forward(events, deadline=Deadline.after(0))]

    assert asyncio.run(forwarded()) == ["failed", "failed"]


def test_a_thousand_events_are_recorded_in_batches_while_qstash_is_away(world: World) -> None:
    events = [event(contact_id=str(6000 + n % 50)) for n in range(1000)]
    with world.qstash_fault(publish="refuse"):
        results = world.post_events({"events": events}, budget_ms=20_000).json()["results"]
    assert {(result["status"], result["via"]) for result in results} == {("processed", "direct")}
    assert [result["event_id"] for result in results] == [each["event_id"] for each in events]
    assert world.count("messages") == 1000
    batches = world.row("select count(distinct xmin::text)::int as transactions from messages")
    assert batches == {"transactions": 10}


def test_an_event_that_the_database_refuses_is_a_dead_letter_and_the_others_of_its_batch_are_recorded(
    world: World,
) -> None:
    with psycopg.connect(world.stack.dsn, autocommit=True) as database:
        database.execute("alter table messages add constraint no_blue check (text <> 'blue')")
        try:
            with world.qstash_fault(publish="refuse"):
                answer = world.post_webhook(webhook(*[message(text) for text in ("red", "blue", "green")]))
        finally:
            database.execute("alter table messages drop constraint no_blue")
    assert answer.json()["received"] == 3
    assert answer.json()["processed"] == 2
    assert [row["text"] for row in world.rows("select text from messages order by text")] == ["green", "red"]
