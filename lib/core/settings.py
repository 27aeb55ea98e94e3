"""Every environment variable of the functions: read once, typed, checked, and explained where it is wrong.

Knows names, defaults and where each value is found. Must not read the environment itself (the caller passes
it), nor let a value into a message: some of them are secrets.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, TypeVar, cast, get_args
from urllib.parse import urlsplit

from lib.core.env_vars import DEFAULTS, NEEDED, WHERE
from lib.errors.exceptions import BadConfiguration

LoginFlavour = Literal["instagram", "facebook"]
RepliesMode = Literal["on", "dry_run", "off"]
ReplyMatch = Literal["first", "all"]

LOCAL_BASE_URL = "http://localhost:3000"
"""Where `vercel dev` and `make dev` serve the functions."""

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_VERSION = re.compile(r"v\d{1,3}\.\d{1,2}")
_KEY = re.compile(r"[A-Za-z0-9_+/-]{43}=")
"""32 bytes in base64 of either alphabet: a Fernet key (cryptography, "Fernet")."""
_MAX_WHOLE = 10 * 365 * 86400
"""Ten years of seconds."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one function instance. URLs have no slash at the end; `""` is "not set"."""

    instagram_app_secrets: tuple[str, ...]
    """The first is current, the others are accepted while they are being rotated out."""
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
    """The first encrypts, all decrypt. Empty: no account but the environment's has a token."""
    token_refresh_after_days: int
    graph_api_version: str
    graph_instagram_url: str
    graph_facebook_url: str
    phase3_url: str
    profile_max_age_s: int
    raw_retention_days: int
    cron_secret: str
    meta_app_id: str
    """Whom a thread may be passed to, if it is us; "" is not known."""
    replies_mode: RepliesMode
    reply_match: ReplyMatch
    sends_per_second: int
    """At most so many direct messages of one account leave in a second."""
    log_level: str
    vercel_automation_bypass_secret: str
    base_url: str
    """Where this deployment is reached: QStash delivers below it, and its signature names it."""

    def __repr__(self) -> str:
        """Without a value: a repr ends up in tracebacks, and with whoever collects them."""
        return f"Settings for {self.base_url}"

    @property
    def has_legacy_supabase_key(self) -> bool:
        """Whether the key is a JWT and no `sb_secret_…` key (Supabase, "Understanding API keys")."""
        return _role_in_jwt(self.supabase_service_role_key) is not None

    @property
    def qstash_signing_keys(self) -> tuple[str, ...]:
        """The current key, then the next one where it is set (Upstash, "Roll Your Signing Keys")."""
        keys = (self.qstash_current_signing_key, self.qstash_next_signing_key)
        return tuple(key for key in keys if key)


def presence(env: Mapping[str, str]) -> dict[str, bool]:
    """Which of the needed settings are there: names, never values."""
    return {name: bool(env.get(name, "").strip()) for name in NEEDED}


def load(env: Mapping[str, str]) -> Settings:
    """The settings in `env`. Raises `BadConfiguration` with every variable that is missing or wrong, not just
    the first, each with what is wrong and where its value is found.
    """
    read = _Reader(env)
    settings = Settings(
        instagram_app_secrets=read.listed("INSTAGRAM_APP_SECRET"),
        instagram_verify_token=read.text("INSTAGRAM_VERIFY_TOKEN"),
        internal_api_secret=read.checked("INTERNAL_API_SECRET", _header_value),
        qstash_token=read.checked("QSTASH_TOKEN", _header_value),
        qstash_url=read.url("QSTASH_URL"),
        qstash_current_signing_key=read.text("QSTASH_CURRENT_SIGNING_KEY"),
        qstash_next_signing_key=read.text("QSTASH_NEXT_SIGNING_KEY"),
        qstash_redact_body=read.flag("QSTASH_REDACT_BODY"),
        supabase_url=read.url("SUPABASE_URL"),
        supabase_service_role_key=read.checked("SUPABASE_SERVICE_ROLE_KEY", _service_role_key),
        instagram_access_token=read.text("INSTAGRAM_ACCESS_TOKEN"),
        instagram_account_id=read.text("INSTAGRAM_ACCOUNT_ID"),
        instagram_login_flavour=cast("LoginFlavour", read.one_of("INSTAGRAM_LOGIN_FLAVOUR", get_args(LoginFlavour))),
        token_encryption_keys=read.keys("TOKEN_ENCRYPTION_KEY"),
        token_refresh_after_days=read.whole("TOKEN_REFRESH_AFTER_DAYS", "days"),
        graph_api_version=read.checked("GRAPH_API_VERSION", _version),
        graph_instagram_url=read.url("GRAPH_INSTAGRAM_URL"),
        graph_facebook_url=read.url("GRAPH_FACEBOOK_URL"),
        phase3_url=read.checked("PHASE3_URL", _destination),
        profile_max_age_s=read.whole("PROFILE_MAX_AGE_S", "seconds"),
        raw_retention_days=read.whole("RAW_RETENTION_DAYS", "days"),
        cron_secret=read.text("CRON_SECRET"),
        replies_mode=cast("RepliesMode", read.one_of("REPLIES_MODE", get_args(RepliesMode))),
        meta_app_id=read.checked("META_APP_ID", _app_id),
        sends_per_second=read.whole("SENDS_PER_SECOND", "messages"),
        reply_match=cast("ReplyMatch", read.one_of("REPLY_MATCH", get_args(ReplyMatch))),
        log_level=read.one_of("LOG_LEVEL", _LEVELS),
        vercel_automation_bypass_secret=read.checked("VERCEL_AUTOMATION_BYPASS_SECRET", _header_value),
        base_url=_base_url(read),
    )
    if read.problems:
        raise BadConfiguration(read.problems)
    return settings


def _base_url(read: "_Reader") -> str:
    """`PUBLIC_URL`; in production our own domain, else Vercel's; else the deployment's own; else this laptop.

    Vercel, "System environment variables": its URLs come without a scheme.
    """
    public = read.url("PUBLIC_URL")
    if public:
        return public
    in_production = read.text("VERCEL_ENV") == "production"
    names = ("PRODUCTION_DOMAIN", "VERCEL_PROJECT_PRODUCTION_URL") if in_production else ()
    return next((url for name in (*names, "VERCEL_URL") if (url := read.domain(name))), LOCAL_BASE_URL)


class _Reader:
    """Reads variables and remembers what is wrong with each; blanks around a value are a slip of the copier."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.problems: dict[str, str] = {}

    def text(self, name: str) -> str:
        value = self._env.get(name, "").strip()
        if not value and name in NEEDED:
            self._complain(name, "is not set")
        return value or DEFAULTS.get(name, "")

    def listed(self, name: str) -> tuple[str, ...]:
        parts = tuple(part.strip() for part in self.text(name).split(","))
        if len(parts) > 1 and not all(parts):
            self._complain(name, "has an empty part between its commas")
        return parts

    def keys(self, name: str) -> tuple[str, ...]:
        """Keys to encrypt with; none where it is not set."""
        keys = self.listed(name) if self.text(name) else ()
        if not all(_KEY.fullmatch(key) for key in keys):
            self._complain(name, "must be a key of 32 bytes in base64, or several with commas between")
        return keys

    def checked(self, name: str, check: Callable[[str], str | None]) -> str:
        """A value that `check` has no complaint about."""
        value = self.text(name)
        complaint = check(value) if value else None
        if complaint:
            self._complain(name, complaint)
        return value

    def url(self, name: str) -> str:
        """A URL that paths are appended to."""
        return self.checked(name, _base).rstrip("/")

    def domain(self, name: str) -> str:
        """A host name, scheme or not, as an HTTPS URL."""
        host = self.text(name).removeprefix("https://").rstrip("/")
        if host and (complaint := _base(f"https://{host}")):
            self._complain(name, complaint)
        return f"https://{host}" if host else ""

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name)
        found = next((choice for choice in choices if choice.lower() == value.lower()), None)
        if found is None:
            self._complain(name, f"must be one of {', '.join(choices)}")
        return found or DEFAULTS[name]

    def flag(self, name: str) -> bool:
        return self.one_of(name, ("false", "true")) == "true"

    def whole(self, name: str, unit: str) -> int:
        value = self.text(name)
        if not (value.isascii() and value.isdigit() and 0 < int(value[:12]) <= _MAX_WHOLE):
            self._complain(name, f"must be a whole number of {unit}, one or more")
            return int(DEFAULTS[name])
        return int(value)

    def _complain(self, name: str, complaint: str) -> None:
        where = WHERE.get(name)
        self.problems[name] = f"{name} {complaint}. {where}" if where else f"{name} {complaint}."


def _destination(value: str) -> str | None:
    """Keys, tokens and people's words go there: unencrypted no farther than this machine."""
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        usable = parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))
        usable = usable and bool(host) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in value):
        return "must be a URL that begins with https:// (http:// only for localhost)"
    return None


def _is_this_machine(host: str) -> bool:
    if host in ("localhost", "host.docker.internal") or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _base(value: str) -> str | None:
    complaint = _destination(value)
    if complaint is None and ("?" in value or "#" in value):
        return "must be a URL without ? and #"
    return complaint


def _app_id(value: str) -> str | None:
    return None if value.isascii() and value.isdigit() else "must be the number that Meta gave the app"


def _version(value: str) -> str | None:
    return None if _VERSION.fullmatch(value) else "must look like v26.0"


def _header_value(value: str) -> str | None:
    """What is copied from a page or a chat comes with letters that nobody sees."""
    usable = value.isascii() and value.isprintable() and " " not in value
    return None if usable else "has a blank in it, or a letter that is not plain ASCII: copy it anew"


def _service_role_key(value: str) -> str | None:
    """The mistake everybody makes once is to take the other key (Supabase, "Understanding API keys")."""
    if complaint := _header_value(value):
        return complaint
    role = "anon" if value.startswith("sb_publishable_") else _role_in_jwt(value)
    if role not in (None, "service_role"):
        return "is the public key, which row-level security keeps out"
    return None


def _role_in_jwt(value: str) -> str | None:
    try:
        payload = value.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["role"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None
