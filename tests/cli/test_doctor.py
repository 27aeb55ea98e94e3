"""`python -m cli doctor`: all is well on the running stack, and each thing that is not is named with its fix."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.doctor import front_door
from cli.doctor.case import Case
from cli.doctor.examination import CHECKS
from cli.main import cli
from dev.stack import keys
from dev.stack.config import ROOT
from dev.stack.migrations import read_migrations
from dev.stack.ports import free_port
from tests.support.accounts import FIRST, connect, dead_token_of, token_of
from tests.support.settings import COMPLETE
from tests.support.world import World


@pytest.fixture(autouse=True)
def _settings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's own `.env` says."""
    use(monkeypatch, {})


def use(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str]) -> None:
    """The operator's `.env` has these settings."""
    monkeypatch.setattr("dev.stack.options.user_settings", lambda _root: dict(settings))


def run(world: World, *arguments: str) -> Result:
    ports = world.stack.config.ports
    places = [
        text
        for name in ("functions", "qstash", "graph", "rest")
        for text in (f"--{name}-port", str(getattr(ports, name)))
    ]
    done = CliRunner().invoke(cli, ["doctor", *places, "--data-dir", str(world.stack.config.data_dir), *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def examined(world: World, *arguments: str) -> tuple[dict[str, Any], int]:
    """The findings by the names of their checks, and the exit status. No secret is in them."""
    done = run(world, "--json", *arguments)
    for name, value in world.stack.env.items():
        if name.endswith(("TOKEN", "SECRET", "KEY", "KEYS")):
            assert value not in done.output, name
    report = json.loads(done.output)
    assert report["ok"] is (done.exit_code == 0)
    return {check["name"]: check for check in report["checks"]}, done.exit_code


def failing(found: Mapping[str, Any]) -> list[str]:
    return [name for name, check in found.items() if check["state"] == "fail"]


def test_the_running_stack_is_all_green_and_nothing_is_left_behind(world: World) -> None:
    before = world.snapshot()
    found, status = examined(world)
    assert {name: check["state"] for name, check in found.items()} == dict.fromkeys(CHECKS, "ok"), found
    assert status == 0
    assert found["pipe"]["saw"].startswith("webhook, QStash, consumer, database in ")
    world.settle()
    assert world.snapshot() == before


def test_a_person_sees_the_same_with_a_sum(world: World) -> None:
    done = run(world)
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.output.splitlines()[2:-2]] == ["ok"] * len(CHECKS)
    assert done.output.endswith(f"\n{len(CHECKS)} ok.\n")


def test_a_wrong_setting_is_named_and_what_needs_it_is_skipped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {"LOG_LEVEL": "LOUD", "GRAPH_API_VERSION": "newest"})
    found, status = examined(world)
    assert (status, failing(found)) == (1, ["settings"])
    assert "LOG_LEVEL must be one of" in found["settings"]["cause"]
    assert "GRAPH_API_VERSION must look like v26.0. Meta, Graph API > Changelog." in found["settings"]["cause"]
    assert found["pipe"]["state"] == "skipped"
    assert found["deployment"]["state"] == "ok"


@pytest.mark.parametrize(
    ("key", "is_local", "state"),
    [
        (keys.supabase_jwt("service_role"), False, "warn"),
        (keys.supabase_jwt("service_role"), True, "ok"),
        (keys.SECRET_KEY, False, "ok"),
    ],
)
def test_a_key_that_supabase_is_about_to_end_is_a_warning(key: str, is_local: bool, state: str) -> None:
    env = {**COMPLETE, "SUPABASE_SERVICE_ROLE_KEY": key}
    case = Case(url="https://shop.example", env=env, is_local=is_local, anon_key="", migrations_dir=ROOT)
    found = asyncio.run(front_door.settings(case))
    assert found.state == state
    assert ("sb_secret_" in found.fix) is (state == "warn")


def test_a_deployment_has_no_settings_but_those_of_env(world: World) -> None:
    found, status = examined(world, "--url", "https://deployment.invalid")
    assert status == 1
    assert failing(found) == ["settings", "deployment"]
    assert "QSTASH_TOKEN is not set. Upstash Console: QStash > Quickstart" in found["settings"]["cause"]
    assert "npx vercel deploy --prod" in found["deployment"]["fix"]


def test_where_nothing_answers_it_says_how_to_start_it(world: World) -> None:
    found, status = examined(world, "--url", f"http://127.0.0.1:{free_port()}")
    assert (status, failing(found)) == (1, ["deployment"])
    assert "`make dev`" in found["deployment"]["fix"]
    assert found["qstash"]["state"] == found["database"]["state"] == "ok"


def test_the_deployments_own_missing_settings_are_shown(world: World) -> None:
    with world.stack.functions({"QSTASH_TOKEN": ""}) as base_url:
        found, status = examined(world, "--url", base_url)
    assert (status, failing(found)) == (1, ["deployment"])
    assert "Upstash Console" in found["deployment"]["cause"]


@pytest.mark.parametrize(
    ("settings", "check", "fix"),
    [
        ({"INSTAGRAM_VERIFY_TOKEN": "another"}, "handshake", "Webhooks > Verify token"),
        ({"INSTAGRAM_APP_SECRET": "another"}, "signature", "Instagram app secret"),
        ({"INTERNAL_API_SECRET": "another-internal-secret"}, "health", "Use the same value"),
        ({"INSTAGRAM_ACCOUNT_ID": FIRST}, "graph", "INSTAGRAM_ACCOUNT_ID=17841400000000001"),
    ],
)
def test_a_setting_that_is_not_the_deployments_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], check: str, fix: str
) -> None:
    use(monkeypatch, settings)
    found, status = examined(world)
    assert status == 1
    assert check in failing(found)
    assert fix in found[check]["fix"]
    assert found[check]["cause"]


def of_qstash(world: World, **changed: str) -> dict[str, str]:
    ours = {
        "QSTASH_URL": world.stack.qstash_url,
        "QSTASH_TOKEN": keys.QSTASH_TOKEN,
        "QSTASH_CURRENT_SIGNING_KEY": keys.QSTASH_CURRENT_SIGNING_KEY,
        "QSTASH_NEXT_SIGNING_KEY": keys.QSTASH_NEXT_SIGNING_KEY,
    }
    return ours | changed


def test_a_wrong_qstash_token_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, of_qstash(world, QSTASH_TOKEN="another"))
    found, status = examined(world)
    assert (status, failing(found)) == (1, ["qstash"])
    assert "Upstash Console: QStash > Quickstart" in found["qstash"]["fix"]


def test_it_says_which_signing_key_was_rolled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rolled = {"QSTASH_CURRENT_SIGNING_KEY": "sig_old", "QSTASH_NEXT_SIGNING_KEY": keys.QSTASH_CURRENT_SIGNING_KEY}
    use(monkeypatch, of_qstash(world, **rolled))
    found, status = examined(world)
    assert (found["qstash"]["state"], status) == ("warn", 0)
    assert "its current key is our QSTASH_NEXT_SIGNING_KEY" in found["qstash"]["saw"]

    use(monkeypatch, of_qstash(world, QSTASH_NEXT_SIGNING_KEY="sig_old"))
    assert "QSTASH_NEXT_SIGNING_KEY is not QStash's" in examined(world)[0]["qstash"]["saw"]

    use(monkeypatch, of_qstash(world, QSTASH_CURRENT_SIGNING_KEY="sig_1", QSTASH_NEXT_SIGNING_KEY="sig_2"))
    assert failing(examined(world)[0]) == ["qstash"]


def test_other_keys_at_the_consumer_are_found_and_the_pipe_says_that_too(world: World) -> None:
    others = {"QSTASH_CURRENT_SIGNING_KEY": "sig_1", "QSTASH_NEXT_SIGNING_KEY": "sig_2"}
    with world.stack.functions(others) as base_url:
        found, status = examined(world, "--url", base_url)
        world.cancel_deliveries()
    assert (status, failing(found)) == (1, ["consumer keys", "pipe"])
    assert "Signing Keys" in found["consumer keys"]["fix"]
    assert found["pipe"]["saw"] == "the event was queued, but the consumer answers QStash 401"
    assert "The signature does not match" in found["pipe"]["cause"]


def test_a_pipe_around_qstash_is_a_warning(world: World) -> None:
    with world.stack.functions({"QSTASH_URL": f"http://127.0.0.1:{free_port()}"}) as base_url:
        found, status = examined(world, "--url", base_url)
    assert found["pipe"]["state"] == "warn"
    assert "not through QStash" in found["pipe"]["saw"]
    assert (status, failing(found)) == (1, ["health"])
    assert "qstash fails" in found["health"]["saw"]


def test_a_hosted_qstash_can_not_reach_this_machine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, of_qstash(world, QSTASH_URL="https://qstash.invalid"))
    found, status = examined(world)
    assert status == 1
    assert "this machine, which the hosted QStash cannot reach" in found["consumer"]["cause"]
    assert "tunnel" in found["consumer"]["fix"]


def test_a_table_that_is_open_to_the_public_key_is_found(world: World) -> None:
    world.db.execute("grant select on public.messages to anon")
    try:
        found, status = examined(world)
    finally:
        world.db.execute("revoke all on public.messages from anon")
    assert (status, failing(found)) == (1, ["closed"])
    assert found["closed"]["saw"] == "the public key reads messages"
    assert "revoke all on table public.messages" in found["closed"]["fix"]


def test_without_the_public_key_of_a_hosted_project_it_says_how_to_give_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = {"SUPABASE_URL": world.stack.supabase_url, "SUPABASE_SERVICE_ROLE_KEY": world.stack.service_role_key}
    use(monkeypatch, hosted)
    assert examined(world)[0]["closed"]["state"] == "skipped"
    assert "SUPABASE_ANON_KEY" in examined(world)[0]["closed"]["fix"]
    use(monkeypatch, {**hosted, "SUPABASE_ANON_KEY": keys.PUBLISHABLE_KEY})
    assert examined(world)[0]["closed"]["state"] == "ok"
    use(monkeypatch, {**hosted, "SUPABASE_ANON_KEY": "another"})
    assert failing(examined(world)[0]) == ["closed"]


def test_a_database_that_is_behind_is_found(world: World) -> None:
    body = world.row("select pg_get_functiondef('public.schema_version'::regproc) as sql")["sql"]
    world.db.execute(body.replace(newest(), "20260101000000").encode())
    try:
        found, status = examined(world)
    finally:
        world.db.execute(body.encode())
    assert (status, failing(found)) == (1, ["database"])
    assert "Migrations are missing" in found["database"]["cause"]
    assert "make dev" in found["database"]["fix"]


def newest() -> str:
    return read_migrations(ROOT / "supabase" / "migrations")[-1].version


def test_the_schema_says_the_version_of_the_newest_migration(world: World) -> None:
    assert world.row("select public.schema_version() as version")["version"] == newest()


def test_an_expired_token_is_found(world: World) -> None:
    world.graph_fault("me", "expired_token")
    found, status = examined(world)
    assert status == 1
    assert "graph_token_invalid" in found["graph"]["saw"]
    assert "Generate token" in found["graph"]["fix"]


def test_a_token_that_may_not_read_messages_is_found(world: World) -> None:
    world.graph_fault("conversations", "no_consent")
    found, status = examined(world)
    assert (status, failing(found)) == (1, ["graph"])
    assert "instagram_business_manage_messages" in found["graph"]["cause"]


def test_the_stored_accounts_are_checked_with_their_days_left(world: World) -> None:
    connect(world, FIRST)
    assert f"{FIRST}: works, 59 d left" in examined(world)[0]["accounts"]["saw"]
    connect(world, FIRST, token=dead_token_of(FIRST))
    found, status = examined(world)
    assert status == 1
    assert "graph_token_invalid" in found["accounts"]["saw"]
    assert "accounts add" in found["accounts"]["fix"]


@pytest.mark.parametrize(
    ("subscribed", "state", "lacks"),
    [("messages,comments", "warn", "messaging_seen"), ("comments", "fail", "messages")],
)
def test_a_subscription_that_is_missing_is_named(world: World, subscribed: str, state: str, lacks: str) -> None:
    connect(world, FIRST)
    set_fields(world, FIRST, subscribed)
    found, status = examined(world)
    assert (found["subscriptions"]["state"], status) == (state, int(state == "fail"))
    assert f"{FIRST} lacks " in found["subscriptions"]["saw"]
    assert lacks in found["subscriptions"]["saw"]
    assert "subscribed_apps?subscribed_fields=" in found["subscriptions"]["fix"]


EVERY_FIELD = (
    "messages,message_reactions,message_edit,messaging_postbacks,messaging_seen,messaging_referral,messaging_optins,"
    "messaging_handover,standby,comments,live_comments"
)


def set_fields(world: World, account_id: str, fields: str, *, prefix: str = "") -> None:
    answer = world.standins.post(
        f"{world.stack.graph_url}{prefix}/v26.0/me/subscribed_apps",
        params={"subscribed_fields": fields},
        headers={"Authorization": f"Bearer {token_of(account_id)}"},
    )
    assert answer.json() == {"success": True}


def test_an_account_with_every_field_that_instagram_takes_is_well(world: World) -> None:
    connect(world, FIRST)
    set_fields(world, FIRST, EVERY_FIELD)
    found, status = examined(world)
    assert (found["subscriptions"]["state"], status) == ("ok", 0)


@pytest.mark.parametrize(
    ("subscribed", "state", "lacks"),
    [
        ("messages,message_reactions,message_reads,messaging_postbacks", "ok", ""),
        ("messages,message_reactions,messaging_postbacks", "warn", "message_reads"),
        ("message_reads,message_reactions,messaging_postbacks", "fail", "messages"),
    ],
)
def test_a_page_has_the_names_of_a_page(world: World, subscribed: str, state: str, lacks: str) -> None:
    connect(world, FIRST, flavour="facebook", life_days=None)
    set_fields(world, FIRST, subscribed, prefix="/facebook")
    found, _ = examined(world)
    assert found["subscriptions"]["state"] == state
    assert (f"{FIRST} lacks {lacks}" in found["subscriptions"]["saw"]) is bool(lacks)
    assert ("/facebook/v26.0/me/subscribed_apps" in found["subscriptions"].get("fix", "")) is bool(lacks)


def test_the_fix_of_a_missing_subscription_is_a_command_that_mends_it(world: World) -> None:
    connect(world, FIRST)
    set_fields(world, FIRST, "comments")
    assert "python -m cli accounts subscribe" in examined(world)[0]["subscriptions"]["fix"]
    ports = world.stack.config.ports
    places = ["--rest-port", str(ports.rest), "--graph-port", str(ports.graph)]
    CliRunner().invoke(cli, ["accounts", "subscribe", *places, "--data-dir", str(world.stack.config.data_dir)])
    assert examined(world)[0]["subscriptions"]["state"] == "ok"


@pytest.mark.parametrize("fault", ["garbage", "500", "permission_missing"])
def test_an_answer_about_subscriptions_that_is_none_is_a_finding(world: World, fault: str) -> None:
    world.graph_fault("subscribed_apps", fault)
    found, status = examined(world)
    assert (found["subscriptions"]["state"], status) == ("fail", 1)
    assert "the check failed" not in found["subscriptions"]["saw"]


def test_an_account_whose_other_id_is_not_known_is_named(world: World) -> None:
    found = examined(world)[0]["accounts"]
    assert "the account of INSTAGRAM_ACCESS_TOKEN is not in `accounts` yet" in found["saw"]
    connect(world, FIRST)
    assert examined(world)[0]["accounts"]["saw"] == f"{FIRST}: works, 59 d left"
    world.db.execute("update accounts set app_scoped_id = null")
    found = examined(world)[0]["accounts"]
    assert found["state"] == "warn"
    assert f"the other id of {FIRST} is not known" in found["saw"]
    assert "accounts add" in found["fix"]


def test_an_address_that_is_none_is_a_mistake(world: World) -> None:
    assert run(world, "--url", "deployment.example").exit_code == 2
