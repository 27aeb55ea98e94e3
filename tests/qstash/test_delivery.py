"""What happens to a message after it was accepted: deliveries, retries, and how it ends."""

import base64
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from qstash import Receiver as SignatureReceiver

from tests.qstash.stand import Receiver, Reply, Stand, eventually


def test_a_failing_message_is_delivered_once_and_retried_three_times(stand: Stand, receiver: Receiver) -> None:
    url = receiver.script("/in", Reply(400, b"never"))
    message_id = stand.publish(url)
    state = stand.wait_idle()
    assert [got.headers["upstash-retried"] for got in receiver.at("/in")] == ["0", "1", "2", "3"]
    assert {got.headers["upstash-message-id"] for got in receiver.at("/in")} == {message_id}
    assert (state["failed"], state["delivered"], state["dlq"]) == (1, 0, 1)


@pytest.mark.parametrize(("retries", "deliveries"), [("0", 1), ("1", 2), ("5", 6)])
def test_the_publisher_says_how_many_retries(stand: Stand, receiver: Receiver, retries: str, deliveries: int) -> None:
    stand.publish(receiver.script("/in", Reply(500)), headers={"Upstash-Retries": retries, "Upstash-Retry-Delay": "1"})
    stand.wait_idle()
    assert len(receiver.at("/in")) == deliveries


def _planned_delays_ms(stand: Stand) -> list[float]:
    """The delays before the retries, as planned; unscaled."""
    retries = [event for event in stand.events() if event["state"] == "RETRY"]
    planned = [event["nextDeliveryTime"] - event["time"] for event in retries]
    return [delay / stand.config.time_scale for delay in reversed(planned)]


def test_the_waits_before_retries_grow_as_documented(stand: Stand, receiver: Receiver) -> None:
    stand.publish(receiver.script("/in", Reply(500)))
    stand.wait_idle()
    # 12 s, 2 m 28 s, 30 m 8 s; one scaled millisecond is a second of them.
    assert _planned_delays_ms(stand) == pytest.approx([12_182, 148_413, 1_808_042], abs=1_001)
    at = [got.at_s for got in receiver.at("/in")]
    assert at[2] - at[1] >= 0.147
    assert at[3] - at[2] >= 1.8


def test_the_publishers_expression_sets_the_waits(stand: Stand, receiver: Receiver) -> None:
    headers = {"Upstash-Retry-Delay": "10000 * (1 + retried)"}
    stand.publish(receiver.script("/in", Reply(500)), headers=headers)
    stand.wait_idle()
    assert _planned_delays_ms(stand) == pytest.approx([10_000, 20_000, 30_000], abs=1_001)


def test_the_consumers_wish_overrides_every_other_delay(stand: Stand, receiver: Receiver) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    url = receiver.script(
        "/in",
        Reply(503, headers={"Retry-After": "30"}),
        Reply(429, headers={"Retry-After": "1m10s"}),
        Reply(429, headers={"Retry-After": date}),
        Reply(200),
    )
    stand.publish(url, headers={"Upstash-Retry-Delay": "1"})
    stand.wait_idle()
    first, second, third = _planned_delays_ms(stand)
    assert first == pytest.approx(30_000, abs=1_001)
    assert second == pytest.approx(70_000, abs=1_001)
    assert 60_000 < third < 92_000


def test_489_with_its_header_ends_in_the_dead_letter_queue_at_once(stand: Stand, receiver: Receiver) -> None:
    url = receiver.script("/in", Reply(489, b"bad", {"Upstash-NonRetryable-Error": "true"}))
    stand.publish(url, b"the body")
    stand.wait_idle()
    assert len(receiver.at("/in")) == 1
    (letter,) = stand.dlq()
    assert (letter["responseStatus"], letter["responseBody"], letter["body"]) == (489, "bad", "the body")


def test_489_without_its_header_is_retried_like_any_failure(stand: Stand, receiver: Receiver) -> None:
    url = receiver.script("/in", Reply(489), Reply(200))
    stand.publish(url, headers={"Upstash-Retry-Delay": "1"})
    assert stand.wait_idle()["delivered"] == 1
    assert len(receiver.at("/in")) == 2


def test_a_delivery_past_its_timeout_is_a_failure_and_is_retried(stand: Stand, receiver: Receiver) -> None:
    url = receiver.script("/in", Reply(hold=True), Reply(200))
    stand.publish(url, headers={"Upstash-Timeout": "1s", "Upstash-Retry-Delay": "1"})
    assert stand.wait_idle()["delivered"] == 1
    assert len(receiver.at("/in")) == 2
    (error,) = stand.events(state="ERROR")
    assert "did not answer within 1 s" in error["error"]


def test_nobody_listening_is_a_failure_and_is_retried(stand: Stand) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        stand.publish(url, headers={"Upstash-Retry-Delay": "1"})
        state = stand.wait_idle()
    assert (state["failed"], state["deliveries"]) == (1, 4)
    (letter,) = stand.dlq()
    assert letter["responseStatus"] == 0
    assert letter["responseBody"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff\xfe nonsense",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nRetry-After: soonish\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_any_answer_that_is_not_a_success_is_survived_and_retried(stand: Stand, answer: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                connection.recv(65_536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        stand.publish(f"http://127.0.0.1:{listener.getsockname()[1]}/", headers={"Upstash-Retries": "1"})
        state = stand.wait_idle()
    finally:
        done.set()
        thread.join()
        listener.close()
    assert (state["failed"], state["deliveries"]) == (1, 2)


def test_deliveries_run_side_by_side(stand: Stand, receiver: Receiver) -> None:
    url = receiver.script("/in", Reply(hold=True))
    for _ in range(20):
        stand.publish(url)
    eventually(lambda: receiver.running.get("/in") == 20, "twenty at once")
    assert stand.state()["active"] == 20
    receiver.release()
    assert stand.wait_idle()["delivered"] == 20


def test_flow_control_of_parallelism_one_never_overlaps_within_a_key(stand: Stand, receiver: Receiver) -> None:
    for key in ("a", "b", "c"):
        url = receiver.script(f"/{key}", Reply(500, delay_s=0.02), Reply(200, delay_s=0.02))
        headers = {"Upstash-Flow-Control-Key": key, "Upstash-Flow-Control-Value": "parallelism=1"}
        for _ in range(5):
            stand.publish(url, headers={**headers, "Upstash-Retry-Delay": "1"})
    assert stand.wait_idle()["delivered"] == 15
    assert receiver.most_running == {"/a": 1, "/b": 1, "/c": 1}
    assert len(receiver.got) == 18


def test_waiting_at_flow_control_is_pending_and_other_keys_pass(stand: Stand, receiver: Receiver) -> None:
    value = {"Upstash-Flow-Control-Value": "parallelism=1"}
    for path, key in (("/held", "a"), ("/held", "a"), ("/free", "b")):
        url = receiver.script(path, Reply(hold=path == "/held"))
        stand.publish(url, headers={**value, "Upstash-Flow-Control-Key": key})
    eventually(lambda: receiver.at("/held") and receiver.at("/free"))
    eventually(lambda: stand.state()["delivered"] == 1)
    state = stand.state()
    assert (state["active"], state["pending"], state["idle"]) == (1, 1, False)
    receiver.release()
    stand.wait_idle()


def test_flow_control_by_rate_spreads_starts_over_periods(stand: Stand, receiver: Receiver) -> None:
    # Five a period of 200 s, which is 200 ms here: twelve need three periods.
    headers = {"Upstash-Flow-Control-Key": "k", "Upstash-Flow-Control-Value": "rate=5, period=200s"}
    for _ in range(12):
        stand.publish(receiver.url + "/in", headers=headers)
    stand.wait_idle()
    at = sorted(got.at_s for got in receiver.at("/in"))
    assert len(at) == 12
    assert at[5] - at[0] > 0.15
    assert at[10] - at[5] > 0.15


def test_a_queue_of_one_holds_the_next_message_until_the_first_is_through(stand: Stand, receiver: Receiver) -> None:
    url = receiver.script("/in", Reply(500), Reply(500), Reply(200))
    for body in ("first", "second"):
        stand.http.post(
            f"/v2/enqueue/line/{url}", content=body, headers={"Upstash-Retry-Delay": "20000"}
        ).raise_for_status()
    stand.wait_idle()
    assert [got.body for got in receiver.at("/in")] == [b"first", b"first", b"first", b"second"]


def test_a_delayed_message_waits(stand: Stand, receiver: Receiver) -> None:
    before = time.time()
    stand.publish(receiver.url + "/in", headers={"Upstash-Delay": "2m"})
    assert stand.state()["pending"] == 1
    stand.wait_idle()
    assert receiver.at("/in")[0].at_s - before >= 0.12


def test_the_failure_callback_is_called_once_and_tells_everything(stand: Stand, receiver: Receiver) -> None:
    url = receiver.script("/in", Reply(500, b"why \xff", {"X-Why": "because"}))
    headers = {
        "Content-Type": "application/json",
        "Upstash-Retries": "2",
        "Upstash-Retry-Delay": "1",
        "Upstash-Method": "PUT",
        "Upstash-Failure-Callback": receiver.url + "/failed",
        "Upstash-Failure-Callback-Forward-X-Bypass": "secret",
        "Upstash-Forward-X-Mine": "yes",
    }
    message_id = stand.publish(url, b'{"a": 1}', headers)
    stand.wait_idle()
    assert len(receiver.at("/in")) == 3
    (got,) = receiver.at("/failed")
    assert (got.method, got.headers["content-type"]) == ("POST", "application/json")
    assert got.headers["x-bypass"] == "secret"
    assert got.headers["upstash-message-id"] != message_id
    SignatureReceiver(stand.config.current_key, stand.config.next_key).verify(
        signature=got.headers["upstash-signature"], body=got.body.decode(), url=receiver.url + "/failed"
    )
    body = json.loads(got.body)
    (letter,) = stand.dlq()
    assert body.pop("header")["x-why"] == ["because"]
    assert body.pop("createdAt").isdigit()
    assert body.pop("notBefore").isdigit()
    assert body == {
        "status": 500,
        "body": base64.b64encode(b"why \xff").decode(),
        "retried": 2,
        "maxRetries": 2,
        "dlqId": letter["dlqId"],
        "sourceMessageId": message_id,
        "topicName": "",
        "endpointName": "",
        "url": url,
        "method": "PUT",
        "sourceHeader": {"Content-Type": ["application/json"], "X-Mine": ["yes"]},
        "sourceBody": base64.b64encode(b'{"a": 1}').decode(),
        "scheduleId": "",
        "callerIP": "127.0.0.1",
    }


def test_a_failure_callback_is_itself_retried_and_has_no_callback_of_its_own(stand: Stand, receiver: Receiver) -> None:
    failed = receiver.script("/failed", Reply(500))
    headers = {
        "Upstash-Retries": "0",
        "Upstash-Failure-Callback": failed,
        "Upstash-Failure-Callback-Retries": "2",
        "Upstash-Failure-Callback-Retry-Delay": "1",
    }
    stand.publish(receiver.script("/in", Reply(500)), headers=headers)
    state = stand.wait_idle()
    assert len(receiver.at("/failed")) == 3
    assert (state["failed"], state["dlq"]) == (2, 2)


def test_a_callback_follows_every_delivery(stand: Stand, receiver: Receiver) -> None:
    url = receiver.script("/in", Reply(500, b"no"), Reply(201, b"yes"))
    headers = {"Upstash-Callback": receiver.url + "/callback", "Upstash-Retry-Delay": "1"}
    stand.publish(url, headers=headers)
    stand.wait_idle()
    told = sorted((json.loads(got.body) for got in receiver.at("/callback")), key=lambda one: one["retried"])
    assert [(one["status"], one["retried"]) for one in told] == [(500, 0), (201, 1)]
    assert base64.b64decode(told[1]["body"]) == b"yes"


def test_no_failure_callback_for_what_was_delivered(stand: Stand, receiver: Receiver) -> None:
    headers = {"Upstash-Failure-Callback": receiver.url + "/failed"}
    stand.publish(receiver.url + "/in", headers=headers)
    stand.wait_idle()
    assert receiver.at("/failed") == []


def test_a_cancelled_message_in_delivery_is_not_retried(stand: Stand, receiver: Receiver) -> None:
    message_id = stand.publish(receiver.script("/in", Reply(500, hold=True)))
    eventually(lambda: receiver.at("/in"))
    assert stand.http.delete(f"/v2/messages/{message_id}").status_code == 200
    receiver.release()
    state = stand.wait_idle()
    assert (state["cancelled"], state["failed"], len(receiver.at("/in"))) == (1, 0, 1)
    states = [event["state"] for event in stand.events(messageId=message_id)]
    assert states == ["CANCELED", "CANCEL_REQUESTED", "ACTIVE", "CREATED"]


def test_a_cancelled_message_gives_its_place_in_line_back(stand: Stand, receiver: Receiver) -> None:
    headers = {"Upstash-Flow-Control-Key": "k", "Upstash-Flow-Control-Value": "parallelism=1"}
    url = receiver.script("/in", Reply(hold=True))
    ids = [stand.publish(url, str(n), headers) for n in range(3)]
    eventually(lambda: receiver.at("/in"))
    stand.http.delete(f"/v2/messages/{ids[1]}").raise_for_status()
    receiver.release()
    stand.wait_idle()
    assert [got.body for got in receiver.at("/in")] == [b"0", b"2"]


def test_redacted_parts_are_delivered_and_not_shown(stand: Stand, receiver: Receiver) -> None:
    url = receiver.script("/in", Reply(489, headers={"Upstash-NonRetryable-Error": "true"}))
    headers = {
        "Upstash-Forward-Authorization": "Bearer secret",
        "Upstash-Forward-X-Mine": "yes",
        "Upstash-Redact-Fields": "body, header[Authorization]",
    }
    stand.publish(url, b"private", headers)
    stand.wait_idle()
    (got,) = receiver.at("/in")
    assert (got.body, got.headers["authorization"]) == (b"private", "Bearer secret")
    (letter,) = stand.dlq()
    assert letter["body"].startswith("REDACTED:")
    assert letter["header"]["Authorization"][0].startswith("REDACTED:")
    assert letter["header"]["X-Mine"] == ["yes"]
    for path in ("/v2/events", "/v2/logs", "/v2/dlq"):
        shown = stand.http.get(path).text
        assert "secret" not in shown
        assert "private" not in shown
        assert base64.b64encode(b"private").decode() not in shown
