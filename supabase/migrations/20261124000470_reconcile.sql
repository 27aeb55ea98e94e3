-- Sends of which nobody knows whether they left, and whose echo never came: the conversation says it (Meta,
-- "Conversations API"). What is found there was sent; what is not stays unknown, for people. Nothing is sent again.

alter table public.outbox add column look_after timestamptz;
comment on column public.outbox.look_after is 'An unknown send was looked for in its conversation, and will not be again before then. Null: never yet.';

-- Takes up to `p_limit` unknown sends, the oldest first, that left more than `p_older_than_s` seconds ago, and leaves
-- them alone from now on for as long as they are old: 2 minutes, 4, 8, ..., a day; after three days they are left for
-- good, as a conversation tells no more than its latest messages. So two sweepers at once never ask for the same one.
-- Returns their conversations, {account_id, contact_id, token}; `token` is the account's stored one, as it is kept.
create function public.unknown_sends(p_older_than_s integer default 120, p_limit integer default 50) returns jsonb
language sql set search_path = ''
as $$
    with due as (
        select o.effect_id
        from public.outbox o
        where o.state = 'unknown' and o.contact_id is not null
            and o.sending_at between now() - interval '3 days' and now() - p_older_than_s * interval '1 second'
            and coalesce(o.look_after, '-infinity') <= now()
            -- Whose token is dead can not be asked about.
            and not exists (
                select from public.accounts a where a.account_id = o.account_id and a.state <> 'active'
            )
        order by o.sending_at, o.effect_id
        limit p_limit
        for update skip locked
    ),
    taken as (
        update public.outbox o set look_after = now() + least(now() - o.sending_at, interval '1 day')
        from due where o.effect_id = due.effect_id
        returning o.account_id, o.contact_id
    )
    select coalesce(jsonb_agg(jsonb_build_object(
        'account_id', c.account_id, 'contact_id', c.contact_id, 'token', ingestion.stored_token(c.account_id)
    ) order by c.account_id, c.contact_id), '[]')
    from (select distinct t.account_id, t.contact_id from taken t) c;
$$;
comment on function public.unknown_sends is 'Takes unknown sends that are to be looked for in their conversations.';

-- The unknown sends of one conversation, and what we sent in it as the conversation shows it, [{mid, text, at}]: each
-- send gets the message nearest in time that its echo could be of, unless another send has it. Returns how many were
-- found.
create function public.settle_unknown(p_account_id text, p_contact_id text, p_messages jsonb) returns integer
language plpgsql set search_path = ''
as $$
declare
    v_effect public.outbox;
    v_mid text;
    v_settled integer := 0;
begin
    for v_effect in
        select o.* from public.outbox o
        where o.account_id = p_account_id and o.contact_id = p_contact_id and o.state = 'unknown'
        order by o.sending_at, o.effect_id
        for update
    loop
        v_mid := (
            select m.mid
            from jsonb_to_recordset(p_messages) m (mid text, text text, at timestamptz)
            where ingestion.looks_like_echo(v_effect.payload, m.text, '[]')
                and m.at between v_effect.sending_at - interval '1 minute' and v_effect.sending_at + interval '10 minutes'
                and not exists (
                    select from public.outbox o
                    where o.account_id = p_account_id and o.mid = m.mid and o.kind <> 'next_phase'
                )
            order by abs(extract(epoch from m.at - v_effect.sending_at)), m.mid
            limit 1
        );
        continue when v_mid is null;
        perform ingestion.show_sent(v_effect, v_mid);
        update public.outbox o set state = 'sent', mid = v_mid, mid_guessed = true, error_code = null
        where o.effect_id = v_effect.effect_id;
        v_settled := v_settled + 1;
    end loop;
    return v_settled;
end;
$$;
comment on function public.settle_unknown is 'Finds unknown sends among what a conversation shows; counts those it found.';
