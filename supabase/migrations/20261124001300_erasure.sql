-- Erasure: what one person, or one account, left here is deleted, and no late delivery brings it back.
--
-- Meta requires it of every app (Meta, "Data Deletion Request Callback"): a request gets a code, and the code shows
-- how far it is. There can be much to erase, so it goes in steps: run_erasure until it says done.
--
-- A request of Meta's erases what happened up to its time (erasures.until), once. What happens later is new, and stays. A
-- command erases what is there until the erasure is done.

-- Digests: who was erased, and what leads to them.

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

-- Returns the digest of what leads to a person in an item without a contact: their id, a username, or the id of one of
-- their messages.
create function ingestion.lead_digest(p_account text, p_lead text) returns bytea
language sql immutable strict set search_path = ''
return sha256(convert_to(quote_literal(p_account) || '/' || quote_literal(p_lead) || '/lead', 'UTF8'));

-- How long after an erasure something may still arrive that happened before. Meta repeats a webhook for 36 hours (Meta,
-- "Webhooks"), and QStash keeps a failed message for as long as the plan says.
create function ingestion.arrival_window() returns interval
language sql immutable parallel safe set search_path = ''
return interval '90 days';

-- Returns what a text may call a person by: the text itself if it is one word, without the @ before a username, and each
-- long number in it.
create function ingestion.names_in_text(p_text text) returns text[]
language sql immutable strict parallel safe set search_path = ''
return array(
    select ltrim(word, '@') from unnest(array[p_text, lower(p_text)]) word
    where length(word) <= 200 and word ~ '^[^[:space:]]+$'
    union
    select number[1] from regexp_matches(p_text, '[0-9]{8,40}', 'g') number
);

-- Returns what an item may call a person by, anywhere in it, as text or as a number.
create function ingestion.named_in(p_item jsonb) returns text[]
language sql immutable strict parallel safe set search_path = ''
return array(
    select distinct name
    from jsonb_path_query(p_item, 'strict $.**') leaf
    cross join unnest(
        case jsonb_typeof(leaf)
            when 'string' then ingestion.names_in_text(leaf #>> '{}')
            when 'number' then array[trim_scale((leaf #>> '{}')::numeric)::text]
        end
    ) name
    where length(name) <= 200
);

-- Returns the same of a body that need not be JSON.
create function ingestion.named_in_body(p_body text) returns text[]
language sql immutable strict parallel safe set search_path = ''
return array(
    select ltrim(word[1], '@') from regexp_matches(p_body, '"([^"\\[:space:]]{1,200})"', 'g') word
    union
    select number[1] from regexp_matches(p_body, '[0-9]{8,40}', 'g') number
);

-- The indexes by which an erasure finds what names a person.
create index raw_items_naming on ingestion.raw_items using gin (ingestion.named_in(item)) where names_nobody;
create index dead_letters_naming on public.dead_letters using gin (ingestion.named_in(event)) where event is not null;
create index dead_letters_with_body_naming on public.dead_letters using gin (ingestion.named_in_body(body))
    where body is not null;

-- Returns the key of the lock under which a person is erased and their events are recorded: an event is either there
-- when the erasure looks, or finds the digest. Events without a contact have one lock for each account.
create function ingestion.erasure_lock(p_id text) returns bigint
language sql immutable strict set search_path = ''
return hashtextextended('erasure/' || p_id, 0);

create function ingestion.erasure_lock_without_contact(p_account text) returns bigint
language sql immutable strict set search_path = ''
return hashtextextended('erasure/' || p_account || '/', 0);

-- Returns the digests by which an event would be known as erased.
create function ingestion.digests_of(p_event ingestion.event) returns bytea[]
language sql immutable set search_path = ''
return array[
    ingestion.person_digest(p_event.account_id, p_event.contact_id), ingestion.person_digest(p_event.account_id, null),
    ingestion.person_digest(null, p_event.contact_id), ingestion.event_digest(p_event.event_id, p_event.account_id)
] || case when p_event.contact_id is null then array(
    select ingestion.lead_digest(p_event.account_id, lead)
    from unnest(
        array[p_event.mid, lower(p_event.username)]
        || case p_event.kind when 'unknown' then ingestion.named_in(p_event.raw) end
    ) lead
    where lead is not null
) end;

-- Takes the locks under which an event is stored; true, once it has them. The account's is shared by all events. The
-- person's is not: the events of one person wait for each other anyway, and here they do before they hold anything
-- else. So a batch, which records one person after the other, waits for nobody who waits for the batch
-- (…_record_event.sql). The keys are those of ingestion.erasure_lock and erasure_lock_without_contact.
create function ingestion.lock_for_recording(p_account text, p_contact text) returns boolean
language plpgsql set search_path = ''
as $$
begin
    if p_contact is null then
        return (
            pg_advisory_xact_lock_shared(hashtextextended('erasure/' || p_account, 0)),
            pg_advisory_xact_lock_shared(hashtextextended('erasure/' || p_account || '/', 0))
        ) is not null;
    end if;
    return (
        pg_advisory_xact_lock_shared(hashtextextended('erasure/' || p_account, 0)),
        pg_advisory_xact_lock(hashtextextended('erasure/' || p_contact, 0))
    ) is not null;
end;
$$;

-- Was this event erased? Asked in the transaction that stores the event, under its locks, in a statement of its own: it
-- sees what was erased while the transaction waited for the locks.
create function ingestion.was_erased(p_event ingestion.event) returns boolean
language sql stable set search_path = ''
return exists (
    select from ingestion.erased_people e
    where e.digest = any (ingestion.digests_of(p_event))
        and (e.erased_at >= p_event.occurred_at
            or (p_event.direction = 'outbound' and e.sent_until >= p_event.occurred_at))
);

-- Takes the locks of an event, and returns whether it was erased.
create function ingestion.is_erased(p_event ingestion.event) returns boolean
language plpgsql set search_path = ''
as $$
begin
    perform ingestion.lock_for_recording(p_event.account_id, p_event.contact_id);
    return exists (select from ingestion.erased_people) and ingestion.was_erased(p_event);
end;
$$;

-- Was what a body names erased? p_at is the time of the body.
create function ingestion.names_erased(p_body text, p_at timestamptz) returns boolean
language sql stable set search_path = ''
return exists (
    select from ingestion.erased_people e
    where e.digest = any (array(
            select ingestion.person_digest(null, name) from unnest(ingestion.named_in_body(p_body)) name
            union all
            select ingestion.person_digest(account.name, person.name)
            from unnest(ingestion.named_in_body(p_body)) account (name)
            join public.accounts a on account.name in (a.account_id, a.app_scoped_id)
            cross join unnest(ingestion.named_in_body(p_body)) person (name)
        ))
        and e.erased_at >= p_at
);

-- Whose data, and where they are.

-- Lists the tables and conditions that hold something of a person ($2, by all names $3) of some accounts ($1), or of the
-- accounts as a whole, from up to the time $4. They are in the order of their deletion: rows that lead to other rows are
-- deleted after them. The outbox is deleted with its events; it is listed so that it can be counted.
create function ingestion.holdings(p_scope text) returns table (table_name text, condition text)
language sql immutable set search_path = ''
as $$
    select h.table_name, h.condition
    from (values
        (1, 'contact', 'events', 'account_id = any ($1) and contact_id = $2 and occurred_at <= $4'),
        -- An edit or an unsend may come without its sender, a comment with nothing of its author but the name.
        (2, 'contact', 'events', 'account_id = any ($1) and contact_id is null and occurred_at <= $4 and mid in (
            select m.mid from public.messages m where m.account_id = any ($1) and m.contact_id = $2
        )'),
        (3, 'contact', 'events', 'account_id = any ($1) and contact_id is null and occurred_at <= $4
            and (event_id, account_id) in (
                select c.event_id, c.account_id from public.comments c
                where c.account_id = any ($1) and c.contact_id is null and lower(c.username) = any ($3)
            )'),
        -- An event that we did not understand may name the person all the same.
        (4, 'contact', 'events', 'account_id = any ($1) and contact_id is null and occurred_at <= $4
            and kind = ''unknown'' and raw_id = any (array(
                select r.raw_id from ingestion.raw_items r
                where r.names_nobody and ingestion.named_in(r.item) && $3
            ))'),
        (5, 'contact', 'outbox', 'account_id = any ($1) and contact_id = $2 and (event_id, account_id) in (
            select e.event_id, e.account_id from public.events e
            where e.account_id = any ($1) and e.contact_id = $2 and e.occurred_at <= $4
        )'),
        (6, 'contact', 'dead_letters', '(account_id is null or account_id = ''-'' or account_id = any ($1))
            and ingestion.happened_at(dead_letters) <= $4
            and source_message_id = any (array(
                select d.source_message_id from public.dead_letters d
                where d.event is not null and ingestion.named_in(d.event) && $3
                union all
                select d.source_message_id from public.dead_letters d
                where d.body is not null and ingestion.named_in_body(d.body) && $3
                union all
                select d.source_message_id from public.dead_letters d
                join public.messages m on m.account_id = d.account_id and m.mid = d.event ->> ''mid''
                where d.event is not null and d.account_id = any ($1)
                    and m.account_id = any ($1) and m.contact_id = $2
            ))'),
        (7, 'contact', 'messages', 'account_id = any ($1) and contact_id = $2 and not is_placeholder and sent_at <= $4'),
        (8, 'contact', 'messages', 'account_id = any ($1) and contact_id = $2 and is_placeholder
            and coalesce(edited_at, unsent_at, ''-infinity'') <= $4'),
        (9, 'contact', 'reactions', 'account_id = any ($1) and contact_id = $2 and acted_at <= $4'),
        (10, 'contact', 'comments', 'account_id = any ($1) and contact_id = $2 and commented_at <= $4'),
        (11, 'contact', 'comments', 'account_id = any ($1) and contact_id is null and lower(username) = any ($3)
            and commented_at <= $4'),
        (12, 'contact', 'profiles', 'account_id = any ($1) and igsid = $2 and last_seen_at <= $4'),
        (1, 'account', 'account_tokens', 'account_id = any ($1) and issued_at <= $4'),
        (2, 'account', 'events', 'account_id = any ($1) and contact_id is not null and occurred_at <= $4'),
        (3, 'account', 'events', 'account_id = any ($1) and contact_id is null and occurred_at <= $4'),
        (4, 'account', 'outbox', 'account_id = any ($1) and (event_id, account_id) in (
            select e.event_id, e.account_id from public.events e
            where e.account_id = any ($1) and e.occurred_at <= $4
        )'),
        (5, 'account', 'messages', 'account_id = any ($1)
            and coalesce(sent_at, edited_at, unsent_at, ''-infinity'') <= $4'),
        (6, 'account', 'reactions', 'account_id = any ($1) and acted_at <= $4'),
        (7, 'account', 'comments', 'account_id = any ($1) and commented_at <= $4'),
        (8, 'account', 'mentions', 'account_id = any ($1) and mentioned_at <= $4'),
        (9, 'account', 'dead_letters', 'ingestion.happened_at(dead_letters) <= $4 and (account_id = any ($1)
            or (account_id is null and ingestion.named_in_body(body) && $1))'),
        (10, 'account', 'profiles', 'account_id = any ($1) and last_seen_at <= $4'),
        (11, 'account', 'reply_rules', 'account_id = any ($1) and created_at <= $4'),
        -- The owner may have connected the account again since.
        (12, 'account', 'accounts', 'account_id = any ($1) and ingestion.is_former(accounts, $4)')
    ) h (place, scope, table_name, condition)
    where h.scope = p_scope
    order by h.place
$$;

-- When did what a dead letter tells of happen?
create function ingestion.happened_at(p_letter public.dead_letters) returns timestamptz
language sql immutable set search_path = ''
return coalesce(
    case when p_letter.event ->> 'occurred_at' ~ '^[0-9]{1,15}$'
        then ingestion.from_ms((p_letter.event ->> 'occurred_at')::bigint) end,
    p_letter.first_tried_at,
    p_letter.failed_at
);

-- Is this the account as it was at p_at, and not connected again since?
create function ingestion.is_former(p_account public.accounts, p_at timestamptz) returns boolean
language sql stable set search_path = ''
return not (p_account.state = 'active' and coalesce(p_account.state_changed_at, p_account.created_at) > p_at)
    and not exists (
        select from public.account_tokens t where t.account_id = p_account.account_id and t.issued_at > p_at
    );

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

-- Do we know both ids of every account that something is stored of? If not, an id that we do not know may be one of ours.
-- Each step of the recursions is one look into an index, so the cost is that of the accounts and not of their events.
create function ingestion.knows_every_account() returns boolean
language sql stable set search_path = ''
as $$
    with recursive with_profiles as (
        select min(p.account_id) as id from public.profiles p
        union all
        select (select min(p.account_id) from public.profiles p where p.account_id > w.id)
        from with_profiles w where w.id is not null
    ),
    without_contact as (
        select min(e.account_id) as id from public.events e where e.contact_id is null
        union all
        select (select min(e.account_id) from public.events e where e.contact_id is null and e.account_id > w.id)
        from without_contact w where w.id is not null
    )
    select not exists (
        select from (
            select w.id from with_profiles w union select w.id from without_contact w
            union select a.account_id from public.accounts a
        ) stored
        where stored.id <> '-' and not exists (
            select from public.accounts a
            where stored.id = a.app_scoped_id or (stored.id = a.account_id and a.app_scoped_id is not null)
        )
    );
$$;

-- Returns the accounts that know a person.
create function ingestion.accounts_of(p_contact text) returns text[]
language sql stable set search_path = ''
return array(
    select p.account_id from public.profiles p where p.igsid = p_contact
    union
    select e.account_id from public.events e
    where e.contact_id is null and e.raw_id = any (array(
        select r.raw_id from ingestion.raw_items r
        where r.names_nobody and ingestion.named_in(r.item) && array[p_contact]
    ))
    union
    select d.account_id from public.dead_letters d
    where d.event is not null and ingestion.named_in(d.event) && array[p_contact]
);

-- Finds who is meant. p_scope says what p_subject is, or null if that is to be found out. p_account_id narrows a
-- person down to one account. `is_known` is false if nothing here is of that id.
create function ingestion.find_subject(
    p_subject text, p_scope text, p_account_id text,
    out scope text, out contact_id text, out account_ids text[], out names text[], out digests bytea[],
    out is_known boolean
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
        is_known := true;
        return;
    end if;
    contact_id := p_subject;
    if p_account_id is not null then
        account_ids := ingestion.both_ids(array[p_account_id]);
        digests := array(select ingestion.person_digest(id, p_subject) from unnest(account_ids) id);
    else
        account_ids := ingestion.both_ids(ingestion.accounts_of(p_subject));
        digests := array[ingestion.person_digest(null, p_subject)];
        if p_scope is null then
            -- A delivery that is still on its way may show that this is an account.
            digests := digests || ingestion.person_digest(p_subject, null);
        end if;
    end if;
    is_known := account_ids <> '{}';
    names := array(
        select p_subject
        union
        select lower(p.username) from public.profiles p
        where p.account_id = any (find_subject.account_ids) and p.igsid = p_subject and p.username is not null
        union
        select lower(c.username) from public.comments c
        where c.account_id = any (find_subject.account_ids) and c.contact_id = p_subject and c.username is not null
    );
end;
$$;

-- Keeps out what happened up to the time of the request. A transaction that records an event of the same person has ended
-- by then.
create function ingestion.remember_erased(p_erasure public.erasures, p_sent_until timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
    v_until timestamptz;
begin
    perform pg_advisory_xact_lock(ingestion.erasure_lock(id))
    from unnest(coalesce(array[p_erasure.contact_id], p_erasure.account_ids)) id where id is not null;
    perform pg_advisory_xact_lock(ingestion.erasure_lock_without_contact(id))
    from unnest(p_erasure.account_ids) id where p_erasure.contact_id is not null;
    v_until := coalesce(p_erasure.until, clock_timestamp());
    insert into ingestion.erased_people as e (digest, erased_at, sent_until, forget_at)
    select d.digest, v_until, p_sent_until, null from unnest(p_erasure.digests) d (digest)
    union all
    select ingestion.lead_digest(account, name), v_until, null, now() + ingestion.arrival_window()
    from unnest(p_erasure.account_ids) account cross join unnest(p_erasure.names) name
    on conflict (digest) do update set
        erased_at = greatest(e.erased_at, excluded.erased_at),
        sent_until = greatest(e.sent_until, excluded.sent_until),
        forget_at = case when e.forget_at is not null then greatest(e.forget_at, excluded.forget_at) end;
end;
$$;

-- The request.

-- Returns what the holder of a code may see: how far the request is, and nothing about whom.
create function public.erasure_status(p_code text) returns jsonb
language sql stable set search_path = ''
return coalesce(
    (
        select jsonb_build_object(
            'code', e.code, 'state', e.state, 'scope', e.scope, 'rows_erased', e.rows_erased,
            'requested_at', e.requested_at, 'finished_at', e.finished_at
        )
        from public.erasures e where e.code = p_code
    ),
    jsonb_build_object('state', 'missing')
);
comment on function public.erasure_status is 'The state of an erasure by its confirmation code; missing for a code that was never given.';

-- Takes a signed request of Meta at a door. Returns the code that the same request was given before, p_code if it is new,
-- or null if another door has taken it.
create function ingestion.take_proof(p_proof text, p_door text, p_code text) returns text
language plpgsql set search_path = ''
as $$
begin
    insert into ingestion.taken_proofs (proof, door, code) values (p_proof, p_door, p_code)
    on conflict (proof) do nothing;
    return (select t.code from ingestion.taken_proofs t where t.proof = p_proof and t.door = p_door);
end;
$$;

-- Carries a request over to what was found of its subject: late deliveries are kept out from now on, and nothing is sent
-- for an account that is erased.
create function ingestion.begin_erasure(p_erasure public.erasures) returns void
language plpgsql set search_path = ''
as $$
begin
    perform ingestion.remember_erased(p_erasure, null);
    update public.accounts a set state = 'stopped', state_code = 'being_erased', state_changed_at = now()
    where p_erasure.scope = 'account' and a.account_id = any (p_erasure.account_ids)
        and ingestion.is_former(a, coalesce(p_erasure.until, 'infinity'));
end;
$$;

-- Takes up a request to erase what happened up to p_until, or what is there until it is done. A code, or a proof (the digest of Meta's signed request), that
-- was taken before changes nothing. A person who is not known here gets a code too. Returns the state and the code;
-- the state is 'refused' if the proof was taken at another door.
create function public.request_erasure(
    p_code text, p_subject text, p_via text, p_scope text default null, p_account_id text default null,
    p_until timestamptz default null, p_proof text default null
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_erasure public.erasures;
    v_code text := p_code;
begin
    if p_proof is not null then
        v_code := ingestion.take_proof(p_proof, 'data_deletion', p_code);
        if v_code is null then
            return jsonb_build_object('state', 'refused');
        end if;
    end if;
    -- First, so that an event that is being recorded just now is found.
    perform pg_advisory_xact_lock(ingestion.erasure_lock(p_subject));
    insert into public.erasures as e (
        code, scope, contact_id, account_ids, names, digests, until, via, state
    )
    select
        v_code, s.scope, s.contact_id, s.account_ids, s.names, s.digests,
        case when p_until is not null then least(p_until, now()) end, p_via,
        case when s.is_known or p_scope is not null or ingestion.knows_every_account() then 'pending'
            else 'unresolved' end
    from ingestion.find_subject(p_subject, p_scope, p_account_id) s
    on conflict (code) do nothing
    returning e.* into v_erasure;
    if found then
        perform ingestion.begin_erasure(v_erasure);
    end if;
    return public.erasure_status(v_code);
end;
$$;
comment on function public.request_erasure is 'Takes up the erasure of a person or an account; run_erasure does it.';

-- Finds the subject of a request whose id was of nobody we knew. Returns the request as it is then.
create function ingestion.resolve_erasure(p_erasure public.erasures) returns public.erasures
language plpgsql set search_path = ''
as $$
declare
    v_erasure public.erasures := p_erasure;
begin
    update public.erasures e set
        scope = s.scope, contact_id = s.contact_id, account_ids = s.account_ids, names = s.names, digests = s.digests,
        state = 'pending'
    from ingestion.find_subject(p_erasure.contact_id, null, null) s
    where e.code = p_erasure.code and (s.is_known or ingestion.knows_every_account())
    returning e.* into v_erasure;
    if not found then
        return p_erasure;
    end if;
    perform ingestion.begin_erasure(v_erasure);
    return v_erasure;
end;
$$;

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
        into v_count using v_subject.account_ids, v_subject.contact_id, v_subject.names, timestamptz 'infinity';
        v_count := v_count + coalesce((v_counts ->> v_holding.table_name)::bigint, 0);
        v_counts := v_counts || jsonb_build_object(v_holding.table_name, v_count);
    end loop;
    return v_counts;
end;
$$;
comment on function public.preview_erasure is 'How many rows an erasure would delete, by table.';

-- The steps.

-- Returns up to when the rows of a request are deleted: up to its time, if something new has begun since. That is the case
-- if the person, or somebody in a conversation with the account, has done something, or the account was connected again.
-- Else without an end: what we sent in the meantime is nothing new.
create function ingestion.erasure_reach(p_erasure public.erasures) returns timestamptz
language sql stable set search_path = ''
return case when case p_erasure.scope
    when 'contact' then exists (
        select from public.events e
        where e.account_id = any (p_erasure.account_ids) and e.contact_id = p_erasure.contact_id
            and e.direction = 'inbound' and e.kind <> 'read' and e.occurred_at > p_erasure.until
    )
    else exists (
        select from public.accounts a
        where a.account_id = any (p_erasure.account_ids) and not ingestion.is_former(a, p_erasure.until)
    ) or exists (
        select from public.profiles p
        where p.account_id = any (p_erasure.account_ids) and p.last_message_at > p_erasure.until
            and p.last_inbound_at > p_erasure.until
    ) or exists (
        select from public.comments c
        where c.account_id = any (p_erasure.account_ids) and c.commented_at > p_erasure.until and not c.is_self
    )
end then p_erasure.until else 'infinity' end;

-- Deletes the next rows in order, at most p_limit and the rows that go with them. Returns how many.
create function ingestion.erase_step(p_erasure public.erasures, p_limit integer) returns bigint
language plpgsql set search_path = ''
as $$
declare
    v_holding record;
    v_some text;
    v_reach timestamptz := ingestion.erasure_reach(p_erasure);
    v_count bigint;
    v_with bigint;
    v_left bigint := p_limit;
    v_total bigint := 0;
begin
    perform ingestion.remember_erased(p_erasure, case when v_reach = 'infinity' then clock_timestamp() end);
    for v_holding in select * from ingestion.holdings(p_erasure.scope) loop
        v_some := format(
            'delete from public.%1$I where ctid = any (array(select ctid from public.%1$I where %2$s limit $5))',
            v_holding.table_name, v_holding.condition
        );
        v_with := 0;
        case
            when v_holding.table_name = 'events' then
                -- An item without a time of its own has the time of its delivery, and one without a sender names
                -- nobody. Such an event is recognised by its id.
                execute format(
                    'with gone as (%s returning event_id, account_id, contact_id, raw_id, recorded_at),
                    known_again as (
                        insert into ingestion.erased_people (digest, erased_at, forget_at)
                        select ingestion.event_digest(event_id, account_id), ''infinity'',
                            now() + ingestion.arrival_window()
                        from gone
                        where recorded_at > now() - ingestion.arrival_window() and (
                            contact_id is null or not coalesce(ingestion.raw_item(raw_id) ? ''timestamp'', false)
                        )
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
                into v_count, v_with
                using p_erasure.account_ids, p_erasure.contact_id, p_erasure.names, v_reach, v_left;
            when v_holding.table_name = 'messages' and p_erasure.scope = 'contact' then
                -- An edit or an unsend may come later than its message, and without its sender.
                execute format(
                    'with gone as (%s returning account_id, mid),
                    known_again as (
                        insert into ingestion.erased_people as e (digest, erased_at, forget_at)
                        select ingestion.lead_digest(account_id, mid), $6, now() + ingestion.arrival_window() from gone
                        on conflict (digest) do update set erased_at = greatest(e.erased_at, excluded.erased_at)
                    )
                    select count(*) from gone',
                    v_some
                )
                into v_count
                using p_erasure.account_ids, p_erasure.contact_id, p_erasure.names, v_reach, v_left,
                    coalesce(p_erasure.until, clock_timestamp());
            else
                execute format('with gone as (%s returning 1) select count(*) from gone', v_some)
                into v_count
                using p_erasure.account_ids, p_erasure.contact_id, p_erasure.names, v_reach, v_left;
        end case;
        v_total := v_total + v_count + v_with;
        v_left := v_left - v_count;
        exit when v_left = 0;
    end loop;
    return v_total;
end;
$$;

-- Makes the profiles of those who were seen again after an erasure begin with the time of the request.
create function ingestion.begin_profiles_anew(p_erasure public.erasures) returns void
language sql set search_path = ''
as $$
    update public.profiles p set
        first_seen_at = greatest(p.first_seen_at, p_erasure.until),
        last_inbound_at = case when p.last_inbound_at > p_erasure.until then p.last_inbound_at end,
        last_outbound_at = case when p.last_outbound_at > p_erasure.until then p.last_outbound_at end,
        last_message_at = case when p.last_message_at > p_erasure.until then p.last_message_at end,
        read_watermark_at = case when p.read_watermark_at > p_erasure.until then p.read_watermark_at end,
        read_watermark_mid = case when p.read_watermark_at > p_erasure.until then p.read_watermark_mid end,
        state = case when p.fetched_at > p_erasure.until then p.state else 'pending' end,
        unavailable_code = case when p.fetched_at > p_erasure.until then p.unavailable_code end,
        refusals = case when p.fetched_at > p_erasure.until then p.refusals else 0 end,
        username = case when p.fetched_at > p_erasure.until then p.username end,
        name = case when p.fetched_at > p_erasure.until then p.name end,
        profile_pic = case when p.fetched_at > p_erasure.until then p.profile_pic end,
        follower_count = case when p.fetched_at > p_erasure.until then p.follower_count end,
        is_verified_user = case when p.fetched_at > p_erasure.until then p.is_verified_user end,
        is_user_follow_business = case when p.fetched_at > p_erasure.until then p.is_user_follow_business end,
        is_business_follow_user = case when p.fetched_at > p_erasure.until then p.is_business_follow_user end,
        fetched_at = case when p.fetched_at > p_erasure.until then p.fetched_at end
    where p.account_id = any (p_erasure.account_ids) and (p_erasure.scope = 'account' or p.igsid = p_erasure.contact_id)
        and p.first_seen_at <= p_erasure.until;
$$;

-- Carries a request on, by at most p_limit rows. Returns the state; call again while it is 'pending'. A request that is
-- 'unresolved' waits until the second id of every account is known.
create function public.run_erasure(p_code text, p_limit integer default 5000) returns jsonb
language plpgsql set search_path = ''
as $$
declare
    v_erasure public.erasures;
    v_rows bigint;
begin
    select * into v_erasure from public.erasures e where e.code = p_code for update;
    if v_erasure.state = 'unresolved' then
        v_erasure := ingestion.resolve_erasure(v_erasure);
    end if;
    if v_erasure.state = 'pending' then
        v_rows := ingestion.erase_step(v_erasure, greatest(p_limit, 1));
        -- Done only after a step has found nothing: a send that was on its way may have written a row meanwhile.
        if v_rows > 0 then
            update public.erasures e set rows_erased = e.rows_erased + v_rows where e.code = p_code;
        else
            perform ingestion.begin_profiles_anew(v_erasure);
            update public.erasures e set
                state = 'done', finished_at = now(),
                contact_id = null, account_ids = null, names = null, digests = null
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
    from public.erasures e where e.state <> 'done'
);
comment on function public.pending_erasures is 'The codes of what is not erased yet, the oldest first.';

-- The owner of an account removed the app at p_at (Meta, "Deauthorize callback"). Returns 'stopped': the token is
-- deleted, and sends stop until the owner logs in again. Returns 'active' if the owner has logged in since, 'unknown' if
-- the account is not known, or was erased, and 'refused' if p_proof, the digest of Meta's signed request, was taken at
-- another door. These three change nothing.
create function public.deauthorize_account(
    p_account_id text, p_at timestamptz, p_proof text default null
) returns text
language plpgsql set search_path = ''
as $$
declare
    v_account text := ingestion.resolve_account(p_account_id);
begin
    if p_proof is not null and ingestion.take_proof(p_proof, 'deauthorize', '') is null then
        return 'refused';
    end if;
    if not ingestion.is_account(array[v_account]) then
        return 'unknown';
    end if;
    if exists (
        select from public.accounts a where a.account_id = v_account and not ingestion.is_former(a, p_at)
    ) then
        return 'active';
    end if;
    perform public.forget_token(v_account);
    perform public.mark_account(v_account, 'needs_reauth', 'deauthorized');
    return 'stopped';
end;
$$;
comment on function public.deauthorize_account is 'Stops the sends of an account whose owner removed the app.';
