-- Who may do what: service_role everything, nobody else anything.
--
-- Supabase grants new tables, views, sequences and functions in `public` to anon and authenticated by default. Both
-- layers are closed here: no privilege, and row-level security without a policy. A later migration that adds an
-- object does the same for it; tests/pipeline/test_access.py finds one that does not.
do $$
declare
    v_name text;
begin
    foreach v_name in array array[
        'accounts', 'events', 'profiles', 'messages', 'reactions', 'comments', 'mentions', 'reply_rules',
        'outbox', 'dead_letters', 'erasures', 'account_tokens'
    ] loop
        execute format('alter table public.%I enable row level security', v_name);
        execute format('revoke all on table public.%I from public, anon, authenticated', v_name);
        execute format('grant select, insert, update, delete on table public.%I to service_role', v_name);
    end loop;

    foreach v_name in array array['conversations', 'conversation_messages', 'unhandled_events'] loop
        execute format('revoke all on table public.%I from public, anon, authenticated', v_name);
        execute format('grant select on table public.%I to service_role', v_name);
    end loop;
end;
$$;

revoke all on sequence public.reply_rules_rule_id_seq from public, anon, authenticated;

do $$
declare
    v_function regprocedure;
begin
    for v_function in
        select p.oid::regprocedure
        from pg_catalog.pg_proc p
        where p.pronamespace = 'ingestion'::regnamespace
            or p.oid = any (array[
                'public.schema_version'::regproc,
                'public.record_event'::regproc, 'public.record_events'::regproc, 'public.enabled_rules'::regproc, 'public.begin_send'::regproc, 'public.finish_effect'::regproc,
                'public.finish_event'::regproc, 'public.mark_account'::regproc,
                'public.save_account'::regproc, 'public.list_accounts'::regproc, 'public.stored_tokens'::regproc,
                'public.tokens_due_for_refresh'::regproc, 'public.replace_token'::regproc,
                'public.stop_account'::regproc, 'public.forget_token'::regproc, 'public.expiring_tokens'::regproc,
                'public.store_dead_letter'::regproc, 'public.ingestion_status'::regproc,
                'public.mark_conversation_seen'::regproc, 'public.read_archive'::regproc,
                'public.measure_archive'::regproc, 'public.replay_event'::regproc,
                'public.expire_raw'::regproc, 'public.request_erasure'::regproc, 'public.run_erasure'::regproc,
                'public.erasure_status'::regproc, 'public.preview_erasure'::regproc,
                'public.pending_erasures'::regproc, 'public.deauthorize_account'::regproc,
                'public.unfinished_events'::regproc, 'public.expire_sends'::regproc,
                'public.unknown_sends'::regproc, 'public.settle_unknown'::regproc,
                'public.list_dead_letters'::regproc, 'public.count_dead_letters'::regproc,
                'public.close_dead_letter'::regproc, 'public.mark_letter_retried'::regproc,
                'public.give_up_event'::regproc, 'public.close_processed_dead_letters'::regproc,
                'public.list_unfinished'::regproc, 'public.raw'::regproc, 'public.learn_account'::regproc,
                'public.claim_sweep'::regproc, 'public.begin_sweep'::regproc, 'public.end_sweep'::regproc
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
grant select, insert, update, delete on table ingestion.erased_people to service_role;
grant select, insert on table ingestion.taken_proofs to service_role;
grant select, update on table ingestion.sweep_state to service_role;
grant select, insert, update, delete on table ingestion.conversation_order to service_role;
grant usage, select, update on sequence ingestion.raw_ids to service_role;
grant select, update on table ingestion.raw_segments to service_role;
grant select, insert, update, delete on table ingestion.raw_items to service_role;
do $$
begin
    for v_segment in 0 .. 63 loop
        execute format('grant select, truncate on table ingestion.%I to service_role', 'raw_items_' || v_segment);
    end loop;
end;
$$;
