"""A newer schema on a database that is in use: no row is lost, and the functions of the version before go on.

They have to: the schema is pushed first, then the functions are deployed (docs/deploy.md). Nothing has been released
so far, so two things stand for the version before: each of today's migrations has the ones before it, with rows in
their tables; and all of them have a next one, of the kind that CONTRIBUTING.md asks for.

A stack of its own, as a schema that is pushed does not go away again.
"""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from dev.stack import Ports, Stack, StackConfig
from dev.stack.config import ROOT
from dev.stack.errors import StackError
from tests.support.builders import edit, message, reaction, webhook
from tests.support.world import World

MIGRATIONS = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))
WITH_THE_TABLES = "20261124000100"
"""From this version on there are tables to have rows in."""

# As the first version writes them. Frozen: released migrations are not edited, so these always fit.
FIRST_ROWS: LiteralString = """
    insert into accounts (account_id, app_scoped_id, username) values ('1784', '2890', 'another');
    insert into account_tokens (account_id, ciphertext, expires_at)
        values ('1784', 'gAAAAABo_sealed==', now() + interval '60 days');
    insert into events (event_id, kind, account_id, contact_id, mid, direction, via, occurred_at, received_at)
        values
            ('ig_msg_m_1', 'message', '17841400000000000', '6001234567890123', 'm_1', 'inbound', 'queue', now(), now()),
            ('ig_x_1', 'unknown', '17841400000000000', null, null, 'inbound', 'direct', now(), now());
    insert into ingestion.raw_items (raw_id, names_nobody, item)
        select raw_id, false, '{"message": {}}' from events where mid = 'm_1';
    insert into profiles (account_id, igsid, username, first_seen_at, last_seen_at, last_inbound_at, last_message_at)
        values ('17841400000000000', '6001234567890123', 'somebody', now(), now(), now(), now());
    insert into ingestion.conversation_order (account_id, contact_id, last_message_at, may_be_unread)
        values ('17841400000000000', '6001234567890123', now(), true);
    insert into messages (account_id, mid, contact_id, direction, kind, text, sent_at, event_id)
        values ('17841400000000000', 'm_1', '6001234567890123', 'inbound', 'message', 'hello', now(), 'ig_msg_m_1');
    insert into reactions (account_id, mid, actor_id, contact_id, action, reaction, acted_at, event_id)
        values ('17841400000000000', 'm_1', '6001234567890123', '6001234567890123', 'react', 'love', now(), 'ig_rx_1');
    insert into comments (account_id, comment_id, contact_id, text, commented_at, event_id)
        values ('17841400000000000', 'c_1', '6001234567890123', 'nice', now(), 'ig_comment_c_1');
    insert into mentions (event_id, account_id, media_id, mentioned_at)
        values ('ig_mention_1', '17841400000000000', 'media', now());
    insert into reply_rules (trigger, pattern, reply_text) values ('keyword', 'price', 'Here');
    insert into outbox (effect_id, event_id, kind, account_id, contact_id, payload, state)
        values ('dm:1', 'ig_msg_m_1', 'dm', '17841400000000000', '6001234567890123', '{"text": "Here"}', 'unknown');
    insert into dead_letters (source_message_id, event_id, error_code, event)
        values ('msg_1', 'ig_msg_m_0', 'database_constraint', '{"kind": "message"}');
    insert into erasures (code, scope, via, state) values ('CODE', 'contact', 'command', 'done');
    insert into ingestion.erased_people values ('\\x00', now());
    insert into ingestion.taken_proofs (proof, door) values ('digest', 'deauthorize');
"""

NEXT_VERSION = "20991231000100"
NEXT_MIGRATION = f"""
alter table public.messages add column language text;
create index messages_by_language on public.messages (account_id, language) where language is not null;

create table public.labels (label_id bigint generated always as identity primary key, name text not null);
alter table public.labels enable row level security;
revoke all on table public.labels from public, anon, authenticated;
grant select, insert, update, delete on table public.labels to service_role;

create or replace function public.schema_version() returns text
language sql stable set search_path = ''
as $$ select '{NEXT_VERSION}' $$;
"""
FAILING_MIGRATION = """
alter table public.messages add column half_done text;
update public.messages set half_done = 'yes';
alter table public.messages add column text text;
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A pipeline whose migrations are in a folder of its own; at first those that make the tables."""
    folder = tmp_path_factory.mktemp("migrations")
    for path in MIGRATIONS:
        if path.name < f"{WITH_THE_TABLES}_~":
            add(folder, path.name, path.read_text())
    data_dir = tmp_path_factory.mktemp("older")
    config = StackConfig(data_dir, Ports.free(), time_scale=0.002, fast=True, echo="off", migrations_dir=folder)
    with Stack(config) as running:
        world = World(running)
        yield world
        world.close()


@pytest.fixture
def upgraded(older: World) -> World:
    """The same with all of today's migrations, and empty."""
    for path in MIGRATIONS:
        add(older.stack.config.migrations_dir, path.name, path.read_text())
    older.stack.migrate()
    older.reset()
    return older


def add(folder: Path, name: str, sql: str) -> None:
    (folder / name).write_text(sql)


def rows(world: World) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, ours and the helpers'."""
    tables = world.rows(
        "select relnamespace::regnamespace::text as schemaname, relname as tablename from pg_class"
        " where relkind in ('r', 'p') and not relispartition"
        " and relnamespace in ('public'::regnamespace, 'ingestion'::regnamespace)"
    )
    return {
        f"{each['schemaname']}.{each['tablename']}": [
            row["row"]
            for row in world.db.execute(
                psycopg.sql.SQL("select to_jsonb(t) as row from {} t order by to_jsonb(t)::text").format(
                    psycopg.sql.Identifier(each["schemaname"], each["tablename"])
                )
            )
        ]
        for each in tables
    }


def as_before(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> bool:
    """Is every row still there, and the same in each column that it had? Columns and tables may have come."""
    for table, known in before.items():
        columns = set(known[0]) if known else set()
        kept = [{name: row[name] for name in columns} for row in after[table]] if known else after[table]
        if sorted(map(repr_of, kept)) != sorted(map(repr_of, known)):
            return False
    return True


def repr_of(row: dict[str, Any]) -> str:
    return repr(sorted(row.items()))


def test_each_migration_runs_on_the_ones_before_it_and_keeps_every_row(older: World) -> None:
    older.db.execute(FIRST_ROWS)
    filled = rows(older)
    assert [table for table, found in filled.items() if not found] == []
    for path in MIGRATIONS[len(list(older.stack.config.migrations_dir.iterdir())) :]:
        before = rows(older)
        add(older.stack.config.migrations_dir, path.name, path.read_text())
        assert older.stack.migrate() == 1, path.name
        assert as_before(before, rows(older)), path.name
    older.deliver(webhook(message("price?", mid="m_2"), edit("m_1", "hello!")))
    assert older.row("select text from messages where mid = 'm_1'") == {"text": "hello!"}
    assert older.row("select state from outbox where effect_id <> 'dm:1'") == {"state": "sent"}
    assert older.row("select last_text, unread_count from conversations") == {"last_text": "Here", "unread_count": 0}


def test_the_functions_of_the_version_before_go_on_during_a_migration_and_after_it(upgraded: World) -> None:
    upgraded.deliver(webhook(message("hello", mid="m_1"), reaction("m_1")))
    before, answers, stop = rows(upgraded), list[int](), threading.Event()

    def keep_writing() -> None:
        while not stop.is_set():
            answers.append(upgraded.post_webhook(webhook(message("hello"))).status_code)

    add(upgraded.stack.config.migrations_dir, f"{NEXT_VERSION}_next.sql", NEXT_MIGRATION)
    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        applied = upgraded.stack.migrate()
    finally:
        stop.set()
        writer.join()
    upgraded.settle()
    upgraded.deliver(webhook(edit("m_1", "hello!")))

    assert applied == 1
    assert set(answers) == {200}
    assert upgraded.count("messages") == 1 + len(answers)
    assert upgraded.count("dead_letters") == 0
    found = rows(upgraded)
    assert {row["event_id"] for row in before["public.events"]} < {row["event_id"] for row in found["public.events"]}
    assert as_before({"public.reactions": before["public.reactions"]}, {"public.reactions": found["public.reactions"]})
    assert upgraded.row("select text, language from messages where mid = 'm_1'") == {"text": "hello!", "language": None}
    assert upgraded.row("select schema_version() as version") == {"version": NEXT_VERSION}
    assert upgraded.stack.migrate() == 0
    assert rows(upgraded) == found


def test_a_migration_that_fails_leaves_the_version_before_as_it_was(upgraded: World) -> None:
    upgraded.deliver(webhook(message("hello", mid="m_1")))
    before, versions = rows(upgraded), applied(upgraded)
    file = upgraded.stack.config.migrations_dir / "20991231000200_failing.sql"
    file.write_text(FAILING_MIGRATION)
    try:
        with pytest.raises(StackError, match=r'20991231000200_failing failed: column "text".* already exists'):
            upgraded.stack.migrate()
    finally:
        file.unlink()
    assert rows(upgraded) == before
    assert applied(upgraded) == versions
    upgraded.deliver(webhook(message("still there?")))
    assert upgraded.count("messages") == 2


def test_a_migration_that_was_applied_can_not_be_taken_away_unnoticed(upgraded: World) -> None:
    file = upgraded.stack.config.migrations_dir / MIGRATIONS[0].name
    sql = file.read_text()
    file.unlink()
    try:
        with pytest.raises(StackError, match=re.escape(MIGRATIONS[0].name.partition("_")[0])):
            upgraded.stack.migrate()
    finally:
        file.write_text(sql)
    assert upgraded.stack.migrate() == 0


def applied(world: World) -> list[str]:
    """The versions in the record that the Supabase CLI keeps as well."""
    return [
        row["version"] for row in world.rows("select version from supabase_migrations.schema_migrations order by 1")
    ]
