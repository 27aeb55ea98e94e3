"""What Supabase's linter would say of the schema (Supabase, "Database Advisors"; its SQL is `splinter`): nothing.

The linter itself asks a hosted project, or a server by its URL: `npx supabase@3 db advisors --remote`. These are its
rules as far as they can apply here, in queries of our own over the catalog, for the schema `ingestion` too, which the
linter takes for nobody's business. Each is shown something that it has to find, in a transaction that is rolled back.

Elsewhere: row-level security, rights, views with the rights of who asks (`security_invoker`), functions with a fixed
`search_path` and without SECURITY DEFINER are `test_access`'s. There is no policy, so no rule about policies applies;
that a table has row-level security and no policy is level INFO, and meant: nobody but the service role gets in. Which
index is not used, and how bloated a table is, only a database in use can say.
"""

from typing import LiteralString

from tests.support.world import World

# 0001. The foreign key's columns have to be the first of some index over the whole table.
FOREIGN_KEYS_WITHOUT_INDEX = """
    select c.conrelid::regclass || ' ' || c.conname as found
    from pg_constraint c
    where c.contype = 'f' and c.connamespace in ('public'::regnamespace, 'ingestion'::regnamespace)
        and not exists (
            select from pg_index i
            where i.indrelid = c.conrelid and i.indisvalid and i.indpred is null
                and (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey
        )
"""
# 0004
TABLES_WITHOUT_KEY = """
    select c.oid::regclass::text as found
    from pg_class c
    where c.relkind in ('r', 'p') and c.relnamespace in ('public'::regnamespace, 'ingestion'::regnamespace)
        and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
"""
# 0009. Two indexes that say the same but for their name.
DUPLICATE_INDEXES = """
    select string_agg(c.relname, ', ' order by c.relname) as found
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where c.relnamespace in ('public'::regnamespace, 'ingestion'::regnamespace)
    group by i.indrelid, i.indkey::text, i.indclass::text, i.indoption::text, i.indcollation::text, c.relam,
        pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid)
    having count(*) > 1
"""
# 0002, 0021. Whoever depends on a table of Supabase's own shows it, or is broken when it changes.
DEPENDENTS_OF_OTHER_SCHEMAS = """
    select v.oid::regclass || ' -> ' || t.oid::regclass as found
    from pg_class v
        join pg_rewrite r on r.ev_class = v.oid
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            and d.refclassid = 'pg_class'::regclass
        join pg_class t on t.oid = d.refobjid
    where v.relnamespace in ('public'::regnamespace, 'ingestion'::regnamespace)
        and t.relnamespace not in ('public'::regnamespace, 'ingestion'::regnamespace, 'pg_catalog'::regnamespace)
    union
    select c.conrelid::regclass || ' -> ' || c.confrelid::regclass
    from pg_constraint c join pg_class t on t.oid = c.confrelid
    where c.contype = 'f' and c.connamespace in ('public'::regnamespace, 'ingestion'::regnamespace)
        and t.relnamespace not in ('public'::regnamespace, 'ingestion'::regnamespace)
"""
# 0014, 0022: none in `public`, and none at all that could grow old.
EXTENSIONS = "select extname as found from pg_extension where extname <> 'plpgsql'"
# 0016, 0017: row-level security does not reach them.
UNGUARDABLE = """
    select c.oid::regclass::text as found
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('m', 'f')
"""
# 0018. They hinder pg_upgrade (PostgreSQL, "pg_upgrade"), which is how Supabase moves a project to a newer PostgreSQL.
COLUMNS_THAT_HINDER_UPGRADES = """
    select a.attrelid::regclass || '.' || a.attname as found
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace in ('public'::regnamespace, 'ingestion'::regnamespace) and c.relkind in ('r', 'p')
        and a.attnum > 0 and not a.attisdropped
        and a.atttypid in (
            'regcollation'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype, 'regnamespace'::regtype,
            'regoper'::regtype, 'regoperator'::regtype, 'regproc'::regtype, 'regprocedure'::regtype
        )
"""
# 0030
NOT_LOOKED_AFTER = """
    select c.oid::regclass::text as found
    from pg_class c left join pg_index i on i.indexrelid = c.oid
    where c.relnamespace in ('public'::regnamespace, 'ingestion'::regnamespace)
        and (not i.indisvalid or c.reloptions && array['autovacuum_enabled=false', 'autovacuum_enabled=off'])
"""


def found(world: World, rule: LiteralString, *, after: LiteralString | None = None) -> list[str]:
    """What breaks a rule; with `after`, what would if that were done."""
    with world.db.transaction(force_rollback=True):
        if after is not None:
            world.db.execute(after)
        return sorted(str(row["found"]) for row in world.db.execute(rule))


def test_every_foreign_key_has_an_index_that_begins_with_its_columns(world: World) -> None:
    assert found(world, FOREIGN_KEYS_WITHOUT_INDEX) == []
    forgotten = """
        create table ingestion.forgotten (id int primary key, code text references public.erasures, day date);
        create index on ingestion.forgotten (day, code);
        create index on ingestion.forgotten (code) where day is not null;
    """
    name = "ingestion.forgotten forgotten_code_fkey"
    assert found(world, FOREIGN_KEYS_WITHOUT_INDEX, after=forgotten) == [name]
    mended = "create table ingestion.mended (code text references public.erasures, day date, unique (code, day));"
    assert found(world, FOREIGN_KEYS_WITHOUT_INDEX, after=mended) == []


def test_every_table_has_a_primary_key(world: World) -> None:
    assert found(world, TABLES_WITHOUT_KEY) == []
    assert found(world, TABLES_WITHOUT_KEY, after="create table public.forgotten (id int unique)") == ["forgotten"]


def test_no_two_indexes_are_the_same(world: World) -> None:
    assert found(world, DUPLICATE_INDEXES) == []
    twice = "create index again on public.events (recorded_at)"
    assert found(world, DUPLICATE_INDEXES, after=twice) == ["again, events_by_time"]
    other_way = "create index other_way on public.events (recorded_at desc)"
    assert found(world, DUPLICATE_INDEXES, after=other_way) == []


def test_nothing_shows_or_refers_to_a_table_of_another_schema(world: World) -> None:
    assert found(world, DEPENDENTS_OF_OTHER_SCHEMAS) == []
    shown = """
        create schema auth; create table auth.users (id int primary key);
        create view public.people as select * from auth.users;
        create table public.settings (id int primary key references auth.users);
    """
    assert found(world, DEPENDENTS_OF_OTHER_SCHEMAS, after=shown) == ["people -> auth.users", "settings -> auth.users"]


def test_no_extension_is_needed(world: World) -> None:
    assert found(world, EXTENSIONS) == []
    assert found(world, EXTENSIONS, after="create extension citext schema public") == ["citext"]


def test_nothing_is_exposed_that_row_level_security_can_not_guard(world: World) -> None:
    assert found(world, UNGUARDABLE) == []
    stored = "create materialized view public.stored as select 1 as one"
    assert found(world, UNGUARDABLE, after=stored) == ["stored"]


def test_no_column_hinders_the_move_to_a_newer_postgresql(world: World) -> None:
    assert found(world, COLUMNS_THAT_HINDER_UPGRADES) == []
    typed = "create table public.typed (id int primary key, calls regprocedure)"
    assert found(world, COLUMNS_THAT_HINDER_UPGRADES, after=typed) == ["typed.calls"]


def test_every_index_is_valid_and_every_table_is_vacuumed(world: World) -> None:
    assert found(world, NOT_LOOKED_AFTER) == []
    left_alone = "alter table public.events set (autovacuum_enabled = off)"
    assert found(world, NOT_LOOKED_AFTER, after=left_alone) == ["events"]
