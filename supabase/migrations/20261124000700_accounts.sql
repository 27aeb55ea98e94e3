-- Our accounts and their tokens: added, listed, refreshed, replaced, stopped and forgotten.
--
-- The state machine of an account (accounts.state):
--
--   active ──the token is dead──▶ needs_reauth ──save_account, or a check that it works again──▶ active
--      └──Meta, or the owner, stops it──▶ stopped ──save_account, or a person says so──▶ active
--
-- A failure stops an account only if the token that failed is still the account's: a late worker must not undo what a
-- person, or the refresh job, has just mended.

-- Returns the stored token of an account, {ciphertext, flavour}, or null.
create function ingestion.stored_token(p_account text) returns jsonb
language sql stable set search_path = ''
return (
    select jsonb_build_object('ciphertext', t.ciphertext, 'flavour', a.login_flavour)
    from public.account_tokens t join public.accounts a on a.account_id = t.account_id
    where t.account_id = p_account
);

-- A token that ends before this time is near its end: people are warned, and it is refreshed whatever its age.
create function ingestion.near_expiry() returns timestamptz
language sql stable set search_path = ''
return now() + interval '10 days';

create function ingestion.days_left(p_expires_at timestamptz) returns integer
language sql stable set search_path = ''
return floor(extract(epoch from p_expires_at - now()) / 86400)::integer;

-- Adds an account, or gives it a new token; the account is then active. p_account is {account_id, app_scoped_id,
-- username, login_flavour}. p_life_days is the token's life from now, null if it does not end by time.
create function public.save_account(p_account jsonb, p_ciphertext text, p_life_days integer default null) returns void
language sql set search_path = ''
as $$
    -- The account may have a row under its other id, from before the two ids were known to be one account.
    delete from public.accounts a
    where a.account_id = p_account ->> 'app_scoped_id' and a.account_id <> p_account ->> 'account_id';

    insert into public.accounts as a (account_id, app_scoped_id, username, login_flavour, state_changed_at)
    values (
        p_account ->> 'account_id', p_account ->> 'app_scoped_id', p_account ->> 'username',
        p_account ->> 'login_flavour', now()
    )
    on conflict (account_id) do update set
        app_scoped_id = excluded.app_scoped_id,
        username = excluded.username,
        login_flavour = excluded.login_flavour,
        state = 'active',
        state_code = null,
        state_changed_at = excluded.state_changed_at;

    insert into public.account_tokens as t (account_id, ciphertext, expires_at)
    values (p_account ->> 'account_id', p_ciphertext, now() + p_life_days * interval '1 day')
    on conflict (account_id) do update set
        ciphertext = excluded.ciphertext, issued_at = excluded.issued_at, expires_at = excluded.expires_at;
$$;
comment on function public.save_account is 'Adds an account or gives it a new token, and makes it active.';

-- Notes both ids of an account, as its own token told them: INSTAGRAM_ACCESS_TOKEN alone leaves no row, and Meta's privacy
-- callbacks name the account by its second id. The state of the account stays as it is.
create function public.learn_account(p_account jsonb) returns void
language sql set search_path = ''
as $$
    delete from public.accounts a
    where a.account_id = p_account ->> 'app_scoped_id' and a.account_id <> p_account ->> 'account_id';

    insert into public.accounts as a (account_id, app_scoped_id, username, login_flavour)
    values (
        p_account ->> 'account_id', p_account ->> 'app_scoped_id', p_account ->> 'username',
        p_account ->> 'login_flavour'
    )
    on conflict (account_id) do update set
        app_scoped_id = excluded.app_scoped_id,
        username = excluded.username,
        login_flavour = excluded.login_flavour;
$$;
comment on function public.learn_account is 'Notes both ids of an account; its state and token stay.';

-- Returns every account, without its token: [{account_id, app_scoped_id, username, login_flavour, state, state_code,
-- has_token, token_age_days, days_left}].
create function public.list_accounts() returns jsonb
language sql stable set search_path = ''
return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'account_id', a.account_id,
        'app_scoped_id', a.app_scoped_id,
        'username', a.username,
        'login_flavour', a.login_flavour,
        'state', a.state,
        'state_code', a.state_code,
        'has_token', t.account_id is not null,
        'token_age_days', floor(extract(epoch from now() - t.issued_at) / 86400)::integer,
        'days_left', ingestion.days_left(t.expires_at)
    ) order by a.account_id), '[]')
    from public.accounts a left join public.account_tokens t on t.account_id = a.account_id
);
comment on function public.list_accounts is 'All accounts and how old their tokens are; never a token.';

-- Returns the encrypted tokens, to check whether they can be read and still work: [{account_id, state, token}].
create function public.stored_tokens(p_limit integer default 1000) returns jsonb
language sql stable set search_path = ''
return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'account_id', s.account_id, 'state', s.state, 'token', ingestion.stored_token(s.account_id)
    ) order by s.account_id), '[]')
    from (
        select a.account_id, a.state
        from public.account_tokens t join public.accounts a on a.account_id = t.account_id
        order by a.account_id
        limit p_limit
    ) s
);

-- Returns the tokens that are due for a refresh, the next to expire first, like stored_tokens. Meta refreshes a token
-- that is a day old and not yet expired (Meta, "Refresh a long-lived token"), of Instagram Login only.
create function public.tokens_due_for_refresh(p_older_than_days integer, p_limit integer default 500) returns jsonb
language sql stable set search_path = ''
return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'account_id', s.account_id, 'state', s.state, 'token', ingestion.stored_token(s.account_id)
    ) order by s.expires_at nulls last, s.account_id), '[]')
    from (
        select a.account_id, a.state, t.expires_at
        from public.account_tokens t join public.accounts a on a.account_id = t.account_id
        where a.login_flavour = 'instagram' and a.state <> 'needs_reauth'
            and t.issued_at < now() - interval '24 hours'
            and coalesce(t.expires_at, 'infinity') > now()
            and (t.issued_at < now() - p_older_than_days * interval '1 day' or t.expires_at < ingestion.near_expiry())
        order by t.expires_at nulls last, a.account_id
        limit p_limit
    ) s
);

-- Returns the tokens near their end, the next to expire first: [{account_id, days_left}]. days_left is below 0 once
-- the token has ended. Tokens known to be dead are left out: the state of their account tells.
create function public.expiring_tokens() returns jsonb
language sql stable set search_path = ''
return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'account_id', t.account_id, 'days_left', ingestion.days_left(t.expires_at)
    ) order by t.expires_at, t.account_id), '[]')
    from public.account_tokens t join public.accounts a on a.account_id = t.account_id
    where t.expires_at < ingestion.near_expiry() and a.state <> 'needs_reauth'
);
comment on function public.expiring_tokens is 'Whose token ends within ten days, or has ended.';

-- Replaces one token by another, only if that one is still there: of two runs at once the second changes nothing.
-- With p_life_s it is a new token, from now; without, the same token under another key. Returns whether it was
-- replaced.
create function public.replace_token(
    p_account_id text, p_replaced text, p_ciphertext text, p_life_s integer default null
) returns boolean
language plpgsql set search_path = ''
as $$
begin
    update public.account_tokens t set
        ciphertext = p_ciphertext,
        issued_at = case when p_life_s is null then t.issued_at else now() end,
        expires_at = case when p_life_s is null then t.expires_at else now() + p_life_s * interval '1 second' end
    where t.account_id = p_account_id and t.ciphertext = p_replaced;
    return found;
end;
$$;
comment on function public.replace_token is 'Compare and set: the refreshed token, or the same one under a newer key.';

-- Returns the state of an account for a caller whose own token has the digest p_env_token. An account that only a dead
-- token of the environment has stopped is active for a caller with another one, and one with a dead token waits, whatever
-- others can do. Nothing is written here: what counts is a send that Meta takes (finish_effect).
create function ingestion.state_for(p_account public.accounts, p_env_token text) returns text
language plpgsql stable set search_path = ''
as $$
begin
    if p_account.dead_env_tokens = '{}' or p_account.account_id is null then
        return coalesce(p_account.state, 'active');
    end if;
    if exists (select from public.account_tokens t where t.account_id = p_account.account_id) then
        return p_account.state;
    end if;
    if p_env_token = any (p_account.dead_env_tokens) then
        return case p_account.state when 'active' then 'needs_reauth' else p_account.state end;
    end if;
    if p_account.state = 'needs_reauth' and p_env_token is not null
        and p_account.state_code is distinct from 'deauthorized' then
        return 'active';
    end if;
    return p_account.state;
end;
$$;

-- Returns account_needs_reauth or account_stopped if the caller may not send for the account, or null.
create function ingestion.account_obstacle(p_account text, p_env_token text) returns text
language sql stable set search_path = ''
return (
    select 'account_' || ingestion.state_for(a, p_env_token)
    from public.accounts a
    where a.account_id = p_account and ingestion.state_for(a, p_env_token) <> 'active'
);

-- Meta took a send of the account: the token that was thought dead, or a newer one, works.
create function ingestion.revive_account(p_account text) returns void
language sql set search_path = ''
as $$
    update public.accounts a set state = 'active', state_code = null, state_changed_at = now()
    where a.account_id = p_account and a.state = 'needs_reauth' and a.state_code is distinct from 'deauthorized';
$$;

-- Sets the state of an account. A person who starts an account says that its token works, whatever Meta said before.
create function public.mark_account(p_account_id text, p_state text, p_code text default null) returns void
language sql set search_path = ''
as $$
    insert into public.accounts as a (account_id, state, state_code, state_changed_at)
    values (ingestion.resolve_account(p_account_id), p_state, p_code, now())
    on conflict (account_id) do update set
        state = excluded.state, state_code = excluded.state_code, state_changed_at = excluded.state_changed_at,
        dead_env_tokens = case when excluded.state = 'active' then '{}' else a.dead_env_tokens end
    where a.state <> excluded.state or a.state_code is distinct from excluded.state_code
        or (excluded.state = 'active' and a.dead_env_tokens <> '{}');
$$;
comment on function public.mark_account is 'Sets the state of one account; an unknown account gets a row.';

-- Like mark_account, after a call failed with the token p_ciphertext (null: the environment's, of the digest
-- p_env_token). Returns false, and changes nothing, if the account has another token by now. A token of the environment
-- that is known to be dead changes nothing again: an old instance must not stop those that have the new token.
create function public.stop_account(
    p_account_id text, p_state text, p_code text, p_ciphertext text, p_env_token text default null
) returns boolean
language plpgsql set search_path = ''
as $$
declare
    v_account text := ingestion.resolve_account(p_account_id);
    v_is_env_token boolean := p_ciphertext is null and p_env_token is not null and p_state = 'needs_reauth';
    v_stored text;
begin
    select t.ciphertext into v_stored from public.account_tokens t where t.account_id = v_account for share;
    if v_stored is distinct from p_ciphertext or (v_is_env_token and exists (
        select from public.accounts a where a.account_id = v_account and p_env_token = any (a.dead_env_tokens)
    )) then
        return false;
    end if;
    perform public.mark_account(v_account, p_state, p_code);
    update public.accounts a set dead_env_tokens = (array[p_env_token] || a.dead_env_tokens)[:10]
    where a.account_id = v_account and v_is_env_token;
    return true;
end;
$$;
comment on function public.stop_account is 'Stops the sends of an account whose token failed, unless it has a new one.';

-- Deletes a token: its owner withdrew it (Meta, "Deauthorize callback"), or nobody needs it any more.
create function public.forget_token(p_account_id text) returns void
language sql set search_path = ''
as $$
    delete from public.account_tokens t where t.account_id = ingestion.resolve_account(p_account_id);
$$;
comment on function public.forget_token is 'Deletes the stored token of an account; its messages stay.';
