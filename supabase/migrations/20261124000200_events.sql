-- An event inside SQL: a typed row, made once from its JSON; and what any function may ask of an event.

create function ingestion.from_ms(ms bigint) returns timestamptz
language sql immutable strict parallel safe set search_path = ''
return timestamptz 'epoch' + ms * interval '1 millisecond';

-- Is an event of this kind a message in a conversation, a row of public.messages?
create function ingestion.is_message(p_kind text) returns boolean
language sql immutable strict parallel safe set search_path = ''
return p_kind in ('message', 'echo', 'postback');

-- Does an event of this kind speak of a message and its words?
create function ingestion.is_about_a_message(p_kind text) returns boolean
language sql immutable strict parallel safe set search_path = ''
return p_kind in ('message', 'echo', 'postback', 'edit', 'unsend');

-- Either id of an account may stand in a payload. The professional id is the key of every table.
create function ingestion.resolve_account(p_id text) returns text
language sql stable set search_path = ''
return coalesce((select a.account_id from public.accounts a where a.app_scoped_id = p_id), p_id);

-- Returns the id of an event as the ledger has it. Some ids name our account (lib/events/ids.py), and the account may be
-- told under its other id, p_other_id: the ledger has the professional id in its place. The ids of messages, edits,
-- unsends, comments and story insights name no account.
create function ingestion.ledger_id(p_event_id text, p_account text, p_other_id text) returns text
language sql immutable parallel safe set search_path = ''
return case
    when p_other_id is not null and p_event_id ~ '^ig_(?!(?:msg|edit|del|cmt|si)_)'
        then array_to_string(array_replace(string_to_array(p_event_id, '_'), p_other_id, p_account), '_')
    else p_event_id
end;

-- Returns the same for an account of which only the professional id is at hand.
create function ingestion.resolve_event_id(p_event_id text, p_account text) returns text
language sql stable set search_path = ''
return coalesce(
    (
        select ingestion.ledger_id(p_event_id, a.account_id, a.app_scoped_id)
        from public.accounts a where a.account_id = p_account
    ),
    p_event_id
);

-- The fields of all kinds. A field that a kind does not have is null.
create type ingestion.event as (
    event_id           text,
    kind               text,
    is_message         boolean,
    account_id         text,
    contact_id         text,
    direction          text,
    occurred_at        timestamptz,
    received_at        timestamptz,
    standby            boolean,
    is_test            boolean,
    is_self            boolean,
    mid                text,
    text               text,
    attachments        jsonb,
    reply_to_mid       text,
    reply_to_story     jsonb,
    payload            text,
    referral           jsonb,
    is_unsupported     boolean,
    is_ephemeral       boolean,
    num_edit           integer,
    actor_id           text,
    action             text,
    reaction           text,
    emoji              text,
    read_up_to         timestamptz,
    new_owner_app_id   text,
    comment_id         text,
    username           text,
    parent_id          text,
    media_id           text,
    media_product_type text,
    ad_id              text,
    is_live            boolean,
    topic              text,
    raw                jsonb
);

-- Reads the JSON of an event (lib/events/model.py), which leaves out what has its default. p_account is its account under
-- the professional id.
create function ingestion.read_event(p_json jsonb, p_account text) returns ingestion.event
language plpgsql immutable set search_path = ''
as $$
begin
    -- One expression, without functions of ours but one: every event pays for this.
    return row(
        p_json ->> 'event_id',
        p_json ->> 'kind',
        ingestion.is_message(p_json ->> 'kind'),
        p_account,
        p_json ->> 'contact_id',
        coalesce(p_json ->> 'direction', 'inbound'),
        timestamptz 'epoch' + (p_json ->> 'occurred_at')::bigint * interval '1 millisecond',
        timestamptz 'epoch' + (p_json ->> 'received_at')::bigint * interval '1 millisecond',
        coalesce((p_json ->> 'standby')::boolean, false),
        coalesce((p_json ->> 'is_test')::boolean, false),
        coalesce((p_json ->> 'is_self')::boolean, false),
        p_json ->> 'mid',
        coalesce(p_json ->> 'text', p_json ->> 'title'),
        p_json -> 'attachments',
        p_json -> 'reply_to' ->> 'mid',
        p_json -> 'reply_to' -> 'story',
        coalesce(p_json -> 'quick_reply' ->> 'payload', p_json ->> 'payload'),
        p_json -> 'referral',
        coalesce((p_json ->> 'is_unsupported')::boolean, false),
        coalesce((p_json ->> 'is_ephemeral')::boolean, false),
        (p_json ->> 'num_edit')::integer,
        p_json ->> 'actor_id',
        p_json ->> 'action',
        p_json ->> 'reaction',
        p_json ->> 'emoji',
        timestamptz 'epoch' + (p_json ->> 'watermark')::bigint * interval '1 millisecond',
        p_json ->> 'new_owner_app_id',
        p_json ->> 'comment_id',
        p_json ->> 'username',
        p_json ->> 'parent_id',
        p_json ->> 'media_id',
        p_json ->> 'media_product_type',
        p_json ->> 'ad_id',
        coalesce((p_json ->> 'is_live')::boolean, false),
        p_json ->> 'topic',
        p_json -> 'raw'
    )::ingestion.event;
end;
$$;

-- Returns the same, and looks the account up.
create function ingestion.read_event(p_json jsonb) returns ingestion.event
language sql stable set search_path = ''
return ingestion.read_event(p_json, ingestion.resolve_account(p_json ->> 'account_id'));

-- Returns the id of one side of an item as it came: `sender` or `recipient`.
create function ingestion.party(p_item jsonb, p_side text) returns text
language sql immutable set search_path = ''
return (
    select case jsonb_typeof(side) when 'object' then side ->> 'id' else side #>> '{}' end
    from (select coalesce(p_item -> p_side, p_item -> 'value' -> p_side) as side) s
);

-- Recognises our account in an event under its other id, p_other_id: who wrote may then be us, and the person is whoever
-- else the item names.
create function ingestion.seen_from_us(p_event ingestion.event, p_other_id text) returns ingestion.event
language plpgsql stable set search_path = ''
as $$
declare
    v_event ingestion.event := p_event;
    v_sender text := ingestion.party(p_event.raw, 'sender');
    v_recipient text := ingestion.party(p_event.raw, 'recipient');
    v_by_us boolean := coalesce(v_sender in (p_event.account_id, p_other_id), false);
    v_to_us boolean := coalesce(v_recipient in (p_event.account_id, p_other_id), false);
begin
    if p_event.actor_id = p_other_id then
        v_event.actor_id := p_event.account_id;
    end if;
    if not coalesce(p_event.contact_id in (p_event.account_id, p_other_id), false) then
        return v_event;
    end if;
    if p_event.kind = 'comment' then
        v_event.contact_id := p_event.account_id;
        v_event.is_self := true;
        v_event.direction := 'outbound';
        return v_event;
    end if;
    v_event.is_self := v_by_us and v_to_us;
    v_event.direction := case when v_by_us then 'outbound' else p_event.direction end;
    v_event.contact_id := case
        when v_by_us and v_to_us then p_event.account_id
        when v_by_us then v_recipient
        else v_sender
    end;
    return v_event;
end;
$$;

-- A dashboard test comes from nobody, and an account that writes to itself is not its own contact.
create function ingestion.is_about_a_person(p_event ingestion.event) returns boolean
language sql immutable set search_path = ''
return p_event.contact_id is not null and not p_event.is_test and not p_event.is_self;

-- Did a person write or tap? Meta's 24-hour window then opens, and the person has consented to a profile look-up.
create function ingestion.opens_window(
    p_kind text, p_direction text, p_contact text, p_is_test boolean
) returns boolean
language sql immutable parallel safe set search_path = ''
return p_kind in ('message', 'postback') and p_direction = 'inbound' and p_contact is not null and not p_is_test;

create function ingestion.opens_window(p_event ingestion.event) returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
    return ingestion.opens_window(p_event.kind, p_event.direction, p_event.contact_id, p_event.is_test)
        and not p_event.is_self;
end;
$$;

-- May we answer this by ourselves? A person did it, in a thread that is ours to answer (lib/replies/rules.py). A comment
-- need not name its author: its own id is enough for a private reply.
create function ingestion.is_answerable(p_event ingestion.event) returns boolean
language sql immutable set search_path = ''
return p_event.kind in ('message', 'postback', 'comment') and p_event.direction = 'inbound'
    and not (p_event.standby or p_event.is_test or p_event.is_self)
    and (p_event.contact_id is not null or p_event.kind = 'comment');

-- Recognises a comment of ours that names its author by the username alone.
create function ingestion.is_own_comment(p_event ingestion.event, p_username text) returns boolean
language sql immutable set search_path = ''
return p_event.kind = 'comment' and p_event.contact_id is null
    and coalesce(lower(p_event.username) = lower(p_username), false);

-- How much a telling of a message is to be believed about who wrote: a person as the sender most; then us, as the
-- sender or by the mark of an echo; least a telling that names nobody.
create function ingestion.sender_rank(p_direction text, p_contact text) returns integer
language sql immutable parallel safe set search_path = ''
return case
    when p_direction = 'outbound' then 1
    when p_contact is not null then 2
    else 0
end;

-- An item without the words and attachments of a person, for messages that were unsent. Ids and shape remain, so the
-- archive can still be reprocessed.
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

-- The JSON of an event without the words and attachments of a person: in a dead letter, or for the next phase.
create function ingestion.redacted_event(p_event jsonb) returns jsonb
language sql immutable set search_path = ''
return (
    select case
        when e.event ? 'raw' then jsonb_set(e.event, '{raw}', ingestion.redacted(e.event -> 'raw'))
        else e.event
    end
    from (
        select (p_event - '{text,title,payload,attachments,quick_reply,referral}'::text[]) #- '{reply_to,story}' as event
    ) e
);

-- Returns a raw item, or null past retention.
create function ingestion.raw_item(p_raw_id bigint) returns jsonb
language sql stable set search_path = ''
return (select r.item from ingestion.raw_items r where r.raw_id = p_raw_id);

-- The raw item as a column of `events`, over PostgREST (`select=event_id,raw`) and in SQL (`e.raw`).
create function public.raw(p_event public.events) returns jsonb
language sql stable set search_path = ''
return ingestion.raw_item(p_event.raw_id);
comment on function public.raw(public.events) is 'The raw webhook item of an event; null past retention.';

-- An item goes with its event.
create function ingestion.delete_raw_item() returns trigger
language plpgsql set search_path = ''
as $$
begin
    delete from ingestion.raw_items r where r.raw_id = old.raw_id;
    return null;
end;
$$;
create trigger events_deleted after delete on public.events
    for each row execute function ingestion.delete_raw_item();
