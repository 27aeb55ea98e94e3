"""The webhook that a send causes: when it comes, what it says, and that it is signed."""

import hashlib
import hmac
import time

import pytest

from dev.graph.faults import REFUSES, Fault
from lib.errors.exceptions import GraphError, GraphTransportError
from tests.graph.conftest import ACCOUNT, APP_SECRET, PERSON, Meta, credentials


def test_the_echo_has_the_mid_the_send_gave(meta: Meta) -> None:
    meta.post("echo", {"mode": "on"})

    mid = meta.send("Olá 🥰")

    [body] = meta.webhooks.wait_for(1)
    [entry] = body["entry"]
    [item] = entry["messaging"]
    assert (body["object"], entry["id"]) == ("instagram", ACCOUNT)
    assert (item["sender"]["id"], item["recipient"]["id"]) == (ACCOUNT, PERSON)
    assert item["message"] == {"mid": mid, "text": "Olá 🥰", "is_echo": True}
    assert abs(item["timestamp"] - time.time() * 1000) < 10_000


def test_the_echo_is_signed_over_its_escaped_bytes(meta: Meta) -> None:
    meta.post("echo", {"mode": "early"})

    meta.send("Olá")

    [(body, headers)] = meta.webhooks.received
    digest = hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-hub-signature-256"] == f"sha256={digest}"
    assert b"Ol\\u00e1" in body


def test_an_early_echo_is_there_before_the_send_is_answered(meta: Meta) -> None:
    meta.post("echo", {"mode": "early"})

    meta.send()

    assert len(meta.webhooks.received) == 1


def test_a_late_echo_comes_after_the_answer(meta: Meta) -> None:
    meta.post("echo", {"mode": "late", "delay_ms": 300})

    meta.send()

    assert meta.webhooks.received == []
    meta.webhooks.wait_for(1)


def test_a_send_without_an_answer_is_echoed_all_the_same(meta: Meta) -> None:
    meta.post("echo", {"mode": "on", "delay_ms": 0})
    meta.fault("send", "cut_after_accept")

    with pytest.raises(GraphTransportError):
        meta.send()

    [body] = meta.webhooks.wait_for(1)
    assert body["entry"][0]["messaging"][0]["message"]["mid"] == meta.sent()[0]["message_id"]


def test_an_echo_that_is_not_taken_is_posted_again(meta: Meta) -> None:
    meta.post("echo", {"mode": "on", "delay_ms": 0})
    meta.webhooks.status = 503

    meta.send()
    meta.webhooks.wait_for(1)
    meta.webhooks.status = 200
    meta.webhooks.wait_for(2)
    time.sleep(0.05)

    assert [sent["echo_statuses"] for sent in meta.sent()] == [[503, 200]]


def test_the_echo_comes_from_the_account_that_sent(meta: Meta) -> None:
    meta.post("echo", {"mode": "early"})

    meta.send(account_id="17841400000000002", token="local-17841400000000002")
    meta.send(account_id="17841400000000003")

    senders = [body["entry"][0]["id"] for body in meta.webhooks.wait_for(2)]
    assert senders == ["17841400000000002", "17841400000000003"]


def test_the_echo_of_a_private_reply_goes_to_who_commented(meta: Meta) -> None:
    meta.post("echo", {"mode": "early"})
    meta.post("comments", {"id": "18010000000000001", "from": PERSON})

    meta.ask(
        lambda graph: graph.send(
            credentials(),
            recipient={"comment_id": "18010000000000001"},
            message={"text": "Thanks"},
            timeout_s=5,
        )
    )

    [body] = meta.webhooks.wait_for(1)
    assert body["entry"][0]["messaging"][0]["recipient"]["id"] == PERSON


@pytest.mark.parametrize("mode", ["early", "on", "late"])
@pytest.mark.parametrize("refusal", REFUSES)
def test_a_refusal_may_be_of_a_message_that_was_sent_and_is_echoed(meta: Meta, refusal: Fault, mode: str) -> None:
    meta.post("echo", {"mode": mode, "delay_ms": {"early": 0, "on": 0, "late": 200}[mode]})
    meta.fault("send", refusal, accepts=True)

    with pytest.raises(GraphError) as caught:
        meta.send()

    if mode == "early":
        assert len(meta.webhooks.received) == 1
    [body] = meta.webhooks.wait_for(1)
    [sent] = meta.sent()
    assert body["entry"][0]["messaging"][0]["message"]["mid"] == sent["message_id"]
    assert (caught.value.code, caught.value.subcode) == (REFUSES[refusal].code, REFUSES[refusal].subcode)


def test_only_a_refusal_can_be_of_a_message_that_was_sent(meta: Meta) -> None:
    answer = meta.admin.post("/__dev/faults", json={"endpoint": "send", "fault": "garbage", "accepts": True})

    assert answer.status_code == 400
    assert "429" in answer.json()["error"]
