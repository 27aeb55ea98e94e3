-- The access tokens of our accounts. They come here encrypted (lib/tokens.py) and leave encrypted: no key is here.
--
-- A table of its own, so that whoever looks at `accounts` sees no token, not even an encrypted one.
create table public.account_tokens (
    account_id text primary key references public.accounts (account_id) on delete cascade,
    ciphertext text not null check (ciphertext ~ '^gAAAA[A-Za-z0-9_-]+=*$'),
    issued_at  timestamptz not null default now(),
    expires_at timestamptz
);
comment on table public.account_tokens is 'Written by `python -m dev accounts add` and the refresh job; no plain token fits in.';
comment on column public.account_tokens.ciphertext is 'Fernet: the token and the account it is for. It also tells two tokens apart: who replaces one names the one that was.';
comment on column public.account_tokens.issued_at is 'When this token was given out: added, or refreshed.';
comment on column public.account_tokens.expires_at is 'Null: not by time (a Page token).';
create index account_tokens_by_expiry on public.account_tokens (expires_at);

comment on column public.accounts.app_scoped_id is 'The other id of the account, which some payloads carry: with Instagram Login the app-scoped one, with Facebook Login the Page''s.';

-- What whoever acts for an account needs: {ciphertext, flavour}; null without a token.
create function ingestion.stored_token(p_account text) returns jsonb
language sql stable set search_path = ''
return (
    select jsonb_build_object('ciphertext', t.ciphertext, 'flavour', a.login_flavour)
    from public.account_tokens t join public.accounts a on a.account_id = t.account_id
    where t.account_id = p_account
);

-- From here on a token is near its end: people are warned, and the refresh job is not choosy about its age.
create function ingestion.near_expiry() returns timestamptz
language sql stable set search_path = ''
return now() + interval '10 days';

create function ingestion.days_left(p_expires_at timestamptz) returns integer
language sql stable set search_path = ''
return floor(extract(epoch from p_expires_at - now()) / 86400)::integer;

-- Tokens near their end, the next to expire first: [{account_id, days_left}]; days_left is below 0 once it is over.
-- Those known to be dead are not among them: their account says so.
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
