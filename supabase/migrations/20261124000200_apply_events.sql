-- How each kind of event changes the tables. Every function here is commutative with every other and with
-- itself, and applying one twice is applying it once: order and repetition end in the same rows.
-- Where two events, or two tellings of one, say different things of one row, each column is merged by a rule that does
-- not ask which came first: the time by the earlier, flags by either, anything else by the lesser or the greater.
-- Locks are taken in one order (the event's own new row, profiles, messages, reactions, rows of other events, outbox),
-- against deadlocks; where two transactions still meet, Postgres ends one, and it is tried again (lib/errors.py).

create function ingestion.from_ms(ms bigint) returns timestamptz
language sql immutable strict parallel safe set search_path = ''
return timestamptz 'epoch' + ms * interval '1 millisecond';

-- An item without what a person wrote or attached, for messages that were unsent: ids and shape remain,
-- so that the archive can still be replayed.
create function ingestion.redacted(item jsonb) returns jsonb
language sql immutable set search_path = ''
return item
    #- '{message,text}' #- '{message,attachments}' #- '{message,quick_reply}' #- '{message,referral}'
    #- '{message,reply_to,story}' #- '{referral}' #- '{message_edit,text}'
    #- '{postback,title}' #- '{postback,payload}' #- '{postback,referral}'
    #- '{value,message,text}' #- '{value,message,attachments}' #- '{value,message,quick_reply}'
    #- '{value,message,referral}' #- '{value,message,reply_to,story}' #- '{value,referral}'
    #- '{value,message_edit,text}'
    #- '{value,postback,title}' #- '{value,postback,payload}' #- '{value,postback,referral}';

-- Tests come from nobody, and an account that writes to itself is not its own contact.
create function ingestion.is_about_a_person(p_event jsonb) returns boolean
language sql immutable set search_path = ''
return p_event ->> 'contact_id' is not null
    and not coalesce((p_event ->> 'is_test')::boolean, false)
    and not coalesce((p_event ->> 'is_self')::boolean, false);

-- A person wrote or tapped: Meta's 24-hour window runs from here, and the person has consented to a profile look-up.
create function ingestion.opens_window(p_event jsonb) returns boolean
language sql immutable set search_path = ''
return p_event ->> 'kind' in ('message', 'postback')
    and coalesce(p_event ->> 'direction', 'inbound') = 'inbound'
    and ingestion.is_about_a_person(p_event);

-- Whose an event says the conversation is: 'ours', 'others', or null where it does not say (Meta, "Conversation
-- Routing"). An app that does not own a thread gets its items under standby, if at all; control is taken from
-- whoever is told so, and passed to p_app_id or to somebody else. p_app_id '' is for who does not know the own app
-- id: then a thread is passed to whoever is told so. Null: a pass is not looked at.
create function ingestion.thread_owner(p_event jsonb, p_app_id text) returns text
language sql immutable set search_path = ''
return case
    when (p_event ->> 'standby')::boolean then 'others'
    when ingestion.opens_window(p_event) then 'ours'
    when p_event ->> 'kind' = 'handover' and p_event ->> 'action' = 'take' then 'others'
    when p_event ->> 'kind' = 'handover' and p_event ->> 'action' = 'pass' and p_app_id is not null then
        case when p_app_id in ('', coalesce(p_event ->> 'new_owner_app_id', p_app_id)) then 'ours' else 'others' end
end;

-- The person behind an event: first seen at the earliest, last seen at the latest, whatever came first.
create function ingestion.touch_profile(
    p_event jsonb, p_account text, p_at timestamptz, p_app_id text default null
) returns public.profiles
language sql set search_path = ''
as $$
    insert into public.profiles as p (
        account_id, igsid, first_seen_at, last_seen_at, last_inbound_at, last_outbound_at, last_message_at,
        thread_ours_at, thread_others_at
    )
    select
        p_account, p_event ->> 'contact_id', p_at, p_at,
        case when ingestion.opens_window(p_event) then p_at end,
        case when is_message and p_event ->> 'direction' = 'outbound' then p_at end,
        case when is_message then p_at end,
        case when owner = 'ours' then p_at end,
        case when owner = 'others' then p_at end
    from (
        select
            p_event ->> 'kind' in ('message', 'echo', 'postback') as is_message,
            ingestion.thread_owner(p_event, p_app_id) as owner
    ) e
    on conflict (account_id, igsid) do update set
        first_seen_at = least(p.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(p.last_seen_at, excluded.last_seen_at),
        last_inbound_at = greatest(p.last_inbound_at, excluded.last_inbound_at),
        last_outbound_at = greatest(p.last_outbound_at, excluded.last_outbound_at),
        last_message_at = greatest(p.last_message_at, excluded.last_message_at),
        thread_ours_at = greatest(p.thread_ours_at, excluded.thread_ours_at),
        thread_others_at = greatest(p.thread_others_at, excluded.thread_others_at)
    returning p.*;
$$;

-- Message, echo, postback: the first fills the row, also where an edit or an unsend has left a placeholder. Where a
-- message is told twice, the row has what either knows, and nothing is erased. The echo has the last word on a
-- provisional row, left by our own send. An edit keeps its text, and an unsent message stays erased.
create function ingestion.apply_message(p_event jsonb, p_account text, p_at timestamptz) returns void
language sql set search_path = ''
as $$
    insert into public.messages as m (
        account_id, mid, contact_id, direction, kind, text, attachments, reply_to_mid, reply_to_story, payload,
        referral, is_unsupported, is_ephemeral, is_self, is_test, standby, sent_at, event_id
    )
    values (
        p_account,
        coalesce(p_event ->> 'mid', p_event ->> 'event_id'),
        p_event ->> 'contact_id',
        coalesce(p_event ->> 'direction', 'inbound'),
        p_event ->> 'kind',
        coalesce(p_event ->> 'text', p_event ->> 'title'),
        coalesce(p_event -> 'attachments', '[]'),
        p_event #>> '{reply_to,mid}',
        p_event #> '{reply_to,story}',
        coalesce(p_event #>> '{quick_reply,payload}', p_event ->> 'payload'),
        p_event -> 'referral',
        coalesce((p_event ->> 'is_unsupported')::boolean, false),
        coalesce((p_event ->> 'is_ephemeral')::boolean, false),
        coalesce((p_event ->> 'is_self')::boolean, false),
        coalesce((p_event ->> 'is_test')::boolean, false),
        coalesce((p_event ->> 'standby')::boolean, false),
        p_at,
        p_event ->> 'event_id'
    )
    on conflict (account_id, mid) do update set
        contact_id = case
            when m.is_placeholder then excluded.contact_id
            else least(m.contact_id, excluded.contact_id)
        end,
        direction = case
            when m.is_placeholder then excluded.direction
            else greatest(m.direction, excluded.direction)
        end,
        kind = least(m.kind, excluded.kind),  -- echo before message before postback
        text = case
            when m.unsent_at is not null or m.num_edit is not null then m.text
            when m.is_provisional then excluded.text
            else least(m.text, excluded.text)
        end,
        attachments = case
            when m.unsent_at is not null then '[]'
            when m.is_provisional then excluded.attachments
            else greatest(m.attachments, excluded.attachments)  -- of two arrays the longer
        end,
        reply_to_mid = least(m.reply_to_mid, excluded.reply_to_mid),
        reply_to_story = case when m.unsent_at is null then greatest(m.reply_to_story, excluded.reply_to_story) end,
        payload = case when m.unsent_at is null then least(m.payload, excluded.payload) end,
        referral = case when m.unsent_at is null then greatest(m.referral, excluded.referral) end,
        is_unsupported = m.is_unsupported or excluded.is_unsupported,
        is_ephemeral = m.is_ephemeral or excluded.is_ephemeral,
        is_self = m.is_self or excluded.is_self,
        is_test = m.is_test or excluded.is_test,
        -- Told under messaging as well, the thread is ours.
        standby = excluded.standby and (m.standby or m.is_placeholder or m.is_provisional),
        sent_at = case when m.is_provisional then excluded.sent_at else least(m.sent_at, excluded.sent_at) end,
        event_id = least(m.event_id, excluded.event_id),
        is_placeholder = false,
        is_provisional = false;
$$;

-- A row for a message that was spoken of before it was seen. What edits and unsends say of the conversation
-- is merged by minimum and maximum, so that their order does not matter either.
create function ingestion.hold_place(p_event jsonb, p_account text) returns void
language sql set search_path = ''
as $$
    insert into public.messages as m (account_id, mid, contact_id, direction, is_placeholder)
    values (
        p_account, p_event ->> 'mid', p_event ->> 'contact_id',
        coalesce(p_event ->> 'direction', 'inbound'), true
    )
    on conflict (account_id, mid) do update set
        contact_id = least(m.contact_id, excluded.contact_id),
        direction = greatest(m.direction, excluded.direction)
    where m.is_placeholder;
$$;

-- Edit: the highest num_edit wins, whatever came first. One without text (num_edit 0, common in the wild)
-- is no user's edit and changes nothing. An unsent message stays without text.
create function ingestion.apply_edit(p_event jsonb, p_account text, p_at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
    v_text text := p_event ->> 'text';
    v_num integer := coalesce((p_event ->> 'num_edit')::integer, 0);
begin
    if v_text is null then
        return;
    end if;
    perform ingestion.hold_place(p_event, p_account);
    update public.messages m set
        text = case when m.unsent_at is null then v_text end,
        num_edit = v_num,
        edited_at = p_at
    where m.account_id = p_account and m.mid = p_event ->> 'mid'
        and (
            m.num_edit is null
            or (v_num, p_at, v_text) > (m.num_edit, m.edited_at, coalesce(m.text, ''))
        );
end;
$$;

-- Unsend: a tombstone, for messages seen and not yet seen. What was written is erased here and in the archive.
create function ingestion.apply_unsend(p_event jsonb, p_account text, p_at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
    perform ingestion.hold_place(p_event, p_account);
    update public.messages m set
        unsent_at = least(m.unsent_at, p_at),
        text = null,
        attachments = '[]',
        reply_to_story = null,
        payload = null,
        referral = null
    where m.account_id = p_account and m.mid = p_event ->> 'mid';
end;
$$;

-- The archive keeps no words of an unsent message, nor does what the next phase gets of it. Runs after the message
-- row is locked, so that an unsend and its message, recorded at the same moment, cannot both miss each other.
create function ingestion.redact_if_unsent(p_account text, p_mid text) returns void
language plpgsql set search_path = ''
as $$
begin
    if not exists (
        select from public.messages m
        where m.account_id = p_account and m.mid = p_mid and m.unsent_at is not null
    ) then
        return;
    end if;
    update public.events e set raw = ingestion.redacted(e.raw)
    where e.account_id = p_account and e.mid = p_mid and e.kind in ('message', 'echo', 'postback', 'edit', 'unsend')
        and e.raw is distinct from ingestion.redacted(e.raw);
    update public.outbox o set
        payload = (o.payload - '{text,title,payload,attachments,quick_reply,referral}'::text[]) #- '{reply_to,story}'
    from public.events e
    where o.event_id = e.event_id and o.kind = 'next_phase' and e.account_id = p_account and e.mid = p_mid
        and e.kind in ('message', 'echo', 'postback', 'edit', 'unsend');
end;
$$;

-- Reaction: the newest of each person wins; at one and the same millisecond the greater does (unreact before react).
create function ingestion.apply_reaction(p_event jsonb, p_account text, p_at timestamptz) returns void
language sql set search_path = ''
as $$
    insert into public.reactions as r (
        account_id, mid, actor_id, contact_id, action, reaction, emoji, acted_at, event_id
    )
    values (
        p_account, p_event ->> 'mid', p_event ->> 'actor_id', p_event ->> 'contact_id', p_event ->> 'action',
        p_event ->> 'reaction', p_event ->> 'emoji', p_at, p_event ->> 'event_id'
    )
    on conflict (account_id, mid, actor_id) do update set
        contact_id = excluded.contact_id,
        action = excluded.action,
        reaction = excluded.reaction,
        emoji = excluded.emoji,
        acted_at = excluded.acted_at,
        event_id = excluded.event_id
    where (
            excluded.acted_at, excluded.event_id,
            coalesce(excluded.reaction, ''), coalesce(excluded.emoji, ''), coalesce(excluded.contact_id, '')
        ) > (
            r.acted_at, r.event_id,
            coalesce(r.reaction, ''), coalesce(r.emoji, ''), coalesce(r.contact_id, '')
        );
$$;

-- Read: a watermark; it only ever moves forward. Tests and notes to oneself are nobody's reading.
create function ingestion.apply_read(p_event jsonb, p_account text, p_at timestamptz) returns void
language sql set search_path = ''
as $$
    update public.profiles p set
        read_watermark_at = w.read_at,
        read_watermark_mid = p_event ->> 'mid'
    from (select coalesce(ingestion.from_ms((p_event ->> 'watermark')::bigint), p_at) as read_at) w
    where p.account_id = p_account and p.igsid = p_event ->> 'contact_id' and ingestion.is_about_a_person(p_event)
        and (w.read_at, coalesce(p_event ->> 'mid', ''))
            > (coalesce(p.read_watermark_at, '-infinity'), coalesce(p.read_watermark_mid, ''));
$$;

-- Comment: one under an ad is notified twice, and not always with its author.
create function ingestion.apply_comment(p_event jsonb, p_account text, p_at timestamptz) returns void
language sql set search_path = ''
as $$
    insert into public.comments as c (
        account_id, comment_id, contact_id, username, text, parent_id, media_id, media_product_type, ad_id,
        is_live, is_self, is_test, commented_at, event_id
    )
    values (
        p_account, p_event ->> 'comment_id', p_event ->> 'contact_id', p_event ->> 'username', p_event ->> 'text',
        p_event ->> 'parent_id', p_event ->> 'media_id', p_event ->> 'media_product_type', p_event ->> 'ad_id',
        coalesce((p_event ->> 'is_live')::boolean, false), coalesce((p_event ->> 'is_self')::boolean, false),
        coalesce((p_event ->> 'is_test')::boolean, false), p_at, p_event ->> 'event_id'
    )
    on conflict (account_id, comment_id) do update set
        contact_id = least(c.contact_id, excluded.contact_id),
        username = least(c.username, excluded.username),
        text = least(c.text, excluded.text),
        parent_id = least(c.parent_id, excluded.parent_id),
        media_id = least(c.media_id, excluded.media_id),
        media_product_type = least(c.media_product_type, excluded.media_product_type),
        ad_id = least(c.ad_id, excluded.ad_id),
        is_live = c.is_live or excluded.is_live,
        is_self = c.is_self or excluded.is_self,
        is_test = c.is_test or excluded.is_test,
        commented_at = least(c.commented_at, excluded.commented_at);
$$;

create function ingestion.apply_mention(p_event jsonb, p_account text, p_at timestamptz) returns void
language sql set search_path = ''
as $$
    insert into public.mentions as n (event_id, account_id, media_id, comment_id, mentioned_at)
    values (p_event ->> 'event_id', p_account, p_event ->> 'media_id', p_event ->> 'comment_id', p_at)
    on conflict (event_id) do update set mentioned_at = least(n.mentioned_at, excluded.mentioned_at);
$$;

-- One event, whatever its kind. Kinds without a case (referral, optin, handover, unknown) live in the ledger.
create function ingestion.apply_event(p_event jsonb, p_account text, p_at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
    v_mid text := p_event ->> 'mid';
begin
    case p_event ->> 'kind'
        when 'message', 'echo', 'postback' then
            perform ingestion.apply_message(p_event, p_account, p_at);
            perform ingestion.redact_if_unsent(p_account, v_mid);
        when 'edit' then
            perform ingestion.apply_edit(p_event, p_account, p_at);
            perform ingestion.redact_if_unsent(p_account, v_mid);
        when 'unsend' then
            perform ingestion.apply_unsend(p_event, p_account, p_at);
            perform ingestion.redact_if_unsent(p_account, v_mid);
        when 'reaction' then
            perform ingestion.apply_reaction(p_event, p_account, p_at);
        when 'read' then
            perform ingestion.apply_read(p_event, p_account, p_at);
        when 'comment' then
            perform ingestion.apply_comment(p_event, p_account, p_at);
        when 'mention' then
            perform ingestion.apply_mention(p_event, p_account, p_at);
        else null;
    end case;
end;
$$;

-- An event told again. Meta's tellings of one event are not always equal: the item comes under standby and under
-- messaging, with its sender and without, as a message and as its echo, and a change has no time but that of each
-- notification. One that differs from what the ledger has is applied like the first, and merged into the ledger, so
-- that it does not matter which of them came first. (QStash knows ids only: of two tellings within its ten minutes it
-- delivers the first.) What Meta said is compared, not what we read in it; past retention nothing is left to compare.
create function ingestion.apply_again(p_event jsonb, p_account text, p_at timestamptz, p_app_id text) returns void
language plpgsql set search_path = ''
as $$
declare
    v_raw jsonb := p_event -> 'raw';
    v_standby boolean := coalesce((p_event ->> 'standby')::boolean, false);
    v_known public.events;
begin
    select * into v_known from public.events e
    where e.event_id = p_event ->> 'event_id' and e.account_id = p_account and e.raw is not null;
    if not found or (v_known.raw, v_known.via_standby, v_known.occurred_at) = (v_raw, v_standby, p_at) then
        return;
    end if;
    if ingestion.is_about_a_person(p_event) then
        perform ingestion.touch_profile(p_event, p_account, p_at, p_app_id);
    end if;
    perform ingestion.apply_event(p_event, p_account, p_at);
    -- Of two items the fuller stays, which is the greater as Postgres compares jsonb. They are compared without
    -- their words first, as the words of the one may be erased by now.
    update public.events e set
        kind = least(e.kind, p_event ->> 'kind'),
        contact_id = least(e.contact_id, p_event ->> 'contact_id'),
        direction = greatest(e.direction, coalesce(p_event ->> 'direction', 'inbound')),
        via_standby = e.via_standby and v_standby,
        is_test = e.is_test or coalesce((p_event ->> 'is_test')::boolean, false),
        topic = least(e.topic, p_event ->> 'topic'),
        occurred_at = least(e.occurred_at, p_at),
        retold = e.retold or (e.via_standby, e.occurred_at) <> (v_standby, p_at)
            or e.raw not in (v_raw, ingestion.redacted(v_raw)),
        raw = case
            when (ingestion.redacted(v_raw), v_raw) > (ingestion.redacted(e.raw), e.raw) then v_raw
            else e.raw
        end
    where e.event_id = p_event ->> 'event_id';
    perform ingestion.redact_if_unsent(p_account, p_event ->> 'mid');
end;
$$;
