"""The environment variables of the functions: which are needed, what the others default to, where to get each.

A test compares docs/settings.md and `.env.example` with this list.
"""

NEEDED = (
    "INSTAGRAM_APP_SECRET",
    "INSTAGRAM_VERIFY_TOKEN",
    "INTERNAL_API_SECRET",
    "QSTASH_TOKEN",
    "QSTASH_CURRENT_SIGNING_KEY",
    "SUPABASE_URL",
    "SUPABASE_SERVICE_ROLE_KEY",
)

DEFAULTS = {
    "QSTASH_URL": "https://qstash.upstash.io",
    "QSTASH_REDACT_BODY": "false",
    "INSTAGRAM_LOGIN_FLAVOUR": "instagram",
    "GRAPH_API_VERSION": "v26.0",
    "GRAPH_INSTAGRAM_URL": "https://graph.instagram.com",
    "GRAPH_FACEBOOK_URL": "https://graph.facebook.com",
    "TOKEN_REFRESH_AFTER_DAYS": "30",
    "PROFILE_MAX_AGE_S": "86400",
    "RAW_RETENTION_DAYS": "30",
    "REPLIES_MODE": "on",
    "REPLY_MATCH": "first",
    "REPLY_COOLDOWN_S": "10",
    "REPLIES_PER_PERSON_PER_HOUR": "20",
    "SENDS_PER_SECOND": "40",
    "LOG_LEVEL": "INFO",
}

OPTIONAL = (
    "QSTASH_NEXT_SIGNING_KEY",
    "INSTAGRAM_ACCESS_TOKEN",
    "INSTAGRAM_ACCOUNT_ID",
    "TOKEN_ENCRYPTION_KEY",
    "META_APP_ID",
    "PHASE3_URL",
    "CRON_SECRET",
    "PUBLIC_URL",
    "PRODUCTION_DOMAIN",
    "VERCEL_AUTOMATION_BYPASS_SECRET",
    *DEFAULTS,
)

OF_VERCEL = ("VERCEL_ENV", "VERCEL_PROJECT_PRODUCTION_URL", "VERCEL_URL")
"""The platform sets these variables, not the user (Vercel, "System environment variables")."""

WHERE = {
    "INSTAGRAM_APP_SECRET": (
        "Meta App Dashboard: Instagram > API setup with Instagram login > Instagram app secret "
        "(with Facebook Login: App settings > Basic > App secret). During a rotation two secrets with a comma between."
    ),
    "INSTAGRAM_VERIFY_TOKEN": "Make one up (openssl rand -hex 16); enter the same at Meta: Webhooks > Verify token.",
    "INTERNAL_API_SECRET": "Make one up: openssl rand -hex 32.",
    "QSTASH_TOKEN": "Upstash Console: QStash > Quickstart > QSTASH_TOKEN.",
    "QSTASH_URL": "Upstash Console: QStash > Quickstart > QSTASH_URL; it names the region.",
    "QSTASH_CURRENT_SIGNING_KEY": "Upstash Console: QStash > Signing Keys > Current.",
    "QSTASH_NEXT_SIGNING_KEY": "Upstash Console: QStash > Signing Keys > Next.",
    "SUPABASE_URL": "Supabase Dashboard: Project Settings > Data API > Project URL (https://….supabase.co).",
    "SUPABASE_SERVICE_ROLE_KEY": (
        "Supabase Dashboard: Project Settings > API Keys > a secret key (sb_secret_…), or the legacy service_role key "
        "(Supabase ends legacy keys with 2026)."
    ),
    "INSTAGRAM_ACCESS_TOKEN": "Meta App Dashboard: Instagram > API setup with Instagram login > Generate token.",
    "INSTAGRAM_ACCOUNT_ID": "The user_id in the answer of GET /me?fields=user_id,username; also entry.id in a webhook.",
    "TOKEN_ENCRYPTION_KEY": (
        "Make one up: openssl rand -base64 32. During a rotation two keys with a comma between: the new one first."
    ),
    "META_APP_ID": "Meta App Dashboard: App settings > Basic > App ID.",
    "GRAPH_API_VERSION": "Meta, Graph API > Changelog.",
    "PHASE3_URL": "The https URL of your own receiver.",
    "CRON_SECRET": "Make one up: openssl rand -hex 32. Vercel sends it with every cron job.",
    "PUBLIC_URL": "The address at which the outside world reaches the functions, for example an ngrok URL.",
    "PRODUCTION_DOMAIN": "Vercel: Project > Settings > Domains, without https://.",
    "VERCEL_AUTOMATION_BYPASS_SECRET": (
        "Vercel: Project > Settings > Deployment Protection > Protection Bypass for Automation."
    ),
}
