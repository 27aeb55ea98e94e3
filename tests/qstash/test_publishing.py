"""What is accepted, what is refused, and in which words."""

from typing import Any

import httpx
import pytest

from tests.qstash.stand import Receiver, Stand


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Basic x", "Bearer"])
def test_without_the_token_nothing_under_v2_answers(stand: Stand, token: str) -> None:
    for path in ("/v2/keys", "/v2/dlq", "/v2/anything"):
        answer = httpx.get(stand.url + path, headers={"Authorization": token} if token else {})
        assert (answer.status_code, list(answer.json())) == (401, ["error"])


@pytest.mark.parametrize("destination", ["foo", "ftp://x/y", "http://", "http://[::1", "localhost:3000/x", ""])
def test_a_bad_destination_is_refused(stand: Stand, destination: str) -> None:
    answer = stand.http.post(f"/v2/publish/{destination}")
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]


def test_a_bad_destination_is_refused_in_the_services_words(stand: Stand) -> None:
    answer = stand.http.post("/v2/publish/foo")
    assert answer.json() == {"error": "invalid destination url: endpoint has invalid scheme, add http:// or https://"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Retries", "three"),
        ("Retries", "-1"),
        ("Retries", "1.5"),
        ("Delay", "10"),
        ("Delay", "10 years"),
        ("Not-Before", "tomorrow"),
        ("Timeout", "soon"),
        ("Method", "FETCH"),
        ("Retry-Delay", "__import__('os')"),
        ("Retry-Delay", "retried.real"),
        ("Retry-Delay", "pow(2)"),
        ("Retry-Delay", "2 ** 99"),
        ("Flow-Control-Key", "k"),
        ("Flow-Control-Value", "parallelism=1"),
        ("Content-Based-Deduplication", "maybe"),
        ("Deduplication-Id", "x" * 513),
        ("Deduplication-Id", "an:id"),
        ("Callback", "example.com"),
        ("Callback-Retries", "many"),
        ("Failure-Callback", "ftp://example.com"),
        ("Failure-Callback-Delay", "later"),
        ("Redact-Fields", "everything"),
    ],
)
def test_a_malformed_header_is_refused_and_nothing_goes_in(
    stand: Stand, receiver: Receiver, name: str, value: str
) -> None:
    answer = stand.http.post(f"/v2/publish/{receiver.url}/in", headers={f"Upstash-{name}": value})
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert stand.state()["idle"]
    assert stand.events() == []


@pytest.mark.parametrize(
    "value", ["", "parallelism=0", "rate=x", "speed=1", "parallelism", "period=5", "rate=1,period=8d"]
)
def test_a_malformed_flow_control_value_is_refused(stand: Stand, receiver: Receiver, value: str) -> None:
    headers = {"Upstash-Flow-Control-Key": "k", "Upstash-Flow-Control-Value": value}
    assert stand.http.post(f"/v2/publish/{receiver.url}", headers=headers).status_code == 400


def test_a_body_of_more_than_a_megabyte_is_refused(stand: Stand, receiver: Receiver) -> None:
    assert stand.http.post(f"/v2/publish/{receiver.url}/in", content=b"x" * 1_000_000).status_code == 200
    assert stand.http.post(f"/v2/publish/{receiver.url}/in", content=b"x" * 1_000_001).status_code == 413
    (item,) = stand.http.post("/v2/batch", json=[{"destination": receiver.url, "body": "x" * 1_000_001}]).json()
    assert "limit" in item["error"]


@pytest.mark.parametrize("body", [b"", b"{}", b"not json", b"\xff", b"[" * 100_000])
def test_a_batch_that_is_no_array_is_refused(stand: Stand, body: bytes) -> None:
    answer = stand.http.post("/v2/batch", content=body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_bad_batch_items_are_answered_in_their_places(stand: Stand, receiver: Receiver) -> None:
    good: dict[str, Any] = {"destination": receiver.url + "/in"}
    items: list[Any] = [
        good,
        {**good, "headers": {"Upstash-Retries": "x"}},
        {"destination": "nowhere"},
        {**good, "queue": "with space"},
        {**good, "headers": {"Upstash-Forward-X": "a\r\nb"}},
        {**good, "headers": ["x"]},
        {**good, "body": {"not": "text"}},
        {},
        "text",
        None,
        {**good, "queue": None, "body": None, "headers": None},
    ]
    answers = stand.http.post("/v2/batch", json=items).json()
    assert ["messageId" in answer for answer in answers] == [True] + [False] * 9 + [True]
    assert all(answer["error"] for answer in answers[1:-1])
    assert stand.wait_idle()["delivered"] == 2


def test_duplicates_inside_one_batch_are_found(real_time: Stand, receiver: Receiver) -> None:
    item = {"destination": receiver.url + "/in", "headers": {"Upstash-Deduplication-Id": "same"}}
    first, second = real_time.http.post("/v2/batch", json=[item, item]).json()
    assert second == {"messageId": first["messageId"], "deduplicated": True}
    assert "deduplicated" not in first
    real_time.wait_idle()
    assert len(receiver.at("/in")) == 1


def test_a_duplicate_is_answered_202(real_time: Stand, receiver: Receiver) -> None:
    url, headers = f"/v2/publish/{receiver.url}/in", {"Upstash-Deduplication-Id": "same"}
    answers = [real_time.http.post(url, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 202]


def test_content_based_deduplication_looks_at_body_and_forwarded_headers(real_time: Stand, receiver: Receiver) -> None:
    def publish(body: str, forwarded: str) -> int:
        headers = {"Upstash-Content-Based-Deduplication": "true", "Upstash-Forward-X": forwarded}
        return real_time.http.post(f"/v2/publish/{receiver.url}/in", content=body, headers=headers).status_code

    assert [publish("a", "1"), publish("a", "1"), publish("b", "1"), publish("a", "2")] == [
        200,
        202,
        200,
        200,
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/messages/msg_unknown", 404),
        ("DELETE", "/v2/messages/msg_unknown", 404),
        ("GET", "/v2/dlq/unknown", 404),
        ("DELETE", "/v2/dlq", 400),
        ("GET", "/v2/queues/unknown", 404),
        ("GET", "/v2/queues/bad%20name", 400),
        ("POST", "/v2/queues/unknown/pause", 404),
        ("GET", "/v2/topics/unknown", 404),
        ("GET", "/v2/schedules/unknown", 404),
        ("DELETE", "/v2/schedules/unknown", 404),
        ("GET", "/v2/flowControl/unknown", 404),
        ("POST", "/v2/flowControl/k/pin", 400),
        ("POST", "/v2/flowControl/k/pin?rate=0", 400),
        ("GET", "/v2/dlq?count=0", 400),
        ("GET", "/v2/dlq?fromDate=yesterday", 400),
        ("GET", "/v2/events?state=LOST", 400),
        ("GET", "/v2/unheard-of", 404),
        ("PUT", "/v2/keys", 405),
        ("POST", "/v2/schedules/http://x/", 400),
        ("POST", "/v2/queues", 400),
        ("POST", "/v2/topics/t/endpoints", 400),
    ],
)
def test_what_cannot_be_done_is_answered_with_an_error(stand: Stand, method: str, path: str, status: int) -> None:
    answer = stand.http.request(method, path)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *"])
def test_a_bad_cron_expression_is_refused(stand: Stand, receiver: Receiver, cron: str) -> None:
    answer = stand.http.post(f"/v2/schedules/{receiver.url}", headers={"Upstash-Cron": cron})
    assert answer.status_code == 400


def test_the_documented_logs_and_the_sdks_events_are_the_same(stand: Stand, receiver: Receiver) -> None:
    stand.publish(receiver.url + "/in")
    stand.wait_idle()
    assert stand.http.get("/v2/logs").json()["logs"] == stand.events()
