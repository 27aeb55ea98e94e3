"""placeholder until GROUND."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from lib.errors import BadConfiguration


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    instagram_app_secrets: tuple[str, ...]
    instagram_verify_token: str
    internal_api_secret: str
    qstash_token: str
    qstash_url: str
    qstash_current_signing_key: str
    qstash_next_signing_key: str = ""
    supabase_url: str
    supabase_service_role_key: str
    instagram_access_token: str = ""
    instagram_account_id: str = ""
    instagram_login_flavour: Literal["instagram", "facebook"] = "instagram"
    graph_api_version: str = "v26.0"
    graph_instagram_url: str = "https://graph.instagram.com"
    graph_facebook_url: str = "https://graph.facebook.com"
    phase3_url: str = ""
    profile_max_age_s: int = 86400
    replies_mode: Literal["on", "dry_run", "off"] = "on"
    reply_match: Literal["first", "all"] = "first"
    qstash_redact_body: bool = False
    log_level: str = "INFO"
    vercel_automation_bypass_secret: str = ""
    base_url: str

    @property
    def qstash_signing_keys(self) -> tuple[str, ...]:
        return (self.qstash_current_signing_key, self.qstash_next_signing_key)


NEEDED = (
    "INSTAGRAM_APP_SECRET",
    "INSTAGRAM_VERIFY_TOKEN",
    "INTERNAL_API_SECRET",
    "QSTASH_TOKEN",
    "QSTASH_CURRENT_SIGNING_KEY",
    "SUPABASE_URL",
    "SUPABASE_SERVICE_ROLE_KEY",
)


def presence(env: Mapping[str, str]) -> dict[str, bool]:
    return {name: bool(env.get(name)) for name in NEEDED}


def load(env: Mapping[str, str]) -> Settings:
    missing = [name for name in NEEDED if not env.get(name)]
    if missing:
        raise BadConfiguration(tuple(missing))
    g = env.get
    return Settings(
        instagram_app_secrets=tuple(s.strip() for s in env["INSTAGRAM_APP_SECRET"].split(",")),
        instagram_verify_token=env["INSTAGRAM_VERIFY_TOKEN"],
        internal_api_secret=env["INTERNAL_API_SECRET"],
        qstash_token=env["QSTASH_TOKEN"],
        qstash_url=g("QSTASH_URL", "https://qstash.upstash.io"),
        qstash_current_signing_key=env["QSTASH_CURRENT_SIGNING_KEY"],
        qstash_next_signing_key=g("QSTASH_NEXT_SIGNING_KEY", ""),
        supabase_url=env["SUPABASE_URL"],
        supabase_service_role_key=env["SUPABASE_SERVICE_ROLE_KEY"],
        instagram_access_token=g("INSTAGRAM_ACCESS_TOKEN", ""),
        graph_instagram_url=g("GRAPH_INSTAGRAM_URL", ""),
        graph_facebook_url=g("GRAPH_FACEBOOK_URL", ""),
        phase3_url=g("PHASE3_URL", ""),
        base_url=g("PUBLIC_URL", ""),
    )
