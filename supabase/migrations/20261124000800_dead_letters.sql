-- Dead letters: what QStash, or direct processing, gave up on. Stored, listed by filter, and closed once each.

-- Keeps a letter. The same failure callback delivered again changes nothing, whatever became of its letter since.
-- An event has one open letter: a newer letter supersedes an older one, whichever arrives first. Of a person who was
-- erased no letter is kept. Returns whether the letter is new.
create function public.store_dead_letter(p_letter jsonb) returns boolean
language plpgsql set search_path = ''
as $$
declare
    v_account text := coalesce(
        ingestion.resolve_account(p_letter ->> 'account_id'), case when p_letter ->> 'event_id' is not null then '-' end
    );
    v_event_id text := ingestion.resolve_event_id(p_letter ->> 'event_id', v_account);
    v_first_tried_at timestamptz := ingestion.from_ms((p_letter ->> 'first_tried_at')::bigint);
    v_is_older boolean;
    v_is_done boolean;
begin
    if p_letter #> '{event,event_id}' is not null then
        if ingestion.is_erased(ingestion.read_event(p_letter -> 'event')) then
            return false;
        end if;
    elsif ingestion.names_erased(p_letter ->> 'body', coalesce(v_first_tried_at, now())) then
        return false;
    end if;
    -- One transaction at a time for each event, so that no two of its letters are open.
    perform pg_advisory_xact_lock(hashtextextended(format('letter/%s/%s', v_account, v_event_id), 0));
    if exists (select from public.dead_letters d where d.source_message_id = p_letter ->> 'source_message_id') then
        return false;
    end if;
    v_is_older := exists (
        select from public.dead_letters d
        where d.event_id = v_event_id and d.account_id = v_account and d.state = 'open'
            and d.first_tried_at > v_first_tried_at
    );
    -- The last delivery may have done its work, and only its answer was lost.
    v_is_done := ingestion.is_processed(v_event_id, v_account);
    if not v_is_older then
        update public.dead_letters d set state = 'superseded', closed_at = now(), event = null, body = null
        where d.event_id = v_event_id and d.account_id = v_account and d.state = 'open';
    end if;
    insert into public.dead_letters (
        source_message_id, dlq_id, event_id, kind, account_id, url, status, error_code, retried, max_retries,
        event, body, first_tried_at, state, closed_at
    )
    values (
        p_letter ->> 'source_message_id', p_letter ->> 'dlq_id', v_event_id, p_letter ->> 'kind',
        v_account, p_letter ->> 'url', (p_letter ->> 'status')::integer,
        p_letter ->> 'error_code', (p_letter ->> 'retried')::integer, (p_letter ->> 'max_retries')::integer,
        case when not v_is_older then p_letter -> 'event' end, case when not v_is_older then p_letter ->> 'body' end,
        v_first_tried_at,
        case when v_is_older then 'superseded' when v_is_done then 'replayed' else 'open' end,
        case when v_is_older or v_is_done then now() end
    )
    on conflict (source_message_id) do nothing;
    if not found then
        return false;
    end if;
    perform ingestion.redact_if_unsent(v_account, p_letter #>> '{event,mid}');
    return true;
end;
$$;
comment on function public.store_dead_letter is 'Keeps what QStash gave up on, one open letter an event; true if the letter is new.';

-- Has the event been processed, by whatever path?
create function ingestion.is_processed(p_event_id text, p_account text) returns boolean
language sql stable set search_path = ''
return exists (
    select from public.events e
    where e.account_id = ingestion.resolve_account(p_account)
        and e.event_id = ingestion.resolve_event_id(p_event_id, ingestion.resolve_account(p_account))
        and e.processed_at is not null
);

-- Does the filter select the letter? p_filter is {state, ids, code, kind, account, since, until}, all optional. `ids`
-- are of letters or of events. `account` is either id of an account.
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

-- Returns a page of letters, oldest first, after the one that p_after_at and p_after_id name. People's words
-- (`event`, `body`) are in it only with p_with_content.
create function public.list_dead_letters(
    p_filter jsonb, p_after_at timestamptz default null, p_after_id text default null, p_limit integer default 100,
    p_with_content boolean default false
) returns jsonb
language sql stable set search_path = ''
return (
    select coalesce(
        jsonb_agg(
            case when p_with_content then to_jsonb(page) else to_jsonb(page) - 'event' - 'body' end
                || jsonb_build_object('is_processed', ingestion.is_processed(page.event_id, page.account_id))
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

-- Closes an open letter, as 'replayed' or 'discarded'. Returns false if it is not open, or gone.
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
comment on function public.close_dead_letter is 'Closes one open dead letter; true for the caller that closed the letter.';

-- Notes that the event of an open letter was sent again. The letter stays open until the event is processed. Returns false
-- if the letter is not open, or gone.
create function public.mark_letter_retried(p_source_message_id text) returns boolean
language plpgsql set search_path = ''
as $$
begin
    update public.dead_letters d set retried_at = now()
    where d.source_message_id = p_source_message_id and d.state = 'open';
    return found;
end;
$$;
comment on function public.mark_letter_retried is 'Notes that the event of an open dead letter was sent again.';

-- Closes the open letter of an event that has just been processed.
create function ingestion.close_letter(p_event_id text, p_account text) returns void
language sql set search_path = ''
as $$
    update public.dead_letters d set state = 'replayed', closed_at = now()
    where d.event_id = p_event_id and d.account_id = p_account and d.state = 'open';
$$;

-- Closes the letters of events that were processed since, for example by the sweeper. Returns how many.
create function public.close_processed_dead_letters() returns integer
language plpgsql set search_path = ''
as $$
declare
    v_closed integer;
begin
    update public.dead_letters d set state = 'replayed', closed_at = now()
    where d.state = 'open' and ingestion.is_processed(d.event_id, d.account_id);
    get diagnostics v_closed = row_count;
    return v_closed;
end;
$$;
comment on function public.close_processed_dead_letters is 'Closes dead letters whose events have come through since.';
