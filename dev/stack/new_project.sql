-- The default privileges of a Supabase project made since May 2026: whatever a migration creates is granted to nobody,
-- not even to service_role. The migrations grant what they need. Run after roles.sql.
alter default privileges for role postgres in schema public
    revoke all on tables from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    revoke all on functions from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    revoke all on sequences from anon, authenticated, service_role;
alter default privileges for role postgres revoke execute on functions from public;
