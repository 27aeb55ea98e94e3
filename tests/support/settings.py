"""Settings that are complete, for tests without a stack."""

COMPLETE = {
    "INSTAGRAM_APP_SECRET": "app-secret",
    "INSTAGRAM_VERIFY_TOKEN": "verify-token",
    "INTERNAL_API_SECRET": "internal-secret-of-tests",
    "QSTASH_TOKEN": "qstash-token",
    "QSTASH_CURRENT_SIGNING_KEY": "sig_current",
    "SUPABASE_URL": "https://ref.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
}
