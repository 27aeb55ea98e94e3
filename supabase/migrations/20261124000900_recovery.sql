-- Recovery: events that nobody finished, and sends whose outcome nobody knows.

-- When the sweep runs. A schedule may call it; recovery does not depend on one. Whoever finds the last sweep too old, or
-- leaves something undone, asks QStash for the next sweep, and a sweep asks for its own successor as long as there is
-- something to do.

-- How old the last sweep may be, before the next delivery asks for one.
create function ingestion.sweep_period() returns interval
language sql immutable parallel safe set search_path = ''
return interval '10 minutes';

-- Claims to ask for a sweep in p_in seconds. Returns p_in; or null if one is asked for already that comes as soon. Of
-- several callers at once only one asks.
create function ingestion.claim_sweep(p_in double precision) returns double precision
language plpgsql set search_path = ''
as $$
declare
    v_at timestamptz := clock_timestamp() + p_in * interval '1 second';
begin
    -- A look without a lock first: nearly every event finds that nothing is to do.
    if exists (
        select from ingestion.sweep_state s
        where s.next_at between clock_timestamp() - interval '1 minute' and v_at + interval '1 minute'
    ) then
        return null;
    end if;
    perform from ingestion.sweep_state s
    where coalesce(s.next_at not between clock_timestamp() - interval '1 minute' and v_at + interval '1 minute', true)
    for update skip locked;
    if not found then
        return null;
    end if;
    update ingestion.sweep_state s set next_at = v_at;
    return p_in;
end;
$$;

-- Claims to ask for a sweep now, if the last one is too old. Returns {sweep_in_s}, or {}.
create function ingestion.overdue_sweep() returns jsonb
language plpgsql set search_path = ''
as $$
begin
    if exists (select from ingestion.sweep_state s where s.swept_at > clock_timestamp() - ingestion.sweep_period()) then
        return '{}';
    end if;
    return jsonb_strip_nulls(jsonb_build_object('sweep_in_s', ingestion.claim_sweep(0)));
end;
$$;

-- Claims to ask for a sweep within the usual time: something was left undone. Returns the seconds until then, or null.
create function public.claim_sweep() returns double precision
language sql set search_path = ''
as $$ select ingestion.claim_sweep(extract(epoch from ingestion.sweep_period())::double precision) $$;
comment on function public.claim_sweep is 'Whether the caller has to ask QStash for a sweep, and in how many seconds.';

-- A sweep begins. Returns nothing.
create function public.begin_sweep() returns void
language sql set search_path = ''
as $$ update ingestion.sweep_state s set swept_at = clock_timestamp() $$;
comment on function public.begin_sweep is 'Notes that a sweep begins.';

-- Lists the unfinished events, and when the sweeper may take each: not before it is so old, has been left alone for long
-- enough, and its first effect is free.
create function ingestion.unfinished(p_older_than interval)
returns table (event_id text, account_id text, due_at timestamptz)
language sql stable set search_path = ''
as $$
    select e.event_id, e.account_id, greatest(e.sweep_after, e.recorded_at + p_older_than, owed.free_at)
    from public.events e
    left join (
        select o.event_id, o.account_id,
            min(case when o.state = 'planned' then coalesce(o.not_before, '-infinity') else o.lease_until end) as free_at
        from public.outbox o
        where o.state in ('planned', 'claimed', 'sending')
        group by o.event_id, o.account_id
    ) owed on owed.event_id = e.event_id and owed.account_id = e.account_id
    where e.processed_at is null and e.given_up_at is null
$$;

-- Returns when the next event or send is due to be swept, or null if nothing is open.
create function ingestion.next_sweep_due() returns timestamptz
language sql stable set search_path = ''
return (
    select min(d.due_at)
    from (
        select u.due_at from ingestion.unfinished(interval '5 minutes') u
        union all
        select o.lease_until from public.outbox o where o.state = 'sending'
        union all
        select greatest(o.sending_at + interval '2 minutes', o.look_after)
        from public.outbox o
        where o.state = 'unknown' and not o.mid_guessed and o.sending_at > now() - interval '3 days'
            and not exists (select from public.accounts a where a.account_id = o.account_id and a.state <> 'active')
    ) d
);

-- A sweep has ended. p_done says that nothing more was due. Returns in how many seconds the caller has to ask for the
-- next one: when something is due, at once after a sweep that was not done, or null if nothing is open, or another one is
-- asked for that comes as soon.
create function public.end_sweep(p_done boolean) returns double precision
language sql set search_path = ''
as $$
    select ingestion.claim_sweep(
        case when p_done then least(greatest(extract(epoch from due_at - clock_timestamp()), 60), 86400) else 1 end
    )
    from (select ingestion.next_sweep_due() as due_at) n
    where due_at is not null or not p_done
$$;
comment on function public.end_sweep is 'Whether, and in how many seconds, the next sweep has to be asked for.';

-- Returns how long the sweeper leaves an event alone that it has taken: for as long as the event is old, at most a day.
-- If the event owes a message, it is at most eight hours, and the last attempt comes just before the end of the window
-- (reply_window). That makes ten attempts in the window, which is as many as an event gets (lib/recovery/sweeper.py).
create function ingestion.sweep_pause(p_event public.events) returns interval
language sql stable set search_path = ''
return least(
    now() - p_event.recorded_at,
    interval '1 day',
    (
        select least(interval '8 hours', p.last_inbound_at + ingestion.reply_window() - interval '15 minutes' - now())
        from public.outbox o
        join public.profiles p on p.account_id = o.account_id and p.igsid = o.contact_id
        where o.event_id = p_event.event_id and o.account_id = p_event.account_id
            and o.kind = 'dm' and o.state in ('planned', 'claimed')
            and p.last_inbound_at > now() - ingestion.reply_window() + interval '20 minutes'
        limit 1
    )
);

-- Takes events for another attempt: recorded more than p_older_than_s seconds ago and not finished, because a worker
-- died, QStash gave up on them, or a dependency was down during direct processing. Those come first that have been due
-- for the longest time, so an event that cannot be finished does not stand before the others. Each is
-- then left alone for a while (sweep_pause): 5 minutes, 10, 20, …, a day. So two sweepers at once never take the same
-- event, and an event that cannot be finished costs less and less. An event that a worker holds, or that has to wait,
-- is not taken (outbox.lease_until, not_before). Returns the rows of the archive from which the events can be parsed
-- again; `raw` is null past retention. `sweeps` counts how often the event was taken.
create function public.unfinished_events(p_older_than_s integer default 300, p_limit integer default 100) returns jsonb
language sql set search_path = ''
as $$
    with due as (
        select e.event_id, e.account_id
        from ingestion.unfinished(p_older_than_s * interval '1 second') u
        join public.events e on e.event_id = u.event_id and e.account_id = u.account_id
        where u.due_at <= now() and e.processed_at is null and e.given_up_at is null
        order by u.due_at, e.event_id
        limit p_limit
        for update of e skip locked
    ),
    taken as (
        update public.events e set
            sweep_after = now() + ingestion.sweep_pause(e),
            sweeps = e.sweeps + 1
        from due where e.event_id = due.event_id and e.account_id = due.account_id
        returning e.*
    )
    select coalesce(jsonb_agg(jsonb_build_object(
        'event_id', t.event_id, 'kind', t.kind, 'account_id', t.account_id, 'topic', t.topic,
        'via_standby', t.via_standby, 'occurred_at', t.occurred_at, 'received_at', t.received_at,
        'recorded_at', t.recorded_at, 'raw', ingestion.raw_item(t.raw_id), 'sweeps', t.sweeps
    ) order by t.recorded_at, t.event_id), '[]')
    from taken t;
$$;
comment on function public.unfinished_events is 'Takes events that were recorded and not finished, for another attempt.';

-- Gives up an event that cannot be finished: what it owes ends, and its letter p_letter (see store_dead_letter) shows it to
-- a person, who may retry or discard it. The event no longer counts as unfinished. Returns false if it is finished by now.
create function public.give_up_event(
    p_event_id text, p_account_id text, p_code text, p_letter jsonb
) returns boolean
language plpgsql set search_path = ''
as $$
declare
    v_event_id text := ingestion.resolve_event_id(p_event_id, p_account_id);
begin
    update public.events e set given_up_at = now(), given_up_code = p_code
    where e.event_id = v_event_id and e.account_id = p_account_id and e.processed_at is null and e.given_up_at is null;
    if not found then
        return false;
    end if;
    perform ingestion.give_up_effects(v_event_id, p_account_id);
    perform public.store_dead_letter(p_letter);
    return true;
end;
$$;
comment on function public.give_up_event is 'Ends an event that cannot be finished, with an open dead letter for a person.';

-- Shows the oldest events that were recorded more than p_older_than_s seconds ago and not finished: {total, events}.
-- Nothing is taken from the sweeper (unfinished_events).
create function public.list_unfinished(p_older_than_s integer, p_limit integer) returns jsonb
language sql stable set search_path = ''
return (
    select jsonb_build_object(
        'total', count(*),
        'events', coalesce(
            jsonb_agg(jsonb_build_object(
                'event_id', u.event_id, 'kind', u.kind, 'account_id', u.account_id, 'recorded_at', u.recorded_at
            ) order by u.place) filter (where u.place <= p_limit),
            '[]'
        )
    )
    from (
        select e.event_id, e.kind, e.account_id, e.recorded_at,
            row_number() over (order by e.recorded_at, e.event_id) as place
        from public.events e
        where e.processed_at is null and e.given_up_at is null
            and e.recorded_at < now() - p_older_than_s * interval '1 second'
    ) u
);
comment on function public.list_unfinished is 'What was recorded and never finished, for people to see.';

-- Marks sends as `unknown` whose worker died between `sending` and `sent`: they may have reached Meta, and are never
-- sent again by themselves. Returns {expired, unknown_for_a_day}: how many there were, and how many have been unknown
-- for longer than a day, which a person should look at.
create function public.expire_sends() returns jsonb
language sql set search_path = ''
as $$
    select jsonb_build_object(
        'expired', ingestion.expire_leases(),
        'unknown_for_a_day', (
            select count(*) from public.outbox o
            where o.state = 'unknown' and o.finished_at < now() - interval '1 day'
        )
    );
$$;
comment on function public.expire_sends is 'A send whose worker died becomes unknown; counts those that stay so.';

-- Takes unknown sends, to look for them in their conversations (Meta, "Conversations API"): sends that left more than
-- p_older_than_s seconds ago, the oldest first. A send that the conversation shows was sent. A send that it does not
-- show stays unknown, for people; nothing is sent again. Each is then left alone for as long as it is old: 2 minutes,
-- 4, 8, …, a day; after three days for good, as a conversation shows only its latest messages. So two sweepers at
-- once never ask for the same send. Returns the conversations, {account_id, contact_id, token}; `token` is the
-- stored, encrypted token of the account.
create function public.unknown_sends(p_older_than_s integer default 120, p_limit integer default 50) returns jsonb
language sql set search_path = ''
as $$
    with due as (
        select o.effect_id
        from public.outbox o
        where o.state = 'unknown' and o.contact_id is not null
            -- A conversation shows attachments without their kinds, so it settles no guess of one.
            and not o.mid_guessed
            and o.sending_at between now() - interval '3 days' and now() - p_older_than_s * interval '1 second'
            and coalesce(o.look_after, '-infinity') <= now()
            -- An account whose token is dead cannot ask.
            and not exists (
                select from public.accounts a where a.account_id = o.account_id and a.state <> 'active'
            )
        order by o.sending_at, o.effect_id
        limit p_limit
        for update skip locked
    ),
    taken as (
        update public.outbox o set look_after = now() + least(now() - o.sending_at, interval '1 day')
        from due where o.effect_id = due.effect_id
        returning o.account_id, o.contact_id
    )
    select coalesce(jsonb_agg(jsonb_build_object(
        'account_id', c.account_id, 'contact_id', c.contact_id, 'token', ingestion.stored_token(c.account_id)
    ) order by c.account_id, c.contact_id), '[]')
    from (select distinct t.account_id, t.contact_id from taken t) c;
$$;
comment on function public.unknown_sends is 'Takes unknown sends that are to be looked for in their conversations.';

-- Settles sends of one conversation by our messages that it shows, [{mid, text, at}]: those that are unknown, and those
-- that Meta refused and that are about to be repeated. Each send gets the message nearest in time that could be its own,
-- unless another send has that message. A message without a text may be any attachment. Returns how many were found.
create function public.settle_unknown(p_account_id text, p_contact_id text, p_messages jsonb) returns integer
language plpgsql set search_path = ''
as $$
declare
    v_effect public.outbox;
    v_mid text;
    v_settled integer := 0;
begin
    for v_effect in
        select o.* from public.outbox o
        where o.account_id = p_account_id and o.contact_id = p_contact_id
            and (o.state = 'unknown' or (o.state in ('planned', 'claimed') and o.left_at is not null))
            and not o.mid_guessed
        order by o.sending_at, o.effect_id
        for update
    loop
        v_mid := (
            select m.mid
            from jsonb_to_recordset(p_messages) m (mid text, text text, at timestamptz)
            where case when v_effect.payload ? 'text' then ingestion.may_be_sent_as(v_effect, m.text, '[]') else m.text = '' end
                and m.at <@ ingestion.echo_window(v_effect)
                and not exists (
                    select from public.outbox o
                    where o.account_id = p_account_id and o.mid = m.mid and o.kind <> 'next_phase'
                )
            order by abs(extract(epoch from m.at - v_effect.sending_at)), m.mid
            limit 1
        );
        continue when v_mid is null;
        if ingestion.settle_send(v_effect, v_mid, p_is_guess => true) = 'sent' then
            perform ingestion.write_sent_message(v_effect, v_mid);
            v_settled := v_settled + 1;
        end if;
    end loop;
    return v_settled;
end;
$$;
comment on function public.settle_unknown is 'Finds unknown sends among what a conversation shows; counts those it found.';
