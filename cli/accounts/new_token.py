"""Stores a new token: Meta says whose it is, and, as far as a refresh can tell, how long it lives.

Meta has no call that says when a token of Instagram Login ends. Only the answer of a refresh names a life. Meta
refreshes a token that is at least a day old (Meta, "Refresh a long-lived token"). So it refreshes neither a token that
was made today nor one that lives for an hour. The lives of both stay unknown, and a person is told what is assumed.
"""

from dataclasses import dataclass

import click

from cli.accounts.check import CALL_TIMEOUT_S
from cli.retries import or_exit
from lib.accounts.access import Account, account_of, credentials
from lib.accounts.tokens import StoredToken, seal
from lib.container import Container
from lib.core.settings import LoginFlavour
from lib.errors.classify import classify
from lib.errors.exceptions import BadConfiguration
from lib.graph.transport import Credentials

INSTAGRAM_LIFE_DAYS = 60
"""The life of a long-lived token of Instagram Login (Meta, "Long-lived access tokens")."""

_DAY_S = 86_400
_HOUR_S = 3600
_LATER = "If `python -m cli accounts check` fails two hours from now, the token lived for an hour: add one that lasts."


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to store and its life. `known_s` is the life in seconds if Meta named it.

    `days` is the life in days otherwise, None for a token that does not end by time. `about_life` tells a person where
    the life is from.
    """

    token: str
    about_life: str
    days: int | None = None
    known_s: int | None = None


async def add_account(
    services: Container, token: str, flavour: LoginFlavour | None, life_days: int | None
) -> tuple[Account, str]:
    """Adds the account of `token`, or gives it this token. Returns the account, and a sentence about the token's life.

    `life_days` is the token's life if a person knows it. Ends the command with a sentence if the token is no good.
    """
    settings = services.settings
    flavour = flavour or settings.instagram_login_flavour
    anonymous = credentials("", token, flavour, settings)  # whose token it is, the answer says
    me = await or_exit(lambda: services.graph.me(anonymous, CALL_TIMEOUT_S), "Meta did not say whose token it is")
    account = account_of(me, flavour)
    if account is None:
        raise click.ClickException("The token is for no professional Instagram account, or for a Page without one.")
    # Before the refresh: without a key there is no place for a refreshed token.
    _sealed(services, account, token)
    new = await _new_token(services, credentials(account.account_id, token, flavour, settings), life_days)
    await _store(services, account, new)
    return account, new.about_life


async def _new_token(services: Container, creds: Credentials, life_days: int | None) -> NewToken:
    """Returns the token to store: the given one, or a refreshed one if Meta refreshes it."""
    if life_days is not None:
        return NewToken(creds.token, f"The token's life is {life_days} days, as given: Meta was not asked.", life_days)
    if creds.flavour != "instagram":
        # Nothing refreshes a Page token.
        return NewToken(
            creds.token,
            "It is assumed that the token does not expire. That is so for a Page token that was made with a long-lived "
            f"user token; any other lives for an hour. {_LATER}",
        )
    try:
        # Once: a refresh without an answer may have been made.
        token, life_s = await services.graph.refresh_token(creds, CALL_TIMEOUT_S)
    except Exception as error:
        code = classify(error).code
        return NewToken(
            creds.token,
            f"It is assumed that the token lives for {INSTAGRAM_LIFE_DAYS} days. Meta names the life only with a "
            f"refresh, and did not refresh the token ({code}). It refreshes no token that is younger than a day, and "
            f"none that lives for an hour. {_LATER}",
            INSTAGRAM_LIFE_DAYS,
        )
    about_life = f"Meta refreshed the token, and it lives for {_span(life_s)}."
    if life_s < _DAY_S:
        about_life += " That is short: add one that lasts."
    return NewToken(token, about_life, known_s=life_s)


async def _store(services: Container, account: Account, new: NewToken) -> None:
    ciphertext = _sealed(services, account, new.token)
    days = new.days if new.known_s is None else max(1, new.known_s // _DAY_S)
    await or_exit(
        lambda: services.accounts.save(account, ciphertext=ciphertext, life_days=days), "The token was not stored"
    )
    if new.known_s is not None:
        # An account is saved with whole days. A life that Meta named is known to the second.
        stored = StoredToken(ciphertext=ciphertext, flavour=account.login_flavour)
        await or_exit(
            lambda: services.accounts.replace_token(
                account.account_id, replaced=stored, ciphertext=ciphertext, life_s=new.known_s
            ),
            "The token was stored, but not the end of its life",
        )


def _sealed(services: Container, account: Account, token: str) -> str:
    """Returns the encrypted token. Ends the command with a sentence without a key."""
    try:
        return seal(token, account_id=account.account_id, keys=services.settings.token_encryption_keys)
    except BadConfiguration as error:
        raise click.ClickException(str(error)) from None


def _span(seconds: int) -> str:
    """Returns a time in words, rounded to the unit that fits. Meta names a few minutes less than 60 days."""
    for unit_s, name in ((_DAY_S, "day"), (_HOUR_S, "hour"), (60, "minute")):
        if (count := round(seconds / unit_s)) >= 1:
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "less than a minute"
