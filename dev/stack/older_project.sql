-- The default privileges of a Supabase project made before May 2026: whatever a migration creates in `public` is granted
-- to anon and authenticated, so the migrations have to revoke it. Run after roles.sql.
alter default privileges for role postgres grant execute on functions to public;
alter default privileges for role postgres in schema public
    grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on sequences to postgres, anon, authenticated, service_role;
