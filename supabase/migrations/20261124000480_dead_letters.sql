-- Dead letters, worked off: looked through by filter, page by page, and closed once each.

alter table public.dead_letters add column closed_at timestamptz;
create index dead_letters_by_time on public.dead_letters (failed_at, source_message_id);

-- Has the event of a letter been processed since, by whatever road?
create function ingestion.is_processed(p_event_id text) returns boolean
language sql stable set search_path = ''
return exists (select from public.events e where e.event_id = p_event_id and e.processed_at is not null);

-- `p_filter`: {state, ids, code, kind, account, since, until}, each of them optional. `ids` are of letters or of
-- events; an account is meant by either of its ids.
create function ingestion.is_selected(p_letter public.dead_letters, p_filter jsonb) returns boolean
language sql stable set search_path = ''
return (p_filter ->> 'state' is null or p_letter.state = p_filter ->> 'state')
    and (p_filter -> 'ids' is null or p_filter -> 'ids' ? p_letter.source_message_id
        or p_filter -> 'ids' ? p_letter.event_id)
    and (p_filter ->> 'code' is null or p_letter.error_code = p_filter ->> 'code')
    and (p_filter ->> 'kind' is null or p_letter.kind = p_filter ->> 'kind')
    and (p_filter ->> 'account' is null
        or ingestion.resolve_account(p_letter.account_id) = ingestion.resolve_account(p_filter ->> 'account'))
    and (p_filter ->> 'since' is null or p_letter.failed_at >= (p_filter ->> 'since')::timestamptz)
    and (p_filter ->> 'until' is null or p_letter.failed_at < (p_filter ->> 'until')::timestamptz);

-- A page of letters, oldest first, after the one that p_after_at and p_after_id name. People's words (`event`, `body`)
-- are in it with `p_with_content` only.
create function public.list_dead_letters(
    p_filter jsonb, p_after_at timestamptz default null, p_after_id text default null, p_limit integer default 100,
    p_with_content boolean default false
) returns jsonb
language sql stable set search_path = ''
return (
    select coalesce(
        jsonb_agg(
            case when p_with_content then to_jsonb(page) else to_jsonb(page) - 'event' - 'body' end
                || jsonb_build_object('is_processed', ingestion.is_processed(page.event_id))
            order by page.failed_at, page.source_message_id
        ),
        '[]'
    )
    from (
        select d.* from public.dead_letters d
        where ingestion.is_selected(d, p_filter)
            and (d.failed_at, d.source_message_id) > (coalesce(p_after_at, '-infinity'), coalesce(p_after_id, ''))
        order by d.failed_at, d.source_message_id
        limit p_limit
    ) page
);
comment on function public.list_dead_letters is 'A page of the dead letters a filter selects, oldest first.';

create function public.count_dead_letters(p_filter jsonb) returns integer
language sql stable set search_path = ''
return (select count(*)::integer from public.dead_letters d where ingestion.is_selected(d, p_filter));
comment on function public.count_dead_letters is 'How many dead letters a filter selects.';

-- Closes an open letter, as 'replayed' or 'discarded'; false where somebody else has, or it is gone.
create function public.close_dead_letter(p_source_message_id text, p_state text) returns boolean
language plpgsql set search_path = ''
as $$
begin
    if p_state not in ('replayed', 'discarded') then
        raise exception 'no such end of a dead letter: %', p_state using errcode = '22023';
    end if;
    update public.dead_letters d set state = p_state, closed_at = now()
    where d.source_message_id = p_source_message_id and d.state = 'open';
    return found;
end;
$$;
comment on function public.close_dead_letter is 'Closes one open dead letter; true for whoever did.';

-- Closes the letters of events that were processed since, as the sweeper has them processed; returns how many.
create function public.close_processed_dead_letters() returns integer
language plpgsql set search_path = ''
as $$
declare
    v_closed integer;
begin
    update public.dead_letters d set state = 'replayed', closed_at = now()
    where d.state = 'open' and ingestion.is_processed(d.event_id);
    get diagnostics v_closed = row_count;
    return v_closed;
end;
$$;
comment on function public.close_processed_dead_letters is 'Closes dead letters whose events have come through since.';

-- The oldest events that were recorded more than `p_older_than_s` seconds ago and never finished, to be looked at:
-- {total, events}. Nothing is taken from the sweeper (unfinished_events).
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
        where e.processed_at is null and e.recorded_at < now() - p_older_than_s * interval '1 second'
    ) u
);
comment on function public.list_unfinished is 'What was recorded and never finished, for people to see.';
