"""POST /api/qstash/instagram-ingestion and …/instagram-failure, signed as QStash signs."""

import base64
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dev.stack import keys
from tests.support.builders import ACCOUNT, message, webhook
from tests.support.deliveries import body_of, event, failure_callback, post, signature
from tests.support.world import CONSUMER, FAILURE, World


def test_a_delivery_is_processed_and_the_same_again_is_a_duplicate(world: World) -> None:
    one = body_of(event())
    first, again = post(world, CONSUMER, one), post(world, CONSUMER, one)
    assert (first.status_code, first.json()["status"]) == (200, "processed")
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert world.count("messages") == 1


def test_a_delivery_signed_with_the_next_key_is_accepted(world: World) -> None:
    assert post(world, CONSUMER, body_of(event()), key=keys.QSTASH_NEXT_SIGNING_KEY).status_code == 200


@pytest.mark.parametrize("path", [CONSUMER, FAILURE])
def test_a_delivery_without_a_signature_is_401_and_nothing_is_read(world: World, path: str) -> None:
    assert world.http.post(path, content=b"not even json").status_code == 401


@pytest.mark.parametrize("path", [CONSUMER, FAILURE])
@pytest.mark.parametrize(
    "signing",
    [
        {"key": "sig_of_somebody_else_who_is_not_upstash"},
        {"sub": "http://elsewhere.example/api/qstash/instagram-ingestion"},
        {"exp": 1_600_000_000},
        {"nbf": 4_000_000_000},
        {"iss": "Somebody"},
        {"body": "another-body"},
    ],
    ids=lambda signing: next(iter(signing)),
)
def test_a_delivery_with_a_wrong_signature_is_401_and_leaves_nothing(
    world: World, path: str, signing: dict[str, Any]
) -> None:
    assert post(world, path, body_of(event()), **signing).status_code == 401
    assert world.count("events") + world.count("dead_letters") == 0


@pytest.mark.parametrize("garbage", ["", "a.b.c", "é", "x" * 5000])
def test_a_signature_that_is_no_token_is_401(world: World, garbage: str) -> None:
    answer = world.http.post(CONSUMER, content=b"{}", headers=[(b"Upstash-Signature", garbage.encode())])
    assert answer.status_code == 401


def test_a_signed_body_that_is_not_utf8_is_an_invalid_payload(world: World) -> None:
    answer = post(world, CONSUMER, b"\xff\xfe")
    assert (answer.status_code, answer.json()["error"]["code"]) == (489, "invalid_payload")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"kind": "made up"}', body_of(event(occurred_at="soon"))])
def test_an_invalid_payload_is_489_and_never_retried(world: World, body: bytes) -> None:
    answer = post(world, CONSUMER, body)
    assert answer.status_code == 489
    assert answer.headers["upstash-nonretryable-error"] == "true"
    error = answer.json()["error"]
    assert (error["kind"], error["code"], error["status"]) == ("permanent", "invalid_payload", 400)


def test_a_permanent_failure_of_the_database_is_489(world: World) -> None:
    world.db.execute("alter table messages add constraint no_such_words check (text <> 'refused')")
    try:
        answer = post(world, CONSUMER, body_of(event(text="refused")))
    finally:
        world.db.execute("alter table messages drop constraint no_such_words")
    assert answer.status_code == 489
    assert answer.json()["error"]["kind"] == "permanent"
    assert world.count("events") == 0


def test_a_transient_failure_of_the_database_is_500_and_comes_again(world: World) -> None:
    one = body_of(event())
    with world.stack.functions({"SUPABASE_URL": "http://127.0.0.1:9"}) as base_url:
        url = base_url + CONSUMER
        answer = httpx.post(url, content=one, headers={"Upstash-Signature": signature(one, url)})
    assert answer.status_code == 500
    assert answer.json()["error"]["kind"] == "retryable"
    assert post(world, CONSUMER, one).json()["status"] == "processed"


def test_a_rate_limit_of_graph_is_503_with_its_retry_after_and_the_message_is_kept(world: World) -> None:
    world.graph_fault("profile", "rate_limit")
    answer = post(world, CONSUMER, body_of(event()))
    assert answer.status_code in {500, 503}
    assert answer.json()["error"]["kind"] == "retryable"
    assert world.count("messages") == 1
    assert world.row("select processed_at from events")["processed_at"] is None
    world.graph_fault("profile", "ok")


def test_get_is_405(world: World) -> None:
    assert world.http.get(CONSUMER).status_code == 405


def test_a_failure_callback_is_kept_once_with_its_event(world: World) -> None:
    body = failure_callback()
    first, again = post(world, FAILURE, body), post(world, FAILURE, body)
    assert [answer.status_code for answer in (first, again)] == [200, 200]
    letter = world.row("select * from dead_letters")
    assert (letter["source_message_id"], letter["event_id"], letter["kind"]) == ("msg_1", "ig_msg_dead", "message")
    assert (letter["status"], letter["error_code"], letter["dlq_id"]) == (489, "invalid_payload", "1725323658779-0")
    assert letter["event"]["mid"] == "dead"


def test_a_failure_callback_of_a_foreign_message_keeps_its_body_for_people(world: World) -> None:
    body = failure_callback(sourceBody=base64.b64encode(b"not an event\x00").decode(), body=None, dlqId=None)
    assert post(world, FAILURE, body).status_code == 200
    letter = world.row("select * from dead_letters")
    assert (letter["event"], letter["body"]) == (None, "not an event\ufffd")


@pytest.mark.parametrize(
    "source",
    [
        b'{"kind": "message", "event_id": "\xff"}',
        b'{"kind": "message", "event_id": "ig_x", "raw": ' + b'{"a":' * 2000 + b"1" + b"}" * 2001,
    ],
    ids=["not-utf8", "deep"],
)
def test_a_failure_callback_of_a_message_nobody_can_read_is_kept(world: World, source: bytes) -> None:
    body = failure_callback(sourceBody=base64.b64encode(source).decode())
    assert post(world, FAILURE, body).status_code == 200
    letter = world.row("select event, body from dead_letters")
    assert letter["event"] is None
    assert letter["body"].startswith('{"kind": "message", "event_id": "')


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"{}", b'{"sourceMessageId": "\xff"}', b'{"a": ' + b"[" * 9000, failure_callback(sourceMessageId=5)],
    ids=["cut", "array", "empty", "not-utf8", "deep", "number"],
)
def test_a_failure_callback_of_the_wrong_shape_is_489(world: World, body: bytes) -> None:
    assert post(world, FAILURE, body).status_code == 489
    assert world.count("dead_letters") == 0


def test_a_failure_callback_comes_again_while_the_database_is_away(world: World) -> None:
    body = failure_callback()
    with world.stack.functions({"SUPABASE_URL": "http://127.0.0.1:9"}) as base_url:
        url = base_url + FAILURE
        answer = httpx.post(url, content=body, headers={"Upstash-Signature": signature(body, url)})
    assert answer.status_code == 500


def test_a_message_that_can_never_be_processed_ends_as_a_dead_letter_by_itself(world: World) -> None:
    world.db.execute("alter table messages add constraint no_such_words check (text <> 'refused')")
    try:
        world.deliver(webhook(message("refused", mid="poison"), message("fine")))
    finally:
        world.db.execute("alter table messages drop constraint no_such_words")
    letter = world.row("select * from dead_letters")
    assert (letter["event_id"], letter["status"], letter["retried"]) == ("ig_msg_poison", 489, 0)
    assert world.count("messages") == 1


# Whatever a failure callback says.

_STRANGE = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**25), 10**25), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20), st.sampled_from(("\0", "x" * 10_000, "1795000000000", "[]")),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip
_FIELDS = ("status", "retried", "maxRetries", "dlqId", "url", "createdAt", "body", "sourceBody", "header", "more")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(st.sampled_from(_FIELDS), _STRANGE, max_size=6), message_id=st.text(min_size=1, max_size=9)
)
def test_a_failure_callback_is_kept_whatever_its_other_fields_say(
    world: World, changes: dict[str, Any], message_id: str
) -> None:
    world.db.execute("truncate dead_letters")
    answer = post(world, FAILURE, failure_callback(**{**changes, "sourceMessageId": message_id}))
    assert answer.status_code == 200, answer.text
    assert world.count("dead_letters") == 1


@pytest.mark.parametrize("message_id", [None, "", 7, [], {}, True])
def test_only_a_callback_without_the_id_of_a_message_is_refused_for_good(world: World, message_id: object) -> None:
    assert post(world, FAILURE, failure_callback(sourceMessageId=message_id)).status_code == 489
    assert world.count("dead_letters") == 0


def test_a_callback_of_an_event_that_was_processed_makes_no_open_letter(world: World) -> None:
    """The delivery did its work, and only its answer was lost."""
    one = event()
    assert post(world, CONSUMER, body_of(one)).json()["status"] == "processed"
    body = failure_callback(sourceBody=base64.b64encode(body_of(one)).decode())
    assert post(world, FAILURE, body).status_code == 200
    assert world.row("select state from dead_letters")["state"] == "replayed"


def test_two_accounts_with_one_event_id_have_a_letter_each(world: World) -> None:
    for number, account in enumerate((ACCOUNT, "17841400000000077")):
        source = base64.b64encode(body_of(event(event_id="ig_msg_same", account_id=account))).decode()
        assert (
            post(world, FAILURE, failure_callback(sourceMessageId=f"m{number}", sourceBody=source)).status_code == 200
        )
    assert [row["state"] for row in world.rows("select state from dead_letters")] == ["open", "open"]
