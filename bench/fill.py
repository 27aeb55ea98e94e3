"""Fills a local database with a year of a busy inbox: set-based SQL, a million messages in half a minute.

Rows and indexes have the size and the order that the pipeline gives them. The ledger gets a tenth of its rows, because
they are wide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

BATCH = 50_000
"""The messages of one insert: few enough for a progress bar to move."""

LARGE_TABLES = ("messages", "profiles", "events", "reactions", "comments", "mentions", "outbox", "conversation_order")
HELPER_TABLES = frozenset({"conversation_order"})
"""These are in the schema `ingestion`, the others in `public`."""

ACCOUNTS = 4
"""The first account has half of the conversations."""


@dataclass(frozen=True)
class Size:
    """How much to write. The largest conversation has about `conversations ** (-1/3)` of the messages."""

    messages: int
    conversations: int

    def part(self, divisor: int) -> "Size":
        """Returns the size of the same inbox, `divisor` times smaller."""
        return Size(max(1, self.messages // divisor), max(1, self.conversations // divisor))


# Person, account, mid and time of the i-th message: computed from its number, the same in every run.
HELPERS: LiteralString = """
    create or replace function pg_temp.share(i bigint, salt bigint) returns double precision
    language sql immutable return (hashint8extended(i, salt) & 1073741823) / 1073741824.0::double precision;

    create or replace function pg_temp.conversation(i bigint, conversations integer) returns integer
    language sql immutable return floor(conversations * power(pg_temp.share(i, 1), 3))::integer;

    create or replace function pg_temp.account(n integer) returns text
    language sql immutable
    return '1784140000000000' || case when n % 2 = 0 then 0 else 1 + n / 2 % 3 end;

    create or replace function pg_temp.contact(n integer) returns text
    language sql immutable return (6000000000000000 + n)::text;

    create or replace function pg_temp.mid(i bigint, n integer) returns text
    language sql immutable
    return 'aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlEOjE3ODQx' || md5(n::text) || md5(i::text);

    create or replace function pg_temp.moment(i bigint, total bigint) returns timestamptz
    language sql stable
    return date_trunc('hour', now()) - interval '365 days' * (1 - i::double precision / total);
"""

MESSAGES: LiteralString = """
    insert into public.messages (
        account_id, mid, contact_id, direction, kind, text, attachments, referral, sent_at,
        num_edit, edited_at, unsent_at, event_id
    )
    select
        pg_temp.account(n), mid, pg_temp.contact(n),
        case when outbound then 'outbound' else 'inbound' end,
        case when outbound then 'echo' when i %% 50 = 0 then 'postback' else 'message' end,
        case when i %% 97 > 0 then repeat('some words ', 1 + (i %% 12)::integer) end,
        case when i %% 10 = 0
            then jsonb_build_array(jsonb_build_object('type', 'image', 'payload', jsonb_build_object('url', mid)))
            else '[]' end,
        case when i %% 500 = 0 then jsonb_build_object('ad_id', (i %% 7)::text, 'source', 'ADS') end,
        at,
        case when i %% 89 = 0 then 1 end,
        case when i %% 89 = 0 then at end,
        case when i %% 97 = 0 then at end,
        'ig_msg_' || mid
    from (
        select
            i, n, pg_temp.mid(i, n) as mid, pg_temp.moment(i, %(messages)s) as at,
            pg_temp.share(i, 2) < 0.4 as outbound
        from (
            select i, pg_temp.conversation(i, %(conversations)s) as n
            from generate_series(%(first)s::bigint, %(last)s::bigint) i
        ) numbered
    ) described
"""

# One conversation in fifty is unread.
PROFILES: LiteralString = """
    insert into public.profiles (
        account_id, igsid, username, name, profile_pic, state, fetched_at, first_seen_at, last_seen_at,
        last_inbound_at, last_outbound_at, last_message_at, seen_at, read_watermark_at
    )
    select
        m.account_id, m.contact_id, 'person_' || m.contact_id, 'Person ' || m.contact_id,
        'https://cdn.example/' || md5(m.contact_id), 'complete', max(m.sent_at), min(m.sent_at), max(m.sent_at),
        max(m.sent_at) filter (where m.direction = 'inbound'),
        max(m.sent_at) filter (where m.direction = 'outbound'),
        max(m.sent_at),
        case when m.contact_id::bigint %% 50 > 0 then max(m.sent_at) end,
        max(m.sent_at) filter (where m.direction = 'outbound')
    from public.messages m
    group by m.account_id, m.contact_id
"""

REACTIONS: LiteralString = """
    insert into public.reactions (account_id, mid, actor_id, contact_id, action, reaction, emoji, acted_at, event_id)
    select
        pg_temp.account(n), pg_temp.mid(i, n), pg_temp.contact(n), pg_temp.contact(n),
        case when i %% 60 = 0 then 'unreact' else 'react' end, 'love', '\u2764', pg_temp.moment(i, %(messages)s),
        'ig_reaction_' || i
    from (
        select i, pg_temp.conversation(i, %(conversations)s) as n
        from generate_series(20, %(messages)s::bigint, 20) i
    ) numbered
"""

COMMENTS: LiteralString = """
    insert into public.comments (
        account_id, comment_id, contact_id, username, text, parent_id, media_id, media_product_type, is_self,
        commented_at, event_id
    )
    select
        pg_temp.account(n), 'c' || i, pg_temp.contact(n), 'person_' || n, repeat('nice ', 1 + (i %% 9)::integer),
        case when i %% 50 = 0 then 'c' || (i - 10) end,
        'media_' || floor(sqrt(%(messages)s) * power(pg_temp.share(i, 3), 4)), 'FEED', i %% 50 = 0,
        pg_temp.moment(i, %(messages)s), 'ig_comment_c' || i
    from (
        select i, pg_temp.conversation(i, %(conversations)s) as n
        from generate_series(10, %(messages)s::bigint, 10) i
    ) numbered
"""

MENTIONS: LiteralString = """
    insert into public.mentions (event_id, account_id, media_id, comment_id, mentioned_at)
    select 'ig_mention_' || i, pg_temp.account((i / 100)::integer), 'media_' || i, 'c' || i,
        pg_temp.moment(i, %(messages)s)
    from generate_series(100, %(messages)s::bigint, 100) i
"""

# A tenth of the rows that the messages would have in the ledger; one event in ten of them is of an unknown kind.
EVENTS: LiteralString = """
    insert into public.events (
        event_id, kind, account_id, contact_id, mid, direction, via, topic, occurred_at, received_at, recorded_at,
        processed_at, raw_id
    )
    select
        case when unknown then 'ig_unknown_' || i else 'ig_msg_' || mid end,
        case when unknown then 'unknown' else 'message' end,
        account_id, contact_id, case when unknown then null else mid end, 'inbound', 'queue',
        case when unknown then (array[
            'delivery', 'policy_enforcement', 'response_feedback', 'story_insights', 'brand_new_thing'
        ])[1 + i / 100 %% 5] end,
        at, at, at, case when i > %(messages)s - 30 then null else at end, i
    from (
        select
            i, i %% 100 = 0 as unknown, pg_temp.account(n) as account_id, pg_temp.contact(n) as contact_id,
            pg_temp.mid(i, n) as mid, pg_temp.moment(i, %(messages)s) as at
        from (
            select i, pg_temp.conversation(i, %(conversations)s) as n
            from generate_series(10, %(messages)s::bigint, 10) i
        ) numbered
    ) described
"""

RAW_ITEMS: LiteralString = """
    insert into ingestion.raw_items (raw_id, names_nobody, item)
    select
        e.raw_id, e.contact_id is null,
        jsonb_build_object(
            'sender', jsonb_build_object('id', e.contact_id), 'recipient', jsonb_build_object('id', e.account_id),
            'timestamp', extract(epoch from e.occurred_at) * 1000,
            'message', jsonb_build_object('mid', e.mid, 'text', repeat('some words ', 1 + (e.raw_id %% 12)::integer))
        )
    from public.events e
"""

# A next phase for each event; one in a thousand is a send without an answer instead.
OUTBOX: LiteralString = """
    insert into public.outbox (effect_id, event_id, kind, account_id, contact_id, payload, state, finished_at, mid)
    select
        e.event_id || '/1', e.event_id, case when unknown then 'dm' else 'next_phase' end, e.account_id, e.contact_id,
        jsonb_build_object('event_id', e.event_id), case when unknown then 'unknown' else 'sent' end, e.recorded_at,
        case when unknown then null else 'msg_' || e.event_id end
    from (select v.*, hashtext(v.event_id) %% 1000 = 0 as unknown from public.events v) e
"""

REST: tuple[tuple[str, LiteralString], ...] = (
    ("profiles", PROFILES),
    ("reactions", REACTIONS),
    ("comments", COMMENTS),
    ("mentions", MENTIONS),
    ("events", EVENTS),
    ("raw items", RAW_ITEMS),
    ("outbox", OUTBOX),
)


def fill(
    db: psycopg.Connection[Any], size: Size, tell: Callable[[str, int], None] = lambda _table, _rows: None
) -> None:
    """Empties the tables, writes `size`, and leaves them vacuumed and analysed. `db` commits by itself.

    Calls `tell(table, rows)` after each insert.
    """
    # Else the vacuum below may come before the rows are flushed, and marks no page as visible to all.
    db.execute("set synchronous_commit = on")
    db.execute("truncate public.messages, public.reactions, public.comments, public.mentions, ingestion.raw_items")
    db.execute("truncate public.profiles, public.events cascade")
    db.execute(HELPERS)
    wanted = {"messages": size.messages, "conversations": size.conversations}
    for first in range(1, size.messages + 1, BATCH):
        last = min(first + BATCH - 1, size.messages)
        tell("messages", db.execute(MESSAGES, wanted | {"first": first, "last": last}).rowcount)
    for table, statement in REST:
        tell(table, db.execute(statement, wanted).rowcount)
    # The next event gets an id that none of these has.
    db.execute("select setval('ingestion.raw_ids', greatest(%(messages)s + 1, nextval('ingestion.raw_ids')))", wanted)
    for table in LARGE_TABLES:
        schema = "ingestion" if table in HELPER_TABLES else "public"
        db.execute(psycopg.sql.SQL("vacuum (analyze) {}").format(psycopg.sql.Identifier(schema, table)))
    db.execute("reset synchronous_commit")
