-- The people who write to us: when they were seen, whose their conversation is, and the profile that Meta shows.

-- Returns whose the conversation is after this event: 'ours', 'others', or null if the event does not say (Meta,
-- "Conversation Routing"). An app that does not own a thread gets its items under standby, if at all. A `take` goes
-- to the app that loses the thread. A `pass` goes to the app that gets it: that is us if it names p_app_id, our own
-- app id. With p_app_id '' our id is not known, and every pass is to us. With p_app_id null a pass says nothing.
create function ingestion.thread_owner(p_event ingestion.event, p_app_id text) returns text
language sql immutable set search_path = ''
return case
    when p_event.standby then 'others'
    when ingestion.opens_window(p_event) then 'ours'
    when p_event.kind = 'handover' and p_event.action = 'take' then 'others'
    when p_event.kind = 'handover' and p_event.action = 'pass' and p_app_id is not null then
        case when p_app_id in ('', coalesce(p_event.new_owner_app_id, p_app_id)) then 'ours' else 'others' end
end;

-- Notes that the person was seen: first seen is the earliest time, all other times are the latest.
create function ingestion.touch_profile(
    p_event ingestion.event, p_app_id text default null
) returns public.profiles
language plpgsql set search_path = ''
as $$
declare
    v_at timestamptz := p_event.occurred_at;
    v_opens_window boolean := ingestion.opens_window(p_event);
    -- Most events are messages in a thread of ours, which thread_owner would say, too.
    v_owner text := case
        when v_opens_window and not p_event.standby then 'ours' else ingestion.thread_owner(p_event, p_app_id)
    end;
    v_inbound_at timestamptz := case when v_opens_window then v_at end;
    v_outbound_at timestamptz := case when p_event.is_message and p_event.direction = 'outbound' then v_at end;
    v_message_at timestamptz := case when p_event.is_message then v_at end;
    v_ours_at timestamptz := case when v_owner = 'ours' then v_at end;
    v_others_at timestamptz := case when v_owner = 'others' then v_at end;
    v_profile public.profiles;
begin
    loop
        update public.profiles p set
            first_seen_at = least(p.first_seen_at, v_at),
            last_seen_at = greatest(p.last_seen_at, v_at),
            last_inbound_at = greatest(p.last_inbound_at, v_inbound_at),
            last_outbound_at = greatest(p.last_outbound_at, v_outbound_at),
            last_message_at = greatest(p.last_message_at, v_message_at),
            thread_ours_at = greatest(p.thread_ours_at, v_ours_at),
            thread_others_at = greatest(p.thread_others_at, v_others_at)
        where p.account_id = p_event.account_id and p.igsid = p_event.contact_id
        returning p.* into v_profile;
        exit when found;
        insert into public.profiles as p (
            account_id, igsid, first_seen_at, last_seen_at, last_inbound_at, last_outbound_at, last_message_at,
            thread_ours_at, thread_others_at
        )
        values (
            p_event.account_id, p_event.contact_id, v_at, v_at, v_inbound_at, v_outbound_at, v_message_at,
            v_ours_at, v_others_at
        )
        on conflict (account_id, igsid) do nothing
        returning p.* into v_profile;
        exit when found;  -- else another transaction has just inserted the row
    end loop;
    return v_profile;
end;
$$;

-- Keeps ingestion.conversation_order equal to `profiles`: one row for each profile with a message. It goes with its
-- profile.
create function ingestion.order_conversation() returns trigger
language plpgsql set search_path = ''
as $$
declare
    v_may_be_unread boolean := coalesce(
        new.last_inbound_at > coalesce(greatest(new.last_outbound_at, new.seen_at), '-infinity'), false
    );
begin
    if tg_op = 'DELETE' or (tg_op = 'UPDATE' and (old.account_id, old.igsid) <> (new.account_id, new.igsid)) then
        delete from ingestion.conversation_order o where o.account_id = old.account_id and o.contact_id = old.igsid;
        if tg_op = 'DELETE' then
            return null;
        end if;
    elsif tg_op = 'UPDATE' and old.last_message_at is not null and new.last_message_at is not null then
        -- A read, a reaction, a comment or an older message moves nothing.
        update ingestion.conversation_order o set last_message_at = new.last_message_at, may_be_unread = v_may_be_unread
        where o.account_id = new.account_id and o.contact_id = new.igsid
            and (o.last_message_at <> new.last_message_at or o.may_be_unread <> v_may_be_unread);
        return null;
    end if;
    if new.last_message_at is null then
        delete from ingestion.conversation_order o where o.account_id = new.account_id and o.contact_id = new.igsid;
    else
        insert into ingestion.conversation_order (account_id, contact_id, last_message_at, may_be_unread)
        values (new.account_id, new.igsid, new.last_message_at, v_may_be_unread);
    end if;
    return null;
end;
$$;
create trigger profiles_changed
    after insert or delete or update of account_id, igsid, last_message_at, last_inbound_at, last_outbound_at, seen_at
    on public.profiles for each row execute function ingestion.order_conversation();

create function ingestion.empty_conversation_order() returns trigger
language plpgsql set search_path = ''
as $$
begin
    truncate ingestion.conversation_order;
    return null;
end;
$$;
create trigger profiles_emptied
    after truncate on public.profiles for each statement execute function ingestion.empty_conversation_order();

-- Corrects when we last wrote to the person, after two forms of one message were merged: the message may have turned out
-- to be theirs, or to be older.
create function ingestion.settle_last_outbound(p_account text, p_contact text) returns void
language sql set search_path = ''
as $$
    update public.profiles p set last_outbound_at = (
        select m.sent_at from public.messages m
        where m.account_id = p_account and m.contact_id = p_contact and m.direction = 'outbound'
            and not m.is_placeholder and not m.is_test and not m.is_self
        order by m.sent_at desc
        limit 1
    )
    where p.account_id = p_account and p.igsid = p_contact and p.last_outbound_at is not null;
$$;

-- The refusals after which a profile is no longer asked for at every message: consent can lag behind by one.
create function ingestion.most_refusals() returns integer
language sql immutable parallel safe set search_path = ''
return 2;

-- Is the profile to be fetched? One that was refused once is asked for again at the next message; after
-- most_refusals() in a row, only at the configured age.
create function ingestion.profile_due(p_profile public.profiles, p_max_age_s integer) returns boolean
language plpgsql stable set search_path = ''
as $$
begin
    return case p_profile.state
        when 'pending' then true
        when 'unavailable' then p_profile.refusals < ingestion.most_refusals()
            or p_profile.fetched_at < now() - p_max_age_s * interval '1 second'
        else p_profile.fetched_at < now() - p_max_age_s * interval '1 second'
    end;
end;
$$;

-- Saves a fetched profile. The newest fetch wins. A refusal keeps what was known, and is counted.
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
