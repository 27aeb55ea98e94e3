"""An account's own calls: who it is, its fresh token, its conversations; and that its token stays secret."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable

import httpx
import pytest

from lib.errors.classify import classify
from lib.errors.exceptions import GraphError, GraphTransportError, InvalidPayload
from lib.graph.client import LONGEST_LIFE_S, GraphClient
from tests.graph.conftest import ACCOUNT, APP_SECRET, PERSON, TOKEN, Meta, credentials


def test_an_account_is_known_by_the_id_that_webhooks_carry(meta: Meta) -> None:
    me = meta.ask(lambda graph: graph.me(credentials(), 5))

    assert me["user_id"] == ACCOUNT
    assert me["id"] != ACCOUNT
    assert me["username"]


def test_a_page_names_its_instagram_account(meta: Meta) -> None:
    me = meta.ask(lambda graph: graph.me(credentials(flavour="facebook"), 5))

    assert me["instagram_business_account"] == {"id": ACCOUNT, "username": "shop.0001"}


def test_a_refreshed_token_is_good_for_the_same_account(meta: Meta) -> None:
    creds = credentials(token=f"local-{ACCOUNT}")
    token, expires_in_s = meta.ask(lambda graph: graph.refresh_token(creds, 5))

    assert token != creds.token
    assert expires_in_s == 60 * 24 * 3600
    assert meta.ask(lambda graph: graph.me(credentials(token=token), 5))["user_id"] == ACCOUNT


def test_a_page_token_is_not_refreshed(meta: Meta) -> None:
    with pytest.raises(InvalidPayload):
        meta.ask(lambda graph: graph.refresh_token(credentials(flavour="facebook"), 5))


@pytest.mark.parametrize("token", ["", "unknown", "EXPIRED-token", "with space", "line\nbreak", "tökén"])
def test_a_token_that_is_no_good_stops_the_account(meta: Meta, token: str) -> None:
    with pytest.raises(GraphError) as caught:
        meta.ask(lambda graph: graph.me(credentials(token=token), 5))

    verdict = classify(caught.value)
    assert verdict.account_stop
    assert not verdict.retryable


def test_the_app_secret_proves_the_token(meta: Meta) -> None:
    meta.ask(lambda graph: graph.me(credentials(app_secret=APP_SECRET), 5))

    assert [call["appsecret_proof"] for call in meta.calls()] == [True]
    with pytest.raises(GraphError):
        meta.ask(lambda graph: graph.me(credentials(app_secret="another"), 5))


def test_a_conversation_lists_what_was_sent_newest_first(meta: Meta) -> None:
    mids = [meta.send(f"Message {number}") for number in range(3)]

    found = meta.ask(lambda graph: graph.conversation_messages(credentials(), PERSON, limit=2, timeout_s=5))

    assert [(message["id"], message["message"]) for message in found] == [
        (mids[2], "Message 2"),
        (mids[1], "Message 1"),
    ]
    assert str(found[0]["created_time"]).endswith("+0000")


def test_a_conversation_with_a_stranger_is_empty(meta: Meta) -> None:
    found = meta.ask(lambda graph: graph.conversation_messages(credentials(), PERSON, timeout_s=5))

    assert found == []


def test_a_conversation_shows_a_send_whose_answer_was_lost(meta: Meta) -> None:
    meta.fault("send", "cut_after_accept")
    with pytest.raises(GraphTransportError):
        meta.send("Did you get this?")

    found = meta.ask(lambda graph: graph.conversation_messages(credentials(), PERSON, timeout_s=5))

    assert [message["message"] for message in found] == ["Did you get this?"]


def failure_of(action: Callable[[], object]) -> Exception | None:
    try:
        action()
    except (GraphError, GraphTransportError) as error:
        return error
    return None


CALLS: dict[str, Callable[[GraphClient], Awaitable[object]]] = {
    "send": lambda graph: graph.send(
        credentials(app_secret=APP_SECRET), recipient={"id": PERSON}, message={"text": "Hi"}, timeout_s=0.5
    ),
    "profile": lambda graph: graph.profile(credentials(app_secret=APP_SECRET), PERSON, timeout_s=0.5),
    "refresh": lambda graph: graph.refresh_token(credentials(app_secret=APP_SECRET), 0.5),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", ["ok", "500", "expired_token", "cut_after_accept", "timeout_dropped", "garbage"])
def test_a_token_is_in_no_error_and_no_log(meta: Meta, caplog: pytest.LogCaptureFixture, fault: str, call: str) -> None:
    caplog.set_level(logging.DEBUG)
    meta.fault("*", fault)

    error = failure_of(lambda: meta.ask(CALLS[call]))

    shown = "".join(record.getMessage() + repr(record.args) for record in caplog.records)
    if error is not None:
        shown += f"{error} {error!r} {error.args} {vars(error)} {''.join(traceback.format_exception(error))}"
        assert (error.__cause__, error.__context__) == (None, None)
    assert TOKEN not in shown
    assert APP_SECRET not in shown
    assert "access_token=" not in shown


@pytest.mark.parametrize("token", ["line\nbreak-secret", "tökén-secret"])
def test_a_mangled_token_is_in_no_error_either(meta: Meta, token: str) -> None:
    with pytest.raises(GraphError) as caught:
        meta.ask(lambda graph: graph.me(credentials(token=token), 5))

    assert "secret" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


def test_credentials_do_not_show_their_secrets() -> None:
    shown = repr(credentials(app_secret=APP_SECRET))

    assert TOKEN not in shown
    assert APP_SECRET not in shown
    assert ACCOUNT in shown


@pytest.mark.parametrize(
    ("answer", "life_s"),
    [
        ({"access_token": "new", "expires_in": 3600}, 3600),
        ({"access_token": "new", "expires_in": 10**12}, LONGEST_LIFE_S),
        ({"access_token": "new", "expires_in": True}, None),
        ({"access_token": "new", "expires_in": 0}, None),
        ({"access_token": "new", "expires_in": "soon"}, None),
        ({"access_token": "new"}, None),
        ({"access_token": "", "expires_in": 3600}, None),
        ({"expires_in": 3600}, None),
    ],
)
def test_a_refresh_names_a_life_or_is_unreadable(answer: dict[str, object], life_s: int | None) -> None:
    async def refresh() -> int | None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer))) as http:
            graph = GraphClient(
                http, version="v26.0", instagram_url="https://g.example", facebook_url="https://f.example"
            )
            try:
                return (await graph.refresh_token(credentials(), 5))[1]
            except GraphTransportError:
                return None

    assert asyncio.run(refresh()) == life_s
