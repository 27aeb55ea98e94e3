"""The official SDK, sync and async, cannot tell the stand-in from the hosted service.

Every public method of both clients is called against a real server, with a real receiver behind it.
"""

import json
import time
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from qstash import AsyncQStash, QStash
from qstash import Receiver as SignatureReceiver
from qstash.errors import (
    DailyMessageLimitExceededError,
    QStashError,
    RateLimitExceededError,
    SignatureError,
)
from qstash.log import LogState
from qstash.message import (
    BatchResponse,
    BatchUrlGroupResponse,
    EnqueueResponse,
    EnqueueUrlGroupResponse,
    FlowControlProperties,
    PublishResponse,
    PublishUrlGroupResponse,
)
from qstash.schedule import ScheduleState

from tests.qstash.sdk import COVERED, EXCLUDED, Flavour, Sdk, covers, public_methods
from tests.qstash.stand import Receiver, Reply, Stand, eventually


@pytest.fixture(scope="session", params=get_args(Flavour))
def _client(request: pytest.FixtureRequest, _fast: Stand) -> Iterator[Sdk]:
    client = Sdk(request.param, token=_fast.config.token, base_url=_fast.url)
    yield client
    client.close()


@pytest.fixture
def sdk(request: pytest.FixtureRequest, _client: Sdk, stand: Stand) -> Iterator[Sdk]:
    _client.called.clear()
    yield _client
    missed = set(getattr(request.function, "covers", ())) - _client.called
    assert not missed, f"declared as covered, and not called: {missed}"


@covers("message.publish")
def test_a_published_message_arrives_as_it_was_sent(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    answer = sdk.call(
        "message.publish",
        url=receiver.url + "/in?a=1&b=%2F",
        body=b"\xff\x00raw",
        content_type="application/octet-stream",
        method="PUT",
        headers={"X-Mine": "yes", "Upstash-Forward-X-Other": "too"},
        label="one,two",
        timeout="5s",
        retries=1,
    )
    assert isinstance(answer, PublishResponse)
    assert answer.deduplicated is False
    stand.wait_idle()
    (got,) = receiver.at("/in")
    assert (got.method, got.body) == ("PUT", b"\xff\x00raw")
    assert got.headers["content-type"] == "application/octet-stream"
    assert (got.headers["x-mine"], got.headers["x-other"]) == ("yes", "too")
    assert got.headers["user-agent"] == "Upstash-QStash"
    assert got.headers["upstash-message-id"] == answer.message_id
    assert got.headers["upstash-retried"] == "0"
    assert got.headers["upstash-label"] == "one,two"
    assert got.headers["upstash-caller-ip"] == "127.0.0.1"


@covers("message.publish_json")
def test_published_json_arrives_as_json(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    answer = sdk.call("message.publish_json", url=receiver.url + "/in", body={"ä": [1, None]})
    assert isinstance(answer, PublishResponse)
    stand.wait_idle()
    (got,) = receiver.at("/in")
    assert json.loads(got.body) == {"ä": [1, None]}
    assert got.headers["content-type"] == "application/json"


@covers("message.publish_json")
def test_a_duplicate_is_answered_with_the_first_message(sdk: Sdk, real_time: Stand, receiver: Receiver) -> None:
    client = Sdk(sdk.flavour, token=real_time.config.token, base_url=real_time.url)
    arguments = {"url": receiver.url + "/in", "body": 1, "deduplication_id": "an-id-1"}
    first = client.call("message.publish_json", **arguments)
    second = client.call("message.publish_json", **arguments)
    by_content = [
        client.call("message.publish_json", url=receiver.url + "/in", body=body, content_based_deduplication=True)
        for body in (1, 1, 2)
    ]
    client.close()
    sdk.called |= client.called
    assert (first.deduplicated, second.deduplicated) == (False, True)
    assert first.message_id == second.message_id
    assert [one.deduplicated for one in by_content] == [False, True, False]
    real_time.wait_idle()
    assert len(receiver.at("/in")) == 3


@covers("message.enqueue", "message.enqueue_json")
def test_enqueued_messages_arrive_in_order(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    url = receiver.url + "/in"
    answers = [sdk.call("message.enqueue", queue="line", url=url, body="0", content_type="text/plain")]
    answers += [sdk.call("message.enqueue_json", queue="line", url=url, body=n) for n in range(1, 6)]
    assert all(isinstance(answer, EnqueueResponse) for answer in answers)
    stand.wait_idle()
    assert [got.body for got in receiver.at("/in")] == [b"0", b"1", b"2", b"3", b"4", b"5"]


@covers("message.batch", "message.batch_json")
def test_a_batch_is_answered_item_by_item_in_order(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    url = receiver.url + "/in"
    raw = sdk.call("message.batch", [{"url": url, "body": "a"}, {"url": url, "body": "b", "queue": "q"}])
    parsed = sdk.call(
        "message.batch_json",
        [{"url": url, "body": n, "retries": 1, "headers": {"X-N": str(n)}} for n in range(5)],
    )
    assert all(isinstance(answer, BatchResponse) for answer in [*raw, *parsed])
    stand.wait_idle()
    by_id = {got.headers["upstash-message-id"]: got for got in receiver.at("/in")}
    assert [by_id[answer.message_id].body for answer in raw] == [b"a", b"b"]
    assert [by_id[answer.message_id].headers["x-n"] for answer in parsed] == ["0", "1", "2", "3", "4"]


@covers("message.batch_json")
def test_a_refused_item_makes_the_sdk_raise_although_the_others_went_in(
    sdk: Sdk, stand: Stand, receiver: Receiver
) -> None:
    url = receiver.url + "/in"
    with pytest.raises(KeyError, match="messageId"):
        sdk.call("message.batch_json", [{"url": url, "body": 1}, {"url": "nowhere", "body": 2}])
    stand.wait_idle()
    assert [got.body for got in receiver.at("/in")] == [b"1"]


@covers("message.get")
def test_a_waiting_message_can_be_looked_at(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    not_before = int(time.time()) + 7 * 86_400
    sent = sdk.call(
        "message.publish_json",
        url=receiver.url + "/in",
        body={"a": 1},
        headers={"X-Mine": "yes"},
        not_before=not_before,
        retries=7,
        retry_delay="1000 * (1 + retried)",
        callback=receiver.url + "/callback",
        failure_callback=receiver.url + "/failed",
        callback_headers={"Forward-X-C": "c"},
        failure_callback_headers={"Forward-X-F": "f"},
        flow_control={"key": "a.b-c_d", "parallelism": 2, "rate": 10, "period": "1m"},
        label="one",
    )
    message = sdk.call("message.get", sent.message_id)
    assert message.message_id == sent.message_id
    assert (message.url, message.method, message.body) == (receiver.url + "/in", "POST", '{"a": 1}')
    assert message.headers == {"Content-Type": ["application/json"], "X-Mine": ["yes"]}
    assert message.callback_headers == {"X-C": ["c"]}
    assert message.failure_callback_headers == {"X-F": ["f"]}
    assert (message.callback, message.failure_callback) == (
        receiver.url + "/callback",
        receiver.url + "/failed",
    )
    assert message.max_retries == 7
    assert message.retry_delay_expression == "1000 * (1 + retried)"
    assert message.flow_control == FlowControlProperties("a.b-c_d", 2, 10, 60)
    assert message.label == "one"
    assert message.caller_ip == "127.0.0.1"
    assert message.created_at <= message.not_before <= not_before * 1000


@covers("message.batch", "message.get")
def test_a_flow_control_key_without_a_period_shows_one_of_a_second(sdk: Sdk, receiver: Receiver) -> None:
    limits: list[dict[str, Any]] = [{"parallelism": 3, "rate": 4, "period": 2}, {"rate": 4}, {"parallelism": 5}]
    sent = sdk.call(
        "message.batch",
        [
            {"url": receiver.url + "/in", "delay": "1d", "flow_control": {"key": f"key-{index}", **each}}
            for index, each in enumerate(limits)
        ],
    )
    shown = [sdk.call("message.get", one.message_id).flow_control for one in sent]
    assert [flow.period for flow in shown] == [2, 1, 1]


@covers("message.get")
def test_a_delivered_message_is_gone(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    sent = sdk.call("message.publish", url=receiver.url + "/in", body="x")
    stand.wait_idle()
    with pytest.raises(QStashError, match="404"):
        sdk.call("message.get", sent.message_id)


@covers("message.cancel", "message.cancel_many", "message.cancel_all")
def test_cancelled_messages_are_never_delivered(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    sent = [sdk.call("message.publish", url=receiver.url + "/in", body="x", delay="5d").message_id for _ in range(6)]
    sdk.call("message.cancel", sent[0])
    assert sdk.call("message.cancel_many", [sent[1], sent[2], "msg_unknown"]) == 2
    assert sdk.call("message.cancel_all") == 3
    with pytest.raises(QStashError, match="404"):
        sdk.call("message.cancel", sent[0])
    state = stand.wait_idle()
    assert (state["cancelled"], state["delivered"]) == (6, 0)
    assert receiver.at("/in") == []


def _dead_letters(sdk: Sdk, stand: Stand, receiver: Receiver, count: int) -> list[str]:
    url = receiver.script("/dead", Reply(500, b"no \xff", {"X-Why": "because"}))
    for n in range(count):
        sdk.call("message.publish_json", url=url, body=n, retries=0, label=f"n{n}", retry_delay="1")
    stand.wait_idle()
    return [letter["dlqId"] for letter in stand.dlq()]


@covers("dlq.list", "dlq.get")
def test_dead_letters_are_listed_page_by_page_and_filtered(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    _dead_letters(sdk, stand, receiver, 5)
    listed, cursor = [], None
    while True:
        page = sdk.call("dlq.list", cursor=cursor, count=2)
        listed += page.messages
        cursor = page.cursor
        if cursor is None:
            break
    assert {letter.body for letter in listed} == {"0", "1", "2", "3", "4"}
    assert len({letter.dlq_id for letter in listed}) == 5
    letter = sdk.call("dlq.get", listed[0].dlq_id)
    assert letter == listed[0]
    assert (letter.response_status, letter.response_body_base64) == (500, "bm8g/w==")
    assert letter.response_headers["x-why"] == ["because"]
    assert letter.retry_delay_expression == "1"
    by_label = sdk.call("dlq.list", filter={"label": "n3", "response_status": 500}).messages
    assert [one.body for one in by_label] == ["3"]
    for missing in (
        {"url": receiver.url},
        {"message_id": "msg_x"},
        {"response_status": 404},
        {"to_time": 1},
        {"queue": "q"},
        {"url_group": "g"},
        {"schedule_id": "s"},
        {"caller_ip": "10.0.0.1"},
    ):
        assert sdk.call("dlq.list", filter=missing).messages == []
    exact = {"url": letter.url, "message_id": letter.message_id, "from_time": 1, "caller_ip": "127.0.0.1"}
    assert sdk.call("dlq.list", filter=exact).messages == [letter]


@covers("dlq.delete", "dlq.delete_many")
def test_deleted_dead_letters_are_gone(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    ids = _dead_letters(sdk, stand, receiver, 4)
    sdk.call("dlq.delete", ids[0])
    with pytest.raises(QStashError, match="404"):
        sdk.call("dlq.delete", ids[0])
    assert sdk.call("dlq.delete_many", [ids[0], ids[1], ids[2]]) == 2
    assert [letter["dlqId"] for letter in stand.dlq()] == ids[3:]


@covers("log.list")
def test_logs_tell_the_story_of_a_message_newest_first(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    url = receiver.script("/in", Reply(500, b"oh"), Reply(200))
    sent = sdk.call("message.publish_json", url=url, body={"a": 1}, label="story", timeout=3, retry_delay="2000")
    stand.wait_idle()
    logs = sdk.call("log.list", filter={"message_id": sent.message_id}).logs
    assert [log.state for log in logs] == [
        LogState.DELIVERED,
        LogState.ACTIVE,
        LogState.RETRY,
        LogState.ERROR,
        LogState.ACTIVE,
        LogState.CREATED,
    ]
    error = logs[3]
    assert (error.response_status, error.response_body, error.timeout) == (500, "b2g=", 3000)
    assert (error.label, error.retry_delay_expression) == ("story", "2000")
    assert error.next_delivery_time is not None
    assert error.next_delivery_time >= error.time
    assert error.body_base64 == "eyJhIjogMX0="


@covers("log.list")
def test_logs_are_paged_and_filtered(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    url = receiver.url + "/in"
    sent = [sdk.call("message.publish", url=url, body="x", label=f"l{n}").message_id for n in range(3)]
    stand.wait_idle()
    pages, cursor = [], None
    while True:
        page = sdk.call("log.list", cursor=cursor, count=2)
        pages.append([(log.message_id, log.state) for log in page.logs])
        cursor = page.cursor
        if cursor is None:
            break
    listed = [entry for page in pages for entry in page]
    assert len(listed) == len(set(listed)) == 9
    assert max(map(len, pages)) == 2
    delivered = sdk.call("log.list", filter={"state": LogState.DELIVERED, "message_ids": sent[:2]}).logs
    assert {log.message_id for log in delivered} == set(sent[:2])
    in_progress = sdk.call("log.list", filter={"state": LogState.IN_PROGRESS, "label": "l2"}).logs
    assert [(log.message_id, log.state) for log in in_progress] == [(sent[2], LogState.ACTIVE)]
    assert sdk.call("log.list", filter={"url": "https://example.com/", "from_time": 1}).logs == []
    assert sdk.call("log.list", filter={"to_time": 1}).logs == []


@covers("queue.upsert", "queue.get", "queue.list", "queue.pause", "queue.resume", "queue.delete")
def test_a_paused_queue_keeps_its_messages_until_it_is_resumed(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    sdk.call("queue.upsert", "line", parallelism=2, paused=True)
    for n in range(3):
        sdk.call("message.enqueue_json", queue="line", url=receiver.url + "/in", body=n)
    queue = sdk.call("queue.get", "line")
    assert (queue.name, queue.parallelism, queue.lag, queue.paused) == ("line", 2, 3, True)
    sdk.call("queue.resume", "line")
    stand.wait_idle()
    sdk.call("queue.pause", "line")
    (queue,) = sdk.call("queue.list")
    assert (queue.lag, queue.paused) == (0, True)
    assert len(receiver.at("/in")) == 3
    sdk.call("queue.delete", "line")
    assert sdk.call("queue.list") == []
    with pytest.raises(QStashError, match="404"):
        sdk.call("queue.get", "line")


@covers(
    "flow_control.get",
    "flow_control.pause",
    "flow_control.resume",
    "flow_control.pin",
    "flow_control.unpin",
    "flow_control.reset_rate",
    "flow_control.get_global_parallelism",
)
def test_a_flow_control_key_can_be_watched_and_steered(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    wish = {"key": "k", "parallelism": 3, "rate": 5, "period": "2m"}
    sdk.call("flow_control.pause", "k")
    for _ in range(2):
        sdk.call("message.publish", url=receiver.url + "/in", body="x", flow_control=wish)
    info = sdk.call("flow_control.get", "k")
    assert info.is_paused
    assert (info.parallelism_max, info.rate_max, info.rate_period) == (3, 5, 120)
    eventually(lambda: sdk.call("flow_control.get", "k").wait_list_size == 2)
    sdk.call("flow_control.pin", "k", {"parallelism": 9, "rate": 8, "period": 7})
    sdk.call("message.publish", url=receiver.url + "/in", body="x", flow_control=wish)
    info = sdk.call("flow_control.get", "k")
    assert (info.parallelism_max, info.rate_max, info.rate_period) == (9, 8, 7)
    assert (info.is_pinned_parallelism, info.is_pinned_rate) == (True, True)
    sdk.call("flow_control.unpin", "k", {"parallelism": True, "rate": True})
    sdk.call("flow_control.resume", "k")
    stand.wait_idle()
    assert sdk.call("flow_control.get", "k").rate_count == 3
    sdk.call("flow_control.reset_rate", "k")
    info = sdk.call("flow_control.get", "k")
    assert (info.rate_count, info.is_paused, info.is_pinned_rate, info.wait_list_size) == (0, False, False, 0)
    assert abs(info.rate_period_start - time.time()) < 60
    everywhere = sdk.call("flow_control.get_global_parallelism")
    assert (everywhere.parallelism_max, everywhere.parallelism_count) == (64, 0)
    with pytest.raises(QStashError, match="404"):
        sdk.call("flow_control.get", "unknown")


@covers("signing_key.get", "signing_key.rotate")
def test_a_rotated_key_signs_the_next_delivery(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    before = sdk.call("signing_key.get")
    assert (before.current, before.next) == (stand.config.current_key, stand.config.next_key)
    after = sdk.call("signing_key.rotate")
    assert after.current == before.next
    assert after.next not in (before.current, before.next)
    url = receiver.url + "/in"
    sdk.call("message.publish_json", url=url, body={"a": 1})
    stand.wait_idle()
    (got,) = receiver.at("/in")
    signature, body = got.headers["upstash-signature"], got.body.decode()
    # A consumer that still has the keys from before accepts it with its next key.
    SignatureReceiver(before.current, before.next).verify(signature=signature, body=body, url=url)
    SignatureReceiver(after.current, after.next).verify(signature=signature, body=body, url=url)
    with pytest.raises(SignatureError):
        SignatureReceiver(before.current, before.current).verify(signature=signature, body=body, url=url)


@covers("message.publish_json")
def test_the_sdks_receiver_accepts_every_delivery_and_nothing_altered(
    sdk: Sdk, stand: Stand, receiver: Receiver
) -> None:
    url = receiver.url + "/in?x=1"
    sdk.call("message.publish_json", url=url, body={"text": "schön 🎉"})
    stand.wait_idle()
    (got,) = receiver.at("/in")
    verifier = SignatureReceiver(stand.config.current_key, stand.config.next_key)
    signature, body = got.headers["upstash-signature"], got.body.decode()
    verifier.verify(signature=signature, body=body, url=url)
    # With one key in both places the SDK's message is about the key that fits.
    verifier = SignatureReceiver(stand.config.current_key, stand.config.current_key)
    with pytest.raises(SignatureError, match="body hash"):
        verifier.verify(signature=signature, body=body + " ", url=url)
    with pytest.raises(SignatureError, match="subject"):
        verifier.verify(signature=signature, body=body, url=url + "2")


@covers(
    "url_group.upsert_endpoints",
    "url_group.remove_endpoints",
    "url_group.get",
    "url_group.list",
    "url_group.delete",
)
def test_a_message_to_a_url_group_reaches_every_endpoint(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    one, two = receiver.url + "/one", receiver.url + "/two"
    sdk.call("url_group.upsert_endpoints", "grp", [{"url": one, "name": "first"}, {"url": two}])
    group = sdk.call("url_group.get", "grp")
    assert [(end.url, end.name) for end in group.endpoints] == [(one, "first"), (two, None)]
    published = sdk.call("message.publish_json", url_group="grp", body=1)
    enqueued = sdk.call("message.enqueue_json", queue="q", url_group="grp", body=2)
    (batched,) = sdk.call("message.batch_json", [{"url_group": "grp", "body": 3}])
    for answers, kind in (
        (published, PublishUrlGroupResponse),
        (enqueued, EnqueueUrlGroupResponse),
        (batched, BatchUrlGroupResponse),
    ):
        assert all(isinstance(answer, kind) for answer in answers)
        assert [answer.url for answer in answers] == [one, two]
    stand.wait_idle()
    for path in ("/one", "/two"):
        assert {got.body for got in receiver.at(path)} == {b"1", b"2", b"3"}
        assert {got.headers["upstash-topic-name"] for got in receiver.at(path)} == {"grp"}
    sdk.call("url_group.remove_endpoints", "grp", [{"name": "first"}])
    (group,) = sdk.call("url_group.list")
    assert [end.url for end in group.endpoints] == [two]
    sdk.call("url_group.delete", "grp")
    assert sdk.call("url_group.list") == []
    with pytest.raises(QStashError, match="404"):
        sdk.call("url_group.get", "grp")


@covers("url_group.remove_endpoints")
def test_a_url_group_disappears_with_its_last_endpoint(sdk: Sdk, receiver: Receiver) -> None:
    sdk.call("url_group.upsert_endpoints", "grp", [{"url": receiver.url}])
    sdk.call("url_group.remove_endpoints", "grp", [{"url": receiver.url}])
    assert sdk.call("url_group.list") == []


@covers("schedule.create", "schedule.get", "schedule.delete")
def test_a_schedule_remembers_how_it_was_made(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    made = sdk.call(
        "schedule.create",
        destination=receiver.url + "/in",
        cron="0 3 29 2 *",
        body=b"\xff",
        content_type="application/octet-stream",
        method="PUT",
        headers={"X-Mine": "yes"},
        callback=receiver.url + "/callback",
        failure_callback=receiver.url + "/failed",
        callback_headers={"Forward-X-C": "c"},
        failure_callback_headers={"Forward-X-F": "f"},
        retries=2,
        retry_delay="2000 * retried",
        delay=30,
        timeout="20s",
        schedule_id="mine.1",
        queue="line",
        flow_control={"key": "k", "rate": 3, "period": 5},
        label="one",
        redact={"header": ["X-Mine"]},
    )
    assert made == "mine.1"
    schedule = sdk.call("schedule.get", "mine.1")
    assert (schedule.schedule_id, schedule.cron) == ("mine.1", "0 3 29 2 *")
    assert (schedule.destination, schedule.method) == (receiver.url + "/in", "PUT")
    assert (schedule.body, schedule.body_base64) == (None, "/w==")
    assert (schedule.retries, schedule.delay, schedule.timeout, schedule.queue) == (2, 30, 20, "line")
    assert schedule.retry_delay_expression == "2000 * retried"
    assert schedule.flow_control == FlowControlProperties("k", None, 3, 5)
    assert schedule.headers["X-Mine"][0].startswith("REDACTED:")
    assert (schedule.callback_headers, schedule.failure_callback_headers) == (
        {"X-C": ["c"]},
        {"X-F": ["f"]},
    )
    assert (schedule.label, schedule.paused, schedule.caller_ip) == ("one", False, "127.0.0.1")
    assert schedule.next_schedule_time > time.time() * 1000
    sdk.call("schedule.delete", "mine.1")
    with pytest.raises(QStashError, match="404"):
        sdk.call("schedule.get", "mine.1")


@covers("schedule.create_json", "schedule.list", "schedule.pause", "schedule.resume")
def test_a_schedule_fires_until_it_is_paused(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    # At this time scale a minute of the schedule's calendar takes 60 ms.
    made = sdk.call("schedule.create_json", destination=receiver.url + "/in", cron="* * * * *", body={"a": 1})
    eventually(lambda: len(receiver.at("/in")) >= 3, "three deliveries")
    got = receiver.at("/in")[0]
    assert got.headers["upstash-schedule-id"] == made
    assert json.loads(got.body) == {"a": 1}
    sdk.call("schedule.pause", made)
    (schedule,) = sdk.call("schedule.list")
    assert schedule.paused
    stand.wait_idle()
    (schedule,) = sdk.call("schedule.list")
    assert set(schedule.last_schedule_states.values()) == {ScheduleState.SUCCESS}
    assert schedule.last_schedule_time is not None
    before = len(receiver.at("/in"))
    passed = schedule.next_schedule_time
    eventually(lambda: sdk.call("schedule.list")[0].next_schedule_time > passed + 120_000)
    assert len(receiver.at("/in")) == before
    sdk.call("schedule.resume", made)
    assert sdk.call("schedule.list")[0].paused is False
    eventually(lambda: len(receiver.at("/in")) > before, "a delivery after resuming")


@covers("message.publish")
def test_limits_raise_the_errors_the_sdk_has_for_them(sdk: Sdk, stand: Stand, receiver: Receiver) -> None:
    stand.faults(publish="rate_limit", times=1)
    with pytest.raises(RateLimitExceededError) as burst:
        sdk.call("message.publish", url=receiver.url, body="x")
    assert (burst.value.limit, burst.value.remaining) == ("100", "0")
    stand.faults(publish="daily_limit", times=1)
    with pytest.raises(DailyMessageLimitExceededError) as daily:
        sdk.call("message.publish", url=receiver.url, body="x")
    assert int(daily.value.reset or 0) > time.time()


@covers("signing_key.get")
def test_a_wrong_token_is_an_sdk_error(sdk: Sdk, stand: Stand) -> None:
    sdk.call("signing_key.get")
    stranger = Sdk(sdk.flavour, token="wrong", base_url=stand.url)
    with pytest.raises(QStashError, match="401"):
        stranger.call("signing_key.get")
    stranger.close()


@pytest.mark.parametrize("client_class", [QStash, AsyncQStash])
def test_every_public_method_of_the_sdk_is_covered(client_class: Any) -> None:
    client = client_class("token", base_url="http://127.0.0.1:1")
    offered = public_methods(client)
    assert offered - EXCLUDED == COVERED
    assert [name for name in dir(SignatureReceiver) if not name.startswith("_")] == ["verify"]
