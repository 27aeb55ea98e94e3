-- The sweeper: events that were recorded and never finished, because a worker died, QStash gave up on them, or they
-- came by the direct road while something was away. Every few minutes they are taken up again.

-- Takes up to `p_limit` such events, the oldest first, recorded more than `p_older_than_s` seconds ago, and leaves
-- them alone from now on for as long as they are old: 5 minutes, 10, 20, ..., a day. So two sweepers at once never
-- take the same one, and one that cannot be finished costs less and less.
-- Not taken is what a worker is at, or what has to wait (outbox.lease_until, not_before).
-- Returns the rows of the archive that they can be read again from (lib/archive.py); `raw` is null past retention.
create function public.unfinished_events(p_older_than_s integer default 300, p_limit integer default 100) returns jsonb
language sql set search_path = ''
as $$
    with due as (
        select e.event_id
        from public.events e
        where e.processed_at is null
            and e.recorded_at < now() - p_older_than_s * interval '1 second'
            and coalesce(e.sweep_after, '-infinity') <= now()
            and coalesce((
                select min(case when o.state = 'planned' then coalesce(o.not_before, '-infinity') else o.lease_until end)
                from public.outbox o
                where o.event_id = e.event_id and o.state in ('planned', 'claimed', 'sending')
            ), '-infinity') <= now()
        order by e.recorded_at, e.event_id
        limit p_limit
        for update of e skip locked
    ),
    taken as (
        update public.events e set
            sweep_after = now() + least(now() - e.recorded_at, interval '1 day')
        from due where e.event_id = due.event_id
        returning e.*
    )
    select coalesce(jsonb_agg(jsonb_build_object(
        'event_id', t.event_id, 'kind', t.kind, 'account_id', t.account_id, 'topic', t.topic,
        'via_standby', t.via_standby, 'occurred_at', t.occurred_at, 'received_at', t.received_at,
        'recorded_at', t.recorded_at, 'raw', t.raw
    ) order by t.recorded_at, t.event_id), '[]')
    from taken t;
$$;
comment on function public.unfinished_events is 'Takes what was recorded and never finished, for another attempt.';

-- Sends whose worker died between "about to send" and "sent": they may have reached Meta, and are not sent again by
-- themselves (had their echo come, it would have settled them). Returns {expired, unknown_for_a_day}: how many were
-- found now, and how many have been unknown for longer than a day, which is for a person to look at.
create function public.expire_sends() returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_expired integer;
begin
    update public.outbox o set state = 'unknown', finished_at = now(), error_code = 'lease_expired'
    where o.state = 'sending' and o.lease_until < clock_timestamp();
    get diagnostics v_expired = row_count;
    return jsonb_build_object(
        'expired', v_expired,
        'unknown_for_a_day', (
            select count(*) from public.outbox o
            where o.state = 'unknown' and o.finished_at < now() - interval '1 day'
        )
    );
end;
$$;
comment on function public.expire_sends is 'A send whose worker died becomes unknown; counts those that stay so.';
