-- Supabase's roles and default privileges, as a hosted project has them before its first migration.
--
-- This is a project made before May 2026: whatever a migration creates in `public` is granted to anon and
-- authenticated, so the migrations have to revoke it. A newer project grants nothing (new_project.sql).
-- `postgres`, who runs the migrations, is no superuser.
create role postgres login createdb createrole replication bypassrls;
alter database postgres owner to postgres;

create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant pg_monitor, pg_signal_backend, pg_read_all_data to postgres with admin option;

alter role anon set statement_timeout to '3s';
alter role authenticated set statement_timeout to '8s';
alter role authenticator set statement_timeout to '8s';
alter role authenticator set lock_timeout to '8s';

grant usage on schema public to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on sequences to postgres, anon, authenticated, service_role;

create schema extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role;
alter role postgres set search_path to "$user", public, extensions;
alter role authenticator set search_path to "$user", public, extensions;

-- Where the Supabase CLI keeps its record of applied migrations.
create schema supabase_migrations authorization postgres;
create table supabase_migrations.schema_migrations (
    version    text primary key,
    statements text[],
    name       text
);
alter table supabase_migrations.schema_migrations owner to postgres;
