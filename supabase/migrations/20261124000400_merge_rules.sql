-- How events add up: first message, highest edit, sticky unsend, newest reaction, furthest read.
--
-- Each function here is commutative with every other and with itself, and to apply one twice is to apply it once. So
-- order and repetition end in the same rows. Where two events, or two forms of one event, disagree about a row, each
-- column has a rule that does not ask which came first: the earlier time; for flags, either; else the lesser or the
-- greater value.
--
-- Locks are taken in one order, against deadlocks: who the event is about (ingestion.lock_for_recording), the event's own
-- row, profiles and their place in ingestion.conversation_order, messages, reactions, rows of other events, outbox.
-- Where two transactions still meet, Postgres undoes one, and the call is repeated (lib/errors/tables.py).

-- Of two tellings of a message, returns the value of the one that is surer about who wrote. Where they are equally
-- sure, the lesser value, so that the order does not matter: echo before message before postback.
create function ingestion.surer(
    p_direction text, p_contact text, p_other_direction text, p_other_contact text, p_value text, p_other_value text
) returns text
language sql immutable parallel safe set search_path = ''
return case sign(
        ingestion.sender_rank(p_direction, p_contact) - ingestion.sender_rank(p_other_direction, p_other_contact)
    )
    when 1 then coalesce(p_value, p_other_value)
    when -1 then coalesce(p_other_value, p_value)
    else least(p_value, p_other_value)
end;

-- First message wins: message, echo or postback fills the row, also a placeholder that an edit or an unsend left. A
-- second form of the message adds what the first lacks, and erases nothing. The echo overrules a provisional row,
-- which our own send left. The text of an edit stays, and an unsent message stays erased. Returns whether nothing was
-- known of the message before.
create function ingestion.apply_message(p_event ingestion.event) returns boolean
language plpgsql set search_path = ''
as $$
declare
    v_mid text := coalesce(p_event.mid, p_event.event_id);
    v_attachments jsonb := coalesce(p_event.attachments, '[]');
    v_was_told boolean;
    v_contact text;
begin
    insert into public.messages (
        account_id, mid, contact_id, direction, kind, text, attachments, reply_to_mid, reply_to_story, payload,
        referral, is_unsupported, is_ephemeral, is_self, is_test, standby, sent_at, event_id
    )
    values (
        p_event.account_id, v_mid, p_event.contact_id, p_event.direction, p_event.kind, p_event.text, v_attachments,
        p_event.reply_to_mid, p_event.reply_to_story, p_event.payload, p_event.referral, p_event.is_unsupported,
        p_event.is_ephemeral, p_event.is_self, p_event.is_test, p_event.standby, p_event.occurred_at, p_event.event_id
    )
    on conflict (account_id, mid) do nothing;
    if found then
        return true;
    end if;
    v_was_told := exists (
        select from public.messages m
        where m.account_id = p_event.account_id and m.mid = v_mid and not m.is_placeholder and not m.is_provisional
    );
    update public.messages m set
        contact_id = case
            when m.is_placeholder then p_event.contact_id
            else ingestion.surer(
                m.direction, m.contact_id, p_event.direction, p_event.contact_id, m.contact_id, p_event.contact_id
            )
        end,
        direction = case
            when m.is_placeholder then p_event.direction
            else ingestion.surer(
                m.direction, m.contact_id, p_event.direction, p_event.contact_id, m.direction, p_event.direction
            )
        end,
        kind = ingestion.surer(
            case when not m.is_placeholder then m.direction end, m.contact_id,
            p_event.direction, p_event.contact_id, m.kind, p_event.kind
        ),
        text = case
            when m.unsent_at is not null or m.num_edit is not null then m.text
            when m.is_provisional then p_event.text
            else least(m.text, p_event.text)
        end,
        attachments = case
            when m.unsent_at is not null then '[]'
            when m.is_provisional then v_attachments
            else greatest(m.attachments, v_attachments)  -- of two arrays the longer
        end,
        reply_to_mid = least(m.reply_to_mid, p_event.reply_to_mid),
        reply_to_story = case when m.unsent_at is null then greatest(m.reply_to_story, p_event.reply_to_story) end,
        payload = case when m.unsent_at is null then least(m.payload, p_event.payload) end,
        referral = case when m.unsent_at is null then greatest(m.referral, p_event.referral) end,
        is_unsupported = m.is_unsupported or p_event.is_unsupported,
        is_ephemeral = m.is_ephemeral or p_event.is_ephemeral,
        is_self = m.is_self or p_event.is_self,
        is_test = m.is_test or p_event.is_test,
        -- Where one form came under messaging, the thread is ours.
        standby = p_event.standby and (m.standby or m.is_placeholder or m.is_provisional),
        sent_at = case when m.is_provisional then p_event.occurred_at else least(m.sent_at, p_event.occurred_at) end,
        event_id = least(m.event_id, p_event.event_id),
        is_placeholder = false,
        is_provisional = false
    where m.account_id = p_event.account_id and m.mid = v_mid
    returning m.contact_id into v_contact;  -- this form need not name the person
    if v_was_told and v_contact is not null then
        perform ingestion.settle_last_outbound(p_event.account_id, v_contact);
    end if;
    return false;
end;
$$;

-- Makes a placeholder for a message that has not been seen. What edits and unsends say of the conversation is merged
-- by minimum and maximum, so their order does not matter either.
create function ingestion.ensure_message(p_event ingestion.event) returns void
language sql set search_path = ''
as $$
    insert into public.messages as m (account_id, mid, contact_id, direction, is_placeholder)
    values (
        p_event.account_id, p_event.mid, p_event.contact_id,
        p_event.direction, true
    )
    on conflict (account_id, mid) do update set
        contact_id = least(m.contact_id, excluded.contact_id),
        direction = greatest(m.direction, excluded.direction)
    where m.is_placeholder;
$$;

-- Highest edit wins: the edit with the highest num_edit gives the text. An edit without text (num_edit 0, common in
-- the wild) is no edit by a person, and changes nothing. An unsent message stays without text.
create function ingestion.apply_edit(p_event ingestion.event) returns void
language plpgsql set search_path = ''
as $$
declare
    v_text text := p_event.text;
    v_num integer := coalesce(p_event.num_edit, 0);
begin
    if v_text is null then
        return;
    end if;
    perform ingestion.ensure_message(p_event);
    update public.messages m set
        text = case when m.unsent_at is null then v_text end,
        num_edit = v_num,
        edited_at = p_event.occurred_at
    where m.account_id = p_event.account_id and m.mid = p_event.mid
        and (
            m.num_edit is null
            or (v_num, p_event.occurred_at, v_text) > (m.num_edit, m.edited_at, coalesce(m.text, ''))
        );
end;
$$;

-- Unsend is sticky: a message that was unsent stays without its words, also if the unsend comes first.
create function ingestion.apply_unsend(p_event ingestion.event) returns void
language plpgsql set search_path = ''
as $$
begin
    perform ingestion.ensure_message(p_event);
    update public.messages m set
        unsent_at = least(m.unsent_at, p_event.occurred_at),
        text = null,
        attachments = '[]',
        reply_to_story = null,
        payload = null,
        referral = null
    where m.account_id = p_event.account_id and m.mid = p_event.mid;
end;
$$;

-- Removes the words of an unsent message from the archive, from dead letters and from what the next phase gets. Runs after the message
-- row is locked: an unsend and its message, recorded at the same moment, can then not both miss each other.
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
    update ingestion.raw_items r set item = ingestion.redacted(r.item)
    from public.events e
    where e.account_id = p_account and e.mid = p_mid and ingestion.is_about_a_message(e.kind)
        and r.raw_id = e.raw_id and r.item <> ingestion.redacted(r.item);
    update public.dead_letters d set event = ingestion.redacted_event(d.event)
    where d.account_id = p_account and d.event ->> 'mid' = p_mid and ingestion.is_about_a_message(d.event ->> 'kind')
        and d.event <> ingestion.redacted_event(d.event);
    update public.outbox o set payload = ingestion.redacted_event(o.payload)
    from public.events e
    where o.event_id = e.event_id and o.account_id = e.account_id and o.kind = 'next_phase'
        and e.account_id = p_account and e.mid = p_mid
        and ingestion.is_about_a_message(e.kind);
end;
$$;

-- Newest reaction wins, for each message and person. Within one millisecond the greater id wins: unreact over react.
create function ingestion.apply_reaction(p_event ingestion.event) returns void
language sql set search_path = ''
as $$
    insert into public.reactions as r (
        account_id, mid, actor_id, contact_id, action, reaction, emoji, acted_at, event_id
    )
    values (
        p_event.account_id, p_event.mid, p_event.actor_id, p_event.contact_id, p_event.action,
        p_event.reaction, p_event.emoji, p_event.occurred_at, p_event.event_id
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

-- Furthest read wins: the watermark only moves forward. Dashboard tests and notes to oneself count for nobody.
create function ingestion.apply_read(p_event ingestion.event) returns void
language sql set search_path = ''
as $$
    update public.profiles p set
        read_watermark_at = w.read_at,
        read_watermark_mid = p_event.mid
    from (select coalesce(p_event.read_up_to, p_event.occurred_at) as read_at) w
    where p.account_id = p_event.account_id and p.igsid = p_event.contact_id and ingestion.is_about_a_person(p_event)
        and (w.read_at, coalesce(p_event.mid, ''))
            > (coalesce(p.read_watermark_at, '-infinity'), coalesce(p.read_watermark_mid, ''));
$$;

-- Comment: Meta notifies one under an ad twice, and not always with its author.
create function ingestion.apply_comment(p_event ingestion.event) returns void
language sql set search_path = ''
as $$
    insert into public.comments as c (
        account_id, comment_id, contact_id, username, text, parent_id, media_id, media_product_type, ad_id,
        is_live, is_self, is_test, commented_at, event_id
    )
    values (
        p_event.account_id, p_event.comment_id, p_event.contact_id, p_event.username, p_event.text,
        p_event.parent_id, p_event.media_id, p_event.media_product_type, p_event.ad_id,
        p_event.is_live, p_event.is_self,
        p_event.is_test, p_event.occurred_at, p_event.event_id
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

create function ingestion.apply_mention(p_event ingestion.event) returns void
language sql set search_path = ''
as $$
    insert into public.mentions as n (event_id, account_id, media_id, comment_id, mentioned_at)
    values (p_event.event_id, p_event.account_id, p_event.media_id, p_event.comment_id, p_event.occurred_at)
    on conflict (event_id, account_id) do update set mentioned_at = least(n.mentioned_at, excluded.mentioned_at);
$$;

-- Applies one event. Kinds without a case (referral, optin, handover, unknown) have only their row of the ledger.
create function ingestion.apply_event(p_event ingestion.event) returns void
language plpgsql set search_path = ''
as $$
begin
    case p_event.kind
        when 'message', 'echo', 'postback' then
            -- A message of which nothing was known can not have been unsent.
            if not ingestion.apply_message(p_event) then
                perform ingestion.redact_if_unsent(p_event.account_id, p_event.mid);
            end if;
        when 'edit' then
            perform ingestion.apply_edit(p_event);
            perform ingestion.redact_if_unsent(p_event.account_id, p_event.mid);
        when 'unsend' then
            perform ingestion.apply_unsend(p_event);
            perform ingestion.redact_if_unsent(p_event.account_id, p_event.mid);
        when 'reaction' then
            perform ingestion.apply_reaction(p_event);
        when 'read' then
            perform ingestion.apply_read(p_event);
        when 'comment' then
            perform ingestion.apply_comment(p_event);
        when 'mention' then
            perform ingestion.apply_mention(p_event);
        else null;
    end case;
end;
$$;

-- Merges an event that was delivered before. Meta may deliver one event in different forms: under standby and under
-- messaging, with and without its sender, as a message and as its echo; and a change has only the time of each
-- notification. A form that differs from the ledger is applied like the first, and merged into the ledger, so it does
-- not matter which form came first. Meta's items are compared, not what we read in them; past retention there is
-- nothing left to compare. p_known is the row of the ledger, locked.
create function ingestion.merge_redelivery(
    p_event ingestion.event, p_known public.events, p_app_id text
) returns void
language plpgsql set search_path = ''
as $$
declare
    v_answerable boolean := p_known.answerable or ingestion.is_answerable(p_event);
    v_raw jsonb := ingestion.raw_item(p_known.raw_id);
begin
    if v_raw is null
        or (v_raw, p_known.via_standby, p_known.occurred_at, p_known.answerable)
            = (p_event.raw, p_event.standby, p_event.occurred_at, v_answerable) then
        return;
    end if;
    if ingestion.is_about_a_person(p_event) then
        perform ingestion.touch_profile(p_event, p_app_id);
    end if;
    perform ingestion.apply_event(p_event);
    -- The fuller item stays: the greater one, as Postgres compares jsonb. Items are compared without their words
    -- first, because the words of one may be erased by now.
    update public.events e set
        kind = ingestion.surer(
            e.direction, e.contact_id, p_event.direction, p_event.contact_id, e.kind, p_event.kind
        ),
        contact_id = ingestion.surer(
            e.direction, e.contact_id, p_event.direction, p_event.contact_id, e.contact_id, p_event.contact_id
        ),
        direction = ingestion.surer(
            e.direction, e.contact_id, p_event.direction, p_event.contact_id, e.direction, p_event.direction
        ),
        via_standby = e.via_standby and p_event.standby,
        answerable = v_answerable,
        is_test = e.is_test or p_event.is_test,
        topic = least(e.topic, p_event.topic),
        occurred_at = least(e.occurred_at, p_event.occurred_at),
        has_variants = e.has_variants or (e.via_standby, e.occurred_at) <> (p_event.standby, p_event.occurred_at)
            or v_raw not in (p_event.raw, ingestion.redacted(p_event.raw))
    where e.event_id = p_event.event_id and e.account_id = p_event.account_id;
    update ingestion.raw_items r set item = p_event.raw
    where r.raw_id = p_known.raw_id
        and (ingestion.redacted(p_event.raw), p_event.raw) > (ingestion.redacted(r.item), r.item);
    perform ingestion.redact_if_unsent(p_event.account_id, p_event.mid);
end;
$$;
