-- Which version of the schema this database has, for whoever reaches it over PostgREST alone: the record that the
-- Supabase CLI keeps (supabase_migrations.schema_migrations) is not served there.

-- The version of the newest file in supabase/migrations. A migration that comes after it replaces this function with
-- its own version; tests/pipeline/test_doctor.py finds the one that forgot.
-- Not immutable: that is worked out once for a prepared statement, which then answers whoever comes next as well.
create function public.schema_version() returns text
language sql stable set search_path = ''
as $$ select '20261124009000' $$;
comment on function public.schema_version is 'The newest migration that this schema has.';
