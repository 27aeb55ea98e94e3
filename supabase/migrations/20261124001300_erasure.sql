-- Erasure: what one person, or one account, left here is deleted, and no late delivery brings it back.
--
-- Meta requires it of every app (Meta, "Data Deletion Request Callback"): a request gets a code, and the code shows
-- how far it is. There can be much to erase, so it goes in steps: run_erasure until it says done.

-- Returns the digest of one person of one account; without p_account, of the person for every account; without
-- p_contact, of the account as a whole.
create function ingestion.person_digest(p_account text, p_contact text) returns bytea
language sql immutable set search_path = ''
return case when coalesce(p_account, p_contact) is not null
    then sha256(convert_to(quote_nullable(p_account) || '/' || quote_nullable(p_contact), 'UTF8'))
end;

-- Returns the digest of one event, for events that do not say when they happened, or to whom.
create function ingestion.event_digest(p_event_id text, p_account text) returns bytea
language sql immutable strict set search_path = ''
return sha256(convert_to(quote_literal(p_account) || '/' || quote_literal(p_event_id) || '/event', 'UTF8'));

-- Returns the key of the lock under which a person is erased (alone) and their events are recorded (together): an
-- event is either there when the erasure looks, or finds the digest.
create function ingestion.erasure_lock(p_id text) returns bigint
language sql immutable strict set search_path = ''
return hashtextextended('erasure/' || p_id, 0);

-- Was this event erased? Asked in the transaction that stores the event, before anything of it is stored.
create function ingestion.is_erased(
    p_event_id text, p_account text, p_contact text, p_at timestamptz
) returns boolean
language plpgsql set search_path = ''
as $$
begin
    perform pg_advisory_xact_lock_shared(ingestion.erasure_lock(id))
    from unnest(array[p_account, p_contact]) id where id is not null;
    -- A statement of its own: it sees what was erased while this transaction waited for the lock.
    return exists (
        select from ingestion.erased_people e
        where e.digest in (
            ingestion.person_digest(p_account, p_contact), ingestion.person_digest(p_account, null),
            ingestion.person_digest(null, p_contact), ingestion.event_digest(p_event_id, p_account)
        ) and e.erased_at >= p_at
    );
end;
$$;

-- Does an item hold this id, anywhere in it, as text or as a number?
create function ingestion.names(p_item jsonb, p_id text) returns boolean
language sql immutable set search_path = ''
return jsonb_path_exists(
    p_item, 'strict $.** ? (@ == $text || @ == $number)',
    jsonb_build_object(
        'text', p_id,
        'number', case when p_id ~ '^[1-9][0-9]{0,30}$' then to_jsonb(p_id::numeric) else to_jsonb(p_id) end
    )
);

-- Lists the tables and conditions that hold something of a person ($2) of some accounts ($1), or of the accounts as a
-- whole, in the order of their deletion: rows that lead to other rows are deleted after them. The outbox is deleted
-- with its events; it is listed so that it can be counted.
create function ingestion.holdings(p_scope text) returns table (table_name text, condition text)
language sql immutable set search_path = ''
as $$
    select h.table_name, h.condition
    from (values
        (1, 'contact', 'events', 'account_id = any ($1) and contact_id = $2'),
        -- An edit or an unsend may come without its sender, a comment with nothing of its author but the name.
        (2, 'contact', 'events', 'account_id = any ($1) and contact_id is null and mid in (
            select m.mid from public.messages m where m.account_id = any ($1) and m.contact_id = $2
        )'),
        (3, 'contact', 'events', 'account_id = any ($1) and contact_id is null and (event_id, account_id) in (
            select c.event_id, c.account_id from public.comments c
            join public.profiles p on p.account_id = c.account_id and p.username = c.username
            where c.account_id = any ($1) and c.contact_id is null and p.igsid = $2
        )'),
        -- An event that we did not understand may hold the id of the person all the same.
        (4, 'contact', 'events', 'account_id = any ($1) and contact_id is null and kind = ''unknown''
            and ingestion.names(raw, $2)'),
        (5, 'contact', 'outbox', 'account_id = any ($1) and contact_id = $2'),
        (6, 'contact', 'messages', 'account_id = any ($1) and contact_id = $2 and not is_placeholder'),
        (7, 'contact', 'messages', 'account_id = any ($1) and contact_id = $2 and is_placeholder'),
        (8, 'contact', 'reactions', 'account_id = any ($1) and contact_id = $2'),
        (9, 'contact', 'comments', 'account_id = any ($1) and contact_id = $2'),
        (10, 'contact', 'comments', 'account_id = any ($1) and contact_id is null and username in (
            select p.username from public.profiles p where p.account_id = any ($1) and p.igsid = $2
        )'),
        (11, 'contact', 'dead_letters', '(account_id is null or account_id = any ($1))
            and (ingestion.names(event, $2) or strpos(body, ''"'' || $2 || ''"'') > 0)'),
        (12, 'contact', 'profiles', 'account_id = any ($1) and igsid = $2'),
        (1, 'account', 'account_tokens', 'account_id = any ($1)'),
        (2, 'account', 'events', 'account_id = any ($1) and contact_id is not null'),
        (3, 'account', 'events', 'account_id = any ($1) and contact_id is null'),
        (4, 'account', 'outbox', 'account_id = any ($1)'),
        (5, 'account', 'messages', 'account_id = any ($1)'),
        (6, 'account', 'reactions', 'account_id = any ($1)'),
        (7, 'account', 'comments', 'account_id = any ($1)'),
        (8, 'account', 'mentions', 'account_id = any ($1)'),
        (9, 'account', 'dead_letters', 'account_id = any ($1)
            or (account_id is null and exists (select from unnest($1) id where strpos(body, ''"'' || id || ''"'') > 0))'),
        (10, 'account', 'profiles', 'account_id = any ($1)'),
        (11, 'account', 'reply_rules', 'account_id = any ($1)'),
        (12, 'account', 'accounts', 'account_id = any ($1)')
    ) h (place, scope, table_name, condition)
    where h.scope = p_scope
    order by h.place
$$;

-- Adds the other id of each account: either may stand in an item that was kept as it came.
create function ingestion.both_ids(p_ids text[]) returns text[]
language sql stable set search_path = ''
return array(
    select id from unnest(p_ids) id where id is not null
    union
    select id from public.accounts a cross join unnest(array[a.account_id, a.app_scoped_id]) id
    where (a.account_id = any (p_ids) or a.app_scoped_id = any (p_ids)) and id is not null
);

-- Is one of these the id of an account of ours?
create function ingestion.is_account(p_ids text[]) returns boolean
language sql stable set search_path = ''
return exists (select from public.accounts a where a.account_id = any (p_ids))
    or exists (select from public.events e where e.account_id = any (p_ids) and e.contact_id is not null)
    or exists (select from public.events e where e.account_id = any (p_ids) and e.contact_id is null)
    or exists (select from public.dead_letters d where d.account_id = any (p_ids));

-- Returns the accounts that know a person.
create function ingestion.accounts_of(p_contact text) returns text[]
language sql stable set search_path = ''
return array(
    select p.account_id from public.profiles p where p.igsid = p_contact
    union
    select e.account_id from public.events e
    where e.kind = 'unknown' and e.contact_id is null and ingestion.names(e.raw, p_contact)
    union
    select d.account_id from public.dead_letters d where ingestion.names(d.event, p_contact)
);

-- Finds who is meant. p_scope says what p_subject is, or null if that is to be found out. p_account_id narrows a
-- person down to one account.
create function ingestion.find_subject(
    p_subject text, p_scope text, p_account_id text,
    out scope text, out contact_id text, out account_ids text[], out digests bytea[]
)
language plpgsql stable set search_path = ''
as $$
declare
    v_ids text[] := ingestion.both_ids(array[p_subject]);
begin
    scope := coalesce(p_scope, case when ingestion.is_account(v_ids) then 'account' else 'contact' end);
    if scope = 'account' then
        account_ids := v_ids;
        digests := array(select ingestion.person_digest(id, null) from unnest(account_ids) id);
    elsif p_account_id is not null then
        contact_id := p_subject;
        account_ids := ingestion.both_ids(array[p_account_id]);
        digests := array(select ingestion.person_digest(id, contact_id) from unnest(account_ids) id);
    else
        contact_id := p_subject;
        account_ids := ingestion.both_ids(ingestion.accounts_of(p_subject));
        digests := array[ingestion.person_digest(null, contact_id)];
        if p_scope is null then
            -- A delivery that is still on its way may show that this is an account.
            digests := digests || ingestion.person_digest(p_subject, null);
        end if;
    end if;
end;
$$;

-- Keeps out what happened up to now. A transaction that records an event of the same person has ended by then.
create function ingestion.remember_erased(p_erasure public.erasures) returns void
language plpgsql set search_path = ''
as $$
begin
    perform pg_advisory_xact_lock(ingestion.erasure_lock(id))
    from unnest(coalesce(array[p_erasure.contact_id], p_erasure.account_ids)) id where id is not null;
    insert into ingestion.erased_people as e (digest, erased_at)
    select digest, clock_timestamp() from unnest(p_erasure.digests) digest
    on conflict (digest) do update set erased_at = greatest(e.erased_at, excluded.erased_at);
end;
$$;

-- Returns what the holder of a code may see: how far the request is, and nothing about whom.
create function public.erasure_status(p_code text) returns jsonb
language sql stable set search_path = ''
return coalesce(
    (
        select jsonb_build_object(
            'state', e.state, 'scope', e.scope, 'rows_erased', e.rows_erased,
            'requested_at', e.requested_at, 'finished_at', e.finished_at
        )
        from public.erasures e where e.code = p_code
    ),
    jsonb_build_object('state', 'missing')
);
comment on function public.erasure_status is 'The state of an erasure by its confirmation code; missing for a code that was never given.';

-- Takes up a request. From now on late deliveries are kept out, and nothing is sent for an account that is erased. A
-- code that was given before changes nothing. A person who is not known here gets a code too. Returns the state.
create function public.request_erasure(
    p_code text, p_subject text, p_via text, p_scope text default null, p_account_id text default null
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_erasure public.erasures;
begin
    -- First, so that an event that is being recorded just now is found.
    perform pg_advisory_xact_lock(ingestion.erasure_lock(p_subject));
    insert into public.erasures as e (code, scope, contact_id, account_ids, digests, via)
    select p_code, s.scope, s.contact_id, s.account_ids, s.digests, p_via
    from ingestion.find_subject(p_subject, p_scope, p_account_id) s
    on conflict (code) do nothing
    returning e.* into v_erasure;
    if found then
        perform ingestion.remember_erased(v_erasure);
        update public.accounts a set state = 'stopped', state_code = 'being_erased', state_changed_at = now()
        where v_erasure.scope = 'account' and a.account_id = any (v_erasure.account_ids);
    end if;
    return public.erasure_status(p_code);
end;
$$;
comment on function public.request_erasure is 'Takes up the erasure of a person or an account; run_erasure does it.';

-- Returns how much there is to erase, counted by table.
create function public.preview_erasure(p_subject text, p_scope text, p_account_id text default null) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
    v_subject record;
    v_holding record;
    v_count bigint;
    v_counts jsonb := '{}';
begin
    select * into v_subject from ingestion.find_subject(p_subject, p_scope, p_account_id);
    for v_holding in select * from ingestion.holdings(v_subject.scope) loop
        execute format('select count(*) from public.%I where %s', v_holding.table_name, v_holding.condition)
        into v_count using v_subject.account_ids, v_subject.contact_id;
        v_count := v_count + coalesce((v_counts ->> v_holding.table_name)::bigint, 0);
        v_counts := v_counts || jsonb_build_object(v_holding.table_name, v_count);
    end loop;
    return v_counts;
end;
$$;
comment on function public.preview_erasure is 'How many rows an erasure would delete, by table.';

-- Deletes the next rows in order, at most p_limit and the rows that go with them. Returns how many.
create function ingestion.erase_step(p_erasure public.erasures, p_limit integer) returns bigint
language plpgsql set search_path = ''
as $$
declare
    v_holding record;
    v_some text;
    v_count bigint;
    v_with bigint;
    v_left bigint := p_limit;
    v_total bigint := 0;
begin
    for v_holding in select * from ingestion.holdings(p_erasure.scope) loop
        v_some := format(
            'delete from public.%1$I where ctid = any (array(select ctid from public.%1$I where %2$s limit $3))',
            v_holding.table_name, v_holding.condition
        );
        if v_holding.table_name = 'events' then
            -- An item without a time of its own has the time of its delivery, and one without a sender names nobody.
            -- Such an event is recognised by its id, for longer than Meta (36 hours) and QStash deliver again.
            execute format(
                'with gone as (%s returning event_id, account_id, contact_id, raw, recorded_at),
                known_again as (
                    insert into ingestion.erased_people (digest, erased_at)
                    select ingestion.event_digest(event_id, account_id), ''infinity'' from gone
                    where (contact_id is null or not raw ? ''timestamp'') and recorded_at > now() - interval ''7 days''
                    on conflict (digest) do nothing
                )
                select
                    (select count(*) from gone),
                    (
                        select count(*) from public.outbox o
                        where (o.event_id, o.account_id) in (select event_id, account_id from gone)
                    )',
                v_some
            )
            into v_count, v_with using p_erasure.account_ids, p_erasure.contact_id, v_left;
        else
            execute format('with gone as (%s returning 1) select count(*), 0 from gone', v_some)
            into v_count, v_with using p_erasure.account_ids, p_erasure.contact_id, v_left;
        end if;
        v_total := v_total + v_count + v_with;
        v_left := v_left - v_count;
        exit when v_left = 0;
    end loop;
    return v_total;
end;
$$;

-- Carries a request on, by at most p_limit rows. Returns the state; call again until it is 'done'.
create function public.run_erasure(p_code text, p_limit integer default 5000) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_erasure public.erasures;
    v_rows bigint;
begin
    select * into v_erasure from public.erasures e where e.code = p_code for update;
    if v_erasure.state = 'pending' then
        perform ingestion.remember_erased(v_erasure);
        v_rows := ingestion.erase_step(v_erasure, greatest(p_limit, 1));
        -- Done only after a step has found nothing: a send that was on its way may have written a row meanwhile.
        if v_rows > 0 then
            update public.erasures e set rows_erased = e.rows_erased + v_rows where e.code = p_code;
        else
            update public.erasures e set
                state = 'done', finished_at = now(), contact_id = null, account_ids = null, digests = null
            where e.code = p_code;
        end if;
    end if;
    return public.erasure_status(p_code);
end;
$$;
comment on function public.run_erasure is 'Erases a step of a request; call again until the state is done.';

create function public.pending_erasures() returns jsonb
language sql stable set search_path = ''
return (
    select coalesce(jsonb_agg(e.code order by e.requested_at, e.code), '[]')
    from public.erasures e where e.state = 'pending'
);
comment on function public.pending_erasures is 'The codes of what is not erased yet, the oldest first.';

-- The owner of an account removed the app at p_at (Meta, "Deauthorize callback"). Returns 'stopped': the token is
-- deleted, and sends stop until the owner logs in again. Returns 'active' if the owner has logged in since, and
-- 'unknown' if the account is not known, or was erased; both change nothing.
create function public.deauthorize_account(p_account_id text, p_at timestamptz) returns text
language plpgsql set search_path = ''
as $$
declare
    v_account text := ingestion.resolve_account(p_account_id);
begin
    if not ingestion.is_account(array[v_account]) then
        return 'unknown';
    end if;
    if exists (
        select from public.accounts a
        where a.account_id = v_account and a.state = 'active' and a.state_changed_at > p_at
    ) then
        return 'active';
    end if;
    perform public.forget_token(v_account);
    perform public.mark_account(v_account, 'needs_reauth', 'deauthorized');
    return 'stopped';
end;
$$;
comment on function public.deauthorize_account is 'Stops the sends of an account whose owner removed the app.';
