-- What a person on call asks for first, and which schema this is.

-- What /api/health shows to a holder of the internal secret. Each count reads an index of what it counts, and never
-- the ledger, so it stays cheap however much is stored. So unhandled events are those of the last 24 hours; the view
-- unhandled_events has them all. An account may be active for some callers and not for one whose own token, of the digest
-- p_env_token, Meta has refused.
create function public.ingestion_status(p_env_token text default null) returns jsonb
language sql stable set search_path = ''
return jsonb_build_object(
    'unfinished_events', (
        select count(*) from public.events e
        where e.processed_at is null and e.given_up_at is null and e.recorded_at < now() - interval '5 minutes'
    ),
    'unknown_sends', (select count(*) from public.outbox o where o.state = 'unknown'),
    'guessed_sends', (select count(*) from public.outbox o where o.state = 'unknown' and o.mid_guessed),
    'open_dead_letters', (select count(*) from public.dead_letters d where d.state = 'open'),
    'unresolved_erasures', (select count(*) from public.erasures e where e.state = 'unresolved'),
    'last_sweep', (select s.swept_at from ingestion.sweep_state s),
    'accounts_not_active', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'account_id', a.account_id, 'state', ingestion.state_for(a, p_env_token),
            'code', coalesce(a.state_code, case when a.state = 'active' then 'env_token_dead' end)
        ) order by a.account_id), '[]')
        from public.accounts a where a.state <> 'active' or ingestion.state_for(a, p_env_token) <> 'active'
    ),
    'tokens_expiring', public.expiring_tokens(),
    'unhandled_events_24h', (
        select coalesce(jsonb_object_agg(u.topic, u.events), '{}')
        from (
            select coalesce(e.topic, '-') as topic, count(*) as events
            from public.events e
            where e.kind = 'unknown' and e.recorded_at > now() - interval '24 hours'
            group by coalesce(e.topic, '-')
        ) u
    )
);
comment on function public.ingestion_status is 'Counts a person on call asks for first.';

-- Returns the version of the newest file in supabase/migrations. The record that the Supabase CLI keeps
-- (supabase_migrations.schema_migrations) is not served over PostgREST. A later migration replaces this function with
-- its own version; tests/cli/test_doctor.py finds one that does not. Not immutable: a prepared statement would
-- evaluate it once, and answer the old version after a migration.
create function public.schema_version() returns text
language sql stable set search_path = ''
as $$ select '20261124009000' $$;
comment on function public.schema_version is 'The newest migration that this schema has.';
