"""The checks of the database: does our key open it, is it migrated, and is it closed to the public key?"""

import httpx

from cli.doctor.case import Case, json_object
from cli.doctor.finding import Finding, fail, ok, skipped
from dev.stack.migrations import read_migrations
from lib.errors.classify import classify
from lib.health import read_rules

PUSH = "npx supabase@3 db push --remote"
NOT_ALLOWED = "42501"
"""`insufficient_privilege` (PostgreSQL, "Error Codes")."""

PUBLIC_KEY = (
    "Set SUPABASE_ANON_KEY in .env (only the doctor reads it): Supabase Dashboard: Project Settings > API Keys > "
    "the publishable key (sb_publishable_…), or the legacy anon key."
)


async def version(case: Case) -> Finding:
    """Our key is accepted, and the newest migration is applied."""
    newest = read_migrations(case.migrations_dir)[-1].version
    update = "Restart `make dev`, which applies new migrations." if case.is_local else f"Run `{PUSH}`."
    try:
        applied = str(await case.services.database.rpc("schema_version", {}))
    except Exception as error:
        verdict = classify(error)
        if verdict.code == "schema_cache_stale" or getattr(error, "code", "") == "PGRST202":
            return fail("the database cannot say its version", cause="Its migrations are too old.", fix=update)
        return fail(
            f"{case.settings.supabase_url} refuses our call: {verdict.code}",
            cause=f"SUPABASE_URL or SUPABASE_SERVICE_ROLE_KEY is wrong, or the project is paused: {verdict.message}.",
            fix="Copy both from the Supabase Dashboard: Project Settings > Data API, and > API Keys.",
        )
    if applied < newest:
        return fail(
            f"the database is at {applied}, this checkout at {newest}", cause="Migrations are missing.", fix=update
        )
    if applied > newest:
        return fail(
            f"the database is at {applied}, this checkout at {newest}",
            cause="This checkout is older than the database.",
            fix="Update the checkout, and deploy it.",
        )
    return ok(f"migrated to {applied}")


async def closed(case: Case) -> Finding:
    """Every table and view refuses the public key."""
    if not case.anon_key:
        return skipped("the public key is not known", PUBLIC_KEY)
    names = await _names(case)
    if not names:
        return skipped("Supabase lists no tables to our key", "Run tests/pipeline/test_access.py instead.")
    responses = {name: await _read(case, name, case.anon_key) for name in names}
    open_names = [name for name, response in responses.items() if response.status_code == 200]
    if open_names:
        return fail(
            f"the public key reads {', '.join(open_names)}",
            cause="A grant was added by hand, or the migration that closes it did not run.",
            fix=f"revoke all on table public.{open_names[0]} from public, anon, authenticated; (the same for each); "
            "alter table … enable row level security;",
        )
    if any((json_object(response) or {}).get("code") != NOT_ALLOWED for response in responses.values()):
        return fail("Supabase does not know the public key", cause="SUPABASE_ANON_KEY is wrong.", fix=PUBLIC_KEY)
    return ok(f"{len(names)} tables and views refuse the public key")


async def rules(case: Case) -> Finding:
    """Every enabled reply rule is in force: the functions can read it, and it is not too costly."""
    enabled, book = await read_rules(case.services)
    if not enabled:
        return ok("no reply rule is enabled")
    if book.bad:
        first = book.bad[0]
        return fail(
            f"{len(book.bad)} of {enabled} reply rules are left out: rule {first.rule_id}: {first.reason}",
            cause="The rule is of a newer version, or its pattern is not valid or too wide. The other rules work.",
            fix=f"update reply_rules set enabled = false where rule_id = {first.rule_id}; then correct it, or update.",
        )
    return ok(f"{enabled} reply rules are in force")


async def _names(case: Case) -> list[str]:
    """Returns the tables and views in PostgREST's description of itself (PostgREST, "OpenAPI")."""
    described = json_object(await _read(case, "", case.settings.supabase_service_role_key)) or {}
    paths = described.get("paths")
    names = [str(path).strip("/") for path in paths] if isinstance(paths, dict) else []
    return sorted(name for name in names if name and not name.startswith("rpc/"))


async def _read(case: Case, name: str, key: str) -> httpx.Response:
    headers = {"apikey": key}
    if not key.startswith("sb_"):
        # A legacy key is a JWT and goes into both headers. One of the new style goes into `apikey` alone.
        headers["Authorization"] = f"Bearer {key}"
    query = {"limit": "1"} if name else {}
    return await case.http.get(f"{case.settings.supabase_url}/rest/v1/{name}", params=query, headers=headers)
