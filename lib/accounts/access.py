"""Our Instagram accounts and the access token to use for each.

The functions take the stored token and the settings, and do no I/O.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from lib.accounts.tokens import StoredToken, unseal
from lib.core.model import Model
from lib.core.settings import LoginFlavour, Settings
from lib.errors.exceptions import TokenUnreadable
from lib.graph.transport import Credentials


class Account(Model):
    """One of our accounts with both of its ids. `account_id` is the id in `entry.id` of a webhook."""

    account_id: str
    app_scoped_id: str | None
    username: str | None
    login_flavour: LoginFlavour


class AccountToken(Model):
    """An account with a stored token."""

    account_id: str
    state: str
    token: StoredToken

    @property
    def is_active(self) -> bool:
        """Returns whether the account may send."""
        return self.state == "active"


@dataclass(frozen=True, slots=True)
class NoAccess:
    """No token can be used for the account. `code` is for programs, `reason` for people."""

    code: Literal["no_access_token", "token_unreadable"]
    reason: str


Access: TypeAlias = Credentials | NoAccess


def access_to(account_id: str, stored: StoredToken | None, settings: Settings) -> Access:
    """Returns the stored token of `account_id`, or else the environment's token if it is for this account."""
    if stored is not None:
        try:
            token = unseal(stored.ciphertext, account_id=account_id, keys=settings.token_encryption_keys)
        except TokenUnreadable as error:
            # No fallback to the environment's token: a wrong TOKEN_ENCRYPTION_KEY has to be noticed.
            return NoAccess("token_unreadable", str(error))
        return credentials(account_id, token, stored.flavour, settings)
    if env_token_for(settings) in ("", account_id):
        return credentials(account_id, settings.instagram_access_token, settings.instagram_login_flavour, settings)
    return NoAccess("no_access_token", "the account has no stored token, and INSTAGRAM_ACCESS_TOKEN is not for it")


def usable_credentials(accounts: Sequence[AccountToken], settings: Settings) -> list[Credentials]:
    """Returns the tokens that calls can be made with: the environment's first, then those of active accounts.

    The environment's token is left out if its account has a stored token.
    """
    accesses = [access_to(account.account_id, account.token, settings) for account in accounts if account.is_active]
    env_account = env_token_for(settings)
    if env_account is not None and env_account not in (account.account_id for account in accounts):
        accesses.insert(0, access_to(env_account, None, settings))
    return [access for access in accesses if not isinstance(access, NoAccess)]


def env_token_for(settings: Settings) -> str | None:
    """Returns the account that `INSTAGRAM_ACCESS_TOKEN` is for: "" for every account, None if it is not set.

    With `INSTAGRAM_ACCOUNT_ID` the token is used for that account only. A published app receives webhooks of every
    account that authorised it, and the token must not be paired with the id of another account.
    """
    return settings.instagram_account_id if settings.instagram_access_token else None


def env_token_digest(settings: Settings) -> str | None:
    """Returns a name for `INSTAGRAM_ACCESS_TOKEN` that does not tell the token, or None if it is not set.

    Instances with an old and a new token may run side by side. The database has to tell the two apart: the old one's
    failure must not stop the new one.
    """
    token = settings.instagram_access_token
    return hashlib.sha256(token.encode()).hexdigest()[:16] if token else None


def credentials(account_id: str, token: str, flavour: LoginFlavour, settings: Settings) -> Credentials:
    """Returns `token` with the secret of the app that issued it, or with "" if that secret is not known.

    One app has one log-in (Meta, "App Review"), and `INSTAGRAM_APP_SECRET` is the secret of the app of
    `INSTAGRAM_LOGIN_FLAVOUR`. A token of the other log-in is of another app, so its calls carry no proof.
    """
    same_app = flavour == settings.instagram_login_flavour
    return Credentials(account_id, token, flavour, settings.instagram_app_secrets[0] if same_app else "")


def account_of(me: Mapping[str, object], flavour: LoginFlavour) -> Account | None:
    """Returns the account in the answer of `Graph.me`, or None if it is no professional Instagram account."""
    page_account = me.get("instagram_business_account")
    profile = me if flavour == "instagram" else page_account if isinstance(page_account, Mapping) else {}
    account_id = _text(profile.get("user_id" if flavour == "instagram" else "id"))
    if account_id is None:
        return None
    return Account(
        account_id=account_id,
        # Instagram Login's app-scoped id, or the id of the Page. Some payloads name the account by this id.
        app_scoped_id=_text(me.get("id")),
        username=_text(profile.get("username")),
        login_flavour=flavour,
    )


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and value else None
