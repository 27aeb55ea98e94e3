-- What happens to an event after it was recorded: its sends, its profile, its end; and what people look at.

-- When the next send may leave, so that of what p_scope counts (the sends of the account, those to the person, the
-- account's private replies) at most p_count do in any p_window_s seconds: so long after the p_count-th latest. What
-- has left counts everywhere; what waits counts by its slot, where it waits.
create function ingestion.next_slot(
    p_effect public.outbox, p_scope text, p_count integer, p_window_s double precision
) returns timestamptz
language plpgsql stable set search_path = ''
as $$
declare
    v_since timestamptz := now() - p_window_s * interval '1 second';
    v_nth timestamptz;
begin
    case p_scope
        when 'account' then
            select o.slot_at into v_nth from public.outbox o
            where o.account_id = p_effect.account_id
                and o.slot_at > v_since and coalesce(o.waits_for, 'account') = 'account'
            order by o.slot_at desc offset p_count - 1 limit 1;
        when 'thread' then
            select o.slot_at into v_nth from public.outbox o
            where o.account_id = p_effect.account_id and o.contact_id = p_effect.contact_id
                and o.slot_at > v_since and coalesce(o.waits_for, 'thread') = 'thread'
            order by o.slot_at desc offset p_count - 1 limit 1;
        when 'private_reply' then
            select o.slot_at into v_nth from public.outbox o
            where o.account_id = p_effect.account_id and o.kind = 'private_reply'
                and o.slot_at > v_since and coalesce(o.waits_for, 'private_reply') = 'private_reply'
            order by o.slot_at desc offset p_count - 1 limit 1;
    end case;
    return v_nth + p_window_s * interval '1 second';
end;
$$;

-- Where the limits make an effect wait, and until when; no row where it may leave. Of what it has waited for, and of
-- what comes before that, it is not asked again: a slot that was given is kept.
-- `p_limits` is {account, thread, private_reply}, each {count, window_s}.
create function ingestion.send_delay(p_effect public.outbox, p_limits jsonb)
returns table (waits_for text, slot_at timestamptz)
language plpgsql set search_path = ''
as $$
declare
    v_scopes text[] := array['private_reply', 'thread', 'account'];
    v_scope text;
    v_slot timestamptz := p_effect.slot_at;
begin
    if v_slot > clock_timestamp() then
        return query select p_effect.waits_for, v_slot;
        return;
    end if;
    -- One at a time for each account, so that no two take the same slot. Everybody locks the effect's row first.
    perform pg_advisory_xact_lock(hashtextextended('send/' || p_effect.account_id, 0));
    v_scopes := v_scopes[coalesce(array_position(v_scopes, p_effect.waits_for), 0) + 1:];
    foreach v_scope in array v_scopes loop
        continue when v_scope = 'private_reply' and p_effect.kind <> 'private_reply';
        v_slot := ingestion.next_slot(
            p_effect, v_scope,
            (p_limits #>> array[v_scope, 'count'])::integer, (p_limits #>> array[v_scope, 'window_s'])::double precision
        );
        if v_slot > clock_timestamp() then
            return query select v_scope, v_slot;
            return;
        end if;
    end loop;
end;
$$;

-- The last step before a direct message leaves. `p_message` is the message as it will be sent; it is what an echo is
-- matched by. `p_options`: {limits} (see ingestion.send_delay; without them nothing waits), {patience_s}, {dry_run}.
-- Returns {go, code, retry_after, kept}:
--   go           it may leave, and is marked as perhaps on its way
--   retry_after  the limits make it wait, for so many seconds. `kept`: not longer than patience_s, so the caller still
--                has it, and asks again then; else it is planned for later, and the event has to come back
--   code alone   it must not leave; a dry run ends here too
create function public.begin_send(
    p_effect_id text, p_token uuid, p_message jsonb, p_lease_s integer default 30, p_options jsonb default '{}'
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_effect public.outbox;
    v_event public.events;
    v_obstacle text;
    v_delay record;
    v_wait_s double precision;
    v_kept boolean;
begin
    select * into v_effect from public.outbox o where o.effect_id = p_effect_id for update;
    if not found then
        return jsonb_build_object('go', false, 'code', 'effect_not_found');
    end if;
    if v_effect.state <> 'claimed' or v_effect.lease_token is distinct from p_token then
        return jsonb_build_object('go', false, 'code', 'lease_lost');
    end if;
    select * into v_event from public.events e where e.event_id = v_effect.event_id;
    v_obstacle := coalesce(
        ingestion.send_obstacle(
            v_effect.kind, v_effect.account_id, v_effect.contact_id, v_event.mid, v_event.occurred_at
        ),
        case when (p_options ->> 'dry_run')::boolean then 'dry_run' end
    );
    if v_obstacle is not null then
        update public.outbox o set
            state = 'skipped', error_code = v_obstacle, finished_at = now(), payload = p_message,
            slot_at = null, waits_for = null
        where o.effect_id = p_effect_id;
        return jsonb_build_object('go', false, 'code', v_obstacle);
    end if;

    if p_options ? 'limits' then
        select * into v_delay from ingestion.send_delay(v_effect, p_options -> 'limits');
        if found then
            v_wait_s := greatest(0, extract(epoch from v_delay.slot_at - clock_timestamp()));
            v_kept := v_wait_s <= coalesce((p_options ->> 'patience_s')::double precision, 0);
            update public.outbox o set
                slot_at = v_delay.slot_at,
                waits_for = v_delay.waits_for,
                state = case when v_kept then o.state else 'planned' end,
                error_code = case when v_kept then o.error_code else 'send_delayed' end,
                not_before = case when not v_kept then v_delay.slot_at end,
                lease_token = case when v_kept then o.lease_token end,
                lease_until = case when v_kept then o.lease_until end
            where o.effect_id = p_effect_id;
            return jsonb_build_object('go', false, 'code', 'send_delayed', 'retry_after', v_wait_s, 'kept', v_kept);
        end if;
    end if;

    update public.outbox o set
        state = 'sending',
        slot_at = clock_timestamp(),
        waits_for = null,
        sending_at = clock_timestamp(),
        lease_until = clock_timestamp() + p_lease_s * interval '1 second',
        payload = p_message
    where o.effect_id = p_effect_id;
    return jsonb_build_object('go', true);
end;
$$;
comment on function public.begin_send is 'Writes "may be on its way" before a message leaves; only the holder of the lease may.';

-- The sends of a conversation whose mid is not known look for their echoes among those that came, the oldest first.
create function ingestion.match_echoes(p_account text, p_contact text) returns void
language plpgsql set search_path = ''
as $$
declare
    v_effect public.outbox;
    v_mid text;
begin
    for v_effect in
        select o.* from public.outbox o
        where o.account_id = p_account and o.contact_id = p_contact and o.kind <> 'next_phase'
            and o.mid is null and o.state in ('sending', 'unknown', 'sent')
        order by o.sending_at, o.effect_id
        for update
    loop
        v_mid := ingestion.find_echo(v_effect);
        update public.outbox o set
            state = 'sent',
            mid = v_mid,
            mid_guessed = true,
            finished_at = coalesce(o.finished_at, now()),
            error_code = null
        where o.effect_id = v_effect.effect_id and v_mid is not null;
    end loop;
end;
$$;

-- The answer to a send knows better than a guess (same words, same person, same minutes). Who had been given its mid
-- looks for another echo, and who has been waiting for the echo it had been given itself may have that one now.
-- `p_effect` is the send as it was before its answer.
create function ingestion.take_mid(p_effect public.outbox, p_mid text) returns void
language plpgsql set search_path = ''
as $$
begin
    update public.outbox o set mid = null, mid_guessed = false, state = 'unknown', error_code = 'echo_reassigned'
    where o.account_id = p_effect.account_id and o.mid = p_mid and o.kind <> 'next_phase'
        and o.effect_id <> p_effect.effect_id and o.mid_guessed;
    if found or p_effect.mid <> p_mid then
        perform ingestion.match_echoes(p_effect.account_id, p_effect.contact_id);
    end if;
end;
$$;

-- What we sent, as a message, until its echo comes and has the last word.
create function ingestion.show_sent(p_effect public.outbox, p_mid text) returns void
language sql set search_path = ''
as $$
    insert into public.messages (
        account_id, mid, contact_id, direction, kind, text, attachments, sent_at, is_provisional
    )
    values (
        p_effect.account_id, p_mid, p_effect.contact_id, 'outbound', 'echo', p_effect.payload ->> 'text',
        ingestion.sent_attachments(p_effect.payload), coalesce(p_effect.sending_at, now()), true
    )
    on conflict (account_id, mid) do nothing;

    update public.profiles p set
        last_outbound_at = greatest(p.last_outbound_at, p_effect.sending_at),
        last_message_at = greatest(p.last_message_at, p_effect.sending_at)
    where p.account_id = p_effect.account_id and p.igsid = p_effect.contact_id;
$$;

-- How a send ended: 'sent' (with its mid), 'failed', 'unknown', 'skipped', or 'planned' to try again later.
-- An echo may have settled it first; then it stays sent. Returns {state} as it now stands.
create function public.finish_effect(
    p_effect_id text, p_token uuid, p_state text,
    p_mid text default null, p_code text default null, p_retry_after_s double precision default null
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_effect public.outbox;
    v_mid text := p_mid;
    v_state text := p_state;
begin
    if p_state not in ('sent', 'failed', 'unknown', 'skipped', 'planned') then
        raise exception 'no such end of an effect: %', p_state using errcode = '22023';
    end if;
    -- The person before the effect, as the echo of this send takes them: it often comes at this very moment.
    perform from public.profiles p
    join public.outbox o on o.account_id = p.account_id and o.contact_id = p.igsid
    where o.effect_id = p_effect_id and p_state = 'sent'
    for update of p;
    select * into v_effect from public.outbox o where o.effect_id = p_effect_id for update;
    if not found or v_effect.lease_token is distinct from p_token then
        return jsonb_build_object('state', coalesce(v_effect.state, 'missing'));
    end if;
    if v_effect.state = 'sent' and p_state <> 'sent' then
        return jsonb_build_object('state', 'sent');
    end if;
    if p_state = 'unknown' then
        v_mid := ingestion.find_echo(v_effect);
        v_state := case when v_mid is null then 'unknown' else 'sent' end;
    elsif p_state = 'sent' and p_mid is not null then
        perform ingestion.show_sent(v_effect, p_mid);
    end if;
    update public.outbox o set
        state = v_state,
        mid = coalesce(v_mid, o.mid),
        mid_guessed = p_state = 'unknown' and v_mid is not null,
        error_code = case when v_state = 'sent' then null else p_code end,
        slot_at = case when v_state <> 'planned' then o.slot_at end,
        waits_for = null,
        not_before = case when v_state = 'planned'
            then clock_timestamp() + coalesce(p_retry_after_s, 0) * interval '1 second' end,
        lease_token = case when v_state = 'planned' then null else o.lease_token end,
        lease_until = case when v_state = 'planned' then null else o.lease_until end,
        finished_at = case when v_state <> 'planned' then now() end
    where o.effect_id = p_effect_id;
    if p_state = 'sent' and p_mid is not null then
        perform ingestion.take_mid(v_effect, p_mid);
    end if;
    return jsonb_build_object('state', v_state);
end;
$$;
comment on function public.finish_effect is 'Records how one effect ended.';

-- The newest fetch wins. A refusal keeps what was known before, and counts.
create function ingestion.save_profile(p_account text, p_contact text, p_profile jsonb) returns void
language plpgsql set search_path = ''
as $$
declare
    v_fetched_at timestamptz := ingestion.from_ms((p_profile ->> 'fetched_at')::bigint);
begin
    if p_profile ->> 'state' = 'complete' then
        update public.profiles p set
            state = 'complete',
            unavailable_code = null,
            refusals = 0,
            fetched_at = v_fetched_at,
            username = p_profile ->> 'username',
            name = p_profile ->> 'name',
            profile_pic = p_profile ->> 'profile_pic',
            follower_count = (p_profile ->> 'follower_count')::integer,
            is_verified_user = (p_profile ->> 'is_verified_user')::boolean,
            is_user_follow_business = (p_profile ->> 'is_user_follow_business')::boolean,
            is_business_follow_user = (p_profile ->> 'is_business_follow_user')::boolean
        where p.account_id = p_account and p.igsid = p_contact
            and v_fetched_at >= coalesce(p.fetched_at, '-infinity');
    else
        update public.profiles p set
            state = 'unavailable',
            unavailable_code = p_profile ->> 'code',
            refusals = p.refusals + 1,
            fetched_at = v_fetched_at
        where p.account_id = p_account and p.igsid = p_contact
            and v_fetched_at >= coalesce(p.fetched_at, '-infinity');
    end if;
end;
$$;

-- The end of an event: its published next phases ([{effect_id, message_id}]), its profile where one was
-- fetched, and, where nothing is owed any more and `p_complete`, the mark that it is processed.
-- Returns {finished, retry_after}.
create function public.finish_event(
    p_event_id text, p_token uuid, p_published jsonb default '[]', p_profile jsonb default null,
    p_complete boolean default true
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_event public.events;
    v_wait double precision;
begin
    select * into v_event from public.events e where e.event_id = p_event_id for update;
    if not found then
        return jsonb_build_object('finished', false);
    end if;
    if p_profile is not null and v_event.contact_id is not null then
        perform ingestion.save_profile(v_event.account_id, v_event.contact_id, p_profile);
    end if;
    update public.outbox o set
        state = 'sent', mid = p.value ->> 'message_id', finished_at = now(), error_code = null
    from jsonb_array_elements(p_published) p
    where o.effect_id = p.value ->> 'effect_id' and o.event_id = p_event_id
        and o.kind = 'next_phase' and o.state <> 'sent';
    -- null: by whomever it is owed, ourselves included.
    v_wait := ingestion.owed_in_s(p_event_id, null);
    if v_wait is null and p_complete and v_event.processed_at is null then
        update public.events e set processed_at = now() where e.event_id = p_event_id;
    end if;
    return jsonb_build_object('finished', v_wait is null and p_complete, 'retry_after', v_wait);
end;
$$;
comment on function public.finish_event is 'Closes an event: published next phases, the fetched profile, processed.';

-- The token died (needs_reauth) or Meta restricted the account (stopped): sends stop, ingestion goes on.
create function public.mark_account(p_account_id text, p_state text, p_code text default null) returns void
language sql set search_path = ''
as $$
    insert into public.accounts as a (account_id, state, state_code, state_changed_at)
    values (ingestion.resolve_account(p_account_id), p_state, p_code, now())
    on conflict (account_id) do update set
        state = excluded.state, state_code = excluded.state_code, state_changed_at = excluded.state_changed_at
    where a.state <> excluded.state or a.state_code is distinct from excluded.state_code;
$$;
comment on function public.mark_account is 'Sets the state of one account; an unknown account gets a row.';

-- A message QStash gave up on. The same failure callback delivered again changes nothing, and a letter that
-- was replayed or discarded since stays so. Of who was erased no letter is kept.
create function public.store_dead_letter(p_letter jsonb) returns boolean
language plpgsql set search_path = ''
as $$
begin
    if ingestion.is_erased(
        p_letter -> 'event', ingestion.resolve_account(p_letter ->> 'account_id'),
        ingestion.from_ms((p_letter #>> '{event,occurred_at}')::bigint)
    ) then
        return false;
    end if;
    insert into public.dead_letters (
        source_message_id, dlq_id, event_id, kind, account_id, url, status, error_code, retried, max_retries,
        event, body, first_tried_at
    )
    values (
        p_letter ->> 'source_message_id', p_letter ->> 'dlq_id', p_letter ->> 'event_id', p_letter ->> 'kind',
        p_letter ->> 'account_id', p_letter ->> 'url', (p_letter ->> 'status')::integer,
        p_letter ->> 'error_code', (p_letter ->> 'retried')::integer, (p_letter ->> 'max_retries')::integer,
        p_letter -> 'event', p_letter ->> 'body',
        ingestion.from_ms((p_letter ->> 'first_tried_at')::bigint)
    )
    on conflict (source_message_id) do nothing;
    return found;
end;
$$;
comment on function public.store_dead_letter is 'Keeps what QStash gave up on; true where it was not kept before.';

-- What /api/health shows a caller who holds the internal secret. Each count reads an index of what it counts,
-- never the ledger: it stays cheap however much is stored. Hence unhandled events are those of the last 24 hours;
-- the view unhandled_events has them all.
create function public.ingestion_status() returns jsonb
language sql stable set search_path = ''
return jsonb_build_object(
    'unfinished_events', (
        select count(*) from public.events e
        where e.processed_at is null and e.recorded_at < now() - interval '5 minutes'
    ),
    'unknown_sends', (select count(*) from public.outbox o where o.state = 'unknown'),
    'open_dead_letters', (select count(*) from public.dead_letters d where d.state = 'open'),
    'accounts_not_active', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'account_id', a.account_id, 'state', a.state, 'code', a.state_code
        ) order by a.account_id), '[]')
        from public.accounts a where a.state <> 'active'
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
