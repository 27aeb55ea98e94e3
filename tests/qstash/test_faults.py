"""Faults on demand, and the admin routes that set them."""

import base64
import json

import httpx
import pytest

from tests.qstash.stand import Receiver, Reply, Stand, eventually


@pytest.mark.parametrize("fault", ["refuse", "lost"])
def test_a_cut_connection_reaches_the_client_without_an_answer(stand: Stand, receiver: Receiver, fault: str) -> None:
    stand.faults(publish=fault, times=1)
    # Whether the client sees the end of the connection or its reset depends on how much of the request was read.
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        stand.publish(receiver.url + "/in")
    stand.publish(receiver.url + "/in")
    stand.wait_idle()
    # A lost answer is the answer to a message that did go in.
    assert len(receiver.at("/in")) == (2 if fault == "lost" else 1)


def test_a_hanging_publish_hangs_until_the_client_gives_up(stand: Stand, receiver: Receiver) -> None:
    stand.faults(publish="hang")
    with pytest.raises(httpx.ReadTimeout):
        stand.http.post(f"/v2/publish/{receiver.url}/in", timeout=0.2)
    assert stand.state()["idle"]
    assert stand.events() == []


def test_an_error_status_is_answered_as_often_as_asked(stand: Stand, receiver: Receiver) -> None:
    stand.faults(status=500, times=2)
    url = f"/v2/publish/{receiver.url}/in"
    assert [stand.http.post(url).status_code for _ in range(3)] == [500, 500, 200]


def test_garbage_is_a_success_that_is_not_json(stand: Stand, receiver: Receiver) -> None:
    stand.faults(publish="garbage", times=1)
    answer = stand.http.post("/v2/batch", json=[{"destination": receiver.url}])
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


def test_a_partial_batch_refuses_every_second_item_and_takes_the_others(stand: Stand, receiver: Receiver) -> None:
    stand.faults(publish="partial")
    items = [{"destination": receiver.url + "/in", "body": str(n)} for n in range(5)]
    answers = stand.http.post("/v2/batch", json=items).json()
    assert ["error" in answer for answer in answers] == [False, True, False, True, False]
    stand.wait_idle()
    assert {got.body for got in receiver.at("/in")} == {b"0", b"2", b"4"}


def test_faults_strike_publishing_only(stand: Stand) -> None:
    stand.faults(publish="refuse")
    assert stand.http.get("/v2/keys").status_code == 200


def test_every_message_is_delivered_more_than_once_under_the_duplicate_fault(stand: Stand, receiver: Receiver) -> None:
    stand.faults(delivery={"duplicate": 2})
    headers = {"Upstash-Flow-Control-Key": "k", "Upstash-Flow-Control-Value": "parallelism=1"}
    url = receiver.script("/in", Reply(delay_s=0.02))
    ids = [stand.publish(url, headers=headers) for _ in range(3)]
    state = stand.wait_idle()
    assert (state["delivered"], state["deliveries"]) == (3, 9)
    got = [one.headers["upstash-message-id"] for one in receiver.at("/in")]
    assert sorted(got) == sorted(ids * 3)
    assert receiver.most_running["/in"] == 1


def test_a_dropped_answer_leads_to_another_delivery(stand: Stand, receiver: Receiver) -> None:
    stand.faults(delivery={"drop_answer": True})
    stand.publish(receiver.url + "/in", headers={"Upstash-Retry-Delay": "1"})
    state = stand.wait_idle()
    assert (state["delivered"], state["failed"]) == (1, 0)
    assert [got.headers["upstash-retried"] for got in receiver.at("/in")] == ["0", "1"]


def test_every_answer_dropped_ends_in_the_dead_letter_queue(stand: Stand, receiver: Receiver) -> None:
    stand.faults(delivery={"drop_answer": 4})
    stand.publish(receiver.url + "/in", headers={"Upstash-Retry-Delay": "1"})
    state = stand.wait_idle()
    assert (state["delivered"], state["failed"], len(receiver.at("/in"))) == (0, 1, 4)


def test_shuffled_messages_overtake_each_other_and_all_arrive(stand: Stand, receiver: Receiver) -> None:
    stand.faults(delivery={"shuffle": True})
    headers = {"Upstash-Flow-Control-Key": "k", "Upstash-Flow-Control-Value": "parallelism=1"}
    items = [{"destination": receiver.url + "/in", "body": f"{n:02}", "headers": headers} for n in range(20)]
    stand.http.post("/v2/batch", json=items).raise_for_status()
    stand.wait_idle()
    arrived = [got.body for got in receiver.at("/in")]
    assert arrived != sorted(arrived)
    assert len(set(arrived)) == 20


def test_a_delay_fault_holds_deliveries_back(stand: Stand, receiver: Receiver) -> None:
    stand.faults(delivery={"delay_ms": 600_000})
    stand.publish(receiver.url + "/in")
    assert stand.state()["pending"] == 1


def test_every_second_delivery_of_two_versions_side_by_side_goes_to_the_other_and_is_signed_for_the_first(
    stand: Stand, receiver: Receiver
) -> None:
    stand.faults(reroute={"from": receiver.url + "/new", "to": receiver.url + "/old"})
    for _ in range(4):
        stand.publish(receiver.url + "/new/in")
    stand.publish(receiver.url + "/other")
    stand.wait_idle()
    assert [len(receiver.at(path)) for path in ("/new/in", "/old/in", "/other")] == [2, 2, 1]
    signed = receiver.at("/old/in")[0].headers["upstash-signature"]
    claims = json.loads(base64.urlsafe_b64decode(signed.split(".")[1] + "=="))
    assert claims["sub"] == receiver.url + "/new/in"


@pytest.mark.parametrize(
    "wish",
    [
        {"reroute": {"from": "http://one"}},
        {"reroute": "http://one"},
        {"publish": "explode"},
        {"unknown": 1},
        {"status": 200},
        {"times": -1},
        {"delivery": {"duplicate": "many"}},
        {"delivery": {"twice": 1}},
        [],
    ],
)
def test_a_fault_nobody_knows_is_refused(stand: Stand, wish: object) -> None:
    assert stand.http.post("/__dev/faults", json=wish).status_code == 400


def test_setting_one_half_of_the_faults_leaves_the_other_alone(stand: Stand) -> None:
    stand.faults(publish="error", status=502, times=7)
    stand.faults(delivery={"duplicate": 1})
    shown = stand.http.get("/__dev/faults").json()
    assert (shown["publish"], shown["status"], shown["times"]) == ("error", 502, 7)
    assert shown["delivery"]["duplicate"] == 1


def test_reset_forgets_everything(stand: Stand, receiver: Receiver) -> None:
    keys = stand.http.get("/v2/keys").json()
    stand.faults(delivery={"duplicate": 1})
    stand.http.post("/v2/keys/rotate").raise_for_status()
    stand.http.post("/v2/queues", json={"queueName": "q", "parallelism": 3}).raise_for_status()
    stand.publish(receiver.script("/in", Reply(500)), headers={"Upstash-Retries": "0"})
    stand.publish(receiver.script("/held", Reply(hold=True)))
    stand.publish(receiver.url, headers={"Upstash-Delay": "9d", "Upstash-Deduplication-Id": "d"})
    eventually(lambda: receiver.at("/held") and stand.state()["dlq"])
    stand.reset()
    assert set(stand.state().values()) == {0, True}
    assert stand.http.get("/v2/keys").json() == keys
    assert stand.http.get("/v2/queues").json() == []
    assert (stand.dlq(), stand.events()) == ([], [])
    assert stand.http.get("/__dev/faults").json()["delivery"]["duplicate"] == 0
    stand.publish(receiver.url + "/again", headers={"Upstash-Deduplication-Id": "d"})
    assert stand.wait_idle()["delivered"] == 1
