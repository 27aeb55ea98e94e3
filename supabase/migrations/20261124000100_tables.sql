-- The tables, whole: every column, every index, every state.
--
-- There are two kinds of state. `events` is the ledger: one row an event id, and the proof that the event has taken
-- effect. All other tables hold what the events add up to. Each rule of adding up is commutative and idempotent, so
-- the order and the repetition of deliveries do not matter (…_merge_rules.sql).
--
-- Times are `timestamptz`. Instagram's milliseconds are converted on the way in (ingestion.from_ms).

create schema if not exists ingestion;
comment on schema ingestion is 'Helpers of the public functions. Not exposed through PostgREST.';

-- The states. Each comment lists the values and their meaning.

create domain ingestion.account_state as text check (value in ('active', 'needs_reauth', 'stopped'));
comment on domain ingestion.account_state is
    'active: sends leave. '
    'needs_reauth: the token is dead, or the owner removed the app; no send leaves until the owner logs in again. '
    'stopped: Meta, or the owner, does not let us send. '
    'Ingestion goes on in all three.';

create domain ingestion.profile_state as text check (value in ('pending', 'complete', 'unavailable'));
comment on domain ingestion.profile_state is
    'pending: not fetched yet. complete: fetched. unavailable: Meta refused to show the person (unavailable_code).';

create domain ingestion.effect_state as text
    check (value in ('planned', 'claimed', 'sending', 'sent', 'failed', 'unknown', 'skipped'));
comment on domain ingestion.effect_state is
    'planned: owed, and free to be claimed (from not_before on). '
    'claimed: a worker holds the lease; nothing has left. '
    'sending: the message may be on its way to Meta; written before it leaves. '
    'sent: it left, and mid says as what. '
    'failed: it was refused for good (error_code). '
    'unknown: it may have reached Meta; it is never sent again by itself, and its echo or the conversation settles it. '
    'skipped: it was decided not to send it (error_code: dry_run, outside_window, account_stopped, …).';

create domain ingestion.effect_kind as text check (value in ('dm', 'private_reply', 'next_phase'));
comment on domain ingestion.effect_kind is
    'dm: a direct message. private_reply: the one direct message that a comment may be answered with. '
    'next_phase: the event itself, handed on to the receiver of the user.';

create domain ingestion.letter_state as text check (value in ('open', 'replayed', 'discarded', 'superseded'));
comment on domain ingestion.letter_state is
    'open: somebody has to look at it; an event has one open letter at most. '
    'replayed: the event was sent again, or has come through since. '
    'discarded: a person gave the event up. '
    'superseded: a newer letter of the same event took its place.';

create domain ingestion.erasure_state as text check (value in ('unresolved', 'pending', 'done'));
comment on domain ingestion.erasure_state is
    'unresolved: the id is of nobody we know, but an account of ours has a second id that we do not know yet. '
    'pending: rows may be left. '
    'done: nothing is left.';

create domain ingestion.direction as text check (value in ('inbound', 'outbound'));
comment on domain ingestion.direction is 'inbound: the person did it. outbound: the account did it.';

create domain ingestion.path as text check (value in ('queue', 'direct', 'replay'));
comment on domain ingestion.path is
    'queue: through QStash. direct: around it. replay: from the archive.';

-- The kinds of event that are a row of public.messages (ingestion.is_message).
create domain ingestion.message_kind as text check (value in ('message', 'echo', 'postback'));
comment on domain ingestion.message_kind is
    'message: the person wrote. echo: the account wrote, by whatever app. postback: the person tapped a button.';

-- Our Instagram professional accounts. A row is not needed for ingestion, only for sending and for state.
create table public.accounts (
    account_id       text primary key,
    app_scoped_id    text unique,
    username         text,
    login_flavour    text not null default 'instagram' check (login_flavour in ('instagram', 'facebook')),
    state            ingestion.account_state not null default 'active',
    state_code       text,
    state_changed_at timestamptz,
    dead_env_tokens  text[] not null default '{}',
    created_at       timestamptz not null default now()
);
comment on column public.accounts.account_id is 'The professional account id, as in entry.id of a webhook.';
comment on column public.accounts.app_scoped_id is 'The other id of the account, which some payloads carry: with Instagram Login the app-scoped one, with Facebook Login the Page''s.';
comment on column public.accounts.dead_env_tokens is 'Digests of INSTAGRAM_ACCESS_TOKENs that Meta refused. A caller with another one may send.';
comment on column public.accounts.state_code is 'Why it is not active: the code of an error, deauthorized, being_erased.';

-- The access tokens of our accounts, encrypted (lib/accounts/tokens.py): no key is in the database.
-- A table of its own, so that nobody who looks at `accounts` sees a token, not even an encrypted one.
create table public.account_tokens (
    account_id text primary key references public.accounts (account_id) on delete cascade,
    ciphertext text not null check (ciphertext ~ '^gAAAA[A-Za-z0-9_-]+=*$'),
    issued_at  timestamptz not null default now(),
    expires_at timestamptz
);
comment on table public.account_tokens is 'Written by `python -m cli accounts add` and the refresh job; no plain token fits in.';
comment on column public.account_tokens.ciphertext is 'Fernet: the token and its account. It also tells two tokens apart: a replacement names the token it replaces.';
comment on column public.account_tokens.issued_at is 'When this token was issued: added, or refreshed.';
comment on column public.account_tokens.expires_at is 'Null: it does not end by time (a Page token).';
create index account_tokens_by_expiry on public.account_tokens (expires_at);

-- The ids of raw items: the segment of the archive that is open, and a number (…_archive.sql).
create sequence ingestion.raw_ids minvalue 1 maxvalue 639999999999999999 no cycle;

-- The ledger.
create table public.events (
    event_id     text not null,
    account_id   text not null,
    kind         text not null,
    contact_id   text,
    mid          text,
    direction    ingestion.direction not null,
    via          ingestion.path not null,
    via_standby  boolean not null default false,
    is_test      boolean not null default false,
    topic        text,
    occurred_at  timestamptz not null,
    received_at  timestamptz not null,
    recorded_at  timestamptz not null default now(),
    processed_at timestamptz,
    sweep_after  timestamptz,
    sweeps       integer not null default 0,
    given_up_at  timestamptz,
    given_up_code text,
    has_variants boolean not null default false,
    answerable   boolean not null default false,
    raw_id       bigint not null default nextval('ingestion.raw_ids'),
    primary key (event_id, account_id)
);
comment on column public.events.event_id is 'What happened, e.g. ig_msg_{mid}. Two accounts of ours may be told of the same: the account is part of the key.';
comment on column public.events.processed_at is 'Null: the event is recorded, but a profile, a reply or a next phase is still owed.';
comment on column public.events.sweep_after is 'The sweeper has taken the event up, and does not again before then. Null: not yet.';
comment on column public.events.sweeps is 'How often the sweeper has taken the event up.';
comment on column public.events.given_up_at is 'The event cannot be finished (given_up_code says why): its open dead letter is for a person. A retry clears this.';
comment on column public.events.has_variants is 'Meta delivered the event in several forms. The archive has the fullest form; the tables have what all forms say.';
comment on column public.events.answerable is 'One of its forms could be answered by a rule. What was due was planned then, and is not planned again.';
comment on column public.events.topic is 'What an event of kind unknown is about: delivery, policy_enforcement, story_insights, ...';
comment on column public.events.raw_id is 'The raw item of the event, in ingestion.raw_items. Past retention the item is gone.';
-- A hash, because a mid is long, and the primary key has it already: a tenth of the bytes of a btree.
create index events_by_mid on public.events using hash (mid);
create index events_by_contact on public.events (account_id, contact_id);
create index events_by_time on public.events (recorded_at);
create index events_by_raw on public.events (raw_id) where contact_id is null;
create index events_unknown on public.events (account_id, topic, recorded_at desc) where kind = 'unknown';
create index events_unknown_by_time on public.events (recorded_at, topic) where kind = 'unknown';
create index events_unfinished on public.events (recorded_at) where processed_at is null and given_up_at is null;
create index events_without_contact on public.events (account_id) where contact_id is null;

-- The raw archive: the one webhook item of each event as received. Its words are gone once its message is unsent.
--
-- The archive is a ring of 64 segments, each a partition. New items go to the segment that is open. A segment is closed
-- after a thirtieth of the retention time, and emptied at once when all its items are past their time (expire_raw). So
-- retention costs the same however much is stored, and no table is made or dropped while the product runs.
create table ingestion.raw_items (
    raw_id       bigint primary key,
    names_nobody boolean not null,
    item         jsonb not null
) partition by range (raw_id);
alter table ingestion.raw_items enable row level security;
comment on column ingestion.raw_items.names_nobody is 'The event has no contact. An erasure looks into such items for the person (raw_items_naming).';

create table ingestion.raw_segments (
    segment   integer primary key check (segment between 0 and 63),
    opened_at timestamptz,
    closed_at timestamptz check (closed_at is null or opened_at is not null)
);
alter table ingestion.raw_segments enable row level security;
comment on table ingestion.raw_segments is 'opened_at null: empty. closed_at null: open; one segment is open at any time.';

-- An id says in which segment its item is.
create function ingestion.first_raw_id(p_segment integer) returns bigint
language sql immutable parallel safe set search_path = ''
return p_segment * 10000000000000000;

do $$
begin
    for v_segment in 0 .. 63 loop
        execute format(
            'create table ingestion.%I partition of ingestion.raw_items for values from (%s) to (%s)',
            'raw_items_' || v_segment, ingestion.first_raw_id(v_segment), ingestion.first_raw_id(v_segment + 1)
        );
        execute format('alter table ingestion.%I enable row level security', 'raw_items_' || v_segment);
        insert into ingestion.raw_segments (segment, opened_at) values (v_segment, case v_segment when 0 then now() end);
    end loop;
end;
$$;

-- The people who write to us: one row a person and account (an IGSID is scoped to both).
create table public.profiles (
    account_id              text not null,
    igsid                   text not null,
    username                text,
    name                    text,
    profile_pic             text,
    follower_count          integer,
    is_verified_user        boolean,
    is_user_follow_business boolean,
    is_business_follow_user boolean,
    state                   ingestion.profile_state not null default 'pending',
    unavailable_code        text,
    refusals                integer not null default 0,
    fetched_at              timestamptz,
    first_seen_at           timestamptz not null,
    last_seen_at            timestamptz not null,
    last_inbound_at         timestamptz,
    last_outbound_at        timestamptz,
    last_message_at         timestamptz,
    seen_at                 timestamptz,
    read_watermark_at       timestamptz,
    read_watermark_mid      text,
    thread_ours_at          timestamptz,
    thread_others_at        timestamptz,
    primary key (account_id, igsid)
) with (fillfactor = 80);
comment on column public.profiles.profile_pic is 'Meta''s CDN link; expires in a few days. The picture itself may not be kept.';
comment on column public.profiles.last_inbound_at is 'The newest message or postback from the person; the 24-hour window runs from here.';
comment on column public.profiles.last_outbound_at is 'The newest message from us, by whatever app.';
comment on column public.profiles.last_message_at is 'The newest message either way; null for who only commented, reacted or read.';
comment on column public.profiles.seen_at is 'An inbox says we have seen everything up to here (mark_conversation_seen).';
comment on column public.profiles.read_watermark_at is 'The person has read our messages up to this time.';
comment on column public.profiles.thread_ours_at is 'The conversation was last seen as ours to answer: a message that did not come as standby, or a thread passed to us.';
comment on column public.profiles.thread_others_at is 'It was last seen as another app''s: an item under standby, or a thread taken from us. The newer of the two counts.';
comment on column public.profiles.refusals is 'Refusals in a row. One: asked again at the next message. More: only after the configured age.';
-- No index has a column that a message changes. So the new version of a row stays in its page, and no index is touched
-- (PostgreSQL, "Heap-Only Tuples"); the fillfactor leaves room for it.
create index profiles_by_igsid on public.profiles (igsid);

-- The list of conversations, in order: one narrow row a conversation. Each message moves its row, which costs these
-- indexes and not those of the wide profile. Triggers keep it equal to `profiles` (…_profiles.sql), also where a person
-- empties that table by hand; nothing else writes.
create table ingestion.conversation_order (
    account_id      text not null,
    contact_id      text not null,
    last_message_at timestamptz not null,
    may_be_unread   boolean not null,
    primary key (account_id, contact_id)
) with (fillfactor = 80);
alter table ingestion.conversation_order enable row level security;
comment on column ingestion.conversation_order.may_be_unread is 'The person has written since we last wrote or looked. All of it may have been unsent.';
create index conversation_order_newest on ingestion.conversation_order (account_id, last_message_at, contact_id);
create index conversation_order_anywhere on ingestion.conversation_order (last_message_at, contact_id, account_id);
create index conversation_order_unread on ingestion.conversation_order (account_id, last_message_at, contact_id)
    include (may_be_unread) where may_be_unread;

-- What was said. A row may exist before its message: `is_placeholder` marks one made by an edit or unsend.
create table public.messages (
    account_id      text not null,
    mid             text not null,
    contact_id      text,
    direction       ingestion.direction,
    kind            ingestion.message_kind,
    text            text,
    attachments     jsonb not null default '[]',
    reply_to_mid    text,
    reply_to_story  jsonb,
    payload         text,
    referral        jsonb,
    is_unsupported  boolean not null default false,
    is_ephemeral    boolean not null default false,
    is_self         boolean not null default false,
    is_test         boolean not null default false,
    standby         boolean not null default false,
    sent_at         timestamptz,
    num_edit        integer,
    edited_at       timestamptz,
    unsent_at       timestamptz,
    is_placeholder  boolean not null default false,
    is_provisional  boolean not null default false,
    event_id        text,
    primary key (account_id, mid)
);
comment on column public.messages.text is 'As it stands: the newest edit, or null once unsent.';
comment on column public.messages.attachments is 'Meta''s items verbatim. Links expire; Meta''s terms forbid keeping copies of the media.';
comment on column public.messages.payload is 'The developer payload of a quick reply or a postback.';
comment on column public.messages.is_placeholder is 'An edit or unsend came first; the message itself has not been seen.';
comment on column public.messages.is_provisional is 'Written by our own send; the echo, when it comes, has the last word on its time and text.';
-- Ascending, and read backwards: a new message then comes last in its conversation, and the page before it stays full.
create index messages_newest on public.messages (account_id, contact_id, sent_at, mid) where not is_placeholder;
create index messages_by_time on public.messages using brin (sent_at);
create index messages_placeholders on public.messages (account_id, contact_id) where is_placeholder;

-- One row a message and person; `unreact` is a value, so that a late `react` cannot bring it back.
create table public.reactions (
    account_id text not null,
    mid        text not null,
    actor_id   text not null,
    contact_id text,
    action     text not null check (action in ('react', 'unreact')),
    reaction   text,
    emoji      text,
    acted_at   timestamptz not null,
    event_id   text not null,
    primary key (account_id, mid, actor_id)
);
create index reactions_by_contact on public.reactions (account_id, contact_id);

create table public.comments (
    account_id         text not null,
    comment_id         text not null,
    contact_id         text,
    username           text,
    text               text,
    parent_id          text,
    media_id           text,
    media_product_type text,
    ad_id              text,
    is_live            boolean not null default false,
    is_self            boolean not null default false,
    is_test            boolean not null default false,
    commented_at       timestamptz not null,
    event_id           text not null,
    primary key (account_id, comment_id)
);
create index comments_newest on public.comments (account_id, commented_at desc, comment_id desc);
create index comments_by_media on public.comments (account_id, media_id, commented_at desc, comment_id desc);
create index comments_by_parent on public.comments (account_id, parent_id) where parent_id is not null;
create index comments_by_contact on public.comments (account_id, contact_id);
create index comments_by_name on public.comments (account_id, lower(username)) where contact_id is null;

create table public.mentions (
    event_id     text not null,
    account_id   text not null,
    media_id     text,
    comment_id   text,
    mentioned_at timestamptz not null,
    primary key (event_id, account_id)
);
create index mentions_newest on public.mentions (account_id, mentioned_at desc, event_id desc);

-- Quick replies as Meta takes them (Meta, "Quick Replies"): up to 13 of {title, payload}, titles up to 20 characters,
-- payloads up to 1000.
create function ingestion.are_quick_replies(p_value jsonb) returns boolean
language sql immutable strict set search_path = ''
return case when jsonb_typeof(p_value) = 'array' then
    jsonb_array_length(p_value) between 1 and 13
    and (
        select bool_and(case when jsonb_typeof(item) = 'object' then
            item - array['title', 'payload'] = '{}'
            and coalesce(jsonb_typeof(item -> 'title') = 'string', false)
            and coalesce(jsonb_typeof(item -> 'payload') = 'string', false)
            and item ->> 'title' ~ '[^[:space:]]'
            and length(item ->> 'title') <= 20
            and length(item ->> 'payload') between 1 and 1000
        else false end)
        from jsonb_array_elements(p_value) item
    )
else false end;

-- One attachment as Meta takes it (Meta, "Send messages"): {type, url}, or {type, id} of an uploaded image
-- or, as MEDIA_SHARE, of an own post.
create function ingestion.is_attachment(p_value jsonb) returns boolean
language sql immutable strict set search_path = ''
return case when jsonb_typeof(p_value) = 'object' then
    p_value - array['type', 'url', 'id'] = '{}'
    and coalesce(jsonb_typeof(p_value -> 'type') = 'string', false)
    and coalesce(jsonb_typeof(coalesce(p_value -> 'url', p_value -> 'id')) = 'string', false)
    and case
        when p_value ->> 'type' in ('image', 'video', 'audio', 'file') and p_value ? 'url' then
            not p_value ? 'id' and coalesce(p_value ->> 'url' ~ '^https://[^[:space:]]+$', false)
        when p_value ->> 'type' in ('image', 'MEDIA_SHARE') then
            not p_value ? 'url' and coalesce(p_value ->> 'id' ~ '^[0-9]+$', false)
        else false
    end
else false end;

-- Is a pattern cheap enough to be searched for in every message? The search for a regular expression takes as long as the
-- expression is wide: `x.{0,300}y.{0,300}z` takes a thousand times as long as a word. The reader counts more precisely,
-- and over all rules (lib/replies/patterns.py).
create function ingestion.is_cheap_pattern(p_match text, p_pattern text) returns boolean
language sql immutable set search_path = ''
return coalesce(length(p_pattern), 0) <= 500
    and (p_match <> 'regex' or coalesce(p_pattern, '') !~ '\{[0-9]*,?(10[1-9]|1[1-9][0-9]|[2-9][0-9]{2}|[0-9]{4,})\}'
        and coalesce(p_pattern, '') !~ '\{(10[1-9]|1[1-9][0-9]|[2-9][0-9]{2}|[0-9]{4,}),');

create table public.reply_rules (
    rule_id       bigint generated always as identity primary key,
    account_id    text,
    trigger       text not null check (trigger in ('keyword', 'story_mention', 'story_reply', 'first_message', 'postback', 'comment')),
    match         text not null default 'contains' check (match in ('exact', 'contains', 'regex')),
    pattern       text,
    reply_text    text,
    quick_replies jsonb,
    attachment    jsonb,
    priority      integer not null default 0,
    cooldown_s    integer,
    enabled       boolean not null default true,
    created_at    timestamptz not null default now(),
    constraint reply_rules_keyword_needs_a_pattern check (trigger <> 'keyword' or coalesce(pattern ~ '[^[:space:]\x1c-\x1f]', false)),
    constraint reply_rules_either_text_or_attachment check (num_nonnulls(reply_text, attachment) = 1),
    constraint reply_rules_text_is_not_blank check (reply_text ~ '[^[:space:]\x1c-\x1f]'),
    constraint reply_rules_quick_replies_need_text check (quick_replies is null or reply_text is not null),
    constraint reply_rules_quick_replies_are_what_meta_takes check (ingestion.are_quick_replies(quick_replies)),
    constraint reply_rules_attachment_is_what_meta_takes check (ingestion.is_attachment(attachment)),
    constraint reply_rules_pattern_is_not_too_costly check (ingestion.is_cheap_pattern(match, pattern)),
    constraint reply_rules_cooldown_is_not_negative check (cooldown_s >= 0)
);
comment on table public.reply_rules is 'When to answer by itself, and with what. account_id null: for every account.';
comment on column public.reply_rules.cooldown_s is 'For so long the rule does not answer the same person again. Null: the setting REPLY_COOLDOWN_S. 0: no cooldown.';
comment on column public.reply_rules.quick_replies is '[{"title": "Yes", "payload": "YES"}, ...] under the text; a tap comes back as a message with the payload.';
comment on column public.reply_rules.attachment is 'In the place of a text: {"type": "image", "url": "https://..."} (image, video, audio, file), or {"type": "MEDIA_SHARE", "id": "..."}.';

-- Counts the changes of reply_rules, so that a worker with the rules in memory learns of a change in the same
-- round trip in which it records an event, and otherwise asks for nothing.
create table ingestion.rules_version (
    the_only_row boolean primary key default true check (the_only_row),
    version      bigint not null
);
insert into ingestion.rules_version (version) values (0);

create function ingestion.count_rules_change() returns trigger
language plpgsql set search_path = ''
as $$
begin
    update ingestion.rules_version r set version = r.version + 1;
    return null;
end;
$$;
create trigger reply_rules_changed after insert or update or delete or truncate on public.reply_rules
    for each statement execute function ingestion.count_rules_change();

-- Planned effects. planned -> claimed -> (sending ->) sent | failed | unknown | skipped.
-- `sending` is written before a direct message leaves, so that a crash can never be mistaken for "not sent".
create table public.outbox (
    effect_id   text primary key,
    event_id    text not null,
    account_id  text not null,
    kind        ingestion.effect_kind not null,
    contact_id  text,
    rule_id     bigint,
    payload     jsonb not null,
    template    jsonb,
    left_as     jsonb not null default '[]',
    state       ingestion.effect_state not null default 'planned',
    attempts    integer not null default 0,
    lease_token uuid,
    lease_until timestamptz,
    not_before  timestamptz,
    slot_at     timestamptz,
    waits_for   text check (waits_for in ('account', 'thread', 'private_reply')),
    sending_at  timestamptz,
    left_at     timestamptz,
    finished_at timestamptz,
    mid         text,
    mid_guessed boolean not null default false,
    error_code  text,
    look_after  timestamptz,
    planned_at  timestamptz not null default now(),
    foreign key (event_id, account_id) references public.events (event_id, account_id)
        on update cascade on delete cascade
);
comment on column public.outbox.effect_id is 'What triggers what: a reply by account, message or comment, and rule, so that a message told in two ways is answered once.';
comment on column public.outbox.payload is 'The message as the Send API takes it, from begin_send on with its placeholders filled in; or what the next phase gets.';
comment on column public.outbox.template is 'The message before its placeholders were filled in. Each attempt is rendered with what is known by then.';
comment on column public.outbox.left_as is 'As what earlier attempts may have left, where that was not payload: an echo may be of any of them.';
comment on column public.outbox.slot_at is 'When this send left, or, where a limit makes it wait, may leave: the limits count these.';
comment on column public.outbox.waits_for is 'The limit whose slot it waits for (ingestion.send_delay); null once it has left.';
comment on column public.outbox.sending_at is 'When the last attempt began to leave. Null: nothing ever left.';
comment on column public.outbox.left_at is 'When the first attempt began that Meta answered with an error, or not at all: the message may be there all the same.';
comment on column public.outbox.mid is 'The sent message''s id (its echo carries the same), or the QStash message id of a next phase.';
comment on column public.outbox.mid_guessed is 'The echo was matched by contact, content and time, as no answer named the mid. A guess of an attachment stays unknown.';
comment on column public.outbox.look_after is 'An unknown send was looked for in its conversation, and is not again before then. Null: not yet.';
create index outbox_by_event on public.outbox (event_id, account_id);
create index outbox_unmatched on public.outbox (account_id, contact_id, sending_at)
    where mid is null and sending_at is not null;
create index outbox_cooldown on public.outbox (account_id, contact_id, rule_id, planned_at desc);
create index outbox_owed on public.outbox (planned_at) where state in ('planned', 'claimed', 'sending');
create index outbox_sending on public.outbox (lease_until) where state = 'sending';
create index outbox_slots on public.outbox (account_id, slot_at desc)
    where slot_at is not null and coalesce(waits_for, 'account') = 'account';
create index outbox_slots_of_thread on public.outbox (account_id, contact_id, slot_at desc)
    where slot_at is not null and coalesce(waits_for, 'thread') = 'thread';
create index outbox_slots_of_private_replies on public.outbox (account_id, slot_at desc)
    where kind = 'private_reply' and slot_at is not null and coalesce(waits_for, 'private_reply') = 'private_reply';
create index outbox_unknown on public.outbox (finished_at) where state = 'unknown';
create index outbox_by_mid on public.outbox (account_id, mid) where kind <> 'next_phase' and mid is not null;

-- What QStash gave up on, for people and for replay.
create table public.dead_letters (
    source_message_id text primary key,
    dlq_id            text,
    event_id          text,
    kind              text,
    account_id        text,
    url               text,
    status            integer,
    error_code        text,
    retried           integer,
    max_retries       integer,
    event             jsonb,
    body              text,
    state             ingestion.letter_state not null default 'open',
    first_tried_at    timestamptz,
    failed_at         timestamptz not null default now(),
    retried_at        timestamptz,
    closed_at         timestamptz
);
comment on column public.dead_letters.account_id is 'The professional account id, as in events; null for a message that is no event of ours.';
comment on column public.dead_letters.retried_at is 'A retry is on its way. The letter closes when its event is processed.';
comment on column public.dead_letters.event is 'The event that failed, ready to be published again. Null in a superseded letter: the newer one has it.';
comment on column public.dead_letters.body is 'The message body where it is no event of ours.';
create index dead_letters_open on public.dead_letters (failed_at desc) where state = 'open';
create index dead_letters_by_event on public.dead_letters (event_id, account_id);
create index dead_letters_by_mid on public.dead_letters (account_id, (event ->> 'mid')) where event is not null;
create index dead_letters_by_time on public.dead_letters (failed_at, source_message_id);
create unique index dead_letters_one_open_an_event on public.dead_letters (event_id, account_id) where state = 'open';

-- When the sweep ran, and when the next one was asked for at QStash (…_recovery.sql).
create table ingestion.sweep_state (
    the_only_row boolean primary key default true check (the_only_row),
    swept_at     timestamptz not null default now(),
    next_at      timestamptz
);
comment on column ingestion.sweep_state.next_at is 'For then a sweep was asked for at QStash. In the past: it came, or was lost.';
insert into ingestion.sweep_state default values;
alter table ingestion.sweep_state enable row level security;

-- Requests to erase a person's data, or an account's.
create table public.erasures (
    code         text primary key,
    scope        text not null check (scope in ('contact', 'account')),
    contact_id   text,
    account_ids  text[],
    names        text[],
    digests      bytea[],
    until        timestamptz,
    via          text not null check (via in ('callback', 'command')),
    state        ingestion.erasure_state not null default 'pending',
    rows_erased  bigint not null default 0,
    requested_at timestamptz not null default now(),
    finished_at  timestamptz,
    check (state <> 'done' or (contact_id is null and account_ids is null and names is null and digests is null))
);
comment on column public.erasures.code is 'The confirmation code. Its holder may see the state, and nothing else.';
comment on column public.erasures.contact_id is 'Whose data (IGSID); null for an account. Forgotten when done, like the next three columns.';
comment on column public.erasures.account_ids is 'The account, or the accounts that know the person: both ids of each.';
comment on column public.erasures.names is 'What an item may call the person: the IGSID and the usernames.';
comment on column public.erasures.digests is 'What ingestion.erased_people remembers of the request.';
comment on column public.erasures.until is 'When Meta''s request was made. What happened later is new, and stays. Null: a command erases what is there until it is done.';
create index erasures_pending on public.erasures (requested_at) where state <> 'done';

-- The signed requests of Meta that were taken, by their digest: each counts once, and at one door. `code` is the
-- confirmation code that was given for it.
create table ingestion.taken_proofs (
    proof    text primary key,
    door     text not null check (door in ('data_deletion', 'deauthorize')),
    code     text,
    taken_at timestamptz not null default now()
);
alter table ingestion.taken_proofs enable row level security;

-- Who was erased, so that a late or repeated delivery does not bring them back. Only digests are kept: a digest can
-- be compared with an id that is known already, and cannot be read as one. Each has the time up to which things are
-- erased; what happens later is new.
create table ingestion.erased_people (
    digest     bytea primary key,
    erased_at  timestamptz not null,
    sent_until timestamptz,
    forget_at  timestamptz
);
comment on column ingestion.erased_people.sent_until is 'What we sent up to then is erased too: it was on its way while the request was carried out.';
comment on column ingestion.erased_people.forget_at is 'Nothing can arrive any more that only this digest would recognise. Null: never forgotten.';
create index erased_people_to_forget on ingestion.erased_people (forget_at) where forget_at is not null;
alter table ingestion.erased_people enable row level security;
