-- Recording an event: the ledger, what the event says, and the effects it owes, in one transaction.

-- Returns the enabled rules as the worker reads them (lib/replies/rules.py): [{rule_id, trigger, …}], without nulls.
create function public.enabled_rules() returns jsonb
language sql stable set search_path = ''
return (
    select coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(rule)) - 'created_at' - 'enabled' order by rule.rule_id), '[]')
    from public.reply_rules rule where rule.enabled
);
comment on function public.enabled_rules is 'The reply rules that are in force.';

-- Returns the rules if the worker matched with another version than p_version, or null if it is up to date.
create function ingestion.newer_rules(p_version bigint) returns jsonb
language sql stable set search_path = ''
return (
    select jsonb_build_object(
        'outcome', 'stale_rules',
        'rules_version', r.version,
        'rules', public.enabled_rules()
    )
    from ingestion.rules_version r where r.version <> p_version
);

-- record_event: the one call that makes an event take effect, once.
--
--   p_event    the event as JSON (lib/events/model.py)
--   p_via      'queue', 'direct' or 'replay'
--   p_effects  the effects that rule matching found (see ingestion.plan_effects)
--   p_options  {lease_token, lease_s, reply_match, profile_max_age_s, env_token_for, app_id, rules_version}. Without
--              profile_max_age_s no profile is due; without rules_version the rules are not compared. env_token_for is
--              the account for which the caller has a token of its own ('': for every account). app_id is the caller's
--              own app ('': not known). env_token is the digest of the caller's own token. replies_per_hour is the
--              most automatic replies to one person.
--
-- Returns {outcome, account_id, contact_id, account_state, knows_both_ids, profile_due, profile, effects, token,
-- retry_after, now, sweep_in_s}.
-- `contact_id` is the person, whom this form of the event need not name. `token` is the stored, encrypted token of the
-- account, if an effect that may need it is due or claimed. `now` is the time of the database. With `sweep_in_s` the
-- caller has to ask QStash for a sweep in so many seconds. `outcome` is
--   new          the event is recorded now; `effects` are claimed for the caller
--   resumed      the event was recorded before and is not finished; free effects are claimed for the caller
--   in_progress  another worker holds the event, or it has to wait: come back in `retry_after` s
--   duplicate    the event was finished before, or erased since; there is nothing to do
--   stale_rules  nothing was recorded: p_effects was matched with an older version of `rules`; match again
create function public.record_event(
    p_event jsonb, p_via text, p_effects jsonb default '[]', p_options jsonb default '{}'
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_state record;
    v_account public.accounts;
    v_is_locked boolean;
    v_event ingestion.event;
    v_token uuid := coalesce((p_options ->> 'lease_token')::uuid, gen_random_uuid());
    v_lease_s integer := coalesce((p_options ->> 'lease_s')::integer, 30);
    v_max_age_s integer := (p_options ->> 'profile_max_age_s')::integer;
    v_account_state text;
    v_known public.events;
    v_opened boolean;
    v_profile public.profiles;
    v_outcome text := 'new';
    v_due boolean := false;
    v_effects jsonb := '[]';
    v_wait double precision;
    v_app_id text := coalesce(p_options ->> 'app_id', '');
    v_answerable boolean;
    v_sweep jsonb := '{}';
begin
    -- Either id of the account may stand in the event, as in ingestion.resolve_account.
    select * into v_account
    from (
        select a.* from public.accounts a where a.app_scoped_id = p_event ->> 'account_id'
        union all
        select a.* from public.accounts a where a.account_id = p_event ->> 'account_id'
    ) a
    limit 1;
    v_event := ingestion.read_event(p_event, coalesce(v_account.account_id, p_event ->> 'account_id'));
    v_account_state := ingestion.state_for(v_account, p_options ->> 'env_token');
    if v_account.app_scoped_id in (v_event.contact_id, v_event.actor_id) or v_event.contact_id = v_event.account_id then
        v_event := ingestion.seen_from_us(v_event, v_account.app_scoped_id);
    end if;
    if v_event.kind = 'comment' and ingestion.is_own_comment(v_event, v_account.username) then
        v_event.contact_id := v_event.account_id;
        v_event.is_self := true;
        v_event.direction := 'outbound';
    end if;
    v_answerable := ingestion.is_answerable(v_event);
    if position(v_account.app_scoped_id in v_event.event_id) > 0 then
        v_event.event_id := ingestion.ledger_id(v_event.event_id, v_event.account_id, v_account.app_scoped_id);
    end if;

    v_is_locked := ingestion.lock_for_recording(v_event.account_id, v_event.contact_id);
    -- What may have changed since the last event, in one statement: mostly nothing has. It runs under the locks, and sees
    -- what was done while this transaction waited for them.
    select
        (select r.version from ingestion.rules_version r) as rules_version,
        (select s.swept_at from ingestion.sweep_state s) as swept_at,
        exists (select from ingestion.erased_people) as somebody_was_erased,
        exists (
            select from public.events e
            where e.event_id = p_event ->> 'event_id' and e.account_id = v_account.app_scoped_id
        ) as is_under_other_id,
        exists (
            select from public.dead_letters d
            where d.event_id = v_event.event_id and d.account_id = v_event.account_id and d.state = 'open'
        ) as has_open_letter
    into v_state;
    if v_state.rules_version <> (p_options ->> 'rules_version')::bigint then
        return ingestion.newer_rules((p_options ->> 'rules_version')::bigint);
    end if;
    if p_via = 'queue' and v_state.swept_at <= clock_timestamp() - ingestion.sweep_period() then
        v_sweep := ingestion.overdue_sweep();
    end if;
    if v_state.is_under_other_id then
        -- The event came before its account was known under both ids.
        update public.events e set account_id = v_event.account_id, event_id = v_event.event_id
        where e.event_id = p_event ->> 'event_id' and e.account_id = v_account.app_scoped_id
            and not exists (
                select from public.events k
                where k.event_id = v_event.event_id and k.account_id = v_event.account_id
            );
    end if;
    if v_state.somebody_was_erased and ingestion.was_erased(v_event) then
        return jsonb_build_object('outcome', 'duplicate', 'account_id', v_event.account_id) || v_sweep;
    end if;

    -- Nearly every event owes nothing. So the row is written as processed, and reopened below if the event owes.
    with recorded as (
        insert into public.events (
            event_id, account_id, kind, contact_id, mid, direction, via, via_standby, is_test, topic,
            occurred_at, received_at, processed_at, answerable
        )
        values (
            v_event.event_id, v_event.account_id, v_event.kind, v_event.contact_id, v_event.mid, v_event.direction,
            p_via, v_event.standby, v_event.is_test, v_event.topic, v_event.occurred_at, v_event.received_at, now(),
            v_answerable
        )
        on conflict (event_id, account_id) do nothing
        returning raw_id
    )
    insert into ingestion.raw_items (raw_id, names_nobody, item)
    select raw_id, v_event.contact_id is null, v_event.raw from recorded;

    if found then
        if ingestion.is_about_a_person(v_event) then
            v_profile := ingestion.touch_profile(v_event, v_app_id);
        end if;
        perform ingestion.apply_event(v_event);
        if v_event.is_message and v_event.direction = 'outbound' then
            perform ingestion.settle_by_echo(v_event);
        end if;
        if jsonb_array_length(p_effects) > 0 then
            perform ingestion.plan_effects(v_event, p_effects, p_options);
            perform ingestion.redact_if_unsent(v_event.account_id, v_event.mid);
            v_effects := ingestion.claim_effects(v_event.event_id, v_event.account_id, v_token, v_lease_s);
            v_wait := ingestion.owed_in_s(v_event.event_id, v_event.account_id, v_token);
        end if;
    else
        -- The event's row is locked before the message and the effects, as in finish_event: else a deadlock could
        -- follow.
        select * into v_known from public.events e
        where e.event_id = v_event.event_id and e.account_id = v_event.account_id for update;
        -- A form that can be answered, of an event that could not be so far: what is due is planned now, and only now.
        -- A rule that was added later does not answer an old message.
        perform ingestion.merge_redelivery(v_event, v_known, v_app_id);
        if v_answerable and not v_known.answerable and ingestion.raw_item(v_known.raw_id) is not null then
            perform ingestion.plan_effects(v_event, p_effects, p_options);
            perform ingestion.redact_if_unsent(v_event.account_id, v_event.mid);
            if ingestion.owed_in_s(v_event.event_id, v_event.account_id, null) is not null then
                v_known.processed_at := null;
            end if;
        end if;
        -- From here on the event is what all its forms say together: one of them may name the person, another not.
        v_opened := ingestion.opens_window(v_known.kind, v_known.direction, v_known.contact_id, v_known.is_test);
        select e.kind, e.direction, e.contact_id, e.is_test
        into v_event.kind, v_event.direction, v_event.contact_id, v_event.is_test
        from public.events e where e.event_id = v_event.event_id and e.account_id = v_event.account_id;
        if not v_opened and ingestion.opens_window(v_event) then
            v_known.processed_at := null;  -- the person has consented to a profile look-up now
        end if;
        perform ingestion.take_up_again(v_known);
        if v_known.processed_at is not null then
            perform ingestion.close_letter(v_event.event_id, v_event.account_id);
            return jsonb_build_object('outcome', 'duplicate', 'account_id', v_event.account_id) || v_sweep;
        end if;
        v_outcome := 'resumed';
        if v_event.contact_id is not null then
            select * into v_profile from public.profiles p
            where p.account_id = v_event.account_id and p.igsid = v_event.contact_id;
        end if;
        v_effects := ingestion.claim_effects(v_event.event_id, v_event.account_id, v_token, v_lease_s);
        v_wait := ingestion.owed_in_s(v_event.event_id, v_event.account_id, v_token);
        if v_effects = '[]' and v_wait is not null then
            return jsonb_build_object(
                'outcome', 'in_progress', 'account_id', v_event.account_id, 'retry_after', v_wait
            ) || v_sweep;
        end if;
    end if;

    -- Without a token, or with a dead one, no profile can be fetched: it stays pending until there is a token.
    if v_profile.igsid is not null and v_max_age_s is not null and v_account_state = 'active' then
        v_due := ingestion.profile_due(v_profile, v_max_age_s) and ingestion.opens_window(v_event) and (
            coalesce(p_options ->> 'env_token_for' in ('', v_event.account_id), false)
            or ingestion.stored_token(v_event.account_id) is not null
        );
    end if;
    if v_due or v_effects <> '[]' or v_wait is not null then
        update public.events e set processed_at = null
        where e.event_id = v_event.event_id and e.account_id = v_event.account_id and e.processed_at is not null;
    else
        if v_outcome = 'resumed' then
            update public.events e set processed_at = now()
            where e.event_id = v_event.event_id and e.account_id = v_event.account_id;
        end if;
        if v_state.has_open_letter then
            perform ingestion.close_letter(v_event.event_id, v_event.account_id);
        end if;
    end if;

    if v_effects = '[]' and not v_due and v_wait is not null then
        v_outcome := 'in_progress';
    end if;
    return jsonb_build_object(
        'outcome', v_outcome,
        'account_id', v_event.account_id,
        'contact_id', v_event.contact_id,
        'account_state', v_account_state,
        'knows_both_ids', v_account.app_scoped_id is not null,
        'profile_due', v_due,
        'profile', case when v_profile.igsid is not null
            then jsonb_build_object('username', v_profile.username, 'name', v_profile.name) end,
        'effects', v_effects,
        'token', case when v_due or v_effects @? '$[*] ? (@.kind != "next_phase")'
            then ingestion.stored_token(v_event.account_id) end,
        'retry_after', v_wait,
        'now', clock_timestamp()
    ) || v_sweep;
end;
$$;
comment on function public.record_event is 'Makes one event take effect, once: ledger, message, profile, planned effects.';

-- Records events with an error code in the place of an answer for each that fails. Of several events, one that fails
-- would undo the others: then each half is tried for itself. p_events is in the order of the locks.
create function ingestion.record_each(p_events jsonb, p_via text, p_options jsonb) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_item jsonb;
    v_answers jsonb[] := '{}';
    v_half integer := jsonb_array_length(p_events) / 2;
    v_code text;
begin
    begin
        for v_item in select e.value from jsonb_array_elements(p_events) with ordinality e order by e.ordinality loop
            v_answers := v_answers || public.record_event(
                v_item -> 'event', p_via, coalesce(v_item -> 'effects', '[]'),
                p_options || coalesce(v_item -> 'options', '{}')
            );
        end loop;
        return to_jsonb(v_answers);
    exception when others then
        get stacked diagnostics v_code = returned_sqlstate;
    end;
    if v_half = 0 then
        return jsonb_build_array(jsonb_build_object('error_code', v_code));
    end if;
    return ingestion.record_each(
            jsonb_path_query_array(p_events, '$[0 to $last]', jsonb_build_object('last', v_half - 1)), p_via, p_options
        )
        || ingestion.record_each(
            jsonb_path_query_array(p_events, '$[$first to last]', jsonb_build_object('first', v_half)), p_via, p_options
        );
end;
$$;

-- record_events: record_event for many events, in one transaction. Each event is recorded as it would be by itself.
--
--   p_events   [{event, effects?, options?}]: `options` are the event's own, beside p_options
--   p_via      as in record_event
--   p_options  as in record_event, for all of them
--
-- Returns an array in the order of p_events: the answer of record_event, or {error_code} with the SQLSTATE for an event
-- that was not recorded. All others are.
--
-- Events are recorded person by person, and the persons in one order, so that two batches do not wait for each other.
-- An event that is recorded by itself waits for its person before it holds anything (ingestion.lock_for_recording).
create function public.record_events(p_events jsonb, p_via text, p_options jsonb default '{}') returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_places integer[];
    v_sorted jsonb;
    v_answers jsonb;
begin
    select
        array_agg(s.place order by s.place_among_sorted),
        jsonb_agg(s.item order by s.place_among_sorted)
    into v_places, v_sorted
    from (
        select
            e.item, e.place::integer,
            row_number() over (
                order by e.item #>> '{event,contact_id}' nulls first, e.item #>> '{event,account_id}', e.place
            ) as place_among_sorted
        from jsonb_array_elements(p_events) with ordinality e (item, place)
    ) s;
    if v_sorted is null then
        return '[]';
    end if;
    v_answers := ingestion.record_each(v_sorted, p_via, p_options);
    return (
        select jsonb_agg(a.answer order by v_places[a.place])
        from jsonb_array_elements(v_answers) with ordinality a (answer, place)
    );
end;
$$;
comment on function public.record_events is 'record_event for many events in one transaction; an answer or an error code for each.';
