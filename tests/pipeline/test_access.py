"""Nobody but the service role gets at anything, whatever the schema has come to hold.

The objects are those of the catalog, so that a table, view or function that a later migration adds is covered too.
"""

import tomllib
from collections.abc import Iterator
from typing import Any, LiteralString

import httpx
import pytest

from dev.stack import Ports, Stack, StackConfig, keys
from dev.stack.config import ROOT
from tests.support.builders import message, webhook
from tests.support.world import World

STRANGERS = ("anon", "authenticated")
NOT_ALLOWED = "42501"

TABLES_AND_VIEWS = """
    select c.oid, n.nspname as schema, c.relname as name, c.relkind::text as kind, c.relrowsecurity as guarded,
        c.reloptions as options
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'ingestion') and c.relkind in ('r', 'p', 'v', 'm', 'f')
    order by 2, 3
"""
FUNCTIONS = """
    select p.oid::regprocedure::text as signature, n.nspname as schema, p.proname as name,
        p.prosecdef as as_its_owner, p.proconfig as settings,
        coalesce(p.proargnames[:p.pronargs], '{}') as arguments
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname in ('public', 'ingestion')
    order by 2, 3
"""
# A right to a column is a right; PUBLIC's rights are everybody's.
RIGHTS_TO_TABLES = """
    select c.oid::regclass::text as what, right_to
    from pg_class c, unnest(array['select', 'insert', 'update', 'references']) right_to
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
        and c.relnamespace in ('public'::regnamespace, 'ingestion'::regnamespace)
        and has_any_column_privilege(%(role)s, c.oid, right_to)
    union all
    select c.oid::regclass::text, right_to
    from pg_class c, unnest(array['delete', 'truncate', 'trigger']) right_to
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
        and c.relnamespace in ('public'::regnamespace, 'ingestion'::regnamespace)
        and has_table_privilege(%(role)s, c.oid, right_to)
"""
RIGHTS_TO_SEQUENCES = """
    select c.oid::regclass::text as what, right_to
    from pg_class c, unnest(array['select', 'usage', 'update']) right_to
    where c.relkind = 'S' and c.relnamespace in ('public'::regnamespace, 'ingestion'::regnamespace)
        and has_sequence_privilege(%(role)s, c.oid, right_to)
"""
RIGHTS_TO_FUNCTIONS = """
    select p.oid::regprocedure::text as what
    from pg_proc p
    where p.pronamespace in ('public'::regnamespace, 'ingestion'::regnamespace)
        and has_function_privilege(%(role)s, p.oid, 'execute')
"""

# To a generated column PostgreSQL refuses a value before it looks at any right.
AN_ORDINARY_COLUMN = """
    select attname from pg_attribute
    where attrelid = %s and attnum > 0 and not attisdropped and attidentity = '' and attgenerated = ''
    order by attnum limit 1
"""


def tables(world: World) -> list[dict[str, Any]]:
    return [each for each in world.rows(TABLES_AND_VIEWS) if each["kind"] in "rp"]


def views(world: World) -> list[dict[str, Any]]:
    return [each for each in world.rows(TABLES_AND_VIEWS) if each["kind"] not in "rp"]


def views_of_their_owner(world: World) -> list[str]:
    return [each["name"] for each in views(world) if "security_invoker=true" not in (each["options"] or [])]


def functions_of_their_owner(world: World) -> list[str]:
    return [each["name"] for each in world.rows(FUNCTIONS) if each["as_its_owner"]]


def functions_without_search_path(world: World) -> list[str]:
    return [each["name"] for each in world.rows(FUNCTIONS) if 'search_path=""' not in (each["settings"] or [])]


def held(world: World, role: str, *queries: LiteralString) -> list[dict[str, Any]]:
    """What `role` may do, with every kind of object unless a query says with which."""
    queries = queries or (RIGHTS_TO_TABLES, RIGHTS_TO_SEQUENCES, RIGHTS_TO_FUNCTIONS)
    return [row for query in queries for row in world.db.execute(query, {"role": role})]


@pytest.fixture(scope="module")
def _older_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data_dir = tmp_path_factory.mktemp("older_project")
    config = StackConfig(data_dir, Ports.free(), time_scale=0.002, fast=True, echo="off")
    with Stack(config) as running:
        world = World(running)
        yield world
        world.close()


@pytest.fixture(params=["_world", "_older_project"], ids=["a project of today", "a project from before May 2026"])
def world(request: pytest.FixtureRequest) -> World:
    """The pipeline in a Supabase project that grants nothing by default, and in one that grants everything."""
    world: World = request.getfixturevalue(request.param)
    world.reset()
    return world


@pytest.fixture(params=["anon", "authenticated", "publishable key"])
def stranger(world: World, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Somebody with a key that a browser may hold, or who has signed in, at the front door of Supabase."""
    key = keys.PUBLISHABLE_KEY if request.param == "publishable key" else keys.supabase_jwt("anon")
    token = keys.supabase_jwt("authenticated") if request.param == "authenticated" else key
    headers = {"apikey": key, "Prefer": "return=representation"}
    if token != keys.PUBLISHABLE_KEY:
        headers["Authorization"] = f"Bearer {token}"
    with httpx.Client(base_url=f"{world.stack.supabase_url}/rest/v1", headers=headers, trust_env=False) as client:
        yield client


def test_the_catalog_holds_what_these_tests_are_about(world: World) -> None:
    assert {"messages", "profiles", "erased_people"} <= {each["name"] for each in tables(world)}
    assert {"conversations", "conversation_messages", "unhandled_events"} <= {each["name"] for each in views(world)}
    assert {"record_event", "apply_event"} <= {each["name"] for each in world.rows(FUNCTIONS)}


@pytest.mark.parametrize("role", STRANGERS)
def test_a_stranger_has_no_right_to_any_table_view_sequence_or_function(world: World, role: str) -> None:
    assert held(world, role) == []


@pytest.mark.parametrize("role", STRANGERS)
def test_a_stranger_does_not_get_into_the_schema_of_the_helpers(world: World, role: str) -> None:
    assert world.row("select has_schema_privilege(%s, 'ingestion', 'usage') as held", role) == {"held": False}


def test_every_table_has_row_level_security_and_no_policy_lets_anybody_through(world: World) -> None:
    assert [each["name"] for each in tables(world) if not each["guarded"]] == []
    assert world.rows("select * from pg_policies where schemaname in ('public', 'ingestion')") == []


def test_every_view_reads_with_the_rights_of_who_asks(world: World) -> None:
    assert views_of_their_owner(world) == []


def test_every_function_runs_with_the_rights_of_who_calls_and_a_fixed_search_path(world: World) -> None:
    assert functions_of_their_owner(world) == []
    assert functions_without_search_path(world) == []


def test_the_configuration_of_the_supabase_cli_exposes_no_schema_but_public() -> None:
    config = tomllib.loads((ROOT / "supabase" / "config.toml").read_text())
    assert config["api"]["schemas"] == ["public"]


def test_a_stranger_reads_no_table_or_view_through_the_api(world: World, stranger: httpx.Client) -> None:
    world.deliver(webhook(message("private words")))
    for each in world.rows(TABLES_AND_VIEWS):
        answer = stranger.get(f"/{each['name']}")
        if each["schema"] == "public":
            assert answer.status_code in (401, 403), each["name"]
            assert answer.json()["code"] == NOT_ALLOWED
        else:
            assert answer.status_code == 404, each["name"]
        assert "private words" not in answer.text


def test_a_stranger_writes_to_no_table_through_the_api(world: World, stranger: httpx.Client) -> None:
    world.deliver(webhook(message("private words")))
    before = world.snapshot()
    for each in tables(world):
        if each["schema"] != "public":
            continue
        column = world.row(AN_ORDINARY_COLUMN, each["oid"])["attname"]
        path, body = f"/{each['name']}", {column: "1"}
        answers = [
            stranger.post(path, json=body),
            stranger.patch(path, json=body, params={column: "eq.1"}),
            stranger.delete(path, params={column: "eq.1"}),
        ]
        assert [answer.json()["code"] for answer in answers] == [NOT_ALLOWED] * 3, each["name"]
    assert world.snapshot() == before


def test_a_stranger_calls_no_function_through_the_api(world: World, stranger: httpx.Client) -> None:
    world.deliver(webhook(message("private words")))
    before = world.snapshot()
    for each in world.rows(FUNCTIONS):
        answer = stranger.post(f"/rpc/{each['name']}", json=dict.fromkeys(each["arguments"]))
        if each["schema"] == "public":
            assert answer.status_code in (401, 403), each["name"]
            assert answer.json()["code"] == NOT_ALLOWED
        else:
            assert answer.status_code == 404, each["name"]
    assert world.snapshot() == before


def test_a_stranger_is_told_of_no_table_view_or_function(world: World, stranger: httpx.Client) -> None:
    answer = stranger.get("/")
    assert set(answer.json().get("paths", {})) <= {"/"}


def test_the_service_role_reads_every_table_and_view_and_may_call_every_function(world: World) -> None:
    key = world.stack.service_role_key
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    public = [each for each in world.rows(TABLES_AND_VIEWS) if each["schema"] == "public"]
    with httpx.Client(base_url=f"{world.stack.supabase_url}/rest/v1", headers=headers, trust_env=False) as client:
        refused = [each["name"] for each in public if client.get(f"/{each['name']}?limit=1").status_code != 200]
    assert refused == []
    callable_by_us = {each["what"] for each in held(world, "service_role", RIGHTS_TO_FUNCTIONS)}
    assert callable_by_us == {each["signature"] for each in world.rows(FUNCTIONS)}


def test_an_object_that_a_later_migration_leaves_open_is_found(world: World) -> None:
    world.db.execute(
        "create table public.forgotten (id bigint generated always as identity, words text);"
        "create view public.forgotten_view as select 1 as one;"
        "create function public.forgotten() returns integer language sql security definer return 1"
    )
    try:
        open_to_anon = {each["what"] for each in held(world, "anon")}
        unguarded = [each["name"] for each in tables(world) if not each["guarded"]]
        of_their_owner = views_of_their_owner(world) + functions_of_their_owner(world)
        without_search_path = functions_without_search_path(world)
    finally:
        world.db.execute("drop table public.forgotten; drop view public.forgotten_view; drop function public.forgotten")
    if not world.stack.config.new_project:
        assert open_to_anon == {"forgotten", "forgotten_view", "forgotten()", "forgotten_id_seq"}
    else:
        assert open_to_anon == set()
    assert unguarded == ["forgotten"]
    assert of_their_owner == ["forgotten_view", "forgotten"]
    assert without_search_path == ["forgotten"]
