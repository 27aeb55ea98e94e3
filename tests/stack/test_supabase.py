"""The local Supabase through its front door, as the official client and a stranger see it."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest
from supabase.lib.client_options import SyncClientOptions

from dev.stack import Stack, keys
from dev.stack.gateway import FAULT
from supabase import Client, create_client


@pytest.fixture
def rest(stack: Stack) -> Iterator[httpx.Client]:
    """An HTTP client at the gateway, with no key."""
    with httpx.Client(base_url=stack.supabase_url, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def official(stack: Stack) -> Iterator[Client]:
    with httpx.Client(trust_env=False) as http:
        yield create_client(stack.supabase_url, stack.service_role_key, SyncClientOptions(httpx_client=http))


def key(value: str) -> dict[str, str]:
    """As Supabase documents it: a key of the new style goes into `apikey` alone, a legacy key into both headers."""
    return {"apikey": value} if value.startswith("sb_") else {"apikey": value, "Authorization": f"Bearer {value}"}


def test_the_official_client_writes_and_reads_with_the_service_role(official: Client) -> None:
    official.table("private_notes").upsert({"id": 1}).execute()
    assert official.table("private_notes").select("id").eq("id", 1).execute().data == [{"id": 1}]
    assert official.rpc("shout", {"words": "hé"}).execute().data == "HÉ"


def test_a_new_style_secret_key_is_the_service_role(rest: httpx.Client) -> None:
    assert rest.get("/rest/v1/private_notes", headers=key(keys.SECRET_KEY)).status_code == 200


@pytest.mark.parametrize("value", [keys.SECRET_KEY, keys.PUBLISHABLE_KEY])
def test_a_new_style_key_as_a_bearer_token_is_refused(rest: httpx.Client, value: str) -> None:
    refused = rest.get("/rest/v1/notes", headers={"apikey": value, "Authorization": f"Bearer {value}"})
    assert (refused.status_code, refused.json()["code"]) == (401, "PGRST301")


def test_anon_gets_what_the_defaults_of_supabase_grant_and_no_more(rest: httpx.Client, stack: Stack) -> None:
    for anon in (stack.anon_key, keys.PUBLISHABLE_KEY):
        assert rest.get("/rest/v1/notes", headers=key(anon)).status_code == 200
        refused = rest.get("/rest/v1/private_notes", headers=key(anon))
        assert refused.status_code in (401, 403)
        assert refused.json()["code"] == "42501"


@pytest.mark.parametrize("headers", [{}, key("sb_secret_wrong"), key("not.a.jwt")])
def test_a_missing_or_unknown_key_is_401(rest: httpx.Client, headers: dict[str, str]) -> None:
    answer = rest.get("/rest/v1/notes", headers=headers)
    assert answer.status_code == 401
    assert "API key" in answer.json()["message"]


def test_only_the_rest_api_is_routed(rest: httpx.Client, stack: Stack) -> None:
    for path in ("/", "/auth/v1/user", "/rest/v1x/notes", "/rest/v2/notes"):
        assert rest.get(path, headers=key(stack.service_role_key)).status_code == 404


def test_large_bodies_pass_both_ways_in_either_framing(rest: httpx.Client, stack: Stack) -> None:
    headers = key(stack.service_role_key) | {
        "Prefer": "return=representation",
        "Content-Type": "application/json",
    }
    text = "ü" * 1_500_000
    body = httpx.Request("POST", "http://x", json={"id": 2, "text": text}).content
    for content in (body, iter([body[:1000], body[1000:]])):
        upsert = headers | {"Prefer": "return=representation,resolution=merge-duplicates"}
        answer = rest.post("/rest/v1/notes", content=content, headers=upsert)
        assert answer.status_code in (200, 201), answer.text[:200]
        assert answer.json()[0]["text"] == text
    assert rest.head("/rest/v1/notes", headers=headers).status_code == 200
    assert rest.delete("/rest/v1/notes?id=eq.2", headers=key(stack.service_role_key)).status_code == 204


def test_a_request_after_a_head_is_not_lost(rest: httpx.Client, stack: Stack) -> None:
    headers = key(stack.service_role_key)
    statuses = set()
    for _ in range(100):  # PostgREST closes its connection shortly after a HEAD: a race
        statuses.add(rest.head("/rest/v1/notes", headers=headers).status_code)
        statuses.add(rest.get("/rest/v1/notes", headers=headers).status_code)
    assert statuses == {200}


def test_the_gateway_says_503_while_postgrest_is_down_and_recovers(rest: httpx.Client, stack: Stack) -> None:
    headers = key(stack.service_role_key)
    stack.kill("postgrest")
    try:
        answer = rest.get("/rest/v1/notes", headers=headers)
        assert answer.status_code == 503
        assert "message" in answer.json()
    finally:
        stack.start_component("postgrest")
    assert rest.get("/rest/v1/notes", headers=headers).status_code == 200


def test_the_gateway_says_502_when_postgrest_ends_during_a_request(rest: httpx.Client, stack: Stack) -> None:
    headers = key(stack.service_role_key)
    with ThreadPoolExecutor() as pool:
        napping = pool.submit(rest.post, "/rest/v1/rpc/nap", headers=headers)
        try:
            with psycopg.connect(stack.dsn, autocommit=True) as connection:
                while not connection.execute("select from pg_stat_activity where wait_event = 'PgSleep'").fetchall():
                    assert not napping.done()
            stack.kill("postgrest")
            assert napping.result().status_code == 502
        finally:
            stack.start_component("postgrest")
    assert rest.get("/rest/v1/notes", headers=headers).status_code == 200


def test_an_answer_that_is_cut_is_lost_and_its_request_has_happened(rest: httpx.Client, stack: Stack) -> None:
    headers = key(stack.service_role_key)
    assert rest.post(FAULT, json={"times": "many"}).status_code == 400
    rest.post(FAULT, json={"times": 2}).raise_for_status()
    for number in (3, 4):
        with pytest.raises(httpx.RemoteProtocolError):
            rest.post("/rest/v1/private_notes", json={"id": number}, headers=headers)
    written = rest.get("/rest/v1/private_notes?id=in.(3,4)&order=id", headers=headers)
    assert written.json() == [{"id": 3}, {"id": 4}]


def test_an_answer_of_the_gateway_itself_comes_as_often_as_asked_and_nothing_happens(
    rest: httpx.Client, stack: Stack
) -> None:
    headers = key(stack.service_role_key)
    page = {"times": 1, "function": "record_event", "status": 403, "body": "<html>", "content_type": "text/html"}
    rest.post(FAULT, json=page).raise_for_status()
    assert rest.get("/rest/v1/private_notes?limit=0", headers=headers).status_code == 200
    refused = rest.post("/rest/v1/rpc/record_event", json={}, headers=headers)
    assert (refused.status_code, refused.text) == (403, "<html>")
    assert refused.headers["content-type"].startswith("text/html")
    assert rest.post("/rest/v1/rpc/record_event", json={}, headers=headers).status_code == 404


def test_a_killed_database_comes_back_with_its_data(rest: httpx.Client, stack: Stack) -> None:
    with psycopg.connect(stack.dsn) as connection:
        connection.execute("insert into notes values (7, 'kept') on conflict do nothing")
        connection.execute("set local synchronous_commit = on")
    stack.kill("postgres", signal.SIGKILL)
    stack.start_component("postgres")
    with psycopg.connect(stack.dsn) as connection:
        assert connection.execute("select text from notes where id = 7").fetchone() == ("kept",)


def test_a_frozen_component_goes_on_where_it_was(rest: httpx.Client, stack: Stack) -> None:
    stack.kill("postgrest", signal.SIGSTOP)
    try:
        with pytest.raises(httpx.ReadTimeout):
            rest.get("/rest/v1/notes", headers=key(stack.service_role_key), timeout=0.3)
    finally:
        stack.kill("postgrest", signal.SIGCONT)
    assert rest.get("/rest/v1/notes", headers=key(stack.service_role_key)).status_code in (200, 503)


def test_migrations_run_without_superuser_rights(stack: Stack) -> None:
    with psycopg.connect(stack.dsn) as connection:
        assert connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone() == (False,)
        applied = connection.execute("select version, name from supabase_migrations.schema_migrations").fetchall()
    assert applied == [("1", "notes")]
