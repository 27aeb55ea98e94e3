"""Whoever has caught a signed request can send it again: for some minutes, and it changes nothing."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.security.callers import CONSUMER, FAILURE, qstash_token
from tests.support.builders import message, new_mid, webhook
from tests.support.deliveries import body_of, event, failure_callback
from tests.support.world import World


def replay(world: World, path: str, body: bytes, token: str, *, message_id: str = "msg_1") -> httpx.Response:
    """A delivery. What is not signed (its other headers) is the sender's to choose."""
    headers = {"Upstash-Signature": token, "Upstash-Message-Id": message_id, "Upstash-Retried": "0"}
    return world.http.post(path, content=body, headers=headers)


def rows(world: World) -> dict[str, int]:
    return {table: world.count(table) for table in ("events", "messages", "outbox", "profiles", "dead_letters")}


def test_a_delivery_that_is_replayed_while_its_signature_is_good_takes_effect_once(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="It is 20.")
    body = body_of(event(text="What is the price?"))
    token = qstash_token(body, world.stack.functions_url + CONSUMER)
    first = replay(world, CONSUMER, body, token)
    assert (first.status_code, first.json()["status"]) == (200, "processed")
    after_once = rows(world)
    assert (after_once["events"], after_once["messages"], after_once["outbox"]) == (1, 2, 1)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda n: replay(world, CONSUMER, body, token, message_id=f"msg_{n}"), range(12)))
    assert {(answer.status_code, answer.json()["status"]) for answer in again} == {(200, "duplicate")}
    assert rows(world) == after_once
    assert len(world.sent()) == 1


def test_a_delivery_that_is_replayed_at_once_takes_effect_once(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="It is 20.")
    body = body_of(event(text="What is the price?"))
    token = qstash_token(body, world.stack.functions_url + CONSUMER)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: replay(world, CONSUMER, body, token), range(8)))
    assert {answer.status_code for answer in answers} <= {200, 503}  # 503: another worker is at it
    assert replay(world, CONSUMER, body, token).json()["status"] == "duplicate"
    assert (world.count("events"), world.count("messages"), world.count("outbox"), len(world.sent())) == (1, 2, 1, 1)


def test_after_its_time_a_signature_is_worth_nothing(world: World) -> None:
    now = int(time.time())
    for path, body in ((CONSUMER, body_of(event())), (FAILURE, failure_callback())):
        token = qstash_token(body, world.stack.functions_url + path, iat=now - 306, nbf=now - 306, exp=now - 6)
        answer = replay(world, path, body, token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "wrong_signature")
    assert set(rows(world).values()) == {0}


def test_a_signature_for_one_route_opens_no_other(world: World) -> None:
    body = body_of(event())
    token = qstash_token(body, world.stack.functions_url + FAILURE)
    assert replay(world, CONSUMER, body, token).status_code == 401
    assert set(rows(world).values()) == {0}


def test_a_failure_callback_that_is_replayed_is_one_dead_letter(world: World) -> None:
    body = failure_callback()
    token = qstash_token(body, world.stack.functions_url + FAILURE)
    assert [replay(world, FAILURE, body, token).json()["status"] for _ in range(3)] == ["stored", *["duplicate"] * 2]
    assert world.count("dead_letters") == 1


def test_a_webhook_of_metas_that_is_replayed_later_changes_nothing(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="It is 20.")
    body = json.dumps(webhook(message("What is the price?", mid=new_mid()))).encode()
    world.deliver(body)
    before = world.snapshot()
    world.forget_deduplication()  # ten minutes later, QStash remembers nothing
    for _ in range(3):
        world.deliver(body)
    assert world.snapshot() == before
    assert len(world.sent()) == 1
