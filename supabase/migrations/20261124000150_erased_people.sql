-- Who was erased, so that what is delivered again, or was still on its way, does not bring them back.
--
-- Only digests are kept: they can be compared with an id that somebody already has, not read as one. Each says
-- up to when what it names is erased; whatever happened later is new.
create table ingestion.erased_people (
    digest    bytea primary key,
    erased_at timestamptz not null
);
alter table ingestion.erased_people enable row level security;

-- One person of one account; without p_account, of every account; without p_contact, the account as a whole.
create function ingestion.person_digest(p_account text, p_contact text) returns bytea
language sql immutable set search_path = ''
return case when coalesce(p_account, p_contact) is not null
    then sha256(convert_to(quote_nullable(p_account) || '/' || quote_nullable(p_contact), 'UTF8'))
end;

-- One event, for those that do not say when they happened, or to whom.
create function ingestion.event_digest(p_event_id text) returns bytea
language sql immutable strict set search_path = ''
return sha256(convert_to(quote_literal(p_event_id), 'UTF8'));

-- The key of the lock under which somebody is erased (alone) and their events are recorded (together): an event
-- is either there when the erasure looks, or finds its digest.
create function ingestion.erasure_lock(p_id text) returns bigint
language sql immutable strict set search_path = ''
return hashtextextended('erasure/' || p_id, 0);

-- Was what this event says erased? Asked before anything of it is stored, in the transaction that stores it.
create function ingestion.is_erased(p_event jsonb, p_account text, p_at timestamptz) returns boolean
language plpgsql set search_path = ''
as $$
declare
    v_contact text := p_event ->> 'contact_id';
begin
    perform pg_advisory_xact_lock_shared(ingestion.erasure_lock(id))
    from unnest(array[p_account, v_contact]) id where id is not null;
    -- A statement of its own: it sees what was erased while this one waited for the lock.
    return exists (
        select from ingestion.erased_people e
        where e.digest in (
            ingestion.person_digest(p_account, v_contact), ingestion.person_digest(p_account, null),
            ingestion.person_digest(null, v_contact), ingestion.event_digest(p_event ->> 'event_id')
        ) and e.erased_at >= p_at
    );
end;
$$;
