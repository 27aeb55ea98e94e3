"""Which credentials speak for which of our accounts.

Pure: settings in, credentials out. Must not know what they are used for.
"""

from lib.graph import Credentials
from lib.settings import Settings


def credentials_for(account_id: str, settings: Settings) -> Credentials | None:
    """The single account's token (`INSTAGRAM_ACCESS_TOKEN`), if it is for `account_id`; None without one.

    With `INSTAGRAM_ACCOUNT_ID` set the token speaks for that account alone: a published app receives
    webhooks of every account that authorised it, and another account's id must not be paired with it.
    """
    if not settings.instagram_access_token:
        return None
    if settings.instagram_account_id not in ("", account_id):
        return None
    return Credentials(
        account_id=account_id,
        token=settings.instagram_access_token,
        flavour=settings.instagram_login_flavour,
        app_secret=settings.instagram_app_secrets[0],
    )
