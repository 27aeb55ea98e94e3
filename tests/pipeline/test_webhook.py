"""GET and POST /api/webhooks/instagram, through the front door."""

import json

import pytest

from dev.stack import keys
from tests.support.builders import ACCOUNT, CONTACT, comment, echo, message, new_mid, webhook
from tests.support.world import WEBHOOK, World

HANDSHAKE = {"hub.mode": "subscribe", "hub.verify_token": keys.VERIFY_TOKEN, "hub.challenge": "1158201444"}


def test_the_handshake_answers_the_challenge_byte_for_byte(world: World) -> None:
    answer = world.http.get(WEBHOOK, params=HANDSHAKE)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")


def test_the_handshake_with_a_wrong_token_is_403(world: World) -> None:
    assert world.http.get(WEBHOOK, params={**HANDSHAKE, "hub.verify_token": "guess"}).status_code == 403


@pytest.mark.parametrize("missing", list(HANDSHAKE))
def test_the_handshake_without_a_parameter_is_400(world: World, missing: str) -> None:
    params = {name: value for name, value in HANDSHAKE.items() if name != missing}
    assert world.http.get(WEBHOOK, params=params).status_code == 400


def test_a_challenge_that_could_be_a_script_is_400(world: World) -> None:
    assert world.http.get(WEBHOOK, params={**HANDSHAKE, "hub.challenge": "<script>"}).status_code == 400


def test_a_message_travels_through_all_three_functions_into_postgres(world: World) -> None:
    mid = new_mid()
    answer = world.deliver(webhook(message("How much is the blue one?", mid=mid)))
    assert answer.json() == {"received": 1, "queued": 1, "processed": 0, "ignored": 0}
    row = world.row("select * from messages")
    assert (row["mid"], row["account_id"], row["contact_id"]) == (mid, ACCOUNT, CONTACT)
    assert (row["text"], row["direction"], row["kind"]) == ("How much is the blue one?", "inbound", "message")
    event = world.row("select * from events")
    assert (event["event_id"], event["via"]) == (f"ig_msg_{mid}", "queue")
    assert event["processed_at"] is not None
    profile = world.row("select * from profiles")
    assert (profile["igsid"], profile["state"]) == (CONTACT, "complete")
    assert profile["username"]


def test_one_webhook_with_many_entries_is_one_batch(world: World) -> None:
    body = webhook(*[message(f"line {n}") for n in range(30)])
    body["entry"] += webhook(comment("nice"), under="changes")["entry"] + webhook(echo())["entry"]
    answer = world.deliver(body)
    assert answer.json()["queued"] == 32
    assert world.count("messages") == 31
    assert world.count("comments") == 1


def test_the_success_line_is_logged_word_for_word(world: World) -> None:
    mid = new_mid()
    world.deliver(webhook(message(mid=mid)))
    lines = [json.loads(line) for line in world.functions_log().splitlines() if mid in line]
    enqueued = [line for line in lines if line.get("message") == "Event enqueued to QStash successfully"]
    assert len(enqueued) == 1
    assert enqueued[0]["event_id"] == f"ig_msg_{mid}"


def test_the_words_of_a_message_reach_no_log(world: World) -> None:
    world.deliver(webhook(message("my-very-private-words")))
    assert "my-very-private-words" not in world.functions_log()


def test_a_missing_signature_is_401_and_nothing_is_read(world: World) -> None:
    answer = world.http.post(WEBHOOK, content=b"not even json")
    assert answer.status_code == 401
    assert world.count("events") == 0


def test_a_wrong_signature_is_401_and_leaves_nothing(world: World) -> None:
    assert world.post_webhook(webhook(message()), secret="somebody else's").status_code == 401
    world.settle()
    assert world.count("events") == 0


def test_a_signature_over_other_bytes_is_401(world: World) -> None:
    body = json.dumps(webhook(message())).encode()
    signature = world.post_webhook(body).request.headers["X-Hub-Signature-256"]
    answer = world.http.post(WEBHOOK, content=body + b" ", headers={"X-Hub-Signature-256": signature})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"{", None),
        (b"", None),
        (b'{"object": "instagram", "entry": "many"}', "$.entry"),
        (b'{"object": "instagram", "entry": [1', None),
        (b'"instagram"', "$"),
        (b"12", "$"),
        (b'{"object": "instagram", "entry": NaN}', None),
        (b"\xff\xfe{}", None),
        (b'{"object":"instagram","entry":[{"id":"1","messaging":' + b"[" * 500 + b"]" * 500 + b"}]}", "$.entry[0]"),
        (b'{"object":"instagram","entry":' + b"[" * 100_000, None),
    ],
    ids=["cut", "empty", "entry", "cut-array", "string", "number", "nan", "not-utf8", "deep", "deep-and-cut"],
)
def test_a_body_that_is_no_webhook_is_400_with_the_path(world: World, body: bytes, path: str | None) -> None:
    answer = world.post_webhook(body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["kind"] == "permanent"
    if path is not None:
        assert str(error["path"]).startswith(path)
    world.settle()
    assert world.count("events") == 0


def test_a_body_over_the_platforms_limit_is_413(world: World) -> None:
    assert world.post_webhook(b'{"object": "' + b"x" * 4_600_000 + b'"}').status_code == 413


def test_a_body_of_more_than_a_thousand_events_is_413_and_none_of_them_is_taken(world: World) -> None:
    body = webhook(*[message(f"line {n}") for n in range(1001)])
    answer = world.post_webhook(body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["kind"]) == (413, "too_many_events", "permanent")
    world.settle()
    assert world.count("events") == 0
    body["entry"][0]["messaging"].pop()
    assert world.post_webhook(body).json()["queued"] == 1000
    world.settle(timeout_s=90)
    assert world.count("messages") == 1000


def test_unknown_keys_beside_the_messages_of_an_entry_are_kept(world: World) -> None:
    body = webhook(message("hi", mid="m_1"))
    body["entry"][0]["message_requests"] = [{"from": CONTACT}]
    assert world.deliver(body).json() == {"received": 2, "queued": 2, "processed": 0, "ignored": 0}
    unknown = world.row("select topic, e.raw from events e where kind = 'unknown'")
    assert unknown == {"topic": "message_requests", "raw": {"message_requests": [{"from": CONTACT}]}}


def test_other_methods_are_405(world: World) -> None:
    answer = world.http.put(WEBHOOK, content=b"{}")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"


def test_an_unknown_kind_is_kept_and_answered_200(world: World) -> None:
    item = {
        "sender": {"id": CONTACT},
        "recipient": {"id": ACCOUNT},
        "timestamp": 1_700_000_000_000,
        "brand_new": {"a": 1},
    }
    answer = world.deliver(webhook(item))
    assert answer.json()["received"] == 1
    event = world.row("select e.*, e.raw from events e")
    assert event["kind"] == "unknown"
    assert event["raw"] == item


def test_a_webhook_of_another_product_is_ignored_and_answered_200(world: World) -> None:
    answer = world.deliver({"object": "page", "entry": [{"id": "1", "time": 1, "messaging": [{"message": {}}]}]})
    assert answer.json() == {"received": 1, "queued": 0, "processed": 0, "ignored": 1}
    assert world.count("events") == 0


def test_ids_that_are_numbers_become_strings(world: World) -> None:
    item = message("numbers", mid="m_numbers")
    item["sender"]["id"] = 6001234567890123
    item["recipient"]["id"] = int(ACCOUNT)
    body = webhook(item)
    body["entry"][0]["id"] = int(ACCOUNT)
    world.deliver(body)
    row = world.row("select account_id, contact_id from messages")
    assert (row["account_id"], row["contact_id"]) == (ACCOUNT, CONTACT)


def test_nul_bytes_and_lone_surrogates_are_stored_harmlessly(world: World) -> None:
    body = json.dumps(webhook(message("a\x00b"))).encode().replace(b"a\\u0000b", b"a\\u0000b\\ud800c")
    world.deliver(body)
    assert world.row("select text from messages")["text"] == "a\ufffdb\ufffdc"


def test_either_of_two_app_secrets_is_accepted(world: World) -> None:
    with world.stack.functions({"INSTAGRAM_APP_SECRET": "new-secret, old-secret"}) as base_url:
        for secret in ("new-secret", "old-secret"):
            assert world.post_webhook(webhook(message()), base_url=base_url, secret=secret).status_code == 200
        assert world.post_webhook(webhook(message()), base_url=base_url, secret="third").status_code == 401
    world.settle()


def test_a_missing_setting_names_itself_and_leaves_the_event_with_meta(world: World) -> None:
    with world.stack.functions({"INTERNAL_API_SECRET": ""}) as base_url:
        answer = world.post_webhook(webhook(message()), base_url=base_url)
    assert answer.status_code == 503
    assert "INTERNAL_API_SECRET" in answer.text
    assert int(answer.headers["retry-after"]) > 0
