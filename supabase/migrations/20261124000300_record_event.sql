-- Recording an event: the ledger, what the event says, and the effects it owes, in one transaction.
--
-- The state machine of an effect (outbox.state):
--
--   planned ──claim──▶ claimed ──begin_send──▶ sending ──finish_effect──▶ sent | failed | unknown
--      ▲                  │                       │
--      └── lease ran out ─┘                       └── lease ran out: unknown, and never sent again by itself
--
-- A next phase goes from `claimed` to `sent` directly: QStash knows its deduplication id, so repeating is safe.

-- Either id of an account may stand in a payload; the professional one is the key of every table.
create function ingestion.resolve_account(p_id text) returns text
language sql stable set search_path = ''
return coalesce((select a.account_id from public.accounts a where a.app_scoped_id = p_id), p_id);

-- Ask the Graph API for this profile? Once refused, the next message may ask again (consent can lag behind);
-- refused twice in a row, only after the configured age.
create function ingestion.profile_due(p_profile public.profiles, p_max_age_s integer) returns boolean
language sql stable set search_path = ''
return case p_profile.state
    when 'pending' then true
    when 'unavailable' then p_profile.refusals < 2 or p_profile.fetched_at < now() - p_max_age_s * interval '1 second'
    else p_profile.fetched_at < now() - p_max_age_s * interval '1 second'
end;

-- What is attached to a message as it goes out: Meta wants images in an array, anything else alone.
create function ingestion.sent_attachments(p_message jsonb) returns jsonb
language sql immutable set search_path = ''
return case
    when p_message ? 'attachment' then jsonb_build_array(p_message -> 'attachment')
    else coalesce(p_message -> 'attachments', '[]')
end;

-- The kinds of attachments, in order. A post that is shared comes back under one of several names.
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

-- Is this what the echo of that message would look like? Its text is the same. Attachments come back with links of
-- Meta's, so only their kinds can be compared.
create function ingestion.looks_like_echo(p_message jsonb, p_text text, p_attachments jsonb) returns boolean
language sql immutable set search_path = ''
return case
    when p_message ? 'text' then p_message ->> 'text' is not distinct from p_text
    else p_text is null
        and ingestion.attachment_kinds(ingestion.sent_attachments(p_message)) = ingestion.attachment_kinds(p_attachments)
end;

-- An echo settles the send that caused it: by mid, or, where the send's answer never came, by contact, content
-- and time, the oldest first (real echoes carry no app id and no mark of their origin).
create function ingestion.settle_by_echo(p_event jsonb, p_account text, p_at timestamptz) returns void
language sql set search_path = ''
as $$
    update public.outbox o set
        state = 'sent',
        mid_guessed = o.mid is distinct from p_event ->> 'mid',
        mid = p_event ->> 'mid',
        finished_at = coalesce(o.finished_at, now()),
        error_code = null
    where (o.state <> 'sent' or o.mid is null) and o.effect_id = (
        select c.effect_id
        from public.outbox c
        where c.account_id = p_account and c.kind in ('dm', 'private_reply')
            and (
                c.mid = p_event ->> 'mid'
                or (
                    c.state in ('sending', 'unknown', 'sent') and c.mid is null
                    and c.contact_id = p_event ->> 'contact_id'
                    and ingestion.looks_like_echo(
                        c.payload, p_event ->> 'text', coalesce(p_event -> 'attachments', '[]')
                    )
                    and p_at between c.sending_at - interval '1 minute' and c.sending_at + interval '10 minutes'
                )
            )
        order by c.mid is null, c.sending_at, c.effect_id
        limit 1
        for update
    );
$$;

-- The other way round: a send without an answer looks for an echo that no other send has claimed.
create function ingestion.find_echo(p_effect public.outbox) returns text
language sql stable set search_path = ''
as $$
    select m.mid
    from public.messages m
    where m.account_id = p_effect.account_id and m.contact_id = p_effect.contact_id and m.kind = 'echo'
        and not m.is_placeholder and not m.is_provisional
        and ingestion.looks_like_echo(p_effect.payload, m.text, m.attachments)
        and m.sent_at between p_effect.sending_at - interval '1 minute' and p_effect.sending_at + interval '10 minutes'
        and not exists (
            select from public.outbox o
            where o.account_id = m.account_id and o.mid = m.mid and o.kind <> 'next_phase'
        )
    order by m.sent_at, m.mid
    limit 1;
$$;

-- Why a direct message may not be sent now, or null where it may. Asked when it is planned and again when it leaves.
create function ingestion.send_obstacle(
    p_kind text, p_account text, p_contact text, p_mid text, p_occurred_at timestamptz
) returns text
language sql stable set search_path = ''
return case
    when (select a.state from public.accounts a where a.account_id = p_account) <> 'active'
        then (select 'account_' || a.state from public.accounts a where a.account_id = p_account)
    when exists (
        select from public.messages m
        where m.account_id = p_account and m.mid = p_mid and m.unsent_at is not null
    ) then 'trigger_unsent'
    -- No app owns a thread for more than seven days after it was last heard of (Meta, "Conversation Routing").
    when exists (
        select from public.profiles p
        where p.account_id = p_account and p.igsid = p_contact
            and p.thread_others_at >= greatest(p.thread_ours_at, now() - interval '7 days')
    ) then 'thread_not_ours'
    when p_kind = 'private_reply' and p_occurred_at < now() - interval '7 days' then 'outside_window'
    when p_kind = 'dm' and coalesce(
        (select p.last_inbound_at from public.profiles p where p.account_id = p_account and p.igsid = p_contact),
        '-infinity'
    ) < now() - interval '24 hours' then 'outside_window'
end;

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

create function ingestion.is_first_message(p_account text, p_contact text, p_event_id text) returns boolean
language sql stable set search_path = ''
return not exists (
    select from public.messages m
    where m.account_id = p_account and m.contact_id = p_contact and m.direction = 'inbound'
        and not m.is_placeholder and not m.is_test and m.event_id <> p_event_id
);

-- Plans what a new event owes. `p_effects` is what matched, best first:
-- {effect_id, kind, payload, rule_id?, rule_account_id?, cooldown_s?, first_message?}. What needs the database (first
-- message, cooldown, window, account, whose the thread is) is decided here, under the lock of the person's profile
-- row, so that two messages at the same moment cannot both be the first.
-- With reply_match "first" the first rule that matches decides, also when it is cooling down.
create function ingestion.plan_effects(
    p_event jsonb, p_account text, p_at timestamptz, p_effects jsonb, p_reply_match text
) returns void
language plpgsql set search_path = ''
as $$
declare
    v_event_id text := p_event ->> 'event_id';
    v_contact text := p_event ->> 'contact_id';
    v_effect jsonb;
    v_obstacle text;
    v_answered boolean := false;
begin
    for v_effect in select e.value from jsonb_array_elements(p_effects) with ordinality e order by e.ordinality loop
        v_obstacle := null;
        if v_effect ->> 'kind' <> 'next_phase' then
            -- Meta allows one private reply a comment, whatever the setting.
            continue when v_answered and (p_reply_match = 'first' or v_effect ->> 'kind' = 'private_reply');
            continue when ingestion.resolve_account(v_effect ->> 'rule_account_id') <> p_account;
            continue when (v_effect ->> 'first_message')::boolean
                and not ingestion.is_first_message(p_account, v_contact, v_event_id);
            v_answered := true;
            continue when ingestion.is_cooling_down(
                p_account, v_contact, (v_effect ->> 'rule_id')::bigint, coalesce((v_effect ->> 'cooldown_s')::integer, 0)
            );
            v_obstacle := ingestion.send_obstacle(
                v_effect ->> 'kind', p_account, v_contact, p_event ->> 'mid', p_at
            );
        end if;
        insert into public.outbox (
            effect_id, event_id, kind, account_id, contact_id, rule_id, payload, state, error_code, finished_at,
            planned_at
        )
        values (
            v_effect ->> 'effect_id', v_event_id, v_effect ->> 'kind', p_account, v_contact,
            (v_effect ->> 'rule_id')::bigint, v_effect -> 'payload',
            case when v_obstacle is null then 'planned' else 'skipped' end,
            v_obstacle,
            case when v_obstacle is not null then now() end,
            clock_timestamp()  -- the best has the earliest, and is claimed first
        )
        on conflict (effect_id) do nothing;
    end loop;
end;
$$;

-- Claims what an event still owes, for `p_lease_s` seconds. The row of the event is locked by the caller.
create function ingestion.claim_effects(p_event_id text, p_token uuid, p_lease_s integer) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_claimed jsonb;
begin
    -- A worker died between "about to send" and "sent": it may have reached Meta.
    update public.outbox o set state = 'unknown', finished_at = now(), error_code = 'lease_expired'
    where o.event_id = p_event_id and o.state = 'sending' and o.lease_until < clock_timestamp();

    with due as (
        update public.outbox o set
            state = 'claimed',
            attempts = o.attempts + 1,
            lease_token = p_token,
            lease_until = clock_timestamp() + p_lease_s * interval '1 second'
        where o.event_id = p_event_id and (
            (o.state = 'planned' and coalesce(o.not_before, '-infinity') <= clock_timestamp())
            or (o.state = 'claimed' and o.lease_until < clock_timestamp())
        )
        returning o.effect_id, o.kind, o.rule_id, o.payload, o.planned_at
    )
    select coalesce(jsonb_agg(to_jsonb(due) - 'planned_at' order by due.planned_at, due.effect_id), '[]')
    into v_claimed from due;
    return v_claimed;
end;
$$;

-- Seconds until what an event owes can be taken up again, by others than the holder of `p_token`; null when nothing is
-- owed. What waits for its time is held by nobody, and owed all the same.
create function ingestion.owed_in_s(p_event_id text, p_token uuid) returns double precision
language sql stable set search_path = ''
return (
    select greatest(1, extract(epoch from min(
        case when o.state = 'planned' then coalesce(o.not_before, now()) else o.lease_until end
    ) - clock_timestamp()))
    from public.outbox o
    where o.event_id = p_event_id and o.state in ('planned', 'claimed', 'sending')
        and (o.state = 'planned' or o.lease_token is distinct from p_token)
    having count(*) > 0  -- greatest() would make 1 of nothing
);

-- The rules, where the worker that matched with version `p_version` is not up to date; else null.
create function ingestion.newer_rules(p_version bigint) returns jsonb
language sql stable set search_path = ''
return (
    select jsonb_build_object(
        'outcome', 'stale_rules',
        'rules_version', r.version,
        'rules', coalesce((
            select jsonb_agg(jsonb_strip_nulls(to_jsonb(rule)) - 'created_at' - 'enabled')
            from public.reply_rules rule where rule.enabled
        ), '[]')
    )
    from ingestion.rules_version r where r.version <> p_version
);

-- record_event: the one call that makes an event take effect, once.
--
--   p_event    an event of ours as JSON, `kind` and all
--   p_via      'queue', 'direct' or 'replay'
--   p_effects  what rule matching found (see ingestion.plan_effects)
--   p_options  {lease_token, lease_s, reply_match, profile_max_age_s, env_token_for, app_id, rules_version}; without
--              profile_max_age_s no profile is due, without rules_version the rules are not looked at; env_token_for
--              is the account the caller has a token for by itself ('': for every one); app_id is the caller's own
--              ('': not known)
--
-- Returns {outcome, account_id, account_state, profile_due, profile, effects, token, retry_after}; `token` is the
-- account's stored one, as it is kept, where something that may need it is due or claimed; `outcome` is
--   new          recorded now; `effects` are claimed for the caller
--   resumed      recorded before, not finished; what was free is claimed for the caller
--   in_progress  recorded before, another worker is at it (or it has to wait): come back in `retry_after` s
--   duplicate    recorded and finished before, or erased since; nothing to do (what it tells differently is merged)
--   stale_rules  nothing was recorded: `p_effects` was matched with rules older than `rules`; match again
create function public.record_event(
    p_event jsonb, p_via text, p_effects jsonb default '[]', p_options jsonb default '{}'
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_event_id text := p_event ->> 'event_id';
    v_contact text := p_event ->> 'contact_id';
    v_account text := ingestion.resolve_account(p_event ->> 'account_id');
    v_at timestamptz := ingestion.from_ms((p_event ->> 'occurred_at')::bigint);
    v_token uuid := coalesce((p_options ->> 'lease_token')::uuid, gen_random_uuid());
    v_lease_s integer := coalesce((p_options ->> 'lease_s')::integer, 30);
    v_max_age_s integer := (p_options ->> 'profile_max_age_s')::integer;
    v_account_state text := coalesce(
        (select a.state from public.accounts a where a.account_id = v_account),
        'active'
    );
    v_profile public.profiles;
    v_processed_at timestamptz;
    v_outcome text := 'new';
    v_due boolean := false;
    v_effects jsonb := '[]';
    v_wait double precision;
    v_rules jsonb := ingestion.newer_rules((p_options ->> 'rules_version')::bigint);
begin
    if v_rules is not null then
        return v_rules;
    end if;
    if ingestion.is_erased(p_event, v_account, v_at) then
        return jsonb_build_object('outcome', 'duplicate', 'account_id', v_account);
    end if;

    -- Nearly every event owes nothing, so it is written as processed and reopened below where it does.
    insert into public.events (
        event_id, kind, account_id, contact_id, mid, direction, via, via_standby, is_test, topic,
        occurred_at, received_at, processed_at, raw
    )
    values (
        v_event_id, p_event ->> 'kind', v_account, v_contact, p_event ->> 'mid',
        coalesce(p_event ->> 'direction', 'inbound'), p_via,
        coalesce((p_event ->> 'standby')::boolean, false), coalesce((p_event ->> 'is_test')::boolean, false),
        p_event ->> 'topic', v_at, ingestion.from_ms((p_event ->> 'received_at')::bigint), now(), p_event -> 'raw'
    )
    on conflict (event_id) do nothing;

    if found then
        if ingestion.is_about_a_person(p_event) then
            v_profile := ingestion.touch_profile(p_event, v_account, v_at, coalesce(p_options ->> 'app_id', ''));
        end if;
        perform ingestion.apply_event(p_event, v_account, v_at);
        if p_event ->> 'kind' = 'echo' then
            perform ingestion.settle_by_echo(p_event, v_account, v_at);
        end if;
        if jsonb_array_length(p_effects) > 0 then
            perform ingestion.plan_effects(
                p_event, v_account, v_at, p_effects, coalesce(p_options ->> 'reply_match', 'first')
            );
            perform ingestion.redact_if_unsent(v_account, p_event ->> 'mid');
            v_effects := ingestion.claim_effects(v_event_id, v_token, v_lease_s);
        end if;
    else
        -- Before the message and the effects, as in finish_event: or each could hold what the other waits for.
        select e.processed_at into v_processed_at from public.events e where e.event_id = v_event_id for update;
        perform ingestion.apply_again(p_event, v_account, v_at, coalesce(p_options ->> 'app_id', ''));
        if v_processed_at is not null then
            return jsonb_build_object('outcome', 'duplicate', 'account_id', v_account);
        end if;
        v_outcome := 'resumed';
        if v_contact is not null then
            select * into v_profile from public.profiles p where p.account_id = v_account and p.igsid = v_contact;
        end if;
        v_effects := ingestion.claim_effects(v_event_id, v_token, v_lease_s);
        v_wait := ingestion.owed_in_s(v_event_id, v_token);
        if v_effects = '[]' and v_wait is not null then
            return jsonb_build_object('outcome', 'in_progress', 'account_id', v_account, 'retry_after', v_wait);
        end if;
    end if;

    -- Without a token, or with a dead one, nothing can be fetched; the profile stays pending until there is one.
    if v_profile.igsid is not null and v_max_age_s is not null and v_account_state = 'active'
        and ingestion.opens_window(p_event) then
        v_due := ingestion.profile_due(v_profile, v_max_age_s) and (
            coalesce(p_options ->> 'env_token_for' in ('', v_account), false)
            or ingestion.stored_token(v_account) is not null
        );
    end if;
    if v_outcome = 'new' and (v_due or v_effects <> '[]') then
        update public.events e set processed_at = null where e.event_id = v_event_id;
    elsif v_outcome = 'resumed' and not v_due and v_effects = '[]' then
        update public.events e set processed_at = now() where e.event_id = v_event_id;
    end if;

    return jsonb_build_object(
        'outcome', v_outcome,
        'account_id', v_account,
        'account_state', v_account_state,
        'profile_due', v_due,
        'profile', case when v_profile.igsid is not null
            then jsonb_build_object('username', v_profile.username, 'name', v_profile.name) end,
        'effects', v_effects,
        'token', case when v_due or v_effects @? '$[*] ? (@.kind != "next_phase")'
            then ingestion.stored_token(v_account) end,
        'retry_after', v_wait
    );
end;
$$;
comment on function public.record_event is 'Makes one event take effect, once: ledger, message, profile, planned effects.';
