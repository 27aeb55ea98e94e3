-- The raw archive: parsed again by a newer parser (replay), and emptied after its time (retention).
--
-- A replay changes what the new code understands better, and nothing else: what the new code no longer understands
-- stays, the first message of a mid keeps its row, edits keep their text, and unsent or erased words stay gone. No
-- effect is planned, sent or settled. The dates of a person only grow: a message that turns out to be none leaves
-- them as they are.

-- Returns a page of the archive: events recorded from p_since until before p_until that have their raw item, in that
-- order, after the row that p_after_at and p_after_id name. p_kinds or p_account null: all.
create function public.read_archive(
    p_since timestamptz, p_until timestamptz, p_kinds text[] default null, p_account text default null,
    p_after_at timestamptz default null, p_after_id text default null, p_limit integer default 500
) returns jsonb
language sql stable set search_path = ''
return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.recorded_at, page.event_id), '[]')
    from (
        select
            e.event_id, e.kind, e.account_id, e.topic, e.via_standby, e.occurred_at, e.received_at,
            e.recorded_at, r.item as raw
        from public.events e
        join ingestion.raw_items r on r.raw_id = e.raw_id
        where e.recorded_at < p_until
            and (e.recorded_at, e.event_id) > (coalesce(p_after_at, p_since), coalesce(p_after_id, ''))
            and (p_kinds is null or e.kind = any (p_kinds))
            and (p_account is null or e.account_id = p_account)
        order by e.recorded_at, e.event_id
        limit p_limit
    ) page
);
comment on function public.read_archive is 'A page of events with their raw items, oldest first.';

-- Returns how many events of a part of the archive have their raw item, and how many are past retention.
create function public.measure_archive(
    p_since timestamptz, p_until timestamptz, p_kinds text[] default null, p_account text default null
) returns jsonb
language sql stable set search_path = ''
return (
    select jsonb_build_object('readable', count(r.raw_id), 'missing', count(*) - count(r.raw_id))
    from public.events e
    left join ingestion.raw_items r on r.raw_id = e.raw_id
    where e.recorded_at >= p_since and e.recorded_at < p_until
        and (p_kinds is null or e.kind = any (p_kinds))
        and (p_account is null or e.account_id = p_account)
);
comment on function public.measure_archive is 'Counts events with and without their raw items.';

-- Locks and returns the rows that one event can have changed, to compare them before and after a replay. The locks
-- are taken in the usual order (…_merge_rules.sql).
create function ingestion.lock_affected_rows(p_event ingestion.event) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_profile public.profiles;
    v_message public.messages;
    v_reaction public.reactions;
    v_comment public.comments;
    v_mention public.mentions;
begin
    select * into v_profile from public.profiles p
    where p.account_id = p_event.account_id and p.igsid = p_event.contact_id for update;
    case
        when ingestion.is_about_a_message(p_event.kind) then
            select * into v_message from public.messages m
            where m.account_id = p_event.account_id and m.mid = coalesce(p_event.mid, p_event.event_id) for update;
        when p_event.kind = 'reaction' then
            select * into v_reaction from public.reactions r
            where r.account_id = p_event.account_id and r.mid = p_event.mid and r.actor_id = p_event.actor_id
            for update;
        when p_event.kind = 'comment' then
            select * into v_comment from public.comments c
            where c.account_id = p_event.account_id and c.comment_id = p_event.comment_id for update;
        when p_event.kind = 'mention' then
            select * into v_mention from public.mentions n
            where n.event_id = p_event.event_id and n.account_id = p_event.account_id for update;
        else null;
    end case;
    return jsonb_build_array(v_profile, v_message, v_reaction, v_comment, v_mention);
end;
$$;

-- Deletes the row that an event wrote as another kind than it turns out to be. A message that was edited or unsent
-- since stays: it is no longer the event's alone.
create function ingestion.delete_misread_rows(p_before public.events, p_event ingestion.event) returns void
language plpgsql set search_path = ''
as $$
declare
    v_old_mid text := coalesce(p_before.mid, p_before.event_id);
    v_new_mid text := coalesce(p_event.mid, p_event.event_id);
begin
    if ingestion.is_message(p_before.kind)
        and (not p_event.is_message or v_new_mid <> v_old_mid) then
        delete from public.messages m
        where m.account_id = p_before.account_id and m.mid = v_old_mid and m.event_id = p_before.event_id
            and m.num_edit is null and m.unsent_at is null;
    end if;
    if p_before.kind = 'reaction' and (p_event.kind <> 'reaction' or v_new_mid <> v_old_mid) then
        delete from public.reactions r
        where r.account_id = p_before.account_id and r.mid = p_before.mid and r.event_id = p_before.event_id;
    end if;
    if p_before.kind = 'comment' and p_event.kind <> 'comment' then
        delete from public.comments c
        where c.account_id = p_before.account_id and c.event_id = p_before.event_id;
    end if;
    if p_before.kind = 'mention' and p_event.kind <> 'mention' then
        delete from public.mentions n
        where n.event_id = p_before.event_id and n.account_id = p_before.account_id;
    end if;
end;
$$;

-- Rewrites the message that this event wrote, if no other event did. p_event_id is the id under which it was written.
create function ingestion.improve_message(
    p_event_id text, p_event ingestion.event
) returns void
language sql set search_path = ''
as $$
    update public.messages m set
        contact_id = coalesce(p_event.contact_id, m.contact_id),
        direction = p_event.direction,
        kind = p_event.kind,
        text = case
            when m.num_edit is not null then m.text
            else coalesce(p_event.text, m.text)
        end,
        attachments = coalesce(p_event.attachments, m.attachments),
        reply_to_mid = coalesce(p_event.reply_to_mid, m.reply_to_mid),
        reply_to_story = coalesce(p_event.reply_to_story, m.reply_to_story),
        payload = coalesce(p_event.payload, m.payload),
        referral = coalesce(p_event.referral, m.referral),
        is_unsupported = p_event.is_unsupported,
        is_ephemeral = p_event.is_ephemeral,
        is_self = p_event.is_self,
        is_test = p_event.is_test,
        standby = p_event.standby,
        sent_at = p_event.occurred_at,
        event_id = p_event.event_id
    where m.account_id = p_event.account_id and m.mid = coalesce(p_event.mid, p_event.event_id)
        and p_event.is_message
        and m.event_id = p_event_id and m.unsent_at is null and not m.is_placeholder
        and not exists (
            select from public.events e
            where e.account_id = p_event.account_id and e.mid = p_event.mid
                and ingestion.is_message(e.kind) and e.event_id <> p_event_id
        );
$$;

create function ingestion.improve_reaction(
    p_event_id text, p_event ingestion.event
) returns void
language sql set search_path = ''
as $$
    update public.reactions r set
        contact_id = coalesce(p_event.contact_id, r.contact_id),
        action = p_event.action,
        reaction = coalesce(p_event.reaction, r.reaction),
        emoji = coalesce(p_event.emoji, r.emoji),
        acted_at = p_event.occurred_at,
        event_id = p_event.event_id
    where r.account_id = p_event.account_id and r.mid = p_event.mid and r.actor_id = p_event.actor_id
        and p_event.kind = 'reaction' and r.event_id = p_event_id;
$$;

create function ingestion.improve_comment(
    p_event_id text, p_event ingestion.event
) returns void
language sql set search_path = ''
as $$
    update public.comments c set
        contact_id = coalesce(p_event.contact_id, c.contact_id),
        username = coalesce(p_event.username, c.username),
        text = coalesce(p_event.text, c.text),
        parent_id = coalesce(p_event.parent_id, c.parent_id),
        media_id = coalesce(p_event.media_id, c.media_id),
        media_product_type = coalesce(p_event.media_product_type, c.media_product_type),
        ad_id = coalesce(p_event.ad_id, c.ad_id),
        is_live = p_event.is_live,
        is_self = p_event.is_self,
        is_test = p_event.is_test,
        commented_at = p_event.occurred_at,
        event_id = p_event.event_id
    where c.account_id = p_event.account_id and c.comment_id = p_event.comment_id
        and p_event.kind = 'comment' and c.event_id = p_event_id;
$$;

create function ingestion.improve_mention(p_event_id text, p_event ingestion.event) returns void
language sql set search_path = ''
as $$
    update public.mentions n set
        media_id = coalesce(p_event.media_id, n.media_id),
        comment_id = coalesce(p_event.comment_id, n.comment_id),
        mentioned_at = p_event.occurred_at,
        event_id = p_event.event_id
    where n.event_id = p_event_id and n.account_id = p_event.account_id and p_event.kind = 'mention';
$$;

-- Rewrites the ledger row, if the event is now understood differently: a replay reads the whole archive and mostly
-- changes nothing.
create function ingestion.improve_ledger(p_event_id text, p_event ingestion.event) returns void
language sql set search_path = ''
as $$
    update public.events e set
        event_id = p_event.event_id,
        kind = p_event.kind,
        contact_id = now_known.contact_id,
        mid = now_known.mid,
        direction = now_known.direction,
        is_test = now_known.is_test,
        topic = now_known.topic,
        -- A replay answers nobody, and neither does a form that comes after it.
        answerable = e.answerable or ingestion.is_answerable(p_event),
        occurred_at = p_event.occurred_at
    from (
        select
            coalesce(p_event.contact_id, o.contact_id) as contact_id,
            coalesce(p_event.mid, o.mid) as mid,
            p_event.direction as direction,
            p_event.is_test as is_test,
            case when p_event.kind = 'unknown' then coalesce(p_event.topic, o.topic) end as topic
        from public.events o where o.event_id = p_event_id and o.account_id = p_event.account_id
    ) now_known
    where e.event_id = p_event_id and e.account_id = p_event.account_id
        and (e.event_id, e.kind, e.contact_id, e.mid, e.direction, e.is_test, e.topic, e.occurred_at)
            is distinct from (
                p_event.event_id, p_event.kind, now_known.contact_id, now_known.mid,
                now_known.direction, now_known.is_test, now_known.topic, p_event.occurred_at
            );
$$;

-- Applies one event of the archive again. Returns false if it has to stay as it is.
create function ingestion.reapply_event(p_before public.events, p_event ingestion.event) returns boolean
language plpgsql set search_path = ''
as $$
declare
    v_id text := p_before.event_id;
    -- Meta delivered the event in several forms, which were merged. The archive has one form only, with the earliest
    -- time of all, so it says less than the tables know.
    v_is_merged boolean := p_before.has_variants and p_before.kind <> 'unknown';
begin
    if p_event.event_id <> v_id then
        if p_before.processed_at is null then
            return false;  -- its effects belong to the id it has
        end if;
        if v_is_merged then
            return false;  -- its other forms may give another id, and they are gone
        end if;
        if exists (
            select from public.events e
            where e.event_id = p_event.event_id and e.account_id = p_event.account_id
        ) then
            -- The ledger has the same event already, under its right id.
            if exists (select from public.outbox o where o.event_id = v_id and o.account_id = p_event.account_id) then
                return false;  -- its sends must not be forgotten
            end if;
            perform ingestion.delete_misread_rows(p_before, p_event);
            delete from public.events e where e.event_id = v_id and e.account_id = p_event.account_id;
            return true;
        end if;
    end if;
    if not v_is_merged then
        perform ingestion.improve_ledger(v_id, p_event);
        perform ingestion.delete_misread_rows(p_before, p_event);
        perform ingestion.improve_message(v_id, p_event);
        perform ingestion.improve_reaction(v_id, p_event);
        perform ingestion.improve_comment(v_id, p_event);
        perform ingestion.improve_mention(v_id, p_event);
        if ingestion.is_about_a_person(p_event) then
            perform ingestion.touch_profile(p_event);
        end if;
    end if;
    perform ingestion.apply_event(p_event);
    return true;
end;
$$;

-- Applies one archived event again; p_event is what today's parser makes of its raw item. Returns what became of it:
--   unchanged     the event says nothing new
--   improved      the event is of the same kind, and more of it is understood
--   reclassified  the event is of another kind (most often: unknown before, known now)
--   erased        the event is of a person who was erased since; its row is deleted
--   missing       there is no such event, or its raw item is past retention
-- With p_dry_run the answer is the same, and nothing is kept.
--
-- A replay gives way to live events: it fails on a lock that it cannot have soon (55P03), well before Postgres looks
-- for a deadlock (deadlock_timeout, 1 s), and can be tried again.
create function public.replay_event(p_event_id text, p_event jsonb, p_dry_run boolean default false) returns text
language plpgsql set search_path = '' set lock_timeout = '500ms'
as $$
declare
    v_account text := p_event ->> 'account_id';
    v_event ingestion.event;
    v_raw jsonb;
    v_is_erased boolean;
    v_before public.events;
    v_after public.events;
    v_rows jsonb;
    v_outcome text := 'unchanged';
begin
    if not exists (select from public.events e where e.event_id = p_event_id and e.account_id = v_account) then
        v_account := ingestion.resolve_account(v_account);
    end if;
    v_raw := (
        select ingestion.raw_item(e.raw_id) from public.events e
        where e.event_id = p_event_id and e.account_id = v_account
    );
    v_event := ingestion.read_event(p_event || jsonb_build_object('raw', v_raw));
    v_event.account_id := v_account;
    v_event := ingestion.seen_from_us(
        v_event, (select a.app_scoped_id from public.accounts a where a.account_id = v_account)
    );
    -- Before any row is locked, in the order of an erasure.
    v_is_erased := ingestion.is_erased(v_event);
    select * into v_before from public.events e
    where e.event_id = p_event_id and e.account_id = v_account for update;
    if not found or v_raw is null then
        return 'missing';
    end if;
    begin
        v_rows := ingestion.lock_affected_rows(v_event);
        if v_is_erased then
            delete from public.events e where e.event_id = p_event_id and e.account_id = v_account;
            v_outcome := 'erased';
        elsif ingestion.reapply_event(v_before, v_event) then
            select * into v_after from public.events e
            where e.event_id = v_event.event_id and e.account_id = v_account;
            v_outcome := case
                when v_before.kind <> v_after.kind then 'reclassified'
                when v_before is distinct from v_after
                    or v_rows is distinct from ingestion.lock_affected_rows(v_event) then 'improved'
                else 'unchanged'
            end;
        end if;
        if p_dry_run then
            raise exception using errcode = 'P0DRY';
        end if;
    exception when sqlstate 'P0DRY' then
        null;  -- the block is rolled back, and the outcome is known
    end;
    return v_outcome;
end;
$$;
comment on function public.replay_event is 'Feeds one archived event through what the current parser makes of it, without effects.';

-- Closes the open segment of the archive, if it has been open for so long, and opens an empty one. Without an empty one the
-- open segment stays open: after the retention time was made longer, for example.
create function ingestion.rotate_raw(p_after interval) returns void
language plpgsql set search_path = ''
as $$
declare
    v_open ingestion.raw_segments;
    v_next integer;
begin
    select * into v_open from ingestion.raw_segments s where s.opened_at is not null and s.closed_at is null for update;
    v_next := (
        select s.segment from ingestion.raw_segments s
        where s.opened_at is null
        order by (s.segment - v_open.segment + 64) % 64
        limit 1
    );
    if v_open.opened_at > now() - p_after or v_next is null then
        return;
    end if;
    update ingestion.raw_segments s set closed_at = clock_timestamp() where s.segment = v_open.segment;
    update ingestion.raw_segments s set opened_at = clock_timestamp() where s.segment = v_next;
    -- The numbers go on, with a leap over those that others take at this moment: no id is ever given twice.
    perform setval('ingestion.raw_ids',
        ingestion.first_raw_id(v_next) + (select last_value from ingestion.raw_ids) % ingestion.first_raw_id(1) + 1000000);
end;
$$;

-- Empties the oldest segment of the archive whose items were all recorded before p_before. Returns how many items it had,
-- or null if no segment is due.
create function ingestion.empty_raw_segment(p_before timestamptz) returns bigint
language plpgsql set search_path = ''
as $$
declare
    v_segment integer;
    v_items bigint;
begin
    select s.segment into v_segment from ingestion.raw_segments s
    where s.closed_at < p_before
    order by s.closed_at
    limit 1
    for update;
    if found then
        execute format('select count(*) from ingestion.%I', 'raw_items_' || v_segment) into v_items;
        execute format('truncate ingestion.%I', 'raw_items_' || v_segment);
        update ingestion.raw_segments s set opened_at = null, closed_at = null where s.segment = v_segment;
    end if;
    return v_items;
end;
$$;

-- One step of retention: empties the oldest segment of the archive whose items are all past their time; the event of a
-- dead letter that has been closed for so long, at most p_limit (an open letter still needs its event); and digests that
-- nothing can arrive for any more. An item is kept until all of its segment are past their time, which is a thirtieth of
-- the retention time longer. Returns {items, letters, done}; call again until done.
create function public.expire_raw(p_before timestamptz, p_limit integer default 2000) returns jsonb
language plpgsql set search_path = '' set lock_timeout = '500ms'
as $$
declare
    v_items bigint;
    v_letters integer;
begin
    v_items := ingestion.empty_raw_segment(p_before);
    perform ingestion.rotate_raw((now() - p_before) / 30);
    update public.dead_letters d set event = null, body = null
    where d.source_message_id in (
        select due.source_message_id from public.dead_letters due
        where due.state <> 'open' and due.failed_at < p_before and (due.event is not null or due.body is not null)
        order by due.failed_at
        limit p_limit
        for update skip locked
    );
    get diagnostics v_letters = row_count;
    delete from ingestion.erased_people e where e.forget_at < now();
    return jsonb_build_object(
        'items', coalesce(v_items, 0), 'letters', v_letters, 'done', v_items is null and v_letters = 0
    );
end;
$$;
comment on function public.expire_raw is 'A step of the retention of raw items: the ledger keeps the row, and the item goes.';
