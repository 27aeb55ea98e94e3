"""What a send comes to, under every fault: the verdict on it, and whether the message went out."""

import httpx
import pytest

from lib.errors.classify import classify
from lib.errors.exceptions import GraphError, GraphTransportError, InvalidPayload
from lib.errors.verdict import Verdict
from lib.graph.usage import Usage
from tests.graph.conftest import ACCOUNT, PERSON, Meta, credentials


def refused(meta: Meta, text: str = "Hello", *, to: str = PERSON, timeout_s: float = 5.0) -> Verdict:
    """The verdict on a send that raises."""
    with pytest.raises((GraphError, GraphTransportError)) as caught:
        meta.send(text, to=to, timeout_s=timeout_s)
    return classify(caught.value)


def test_a_send_gives_the_mid_of_the_message_it_made(meta: Meta) -> None:
    mid = meta.send("Hello there")

    [sent] = meta.sent()
    assert (sent["message_id"], sent["recipient_id"], sent["account_id"]) == (mid, PERSON, ACCOUNT)
    assert sent["text"] == "Hello there"


def test_a_send_to_a_comment_is_a_private_reply(meta: Meta) -> None:
    meta.post("comments", {"id": "18010000000000001", "from": PERSON})

    meta.ask(
        lambda graph: graph.send(
            credentials(),
            recipient={"comment_id": "18010000000000001"},
            message={"text": "Thanks"},
            timeout_s=5,
        )
    )

    [sent] = meta.sent()
    assert (sent["comment_id"], sent["recipient_id"]) == ("18010000000000001", PERSON)


def test_a_second_private_reply_to_a_comment_is_refused_for_good(meta: Meta) -> None:
    def reply() -> str:
        return meta.ask(
            lambda graph: graph.send(
                credentials(), recipient={"comment_id": "1801"}, message={"text": "Hi"}, timeout_s=5
            )
        )

    reply()
    with pytest.raises(GraphError) as caught:
        reply()

    assert not classify(caught.value).retryable
    assert len(meta.sent()) == 1


@pytest.mark.parametrize(
    ("fault", "retryable", "account_stop"),
    [
        ("429", True, False),
        ("rate_limit", True, False),
        ("rate_limit_thread", True, False),
        ("outside_window", False, False),
        ("expired_token", False, True),
    ],
)
def test_a_send_that_is_refused_is_known_not_to_have_gone_out(
    meta: Meta, fault: str, *, retryable: bool, account_stop: bool
) -> None:
    meta.fault("send", fault)

    verdict = refused(meta)

    assert not verdict.outcome_unknown
    assert (verdict.retryable, verdict.account_stop) == (retryable, account_stop)
    assert meta.sent() == []


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        ("500", 0),
        ("500_after_accept", 1),
        ("transient", 0),
        ("cut_before_accept", 0),
        ("cut_after_accept", 1),
        ("garbage", 1),
    ],
)
def test_a_send_that_may_have_gone_out_has_an_unknown_outcome(meta: Meta, fault: str, sent: int) -> None:
    meta.fault("send", fault)

    assert refused(meta).outcome_unknown
    assert len(meta.sent()) == sent


def test_a_send_that_meta_says_was_sent_after_all_is_already_done(meta: Meta) -> None:
    meta.fault("send", "already_sent")

    assert refused(meta).already_done
    assert len(meta.sent()) == 1


@pytest.mark.parametrize(("fault", "sent"), [("timeout_accepted", 1), ("timeout_dropped", 0)])
def test_a_send_without_an_answer_in_time_has_an_unknown_outcome(meta: Meta, fault: str, sent: int) -> None:
    meta.fault("send", fault)

    assert refused(meta, timeout_s=0.4).outcome_unknown
    assert len(meta.sent()) == sent


def test_a_slow_answer_within_the_deadline_is_an_answer(meta: Meta) -> None:
    meta.fault("send", "latency", latency_ms=150)

    assert meta.send()


def test_a_send_that_finds_no_server_is_known_not_to_have_left(meta: Meta) -> None:
    nowhere = Meta("http://127.0.0.1:1", meta.webhooks, meta.admin)

    verdict = refused(nowhere)

    assert verdict.retryable
    assert not verdict.outcome_unknown


def test_a_send_without_any_time_left_does_not_leave(meta: Meta) -> None:
    verdict = refused(meta, timeout_s=0)

    assert verdict.retryable
    assert not verdict.outcome_unknown
    assert meta.calls() == []


def test_a_send_that_waits_for_a_free_connection_is_known_not_to_have_left(meta: Meta) -> None:
    async def crowded() -> GraphTransportError:
        limits = httpx.Limits(max_connections=1)
        async with (
            httpx.AsyncClient(limits=limits, verify=False) as http,
            http.stream("GET", f"{meta.url}/v26.0/me"),
        ):
            with pytest.raises(GraphTransportError) as caught:
                await meta.graph(http).send(
                    credentials(), recipient={"id": PERSON}, message={"text": "Hi"}, timeout_s=0.3
                )
            return caught.value

    error = meta.ask(lambda _: crowded())

    assert (error.kind, error.request_left) == ("timeout", False)
    assert meta.sent() == []


def test_a_redirect_is_not_followed(meta: Meta) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(307, headers={"Location": f"{meta.url}{request.url.path}"})

    async def redirected() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), follow_redirects=True) as http:
            await meta.graph(http).send(credentials(), recipient={"id": PERSON}, message={"text": "Hi"}, timeout_s=5)

    with pytest.raises(GraphError):
        meta.ask(lambda _: redirected())
    assert meta.sent() == []


def test_an_answer_without_an_end_is_given_up_with_an_unknown_outcome(meta: Meta) -> None:
    async def endless() -> GraphTransportError:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, content=b" " * 2_000_000))
        async with httpx.AsyncClient(transport=transport) as http:
            with pytest.raises(GraphTransportError) as caught:
                await meta.graph(http).send(
                    credentials(), recipient={"id": PERSON}, message={"text": "Hi"}, timeout_s=5
                )
            return caught.value

    assert meta.ask(lambda _: endless()).request_left


@pytest.mark.parametrize(
    ("igsid", "retryable"),
    [("1784000002534014", False), ("1784000002534022", False), ("178400000000551", False), ("nobody", False)],
)
def test_people_who_can_not_be_written_to_are_refused_for_good(meta: Meta, igsid: str, *, retryable: bool) -> None:
    assert refused(meta, to=igsid).retryable is retryable
    assert meta.sent() == []


def test_a_text_longer_than_a_thousand_bytes_is_refused_for_good(meta: Meta) -> None:
    meta.send("é" * 500)

    assert not refused(meta, "é" * 500 + "!").retryable
    assert len(meta.sent()) == 1


def test_a_text_with_half_an_emoji_is_sent_and_not_choked_on(meta: Meta) -> None:
    assert meta.send("half \ud83d emoji")


@pytest.mark.parametrize("account_id", ["../me", "17841/messages?x=", "", "a b", "1784\n"])
def test_an_id_can_not_steer_the_call_elsewhere(meta: Meta, account_id: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        meta.send(account_id=account_id)

    assert not classify(caught.value).retryable
    assert meta.calls() == []


def test_a_page_token_sends_as_its_own_page(meta: Meta) -> None:
    assert meta.send(flavour="facebook")

    [call] = meta.calls()
    assert call["path"] == "/v26.0/me/messages"


def test_a_token_of_another_account_can_not_send_for_this_one(meta: Meta) -> None:
    with pytest.raises(GraphError) as caught:
        meta.send(token="local-17841400000000002")

    assert not classify(caught.value).retryable
    assert meta.sent() == []


def test_a_fault_ends_after_its_number_of_calls(meta: Meta) -> None:
    meta.fault("send", "429", times=1)
    meta.fault("*", "500")

    assert refused(meta).code != refused(meta).code


def test_usage_shows_how_near_the_limits_are(meta: Meta) -> None:
    meta.fault("send", "rate_limit", times=1)

    async def usage() -> dict[str, Usage]:
        async with httpx.AsyncClient(verify=False) as http:
            graph = meta.graph(http)
            for _ in range(2):
                with pytest.raises(GraphError):
                    await graph.send(credentials(), recipient={"id": PERSON}, message={"text": "Hi"}, timeout_s=5)
                meta.fault("send", "rate_limit_thread")
            return graph.usage(ACCOUNT)

    seen = meta.ask(lambda _: usage())
    assert {name: (limit.percent, limit.regain_s) for name, limit in seen.items()} == {
        "app": (100, None),
        "instagram": (100, 60),
    }


def test_what_was_refused_is_never_said_to_have_been_sent(meta: Meta) -> None:
    for fault in ("already_sent", "garbage", "500_after_accept"):
        meta.fault("send", fault)
        assert refused(meta, to="6001234567000230").code == "graph_consent_missing"
    assert meta.sent() == []
