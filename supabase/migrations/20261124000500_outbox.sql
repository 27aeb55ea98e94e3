-- The outbox: the state machine of an effect, from planned to sent. ingestion.effect_state explains the states.
--
--   planned ──claim──▶ claimed ──begin_send──▶ sending ──finish_effect──▶ sent | failed | unknown
--      ▲                  │                       │
--      └── lease ran out ─┘                       └── lease ran out: unknown, and never sent again by itself
--
-- A next phase goes from `claimed` to `sent` directly: QStash knows its deduplication id, so to repeat it is safe.
-- In this order: numbers · obstacles · planning · claims · limits · echoes · begin and finish.

-- The numbers.

-- How long a person may be written to after their last message or tap (Meta, "Messaging window").
create function ingestion.reply_window() returns interval
language sql immutable parallel safe set search_path = ''
return interval '24 hours';

-- How long a comment may be answered with a private reply (Meta, "Private Replies").
create function ingestion.private_reply_window() returns interval
language sql immutable parallel safe set search_path = ''
return interval '7 days';

-- How long another app owns a thread after it was last heard of (Meta, "Conversation Routing").
create function ingestion.thread_ownership() returns interval
language sql immutable parallel safe set search_path = ''
return interval '7 days';

-- The times at which the echo of a send may say it was sent: the clocks differ, and Meta may take its time.
create function ingestion.echo_window(p_sending_at timestamptz) returns tstzrange
language sql immutable parallel safe set search_path = ''
return tstzrange(p_sending_at - interval '1 minute', p_sending_at + interval '10 minutes', '[]');

-- The times at which an echo may say that this send was sent: from its first attempt that may have left to its last.
create function ingestion.echo_window(p_effect public.outbox) returns tstzrange
language sql immutable set search_path = ''
return tstzrange(
    lower(ingestion.echo_window(least(p_effect.left_at, p_effect.sending_at))),
    upper(ingestion.echo_window(p_effect.sending_at)),
    '[]'
);

-- Is an effect of this kind a message to a person?
create function ingestion.is_send(p_kind text) returns boolean
language sql immutable strict parallel safe set search_path = ''
return p_kind in ('dm', 'private_reply');

-- Obstacles: why a message may not be sent.

-- Returns why a message may not be sent now, or null if it may. Asked when it is planned, and again when it leaves.
create function ingestion.send_obstacle(
    p_kind text, p_account text, p_contact text, p_mid text, p_occurred_at timestamptz
) returns text
language sql stable set search_path = ''
return case
    -- Two accounts of ours that answer each other would never end.
    when exists (select from public.accounts a where a.account_id = p_contact)
        or exists (select from public.accounts a where a.app_scoped_id = p_contact) then 'own_account'
    when exists (
        select from public.messages m
        where m.account_id = p_account and m.mid = p_mid and m.unsent_at is not null
    ) then 'trigger_unsent'
    when exists (
        select from public.profiles p
        where p.account_id = p_account and p.igsid = p_contact
            -- Of two tellings of one message, under standby and not, the latter is right.
            and p.thread_others_at > coalesce(p.thread_ours_at, '-infinity')
            and p.thread_others_at >= now() - ingestion.thread_ownership()
    ) then 'thread_not_ours'
    when p_kind = 'private_reply' and p_occurred_at < now() - ingestion.private_reply_window()
        then 'outside_window'
    when p_kind = 'dm' and coalesce(
        (select p.last_inbound_at from public.profiles p where p.account_id = p_account and p.igsid = p_contact),
        '-infinity'
    ) < now() - ingestion.reply_window() then 'outside_window'
end;

-- Does an obstacle pass when a person mends it? A send then waits, as long as its window is open. A dead token is such an
-- obstacle. It is none if the owner removed the app: that is a decision.
create function ingestion.passes(p_obstacle text, p_account text) returns boolean
language sql stable set search_path = ''
return p_obstacle = 'account_needs_reauth' and not exists (
    select from public.accounts a where a.account_id = p_account and a.state_code = 'deauthorized'
);

-- How long a send waits for a person to mend something, before it is tried again.
create function ingestion.mend_wait() returns interval
language sql immutable parallel safe set search_path = ''
return interval '15 minutes';

-- Returns too_many_replies if a person got, or may have got, as many automatic replies within an hour as p_options
-- allows; or null. Two auto-responders that answer each other end here.
create function ingestion.ceiling_obstacle(p_account text, p_contact text, p_options jsonb) returns text
language sql stable set search_path = ''
return case when p_options ? 'replies_per_hour' and (
    select count(*)
    from public.outbox o
    where o.account_id = p_account and o.contact_id = p_contact
        and o.slot_at > now() - interval '1 hour' and coalesce(o.waits_for, 'thread') = 'thread'
        and o.waits_for is null and o.rule_id is not null and o.state in ('sending', 'sent', 'unknown')
) >= (p_options ->> 'replies_per_hour')::integer then 'too_many_replies' end;

-- Returns why a person has revoked a send since it was planned, or null: the rule is gone or switched off, or all replies
-- are. The rule stays as it is until this transaction ends.
create function ingestion.brake(p_effect public.outbox, p_mode text) returns text
language plpgsql set search_path = ''
as $$
begin
    if p_mode = 'off' then
        return 'replies_off';
    end if;
    if p_effect.rule_id is not null then
        perform from public.reply_rules r where r.rule_id = p_effect.rule_id and r.enabled for share;
        if not found then
            return 'rule_disabled';
        end if;
    end if;
    return case p_mode when 'dry_run' then 'dry_run' end;
end;
$$;

-- Did the rule answer this person less than its cooldown ago?
create function ingestion.is_cooling_down(
    p_account text, p_contact text, p_rule bigint, p_cooldown_s integer
) returns boolean
language sql stable set search_path = ''
return p_cooldown_s > 0 and exists (
    select from public.outbox o
    where o.account_id = p_account and o.contact_id = p_contact and o.rule_id = p_rule
        and (o.state not in ('failed', 'skipped') or o.error_code = 'dry_run')
        and o.planned_at > now() - p_cooldown_s * interval '1 second'
);

-- Is this event's message the first of the person? A message that is told in two ways is one message.
create function ingestion.is_first_message(p_event ingestion.event) returns boolean
language sql stable set search_path = ''
return not exists (
    select from public.messages m
    where m.account_id = p_event.account_id and m.contact_id = p_event.contact_id and m.direction = 'inbound'
        and not m.is_placeholder and not m.is_test and m.mid <> coalesce(p_event.mid, p_event.event_id)
);

-- Planning.

-- Returns the id of an effect: what triggered the effect, for which account, and the rule. A message and a postback of
-- one mid are one trigger.
create function ingestion.effect_id(p_event ingestion.event, p_effect jsonb) returns text
language sql immutable set search_path = ''
return case
    when ingestion.is_send(p_effect ->> 'kind') then
        format('dm:%s:%s:%s',
            p_event.account_id, coalesce(p_event.mid, p_event.comment_id, p_event.event_id), p_effect ->> 'rule_id')
    else format('next:%s:%s', p_event.account_id, p_event.event_id)
end;

-- Returns what the next phase gets, with the account and the person as the database knows them.
create function ingestion.next_phase_payload(p_event ingestion.event, p_payload jsonb) returns jsonb
language sql immutable set search_path = ''
return p_payload
    || jsonb_build_object(
        'event_id', p_event.event_id, 'account_id', p_event.account_id, 'contact_id', p_event.contact_id,
        'direction', p_event.direction
    )
    || case when p_event.is_self then '{"is_self": true}' else '{}' end::jsonb
    || case when p_event.actor_id is not null
        then jsonb_build_object('actor_id', p_event.actor_id) else '{}' end;

-- Plans what an event owes. `p_effects` are the candidates (lib/processing/planner.py), the best first: {kind,
-- payload, rule_id?, rule_account_id?, cooldown_s?, first_message?}. First message, cooldown, window, account and
-- thread are decided here, under the lock of the person's profile row: two messages at the same moment can then not
-- both be the first. p_options is {reply_match, replies_per_hour}. With reply_match 'first' the first rule that matches
-- decides, also if it is cooling down.
create function ingestion.plan_effects(
    p_event ingestion.event, p_effects jsonb, p_options jsonb
) returns void
language plpgsql set search_path = ''
as $$
declare
    v_effect jsonb;
    v_obstacle text;
    v_waits boolean;
    v_first_only boolean := coalesce(p_options ->> 'reply_match', 'first') = 'first';
    v_answered boolean := false;
begin
    for v_effect in select e.value from jsonb_array_elements(p_effects) with ordinality e order by e.ordinality loop
        v_obstacle := null;
        if ingestion.is_send(v_effect ->> 'kind') then
            -- The worker knows one id of our account. The other id shows here that we wrote this ourselves.
            continue when not ingestion.is_answerable(p_event);
            -- Meta allows one private reply a comment, whatever reply_match says.
            continue when v_answered and (v_first_only or v_effect ->> 'kind' = 'private_reply');
            continue when ingestion.resolve_account(v_effect ->> 'rule_account_id') <> p_event.account_id;
            continue when (v_effect ->> 'first_message')::boolean
                and not ingestion.is_first_message(p_event);
            v_answered := true;
            v_obstacle := coalesce(
                case when ingestion.is_cooling_down(
                    p_event.account_id, p_event.contact_id, (v_effect ->> 'rule_id')::bigint,
                    coalesce((v_effect ->> 'cooldown_s')::integer, 0)
                ) then 'cooling_down' end,
                ingestion.account_obstacle(p_event.account_id, p_options ->> 'env_token'),
                ingestion.send_obstacle(
                    v_effect ->> 'kind', p_event.account_id, p_event.contact_id, p_event.mid, p_event.occurred_at
                ),
                ingestion.ceiling_obstacle(p_event.account_id, p_event.contact_id, p_options)
            );
        end if;
        v_waits := coalesce(ingestion.passes(v_obstacle, p_event.account_id), false);
        insert into public.outbox (
            effect_id, event_id, kind, account_id, contact_id, rule_id, payload, state, error_code, finished_at,
            not_before, planned_at
        )
        values (
            ingestion.effect_id(p_event, v_effect),
            p_event.event_id, v_effect ->> 'kind', p_event.account_id, p_event.contact_id,
            (v_effect ->> 'rule_id')::bigint,
            case when v_effect ->> 'kind' = 'next_phase'
                then ingestion.next_phase_payload(p_event, v_effect -> 'payload') else v_effect -> 'payload' end,
            case when v_obstacle is null or v_waits then 'planned' else 'skipped' end,
            v_obstacle,
            case when v_obstacle is not null and not v_waits then now() end,
            case when v_waits then now() + ingestion.mend_wait() end,
            clock_timestamp()  -- the best effect has the earliest time, and is claimed first
        )
        on conflict (effect_id) do nothing;
    end loop;
end;
$$;

-- Claims.

-- Marks sends as `unknown` whose worker died between `sending` and `sent`: they may have reached Meta. Of one event,
-- or of all events. Returns how many there were.
create function ingestion.expire_leases(p_event_id text default null, p_account text default null) returns integer
language plpgsql set search_path = ''
as $$
declare
    v_expired integer;
begin
    update public.outbox o set
        state = 'unknown', finished_at = now(), error_code = 'lease_expired',
        left_at = coalesce(o.left_at, o.sending_at)
    where (p_event_id is null or (o.event_id = p_event_id and o.account_id = p_account))
        and o.state = 'sending' and o.lease_until < clock_timestamp();
    get diagnostics v_expired = row_count;
    return v_expired;
end;
$$;

-- Claims what an event still owes, for p_lease_s seconds. The caller has locked the row of the event.
create function ingestion.claim_effects(
    p_event_id text, p_account text, p_token uuid, p_lease_s integer
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_claimed jsonb;
begin
    perform ingestion.expire_leases(p_event_id, p_account);
    with due as (
        update public.outbox o set
            state = 'claimed',
            attempts = o.attempts + 1,
            lease_token = p_token,
            lease_until = clock_timestamp() + p_lease_s * interval '1 second'
        where o.event_id = p_event_id and o.account_id = p_account and (
            (o.state = 'planned' and coalesce(o.not_before, '-infinity') <= clock_timestamp())
            or (o.state = 'claimed' and o.lease_until < clock_timestamp())
        )
        returning o.effect_id, o.kind, o.rule_id, coalesce(o.template, o.payload) as payload,
            o.left_at is not null as may_have_left, o.planned_at
    )
    select coalesce(jsonb_agg(to_jsonb(due) - 'planned_at' order by due.planned_at, due.effect_id), '[]')
    into v_claimed from due;
    return v_claimed;
end;
$$;

-- Returns the seconds until the effects that an event owes can be claimed by others than the holder of p_token, or
-- null if nothing is owed. An effect that waits for its time is held by nobody, and is owed all the same.
create function ingestion.owed_in_s(p_event_id text, p_account text, p_token uuid) returns double precision
language sql stable set search_path = ''
return (
    select greatest(1, extract(epoch from min(
        case when o.state = 'planned' then coalesce(o.not_before, now()) else o.lease_until end
    ) - clock_timestamp()))
    from public.outbox o
    where o.event_id = p_event_id and o.account_id = p_account and o.state in ('planned', 'claimed', 'sending')
        and (o.state = 'planned' or o.lease_token is distinct from p_token)
    having count(*) > 0  -- greatest() would make 1 of nothing
);

-- Limits.

-- Returns when the next send may leave, so that at most p_count leave in any p_window_s seconds: p_window_s after the
-- p_count-th latest. p_scope says what counts: the sends of the account, those to the person, or the private replies
-- of the account. A send that has left counts everywhere. A send that waits counts by its slot, in the scope it waits
-- for; with p_has_left it does not count.
create function ingestion.next_slot(
    p_effect public.outbox, p_scope text, p_count integer, p_window_s double precision,
    p_has_left boolean default false
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
                and (o.waits_for is null or not p_has_left)
            order by o.slot_at desc offset p_count - 1 limit 1;
        when 'thread' then
            select o.slot_at into v_nth from public.outbox o
            where o.account_id = p_effect.account_id and o.contact_id = p_effect.contact_id
                and o.slot_at > v_since and coalesce(o.waits_for, 'thread') = 'thread'
                and (o.waits_for is null or not p_has_left)
            order by o.slot_at desc offset p_count - 1 limit 1;
        when 'private_reply' then
            select o.slot_at into v_nth from public.outbox o
            where o.account_id = p_effect.account_id and o.kind = 'private_reply'
                and o.slot_at > v_since and coalesce(o.waits_for, 'private_reply') = 'private_reply'
                and (o.waits_for is null or not p_has_left)
            order by o.slot_at desc offset p_count - 1 limit 1;
    end case;
    return v_nth + p_window_s * interval '1 second';
end;
$$;

-- Returns for which limit an effect has to wait, and until when; no row if it may leave. Limits are checked in order.
-- Of one that the effect has already waited for, only the sends that have left count: those that wait came later, and
-- the effect keeps its slot before them. But slots are promises, and more of them may fall due together than the limit
-- allows, so what has left is counted again. p_limits is {account, thread, private_reply}, each {count, window_s}.
create function ingestion.send_delay(p_effect public.outbox, p_limits jsonb)
returns table (waits_for text, slot_at timestamptz)
language plpgsql set search_path = ''
as $$
declare
    v_scopes constant text[] := array['private_reply', 'thread', 'account'];
    v_waited_for integer := coalesce(array_position(v_scopes, p_effect.waits_for), 0);
    v_scope text;
    v_count integer;
    v_window_s double precision;
    v_slot timestamptz := p_effect.slot_at;
begin
    if v_slot > clock_timestamp() then
        return query select p_effect.waits_for, v_slot;
        return;
    end if;
    -- One transaction at a time for each account, so that no two take the same slot. Each has locked its effect's
    -- row.
    perform pg_advisory_xact_lock(hashtextextended('send/' || p_effect.account_id, 0));
    foreach v_scope in array v_scopes loop
        continue when v_scope = 'private_reply' and p_effect.kind <> 'private_reply';
        v_count := (p_limits #>> array[v_scope, 'count'])::integer;
        v_window_s := (p_limits #>> array[v_scope, 'window_s'])::double precision;
        v_slot := ingestion.next_slot(
            p_effect, v_scope, v_count, v_window_s, p_has_left => array_position(v_scopes, v_scope) <= v_waited_for
        );
        if v_slot > clock_timestamp() then
            -- Behind those that wait, so that not all of them come back at the same moment.
            v_slot := greatest(v_slot, ingestion.next_slot(p_effect, v_scope, v_count, v_window_s));
            return query select v_scope, v_slot;
            return;
        end if;
    end loop;
end;
$$;

-- Echoes.

-- Returns the attachments of a message as we send it: Meta wants images in an array, and anything else alone.
create function ingestion.sent_attachments(p_message jsonb) returns jsonb
language sql immutable set search_path = ''
return case
    when p_message ? 'attachment' then jsonb_build_array(p_message -> 'attachment')
    else coalesce(p_message -> 'attachments', '[]')
end;

-- Returns the kinds of attachments, in order. A shared post comes back under one of several names.
create function ingestion.attachment_kinds(p_attachments jsonb) returns text[]
language sql immutable set search_path = ''
return array(
    select case
        when item ->> 'type' in ('MEDIA_SHARE', 'share', 'ig_post', 'post', 'ig_reel', 'reel', 'media') then 'share'
        else item ->> 'type'
    end
    from jsonb_array_elements(p_attachments) with ordinality a (item, place)
    order by place
);

-- Could a message with this text and these attachments be the echo of p_message? The text is the same. Attachments
-- come back with Meta's own links, so only their kinds can be compared.
create function ingestion.looks_like_echo(p_message jsonb, p_text text, p_attachments jsonb) returns boolean
language sql immutable set search_path = ''
return case
    when p_message ? 'text' then p_message ->> 'text' is not distinct from p_text
    else p_text is null
        and ingestion.attachment_kinds(ingestion.sent_attachments(p_message))
            = ingestion.attachment_kinds(p_attachments)
end;

-- Could a message with this text and these attachments be the echo of one of the attempts of a send?
create function ingestion.may_be_sent_as(p_effect public.outbox, p_text text, p_attachments jsonb) returns boolean
language sql immutable set search_path = ''
return ingestion.looks_like_echo(p_effect.payload, p_text, p_attachments)
    or exists (
        select from jsonb_array_elements(p_effect.left_as) earlier
        where ingestion.looks_like_echo(earlier, p_text, p_attachments)
    );

-- Settles a send: it became the message p_mid. Without an answer that names the mid this is a guess. The same text to the
-- same person within minutes is as good as an answer. A picture is not, for an agent may have sent another one: such a
-- send stays unknown, with the guess, for a person to look at.
create function ingestion.settle_send(p_effect public.outbox, p_mid text, p_is_guess boolean) returns text
language sql set search_path = ''
as $$
    update public.outbox o set
        state = s.state,
        mid = p_mid,
        mid_guessed = p_is_guess,
        error_code = case s.state when 'sent' then null when 'unknown' then 'attachment_guessed' else o.error_code end,
        slot_at = coalesce(o.slot_at, o.sending_at),
        waits_for = null,
        not_before = null,
        finished_at = case when s.state <> 'sending' then coalesce(o.finished_at, now()) end
    from (
        select case
            when not p_is_guess or p_effect.payload ? 'text' or p_effect.state = 'sent' then 'sent'
            when p_effect.state = 'sending' then 'sending'
            else 'unknown'
        end as state
    ) s
    where o.effect_id = p_effect.effect_id
    returning o.state;
$$;

-- Settles the send that caused an echo: by mid; or, if no answer named the mid, by contact, content and time. The echo has
-- the last word: Meta may refuse a send, or answer for a rate limit, and deliver the message all the same. Of several
-- sends the one without an answer comes first, then the oldest. (A real echo has no app id and no mark of its origin.)
create function ingestion.settle_by_echo(p_event ingestion.event) returns void
language plpgsql set search_path = ''
as $$
declare
    v_effect public.outbox;
begin
    select c.* into v_effect
    from public.outbox c
    where c.account_id = p_event.account_id and ingestion.is_send(c.kind)
        and (
            c.mid = p_event.mid
            or (
                c.mid is null and c.sending_at is not null
                and (c.left_at is not null or c.state in ('sending', 'unknown', 'sent'))
                and c.contact_id = p_event.contact_id
                and ingestion.may_be_sent_as(c, p_event.text, coalesce(p_event.attachments, '[]'))
                and p_event.occurred_at <@ ingestion.echo_window(c)
            )
        )
    order by c.mid is null, c.state not in ('sending', 'unknown', 'sent'), c.sending_at, c.effect_id
    limit 1
    for update;
    if found and (v_effect.state <> 'sent' or v_effect.mid is null) and not v_effect.mid_guessed then
        perform ingestion.settle_send(v_effect, p_event.mid, v_effect.mid is distinct from p_event.mid);
    end if;
end;
$$;

-- Returns the mid of an echo for a send without an answer, or null: the oldest echo that no other send has.
create function ingestion.find_echo(p_effect public.outbox) returns text
language sql stable set search_path = ''
as $$
    select m.mid
    from public.messages m
    where m.account_id = p_effect.account_id and m.contact_id = p_effect.contact_id and m.direction = 'outbound'
        and not m.is_placeholder and not m.is_provisional
        and ingestion.may_be_sent_as(p_effect, m.text, m.attachments)
        and m.sent_at between lower(ingestion.echo_window(p_effect)) and upper(ingestion.echo_window(p_effect))
        and not exists (
            select from public.outbox o
            where o.account_id = m.account_id and o.mid = m.mid and o.kind <> 'next_phase'
        )
    order by m.sent_at, m.mid
    limit 1;
$$;

-- Matches all sends of a conversation that have no mid with the echoes that came, the oldest send first.
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
            and o.mid is null and o.sending_at is not null
            and (o.left_at is not null or o.state in ('sending', 'unknown', 'sent'))
        order by o.state not in ('sending', 'unknown', 'sent'), o.sending_at, o.effect_id
        for update
    loop
        v_mid := ingestion.find_echo(v_effect);
        continue when v_mid is null;
        perform ingestion.settle_send(v_effect, v_mid, p_is_guess => true);
    end loop;
end;
$$;

-- Gives a mid to the send whose answer named it. An answer is surer than a match by words, person and minutes. If
-- another send was matched to this mid by guess, it is unmatched, and all unmatched sends of the conversation are
-- matched again. p_effect is the send as it was before its answer.
create function ingestion.reassign_echo(p_effect public.outbox, p_mid text) returns void
language plpgsql set search_path = ''
as $$
begin
    update public.outbox o set
        mid = null,
        mid_guessed = false,
        state = case when o.state = 'sending' then 'sending' else 'unknown' end,
        error_code = 'echo_reassigned'
    where o.account_id = p_effect.account_id and o.mid = p_mid and o.kind <> 'next_phase'
        and o.effect_id <> p_effect.effect_id and o.mid_guessed;
    if found or p_effect.mid <> p_mid then
        perform ingestion.match_echoes(p_effect.account_id, p_effect.contact_id);
    end if;
end;
$$;

-- Ends what an event owes that cannot be finished. Sends that may be on their way stay as they are.
create function ingestion.give_up_effects(p_event_id text, p_account text) returns void
language sql set search_path = ''
as $$
    update public.outbox o set state = 'failed', error_code = 'given_up', finished_at = now(), not_before = null
    where o.event_id = p_event_id and o.account_id = p_account and o.state in ('planned', 'claimed');
$$;

-- Takes an event up again that was given up: its dead letter was retried, or the event was delivered once more.
create function ingestion.take_up_again(p_event public.events) returns void
language plpgsql set search_path = ''
as $$
begin
    if p_event.given_up_at is null then
        return;
    end if;
    update public.events e set given_up_at = null, given_up_code = null, sweeps = 0, sweep_after = null
    where e.event_id = p_event.event_id and e.account_id = p_event.account_id;
    update public.outbox o set
        state = 'planned', error_code = null, finished_at = null, lease_token = null, lease_until = null
    where o.event_id = p_event.event_id and o.account_id = p_event.account_id
        and o.state = 'failed' and o.error_code = 'given_up';
end;
$$;

-- Begin and finish.

-- The last step before a message leaves. p_message is the message as it will be sent; an echo is compared with it.
-- p_options: {limits} (see ingestion.send_delay; without limits nothing waits), {patience_s}, {not_after}, {env_token}
-- (see ingestion.account_obstacle), {mode} (REPLIES_MODE), {replies_per_hour}. Whatever can revoke a send is asked here.
-- Returns {go, code, retry_after, kept}:
--   go           the message may leave, and is marked `sending`. The caller that lost this answer asks again with the
--                same token, and may go if nothing has revoked the send meanwhile
--   retry_after  the limits make it wait for so many seconds. `kept`: no longer than patience_s, so the caller keeps the
--                lease and asks again then; else the effect is planned for later, and the event has to come back
--   code alone   the message must not leave; a dry run ends here too
--
-- After not_after the caller has given up, and knows that nothing left: this call then comes too late, and changes
-- nothing. The caller computes not_after from the time that record_event answered, so its own clock does not matter.
create function public.begin_send(
    p_effect_id text, p_token uuid, p_message jsonb, p_lease_s integer default 30, p_options jsonb default '{}'
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_effect public.outbox;
    v_event public.events;
    v_obstacle text;
    v_echo text;
    v_delay record;
    v_wait_s double precision;
    v_kept boolean;
begin
    select * into v_effect from public.outbox o where o.effect_id = p_effect_id for update;
    if not found then
        return jsonb_build_object('go', false, 'code', 'effect_not_found');
    end if;
    if v_effect.state not in ('claimed', 'sending') or v_effect.lease_token is distinct from p_token then
        return jsonb_build_object('go', false, 'code', 'lease_lost');
    end if;
    if clock_timestamp() > (p_options ->> 'not_after')::timestamptz then
        return jsonb_build_object('go', false, 'code', 'too_late');
    end if;
    v_echo := case when v_effect.left_at is not null then ingestion.find_echo(v_effect) end;
    if v_echo is not null then
        v_obstacle := ingestion.settle_send(v_effect, v_echo, p_is_guess => true);
        return jsonb_build_object('go', false, 'code', 'already_' || v_obstacle);
    end if;
    select * into v_event from public.events e
    where e.event_id = v_effect.event_id and e.account_id = v_effect.account_id;
    v_obstacle := coalesce(
        ingestion.account_obstacle(v_effect.account_id, p_options ->> 'env_token'),
        ingestion.send_obstacle(
            v_effect.kind, v_effect.account_id, v_effect.contact_id, v_event.mid, v_event.occurred_at
        ),
        case when v_effect.state = 'claimed'
            then ingestion.ceiling_obstacle(v_effect.account_id, v_effect.contact_id, p_options) end,
        ingestion.brake(v_effect, p_options ->> 'mode')
    );
    if ingestion.passes(v_obstacle, v_effect.account_id) then
        update public.outbox o set
            state = 'planned', error_code = v_obstacle, not_before = clock_timestamp() + ingestion.mend_wait(),
            sending_at = o.left_at, lease_token = null, lease_until = null, slot_at = null, waits_for = null
        where o.effect_id = p_effect_id;
        return jsonb_build_object(
            'go', false, 'code', v_obstacle, 'retry_after', extract(epoch from ingestion.mend_wait())
        );
    end if;
    if v_obstacle is not null then
        update public.outbox o set
            state = 'skipped', error_code = v_obstacle, finished_at = now(), payload = p_message,
            template = coalesce(o.template, o.payload),
            sending_at = o.left_at, slot_at = null, waits_for = null
        where o.effect_id = p_effect_id;
        return jsonb_build_object('go', false, 'code', v_obstacle);
    end if;
    if v_effect.state = 'sending' then
        return jsonb_build_object('go', true);  -- the caller lost the answer to its first call: nothing has left
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
        payload = p_message,
        left_as = case when o.left_at is not null and o.payload <> p_message and not o.left_as @> jsonb_build_array(o.payload)
            then o.left_as || jsonb_build_array(o.payload) else o.left_as end,
        template = coalesce(o.template, o.payload)
    where o.effect_id = p_effect_id;
    return jsonb_build_object('go', true);
end;
$$;
comment on function public.begin_send is 'Marks an effect as sending before its message leaves; only the holder of the lease may.';

-- Is it too late to send this?
create function ingestion.is_window_closed(p_effect public.outbox) returns boolean
language sql stable set search_path = ''
return (
    select case p_effect.kind
        when 'private_reply' then e.occurred_at < now() - ingestion.private_reply_window()
        else coalesce(p.last_inbound_at, '-infinity') < now() - ingestion.reply_window()
    end
    from public.events e
    left join public.profiles p on p.account_id = p_effect.account_id and p.igsid = p_effect.contact_id
    where e.event_id = p_effect.event_id and e.account_id = p_effect.account_id
);

-- Writes a message that we sent, until its echo comes and overrules it.
create function ingestion.write_sent_message(p_effect public.outbox, p_mid text) returns void
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

-- Records how a send ended: 'sent' (with its mid), 'failed', 'unknown', 'skipped', or 'planned' to try again later. If an
-- echo has settled the send first, it stays sent. If the echo of a send that Meta refused is there already, the send is
-- sent. With p_never_left the caller knows that nothing left, so no echo can be this send's. Returns {state} as it is
-- now.
create function public.finish_effect(
    p_effect_id text, p_token uuid, p_state text,
    p_mid text default null, p_code text default null, p_retry_after_s double precision default null,
    p_never_left boolean default false
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_effect public.outbox;
    v_echo text;
begin
    if p_state not in ('sent', 'failed', 'unknown', 'skipped', 'planned') then
        raise exception 'no such end of an effect: %', p_state using errcode = '22023';
    end if;
    -- The event is open again while it owes a send: a lease may have run out and the event been closed, before the worker
    -- said that nothing had left. Rows are locked in the usual order: event, person, effect.
    update public.events e set processed_at = null
    from public.outbox o
    where o.effect_id = p_effect_id and o.lease_token = p_token and p_state = 'planned' and o.state <> 'sent'
        and e.event_id = o.event_id and e.account_id = o.account_id and e.processed_at is not null;
    -- The person is locked before the effect, in the order of the echo of this send: it often comes at this very
    -- moment.
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
    if p_state in ('unknown', 'failed', 'planned') and v_effect.sending_at is not null and not p_never_left then
        v_effect.left_at := coalesce(v_effect.left_at, v_effect.sending_at);
        v_effect.state := p_state;
        v_echo := coalesce(v_effect.mid, ingestion.find_echo(v_effect));
    end if;
    update public.outbox o set
        state = p_state,
        mid = coalesce(p_mid, o.mid),
        mid_guessed = o.mid_guessed and p_mid is null,
        error_code = case when p_state = 'sent' then null else p_code end,
        slot_at = case when p_state <> 'planned' then o.slot_at end,
        waits_for = null,
        left_at = v_effect.left_at,
        sending_at = case when p_never_left then v_effect.left_at else o.sending_at end,
        not_before = case when p_state = 'planned'
            then clock_timestamp() + coalesce(p_retry_after_s, 0) * interval '1 second' end,
        lease_token = case when p_state = 'planned' then null else o.lease_token end,
        lease_until = case when p_state = 'planned' then null else o.lease_until end,
        finished_at = case when p_state <> 'planned' then now() end
    where o.effect_id = p_effect_id;
    if v_echo is not null then
        return jsonb_build_object('state', ingestion.settle_send(v_effect, v_echo, p_is_guess => true));
    end if;
    if p_state = 'planned' and ingestion.is_send(v_effect.kind) and ingestion.is_window_closed(v_effect) then
        -- A send that never gets as far as its permit must not wait for ever.
        update public.outbox o set
            state = 'skipped', error_code = 'outside_window', finished_at = now(), not_before = null
        where o.effect_id = p_effect_id;
        return jsonb_build_object('state', 'skipped');
    end if;
    if p_state = 'sent' and p_mid is not null then
        perform ingestion.write_sent_message(v_effect, p_mid);
        perform ingestion.reassign_echo(v_effect, p_mid);
        perform ingestion.revive_account(v_effect.account_id);
    end if;
    return jsonb_build_object('state', p_state);
end;
$$;
comment on function public.finish_effect is 'Records how one effect ended.';

-- Closes an event: p_published are its next phases ([{effect_id, message_id}]), p_profile is its profile if one was
-- fetched. With p_complete the event is marked as processed if nothing is owed any more. Returns {finished,
-- retry_after, sweep_in_s}; with the last the caller has to ask QStash for a sweep, as something was left undone.
create function public.finish_event(
    p_event_id text, p_account_id text, p_token uuid, p_published jsonb default '[]', p_profile jsonb default null,
    p_complete boolean default true
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_event_id text := ingestion.resolve_event_id(p_event_id, p_account_id);
    v_event public.events;
    v_wait double precision;
begin
    select * into v_event from public.events e
    where e.event_id = v_event_id and e.account_id = p_account_id for update;
    if not found then
        return jsonb_build_object('finished', false);
    end if;
    if p_profile is not null and v_event.contact_id is not null then
        perform ingestion.save_profile(v_event.account_id, v_event.contact_id, p_profile);
    end if;
    update public.outbox o set
        state = 'sent', mid = p.value ->> 'message_id', finished_at = now(), error_code = null
    from jsonb_array_elements(p_published) p
    where o.effect_id = p.value ->> 'effect_id' and o.event_id = v_event_id and o.account_id = p_account_id
        and o.kind = 'next_phase' and o.state <> 'sent';
    -- With null no lease is left out, not even our own.
    v_wait := ingestion.owed_in_s(v_event_id, p_account_id, null);
    if v_wait is null and p_complete and v_event.processed_at is null then
        update public.events e set processed_at = now()
        where e.event_id = v_event_id and e.account_id = p_account_id;
        perform ingestion.close_letter(v_event_id, p_account_id);
    end if;
    return jsonb_build_object('finished', v_wait is null and p_complete, 'retry_after', v_wait)
        -- Who processes directly cannot reach QStash, and must not claim to ask it.
        || jsonb_strip_nulls(jsonb_build_object('sweep_in_s', case
            when v_event.via = 'queue' and (v_wait is not null or not p_complete or exists (
                select from public.outbox o
                where o.event_id = v_event_id and o.account_id = p_account_id and o.state = 'unknown'
            )) then public.claim_sweep()
        end));
end;
$$;
comment on function public.finish_event is 'Closes an event: published next phases, the fetched profile, processed.';
