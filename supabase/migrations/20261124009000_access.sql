-- Who may do what: service_role everything, nobody else anything.
--
-- Supabase grants new tables and functions in `public` to anon and authenticated by default; both layers
-- are closed here: no privilege, and row-level security without a policy.
do $$
declare
    v_name text;
begin
    foreach v_name in array array[
        'accounts', 'events', 'profiles', 'messages', 'reactions', 'comments', 'mentions', 'reply_rules',
        'outbox', 'dead_letters'
    ] loop
        execute format('alter table public.%I enable row level security', v_name);
        execute format('revoke all on table public.%I from public, anon, authenticated', v_name);
        execute format('grant select, insert, update, delete on table public.%I to service_role', v_name);
    end loop;
end;
$$;

do $$
declare
    v_function regprocedure;
begin
    for v_function in
        select p.oid::regprocedure
        from pg_catalog.pg_proc p
        where p.pronamespace = 'ingestion'::regnamespace
            or p.oid = any (array[
                'public.record_event'::regproc, 'public.begin_send'::regproc, 'public.finish_effect'::regproc,
                'public.finish_event'::regproc, 'public.mark_account'::regproc,
                'public.store_dead_letter'::regproc, 'public.ingestion_status'::regproc
            ]::oid[])
    loop
        execute format('revoke all on function %s from public, anon, authenticated', v_function);
        execute format('grant execute on function %s to service_role', v_function);
    end loop;
end;
$$;

revoke all on schema ingestion from public;
grant usage on schema ingestion to service_role;

alter table ingestion.rules_version enable row level security;
grant select, update on table ingestion.rules_version to service_role;
