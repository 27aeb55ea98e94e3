"""The stand-in seen from outside: Meta's shapes, its own switches, and the command that starts it."""

import asyncio
import socket
import sys
import time

import httpx
import pytest
from click.testing import CliRunner

from dev.graph import create_app
from dev.graph.command import graph
from dev.graph.faults import Fault
from tests.graph.conftest import ACCOUNT, PERSON, TOKEN, Meta
from tests.support.processes import started, wait_for_line

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_an_error_has_the_shape_of_metas(meta: Meta) -> None:
    answer = meta.admin.get(f"/v26.0/{PERSON}")

    assert answer.status_code == 401
    error = answer.json()["error"]
    assert {"message", "type", "code", "fbtrace_id"} <= set(error)
    assert (error["type"], error["code"]) == ("OAuthException", 190)


def test_an_expired_token_has_its_own_subcode(meta: Meta) -> None:
    answer = meta.admin.get("/v26.0/me", headers={"Authorization": "Bearer EXPIRED-1"})

    assert (answer.json()["error"]["code"], answer.json()["error"]["error_subcode"]) == (190, 463)


def test_a_path_meta_does_not_have_is_refused_in_its_shape(meta: Meta) -> None:
    assert meta.admin.get("/v26.0/1/2/3").json()["error"]["code"] == 2500


def test_the_same_person_has_the_same_profile_each_time(meta: Meta) -> None:
    first, second = (meta.admin.get(f"/v26.0/{PERSON}", headers=BEARER).json() for _ in range(2))

    assert first == second
    assert first["id"] == PERSON


def test_a_field_meta_does_not_know_is_refused(meta: Meta) -> None:
    answer = meta.admin.get(f"/v26.0/{PERSON}?fields=name,shoe_size", headers=BEARER)

    assert answer.json()["error"]["code"] == 100


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"recipient": {"id": PERSON}},
        {"recipient": {"id": PERSON, "comment_id": "1"}, "message": {"text": "Hi"}},
        {"recipient": {"id": PERSON}, "message": {"text": ""}},
        {"recipient": {"id": PERSON}, "message": {"text": "Hi", "attachment": {}}},
        {"recipient": {"id": PERSON}, "message": {"text": "Hi"}, "tag": "ACCOUNT_UPDATE"},
    ],
)
def test_a_body_against_the_rules_is_an_invalid_parameter(meta: Meta, body: object) -> None:
    answer = meta.admin.post("/v26.0/me/messages", json=body, headers=BEARER)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)
    assert meta.sent() == []


def test_a_sender_action_is_no_message(meta: Meta) -> None:
    body = {"recipient": {"id": PERSON}, "sender_action": "typing_on"}
    answer = meta.admin.post("/v26.0/me/messages", json=body, headers=BEARER)

    assert answer.json() == {"recipient_id": PERSON}
    assert meta.sent() == []


def test_an_account_subscribes_the_app(meta: Meta) -> None:
    path = f"/v26.0/{ACCOUNT}/subscribed_apps"
    answer = meta.admin.post(f"{path}?subscribed_fields=messages,comments", headers=BEARER)

    assert answer.json() == {"success": True}
    (app,) = meta.admin.get(path, headers=BEARER).json()["data"]
    assert app["subscribed_fields"] == ["messages", "comments"]


@pytest.mark.parametrize(
    ("prefix", "fields", "place"),
    [
        ("", "messages,message_echoes,comments", 1),
        ("", "message_reads,messages", 0),
        ("", "messages,messaging_referrals", 1),
        ("", "messages,,comments", 1),
        ("/facebook", "messages,messaging_seen", 1),
        ("/facebook", "messages,message_echoes,comments", 2),
    ],
)
def test_one_field_that_meta_does_not_take_refuses_the_whole_list(
    meta: Meta, prefix: str, fields: str, place: int
) -> None:
    path = f"{prefix}/v26.0/me/subscribed_apps"
    before = meta.admin.get(path, headers=BEARER).json()
    answer = meta.admin.post(path, params={"subscribed_fields": fields}, headers=BEARER)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)
    assert f"Param subscribed_fields[{place}] must be one of {{messages, " in answer.json()["error"]["message"]
    assert meta.admin.get(path, headers=BEARER).json() == before


def test_a_subscription_replaces_the_one_before_and_may_be_a_form_but_no_json(meta: Meta) -> None:
    path = f"/v26.0/{ACCOUNT}/subscribed_apps"
    meta.admin.post(path, params={"subscribed_fields": "messages,comments"}, headers=BEARER)
    assert meta.admin.post(path, data={"subscribed_fields": "standby"}, headers=BEARER).json() == {"success": True}
    answer = meta.admin.post(path, json={"subscribed_fields": ["messages"]}, headers=BEARER)

    assert answer.json()["error"]["code"] == 100
    (app,) = meta.admin.get(path, headers=BEARER).json()["data"]
    assert app["subscribed_fields"] == ["standby"]


def test_a_page_has_an_id_of_its_own(meta: Meta) -> None:
    own = {"Authorization": f"Bearer local-{ACCOUNT}"}
    page_id = meta.admin.get("/facebook/v26.0/me", headers=own).json()["id"]
    path = f"/facebook/v26.0/{page_id}/subscribed_apps"

    assert meta.admin.get(path, headers=own).json()["data"][0]["subscribed_fields"]
    assert meta.admin.get(f"/v26.0/{page_id}/subscribed_apps", headers=own).json()["error"]["code"] == 100


@pytest.mark.parametrize("kind", ["young", "short"])
def test_a_token_younger_than_a_day_is_not_refreshed(meta: Meta, kind: str) -> None:
    query = {"grant_type": "ig_refresh_token", "access_token": f"local-{kind}-{ACCOUNT}"}

    assert meta.admin.get("/refresh_access_token", params=query).json()["error"]["code"] == 100
    bearer = {"Authorization": f"Bearer {query['access_token']}"}
    assert meta.admin.get("/v26.0/me?fields=user_id", headers=bearer).json()["user_id"] == ACCOUNT


def test_an_account_that_ends_its_subscription_has_no_app(meta: Meta) -> None:
    path = f"/v26.0/{ACCOUNT}/subscribed_apps"
    meta.admin.delete(path, headers=BEARER)

    assert meta.admin.get(path, headers=BEARER).json() == {"data": []}


def test_without_a_person_the_conversations_are_listed(meta: Meta) -> None:
    path = f"/v26.0/{ACCOUNT}/conversations?platform=instagram"
    assert meta.admin.get(path, headers=BEARER).json() == {"data": []}
    meta.send("one")
    meta.send("two")

    assert len(meta.admin.get(path, headers=BEARER).json()["data"]) == 1


def test_a_token_can_be_given_to_an_account(meta: Meta) -> None:
    meta.post("accounts", {"token": "IGAA-one", "account_id": "17841400000000009"})

    me = meta.admin.get("/v26.0/me?fields=user_id", headers={"Authorization": "Bearer IGAA-one"}).json()
    assert me["user_id"] == "17841400000000009"


def test_a_reset_forgets_what_was_sent_and_the_faults(meta: Meta) -> None:
    meta.send()
    meta.fault("*", "500")

    meta.post("reset", {})

    assert meta.sent() == []
    assert meta.calls() == []
    assert meta.send()


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_can_be_set_for_every_endpoint(meta: Meta, fault: Fault) -> None:
    meta.fault("*", fault, times=0)

    assert meta.send()


def test_a_fault_can_be_for_one_person_and_goes_before_the_one_for_everybody(meta: Meta) -> None:
    other = "6009876543210987"
    meta.post("comments", {"id": "18010000000000001", "from": PERSON})
    meta.fault("*", "500")
    meta.fault("send", "ok", person=other)
    meta.fault("profile", "user_gone", person=PERSON, times=1)
    meta.fault("conversations", "ok", person=PERSON)
    meta.fault("send", "outside_window", person=PERSON)

    assert meta.send(to=other)
    for path, code in [
        (f"/{PERSON}", 9010),
        (f"/{PERSON}", 1),
        (f"/{ACCOUNT}/conversations?user_id={PERSON}", None),
        (f"/{ACCOUNT}/conversations?user_id={other}", 1),
        ("/me", 1),
    ]:
        answer = meta.admin.get(f"/v26.0{path}", headers=BEARER).json()
        assert answer.get("error", {}).get("code") == code, path
    for recipient, code in [({"id": PERSON}, 10), ({"comment_id": "18010000000000001"}, 10), ({"id": "7"}, 1)]:
        body = {"recipient": recipient, "message": {"text": "Hi"}}
        answer = meta.admin.post(f"/v26.0/{ACCOUNT}/messages", json=body, headers=BEARER).json()
        assert answer["error"]["code"] == code, recipient


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("faults", {"fault": "sunny"}),
        ("faults", {"endpoint": "kitchen"}),
        ("faults", {"times": -1}),
        ("echo", {"mode": "sometimes"}),
        ("profiles", {"username": "ada"}),
        ("profiles", 7),
    ],
)
def test_a_switch_that_does_not_exist_is_refused(meta: Meta, name: str, body: object) -> None:
    assert meta.admin.post(f"/__dev/{name}", json=body).status_code == 400


def test_the_switches_are_for_this_machine_only() -> None:
    async def from_elsewhere() -> int:
        transport = httpx.ASGITransport(create_app(), client=("192.0.2.1", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://graph", verify=False) as http:
            return (await http.get("/__dev/sent")).status_code

    assert asyncio.run(from_elsewhere()) == 403


def test_the_command_explains_itself() -> None:
    shown = CliRunner().invoke(graph, ["--help"]).output

    assert "--webhook-url" in shown
    assert "/__dev/faults" in shown


def test_the_command_says_where_it_listens_and_serves() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [sys.executable, "-c", "from dev.graph.command import graph; graph()", "--port", str(port)]
    with started(start) as process:
        wait_for_line(process, f"http://127.0.0.1:{port}")
        assert _answer_within(f"http://127.0.0.1:{port}/v26.0/me", seconds=10) == 401


def _answer_within(url: str, *, seconds: float) -> int:
    end = time.monotonic() + seconds
    while True:
        try:
            return httpx.get(url).status_code
        except httpx.ConnectError:
            assert time.monotonic() < end, "nothing listens"
            time.sleep(0.05)
