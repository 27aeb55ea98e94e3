"""The settings of a function: read from environment variables once, typed, and checked (`setting_checks.py`).

No message contains the value of a setting: some values are secrets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from lib.core import setting_checks as check
from lib.core.env_vars import DEFAULTS, NEEDED, WHERE
from lib.core.paste_slips import trimmed
from lib.errors.exceptions import BadConfiguration

LoginFlavour = Literal["instagram", "facebook"]
RepliesMode = Literal["on", "dry_run", "off"]
ReplyMatch = Literal["first", "all"]

LOCAL_BASE_URL = "http://localhost:3000"
"""The address at which `vercel dev` and `make dev` serve the functions."""

_Check: TypeAlias = Callable[[str], str | None]

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_MAX_WHOLE = 10 * 365 * 86400
"""Ten years, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one function instance. A URL has no slash at the end. An empty string means "not set"."""

    instagram_app_secrets: tuple[str, ...]
    """The first secret is the current one. The others are accepted too, for a rotation."""
    instagram_verify_token: str
    internal_api_secret: str
    qstash_token: str
    qstash_url: str
    qstash_current_signing_key: str
    qstash_next_signing_key: str
    qstash_redact_body: bool
    supabase_url: str
    supabase_service_role_key: str
    instagram_access_token: str
    instagram_account_id: str
    instagram_login_flavour: LoginFlavour
    token_encryption_keys: tuple[str, ...]
    """The first key encrypts, and every key decrypts. Without a key no account can have a stored token."""
    token_refresh_after_days: int
    graph_api_version: str
    graph_instagram_url: str
    graph_facebook_url: str
    next_phase_url: str
    """The address of the downstream receiver (`PHASE3_URL`)."""
    profile_max_age_s: int
    raw_retention_days: int
    cron_secret: str
    meta_app_id: str
    """Our own app in a handover of a thread, or "" if it is not known."""
    replies_mode: RepliesMode
    reply_match: ReplyMatch
    reply_cooldown_s: int
    """How long a rule without a cooldown of its own does not answer the same person again. 0: no cooldown."""
    replies_per_hour: int
    """The most automatic replies to one person in an hour."""
    sends_per_second: int
    """The most direct messages of one account in a second."""
    log_level: str
    vercel_automation_bypass_secret: str
    base_url: str
    """The address of this deployment. QStash delivers to paths below it and signs the address."""

    def __repr__(self) -> str:
        """Returns a text without values: a repr gets into tracebacks, and tracebacks into the logs."""
        return f"Settings for {self.base_url}"

    @property
    def has_legacy_supabase_key(self) -> bool:
        """Returns whether the key is a JWT, not an `sb_secret_…` key (Supabase, "Understanding API keys")."""
        return check.role_in_jwt(self.supabase_service_role_key) is not None

    @property
    def qstash_signing_keys(self) -> tuple[str, ...]:
        """Returns the current key and, if it is set, the next one (Upstash, "Roll Your Signing Keys")."""
        keys = (self.qstash_current_signing_key, self.qstash_next_signing_key)
        return tuple(key for key in keys if key)


def presence(env: Mapping[str, str]) -> dict[str, bool]:
    """Returns which of the needed settings are set: names, never values."""
    return {name: bool(trimmed(env.get(name, ""))) for name in NEEDED}


def load(env: Mapping[str, str]) -> Settings:
    """Returns the settings in `env`.

    Raises `BadConfiguration`, which says of every variable that is missing or wrong what is wrong and where to get it.
    """
    read = _Reader(env)
    settings = Settings(
        instagram_app_secrets=read.listed("INSTAGRAM_APP_SECRET", check.app_secret),
        instagram_verify_token=read.secret("INSTAGRAM_VERIFY_TOKEN", check.secret),
        internal_api_secret=read.secret("INTERNAL_API_SECRET", check.own_secret),
        qstash_token=read.secret("QSTASH_TOKEN", check.qstash_token),
        qstash_url=read.url("QSTASH_URL", check.qstash_url),
        qstash_current_signing_key=read.secret("QSTASH_CURRENT_SIGNING_KEY", check.header_value),
        qstash_next_signing_key=read.secret("QSTASH_NEXT_SIGNING_KEY", check.header_value),
        qstash_redact_body=read.flag("QSTASH_REDACT_BODY"),
        supabase_url=read.url("SUPABASE_URL", check.supabase_url),
        supabase_service_role_key=read.secret("SUPABASE_SERVICE_ROLE_KEY", check.service_role_key),
        instagram_access_token=read.secret("INSTAGRAM_ACCESS_TOKEN", check.header_value),
        instagram_account_id=read.checked("INSTAGRAM_ACCOUNT_ID", check.account_id),
        instagram_login_flavour=cast("LoginFlavour", read.one_of("INSTAGRAM_LOGIN_FLAVOUR", get_args(LoginFlavour))),
        token_encryption_keys=read.keys("TOKEN_ENCRYPTION_KEY"),
        token_refresh_after_days=read.whole("TOKEN_REFRESH_AFTER_DAYS", "days"),
        graph_api_version=read.checked("GRAPH_API_VERSION", check.api_version),
        graph_instagram_url=read.url("GRAPH_INSTAGRAM_URL", check.graph_url),
        graph_facebook_url=read.url("GRAPH_FACEBOOK_URL", check.graph_url),
        next_phase_url=read.checked("PHASE3_URL", check.destination),
        profile_max_age_s=read.whole("PROFILE_MAX_AGE_S", "seconds"),
        raw_retention_days=read.whole("RAW_RETENTION_DAYS", "days"),
        cron_secret=read.secret("CRON_SECRET", check.own_secret),
        replies_mode=cast("RepliesMode", read.one_of("REPLIES_MODE", get_args(RepliesMode))),
        meta_app_id=read.checked("META_APP_ID", check.app_id),
        sends_per_second=read.whole("SENDS_PER_SECOND", "messages"),
        reply_cooldown_s=read.whole("REPLY_COOLDOWN_S", "seconds", least=0),
        replies_per_hour=read.whole("REPLIES_PER_PERSON_PER_HOUR", "replies"),
        reply_match=cast("ReplyMatch", read.one_of("REPLY_MATCH", get_args(ReplyMatch))),
        log_level=read.one_of("LOG_LEVEL", _LEVELS),
        vercel_automation_bypass_secret=read.secret("VERCEL_AUTOMATION_BYPASS_SECRET", check.header_value),
        base_url=_base_url(read),
    )
    if read.problems:
        raise BadConfiguration(read.problems)
    return settings


def _base_url(read: "_Reader") -> str:
    """Returns the address of this deployment. `PUBLIC_URL` comes first.

    Then, in production, `PRODUCTION_DOMAIN` and Vercel's production domain; then the deployment's own URL; then the
    laptop. Vercel's variables have no scheme (Vercel, "System environment variables").
    """
    names = ("PRODUCTION_DOMAIN", "VERCEL_PROJECT_PRODUCTION_URL", "VERCEL_URL")
    # Each is checked, wherever this runs: a preview, or `doctor` on a laptop, then finds a slip of production's.
    domains = [read.checked(name, check.domain) for name in names]
    if public := read.url("PUBLIC_URL", check.public_url):
        return public
    in_production = read.text("VERCEL_ENV") == "production"
    domain = next(filter(None, domains if in_production else domains[2:]), "")
    return f"https://{domain}" if domain else LOCAL_BASE_URL


class _Reader:
    """Reads variables, without the blanks that copying leaves around a value, and collects what is wrong with them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._name_of: dict[str, str] = {}
        """The variable that has a secret."""
        self.problems: dict[str, str] = {}

    def text(self, name: str) -> str:
        value = trimmed(self._env.get(name, ""))
        if not value and name in NEEDED:
            self._complain(name, "is not set")
        return value or DEFAULTS.get(name, "")

    def listed(self, name: str, complaint_about: _Check) -> tuple[str, ...]:
        """Returns the secrets that stand with commas between."""
        parts = tuple(trimmed(part) for part in self.text(name).split(","))
        if len(parts) > 1 and not all(parts):
            self._complain(name, "has an empty part between its commas")
        for part in filter(None, parts):
            self._check(name, part, complaint_about)
            self._must_differ(name, part)
        return parts

    def keys(self, name: str) -> tuple[str, ...]:
        """Returns the keys, or none if the variable is not set."""
        if not self.checked(name, check.encryption_key):
            return ()
        return self.listed(name, lambda _: None)

    def checked(self, name: str, complaint_about: _Check) -> str:
        """Returns the value. Notes the complaint if there is one about it."""
        value = self.text(name)
        if value:
            self._check(name, value, complaint_about)
        return value

    def secret(self, name: str, complaint_about: _Check) -> str:
        """Returns the value, which no other secret may have."""
        value = self.checked(name, complaint_about)
        if value:
            self._must_differ(name, value)
        return value

    def url(self, name: str, complaint_about: _Check) -> str:
        """Returns a URL that paths are appended to, without a slash at the end."""
        return self.checked(name, complaint_about).rstrip("/")

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name)
        self._check(name, value, lambda text: check.choice(text, choices))
        return next((choice for choice in choices if choice.lower() == value.lower()), DEFAULTS[name])

    def flag(self, name: str) -> bool:
        return self.one_of(name, ("false", "true")) == "true"

    def whole(self, name: str, unit: str, *, least: int = 1) -> int:
        value = self.text(name)
        self._check(name, value, lambda text: check.whole(text, unit, least=least, most=_MAX_WHOLE))
        return int(DEFAULTS[name] if name in self.problems else value)

    def _check(self, name: str, value: str, complaint_about: _Check) -> None:
        if complaint := complaint_about(value):
            self._complain(name, complaint)

    def _must_differ(self, name: str, value: str) -> None:
        """Notes that a secret is there twice: whoever may know the one would know the other."""
        other = self._name_of.get(value)
        self._name_of.setdefault(value, name)
        # Meta knows both of this pair, and the verify token opens no route that the app secret guards.
        if other is None or {name, other} == {"INSTAGRAM_APP_SECRET", "INSTAGRAM_VERIFY_TOKEN"}:
            return
        where = "twice in it" if other == name else f"in {other}, too"
        self._complain(name, f"has a value that is {where}: each secret needs a value of its own")

    def _complain(self, name: str, complaint: str) -> None:
        where = WHERE.get(name)
        self.problems.setdefault(name, f"{name} {complaint}. {where}" if where else f"{name} {complaint}.")
