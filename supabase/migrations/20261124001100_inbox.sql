-- What an inbox, a CRM or an analyst asks for: conversations, their messages as they stand, events we do not
-- understand.
--
-- A page of a view costs a page, however much is stored, if it is ordered like an index of its table. Values from
-- other tables are looked up row by row, and only for columns that are asked for. The plans are in docs/database.md.

-- One row a conversation; order by (last_message_at, contact_id). Unread are the person's messages after our last one
-- (by whatever app, automatic replies too) and after the time that an inbox has marked as seen. The count ends at
-- 1000, so that one noisy conversation does not slow down the list. is_unread is unread_count > 0, in a form that the
-- index conversation_order_unread answers.
create view public.conversations with (security_invoker = true) as
select
    o.account_id,
    o.contact_id,
    p.username,
    p.name,
    p.profile_pic,
    p.state as profile_state,
    p.first_seen_at,
    o.last_message_at,
    last.mid as last_mid,
    last.direction as last_direction,
    last.kind as last_kind,
    last.text as last_text,
    last.attachment_types as last_attachment_types,
    last.unsent_at as last_unsent_at,
    last.note as last_note,
    unread.unread_count,
    o.may_be_unread and unread.unread_count > 0 as is_unread,
    p.last_inbound_at,
    p.last_outbound_at,
    p.last_inbound_at + ingestion.reply_window() as window_open_until,
    coalesce(p.last_inbound_at + ingestion.reply_window() > now(), false) as is_window_open,
    p.read_watermark_at
from ingestion.conversation_order o
-- One look into the index for each row of a page: a plain join may read all profiles for it.
cross join lateral (
    select * from public.profiles person
    where person.account_id = o.account_id and person.igsid = o.contact_id
    limit 1
) p
left join lateral (
    select
        m.mid, m.direction, m.kind, m.text, m.unsent_at,
        array(select item ->> 'type' from jsonb_array_elements(m.attachments) item) as attachment_types,
        -- Why the message shows no text; null if it shows one. (Not a function: a page would call it for each row.)
        case
            when m.unsent_at is not null then 'unsent'
            when coalesce(m.text, '') <> '' then null
            when m.is_unsupported then 'unsupported'
            when m.is_ephemeral then 'ephemeral'
            when m.attachments <> '[]' then 'attachment'
            when m.reply_to_story is not null then 'story_reply'
            when m.referral is not null then 'referral'
            when m.kind = 'postback' then 'postback'
            else 'empty'
        end as note
    from public.messages m
    where m.account_id = o.account_id and m.contact_id = o.contact_id and not m.is_placeholder
    order by m.sent_at desc, m.mid desc
    limit 1
) last on true
left join lateral (
    select count(*)::integer as unread_count
    from (
        select from public.messages m
        where m.account_id = o.account_id and m.contact_id = o.contact_id and not m.is_placeholder
            and m.direction = 'inbound' and m.unsent_at is null
            and o.may_be_unread  -- for most conversations nothing is looked up
            and m.sent_at > coalesce(greatest(p.last_outbound_at, p.seen_at), '-infinity')
        limit 1000
    ) counted
) unread on true;
comment on view public.conversations is 'One row a person and account: the last message, how many are unread, until when we may answer.';
comment on column public.conversations.last_note is 'Why last_text is empty: unsent, unsupported (Meta does not show it), ephemeral, attachment, story_reply, referral (an ad or a link alone), postback, empty.';
comment on column public.conversations.unread_count is 'Up to 1000.';
comment on column public.conversations.is_unread is 'unread_count > 0; filter on this one, it has an index.';
comment on column public.conversations.window_open_until is 'Meta''s 24 hours after the person''s last message or tap; null where they never wrote.';

-- The messages of conversations, each as it stands now; order by (sent_at, mid).
create view public.conversation_messages with (security_invoker = true) as
select
    m.account_id,
    m.contact_id,
    m.mid,
    m.direction,
    m.kind,
    m.text,
    m.attachments,
    m.reply_to_mid,
    m.reply_to_story,
    m.payload,
    m.referral,
    m.sent_at,
    case
        when m.unsent_at is not null then 'unsent'
        when m.num_edit is not null then 'edited'
        else 'as_sent'
    end as state,
    m.num_edit,
    m.edited_at,
    m.unsent_at,
    case when m.direction = 'outbound' then coalesce(m.sent_at <= p.read_watermark_at, false) end as is_read,
    reactions.reactions,
    m.is_unsupported,
    m.is_ephemeral,
    m.is_self,
    m.is_test,
    m.standby
from public.messages m
left join public.profiles p on p.account_id = m.account_id and p.igsid = m.contact_id
left join lateral (
    select coalesce(jsonb_agg(jsonb_build_object(
        'actor_id', r.actor_id, 'reaction', r.reaction, 'emoji', r.emoji, 'acted_at', r.acted_at
    ) order by r.acted_at, r.actor_id), '[]') as reactions
    from public.reactions r
    where r.account_id = m.account_id and r.mid = m.mid and r.action = 'react'
) reactions on true
where not m.is_placeholder;
comment on view public.conversation_messages is 'Messages as they stand: edited, unsent, read, with the reactions in force.';
comment on column public.conversation_messages.is_read is 'Whether the person has read our message; null for theirs.';

-- Events that we keep and do not act on: policy notices, feedback, insights, deliveries, new kinds.
create view public.unhandled_events with (security_invoker = true) as
select
    e.account_id,
    coalesce(e.topic, '-') as topic,
    count(*) as events,
    min(e.recorded_at) as first_recorded_at,
    max(e.recorded_at) as last_recorded_at
from public.events e
where e.kind = 'unknown'
group by e.account_id, coalesce(e.topic, '-');
comment on view public.unhandled_events is 'Events of kind unknown, counted by what they are about; events.raw has the items.';

-- Marks a conversation as seen up to p_at: the sent_at of the newest message on the screen. Without p_at: up to now.
-- The mark never moves back.
create function public.mark_conversation_seen(
    p_account_id text, p_contact_id text, p_at timestamptz default null
) returns void
language sql set search_path = ''
as $$
    update public.profiles p set seen_at = greatest(p.seen_at, coalesce(p_at, p.last_message_at))
    where p.account_id = p_account_id and p.igsid = p_contact_id;
$$;
comment on function public.mark_conversation_seen is 'Unread is, from now on, only what came after p_at (default: the newest message).';
