"""Our accounts: who each is, and who can speak for it.

Pure: the stored token and the settings in, credentials out, or why there are none. Must not know what they are
used for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from lib.accounts.tokens import StoredToken, unseal
from lib.core.model import Model
from lib.core.settings import LoginFlavour, Settings
from lib.errors.exceptions import TokenUnreadable
from lib.graph.transport import Credentials


class Account(Model):
    """One of our accounts, under both of its ids: `account_id` is the one of `entry.id`."""

    account_id: str
    app_scoped_id: str | None
    username: str | None
    login_flavour: LoginFlavour


@dataclass(frozen=True, slots=True)
class NoAccess:
    """Nobody can speak for the account: `code` says so to a program, `reason` to a person."""

    code: Literal["no_access_token", "token_unreadable"]
    reason: str


Access: TypeAlias = Credentials | NoAccess


def access_to(account_id: str, stored: StoredToken | None, settings: Settings) -> Access:
    """The stored token of `account_id`, else the environment's, if it is for this account."""
    if stored is not None:
        try:
            token = unseal(stored.ciphertext, account_id=account_id, keys=settings.token_encryption_keys)
        except TokenUnreadable as error:
            return NoAccess("token_unreadable", str(error))
        return credentials(account_id, token, stored.flavour, settings)
    if env_token_for(settings) in ("", account_id):
        return credentials(account_id, settings.instagram_access_token, settings.instagram_login_flavour, settings)
    return NoAccess("no_access_token", "there is no token for it, neither stored nor in INSTAGRAM_ACCESS_TOKEN")


def env_token_for(settings: Settings) -> str | None:
    """The account `INSTAGRAM_ACCESS_TOKEN` is for; "" for every account, None where there is no such token.

    With `INSTAGRAM_ACCOUNT_ID` set the token speaks for that account alone: a published app receives
    webhooks of every account that authorised it, and another account's id must not be paired with it.
    """
    return settings.instagram_account_id if settings.instagram_access_token else None


def credentials(account_id: str, token: str, flavour: LoginFlavour, settings: Settings) -> Credentials:
    """`token`, with the secret of the app that issued it.

    One app has one log-in (Meta, "App Review"), and INSTAGRAM_APP_SECRET is the secret of the app of
    INSTAGRAM_LOGIN_FLAVOUR. A token of the other log-in is of another app, so it goes without proof.
    """
    same_app = flavour == settings.instagram_login_flavour
    return Credentials(account_id, token, flavour, settings.instagram_app_secrets[0] if same_app else "")


def account_of(me: Mapping[str, object], flavour: LoginFlavour) -> Account | None:
    """Whose token it is, by what `Graph.me` answers; None where that is no professional account of Instagram.

    The other id is Instagram Login's app-scoped one, or the Page's: some payloads carry it in the account's place.
    """
    linked = me.get("instagram_business_account")
    own = me if flavour == "instagram" else linked if isinstance(linked, Mapping) else {}
    account_id = _text(own.get("user_id" if flavour == "instagram" else "id"))
    if account_id is None:
        return None
    return Account(
        account_id=account_id,
        app_scoped_id=_text(me.get("id")),
        username=_text(own.get("username")),
        login_flavour=flavour,
    )


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and value else None
