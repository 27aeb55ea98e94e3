"""`python -m cli accounts`: an operator adds, lists, checks and refreshes accounts, and never sees a token."""

import base64
import subprocess
import sys
from collections.abc import Mapping

import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from dev.stack import keys
from dev.stack.config import ROOT
from lib.accounts.tokens import is_under_first_key, unseal
from tests.support.accounts import (
    FIRST,
    SECOND,
    callers,
    ciphertext_of,
    connect,
    dead_token_of,
    message_to,
    other_id,
    state_of,
    token_of,
)
from tests.support.world import World

DAY_S = 86_400
NEW_KEY = base64.b64encode(b"n" * 32).decode()


@pytest.fixture(autouse=True)
def _settings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's own `.env` says."""
    use(monkeypatch, {})


def use(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str]) -> None:
    """The operator's `.env` has these settings."""
    monkeypatch.setattr("dev.stack.options.user_settings", lambda _root: dict(settings))


def hosted(world: World, **more: str) -> dict[str, str]:
    """What an operator's `.env` has for a hosted project; this one is the local stack's, at its address."""
    return {
        "SUPABASE_URL": world.stack.supabase_url,
        "SUPABASE_SERVICE_ROLE_KEY": world.stack.service_role_key,
        "GRAPH_INSTAGRAM_URL": world.stack.graph_url,
        "GRAPH_FACEBOOK_URL": world.stack.graph_url,
        "INSTAGRAM_APP_SECRET": keys.APP_SECRET,
        **more,
    }


def arguments_for(world: World, *arguments: str) -> list[str]:
    ports = world.stack.config.ports
    places = ["--rest-port", str(ports.rest), "--graph-port", str(ports.graph)]
    return ["accounts", *arguments, *places, "--data-dir", str(world.stack.config.data_dir)]


def run(world: World, *arguments: str, stdin: str | None = None) -> Result:
    done = CliRunner().invoke(cli, arguments_for(world, *arguments), input=stdin)
    assert "very-secret" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def add(world: World, token: str, *options: str) -> Result:
    return run(world, "add", "--token-stdin", *options, stdin=f"{token}\n")


def grant(world: World, token: str, *, life_s: int) -> None:
    """A token of the first account, for which a refresh names that life."""
    body = {"token": token, "account_id": FIRST, "life_s": life_s}
    world.standins.post(f"{world.stack.graph_url}/__dev/accounts", json=body).raise_for_status()


def life_of(world: World, account_id: str) -> int:
    """The life of the stored token in seconds, from the moment that it was stored."""
    life = "select extract(epoch from expires_at - issued_at) as life from account_tokens where account_id = %s"
    return int(world.row(life, account_id)["life"])


def lines(done: Result) -> list[str]:
    """What it said, without the line that names the project and the blanks that make columns."""
    return [" ".join(line.split()) for line in done.output.splitlines() if not line.startswith("Project: ")]


def test_an_added_account_is_named_by_meta_and_sends(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    done = add(world, token_of(FIRST))
    assert done.exit_code == 0, done.output
    assert lines(done) == [
        f"Added {FIRST} (shop.0011, instagram), known in some payloads as {other_id(FIRST)}.",
        "Meta refreshed the token, and it lives for 60 days.",
    ]
    world.deliver(message_to(other_id(FIRST), "price"))
    assert callers(world, "send") == [FIRST]
    assert life_of(world, FIRST) == 60 * DAY_S


def test_the_token_is_asked_for_and_not_shown_while_it_is_typed(world: World) -> None:
    done = run(world, "add", stdin=f"  {token_of(FIRST)} \n")
    assert done.exit_code == 0, done.output
    assert world.count("account_tokens") == 1


def test_a_token_is_no_argument_as_it_would_stay_in_the_shells_history(world: World) -> None:
    for arguments in ((token_of(FIRST),), ("--token", token_of(FIRST))):
        assert CliRunner().invoke(cli, arguments_for(world, "add", *arguments)).exit_code == 2
    assert world.graph_calls() == []


@pytest.mark.parametrize("token", [dead_token_of(FIRST), "nobodys"])
def test_a_token_that_meta_does_not_take_is_not_stored(world: World, token: str) -> None:
    done = add(world, token)
    assert done.exit_code == 1
    assert "graph_token_invalid" in done.output
    assert (world.count("accounts"), world.count("account_tokens")) == (0, 0)


def test_an_empty_token_is_a_mistake(world: World) -> None:
    assert add(world, " ").exit_code == 2


@pytest.mark.parametrize("token", ["Bearer IGAA1", '"IGAA1"', "IGAA1\\n", "IG\u200bAA1", "IGAA 1"])
def test_a_token_that_was_not_copied_well_is_named_and_meta_is_not_asked(world: World, token: str) -> None:
    done = add(world, token)
    assert done.exit_code == 2
    assert "The token " in done.output
    assert "IGAA1" not in done.output
    assert world.graph_calls() == []


def test_a_page_token_is_kept_without_an_end(world: World) -> None:
    done = add(world, token_of(FIRST), "--flavour", "facebook")
    assert done.exit_code == 0, done.output
    row = world.row("select login_flavour, expires_at from accounts join account_tokens using (account_id)")
    assert row == {"login_flavour": "facebook", "expires_at": None}
    assert lines(done)[1].startswith("It is assumed that the token does not expire. That is so for a Page token that ")
    assert "any other lives for an hour" in lines(done)[1]
    assert callers(world, "refresh") == []


def test_what_is_left_of_a_tokens_life_may_be_said(world: World) -> None:
    done = add(world, token_of(FIRST), "--expires-in-days", "12")
    assert life_of(world, FIRST) == 12 * DAY_S
    assert lines(done)[1] == "The token's life is 12 days, as given: Meta was not asked."
    assert callers(world, "refresh") == []


def test_a_token_that_meta_refreshes_is_replaced_by_the_new_one_with_the_life_that_meta_names(world: World) -> None:
    grant(world, "local-very-secret-dashboard", life_s=5_183_944)
    done = add(world, "local-very-secret-dashboard")
    assert done.exit_code == 0, done.output
    assert lines(done)[1] == "Meta refreshed the token, and it lives for 60 days."
    assert life_of(world, FIRST) == 5_183_944
    stored = unseal(ciphertext_of(world, FIRST), account_id=FIRST, keys=(keys.TOKEN_KEY,))
    assert stored.startswith("local-refreshed-")


def test_a_life_of_an_hour_is_kept_as_that_and_a_longer_one_is_asked_for(world: World) -> None:
    grant(world, "local-very-secret-hour", life_s=3600)
    done = add(world, "local-very-secret-hour")
    assert lines(done)[1] == ("Meta refreshed the token, and it lives for 1 hour. That is short: add one that lasts.")
    assert life_of(world, FIRST) == 3600


@pytest.mark.parametrize("kind", ["young", "short"])
def test_a_life_that_meta_does_not_name_is_said_to_be_assumed(world: World, kind: str) -> None:
    token = f"local-{kind}-very-secret-{FIRST}"
    done = add(world, token)
    assert done.exit_code == 0, done.output
    (_, about_life) = lines(done)
    assert about_life.startswith("It is assumed that the token lives for 60 days. ")
    assert "did not refresh the token (graph_invalid_parameter)" in about_life
    assert "no token that is younger than a day, and none that lives for an hour" in about_life
    assert "accounts check` fails two hours from now" in about_life
    assert life_of(world, FIRST) == 60 * DAY_S
    assert unseal(ciphertext_of(world, FIRST), account_id=FIRST, keys=(keys.TOKEN_KEY,)) == token


@pytest.mark.parametrize("fault", ["500", "rate_limit", "expired_token", "permission_missing", "garbage"])
def test_whatever_a_refresh_comes_to_the_account_is_added_and_asked_about_once(world: World, fault: str) -> None:
    world.graph_fault("refresh", fault)
    done = add(world, token_of(FIRST))
    assert done.exit_code == 0, done.output
    assert lines(done)[1].startswith("It is assumed that the token lives for 60 days. ")
    assert life_of(world, FIRST) == 60 * DAY_S
    assert state_of(world, FIRST) == ("active", None)
    assert [call["endpoint"] for call in world.graph_calls()].count("refresh") == 1


def test_no_token_is_refreshed_that_can_not_be_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, hosted(world))
    assert add(world, token_of(FIRST)).exit_code == 1
    assert callers(world, "refresh") == []


def test_a_hosted_project_needs_a_key_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, hosted(world))
    done = add(world, token_of(FIRST))
    assert done.exit_code == 1
    assert "TOKEN_ENCRYPTION_KEY is not set. Make one up: openssl rand -base64 32." in done.output
    use(monkeypatch, hosted(world, TOKEN_ENCRYPTION_KEY=NEW_KEY))
    assert add(world, token_of(FIRST)).exit_code == 0
    assert is_under_first_key(ciphertext_of(world, FIRST), (NEW_KEY,))


def test_metas_own_api_is_asked_about_a_hosted_project_and_needs_the_apps_own_secret(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, hosted(world, INSTAGRAM_APP_SECRET="", TOKEN_ENCRYPTION_KEY=NEW_KEY))
    done = add(world, token_of(FIRST))
    assert done.exit_code == 1
    assert "INSTAGRAM_APP_SECRET is not set. Meta App Dashboard" in done.output
    use(monkeypatch, hosted(world, INSTAGRAM_APP_SECRET="another-apps", TOKEN_ENCRYPTION_KEY=NEW_KEY))
    done = add(world, token_of(FIRST))
    assert done.exit_code == 1
    assert "graph_invalid_parameter" in done.output


def test_the_list_shows_states_and_ages_and_no_token(world: World) -> None:
    assert lines(run(world, "list")) == ["No accounts. `python -m cli accounts add` adds one."]
    add(world, token_of(FIRST), "--expires-in-days", "12")
    add(world, token_of(SECOND), "--flavour", "facebook")
    world.db.execute("update account_tokens set issued_at = now() - interval '3 days'")
    world.rows("select mark_account(%s, 'stopped', 'graph_policy_block')", SECOND)
    world.rows("select mark_account('17841400000000033', 'needs_reauth', 'deauthorized')")
    done = run(world, "list")
    assert done.exit_code == 0
    assert lines(done) == [
        "ACCOUNT OTHER ID USERNAME LOG-IN STATE TOKEN",
        f"{FIRST} {other_id(FIRST)} shop.0011 instagram active 3 d old, 11 d left",
        f"{SECOND} {other_id(SECOND)} shop.0022 facebook stopped (graph_policy_block) 3 d old, does not expire",
        "17841400000000033 - - instagram needs_reauth (deauthorized) none",
    ]


def test_a_check_of_good_accounts_is_a_success(world: World) -> None:
    connect(world, FIRST)
    connect(world, SECOND, flavour="facebook", life_days=None)
    done = run(world, "check")
    assert done.exit_code == 0, done.output
    assert lines(done) == [f"{FIRST} ok works, 59 d left", f"{SECOND} ok works"]


def test_a_check_stops_the_account_of_a_dead_token_and_starts_it_when_it_works_again(world: World) -> None:
    connect(world, FIRST, SECOND)
    world.graph_fault("me", "expired_token", times=1)
    done = run(world, "check")
    assert done.exit_code == 1
    assert lines(done)[0].startswith(f"{FIRST} BAD graph_token_invalid: ")
    assert lines(done)[1] == f"{SECOND} ok works, 59 d left"
    assert (state_of(world, FIRST)[0], state_of(world, SECOND)[0]) == ("needs_reauth", "active")
    done = run(world, "check")
    assert done.exit_code == 0
    assert lines(done)[0] == f"{FIRST} ok works, sends start again, 59 d left"
    assert state_of(world, FIRST) == ("active", None)


def test_a_check_that_can_not_reach_meta_stops_nobody(world: World) -> None:
    connect(world, FIRST)
    world.graph_fault("me", "500")
    done = run(world, "check")
    assert done.exit_code == 1
    assert "graph_unavailable" in done.output
    assert state_of(world, FIRST) == ("active", None)


def test_a_check_finds_the_token_of_another_account_and_an_id_that_changed(world: World) -> None:
    connect(world, FIRST, token=token_of(SECOND))
    connect(world, SECOND)
    world.db.execute("update accounts set app_scoped_id = '26000000000000001' where account_id = %s", (SECOND,))
    done = run(world, "check")
    assert done.exit_code == 1
    assert lines(done) == [
        f"{FIRST} BAD wrong_account: the token is for {SECOND}",
        f"{SECOND} BAD wrong_id: its other id is {other_id(SECOND)} now; add it again",
    ]


def test_a_check_names_what_it_can_not_mend(world: World) -> None:
    connect(world, FIRST, life_days=5)
    connect(world, SECOND)
    world.rows("select mark_account(%s, 'stopped', 'graph_policy_block')", SECOND)
    done = run(world, "check")
    assert done.exit_code == 1
    assert lines(done)[0] == f"{FIRST} BAD works, 4 d left"
    assert lines(done)[1].startswith(f"{SECOND} BAD stopped: graph_policy_block")
    assert state_of(world, SECOND)[0] == "stopped"


def test_after_a_check_the_older_key_can_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(world, FIRST)
    connect(world, SECOND, flavour="facebook", life_days=None)
    issued = world.rows("select account_id, issued_at, expires_at from account_tokens order by 1")
    use(monkeypatch, {"TOKEN_ENCRYPTION_KEY": f"{NEW_KEY},{keys.TOKEN_KEY}"})
    done = run(world, "check")
    assert done.exit_code == 0, done.output
    assert [line.count("now under the first key") for line in lines(done)] == [1, 1]
    use(monkeypatch, {"TOKEN_ENCRYPTION_KEY": NEW_KEY})
    assert lines(run(world, "check")) == [f"{FIRST} ok works, 59 d left", f"{SECOND} ok works"]
    assert world.rows("select account_id, issued_at, expires_at from account_tokens order by 1") == issued


def test_with_the_wrong_key_a_check_says_so_and_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(world, FIRST)
    before = ciphertext_of(world, FIRST)
    use(monkeypatch, {"TOKEN_ENCRYPTION_KEY": NEW_KEY})
    done = run(world, "check")
    assert done.exit_code == 1
    assert lines(done) == [f"{FIRST} BAD token_unreadable: no key in TOKEN_ENCRYPTION_KEY decrypts it"]
    assert (ciphertext_of(world, FIRST), state_of(world, FIRST)) == (before, ("active", None))


def test_a_refresh_by_hand_does_what_the_cron_job_does(world: World) -> None:
    connect(world, FIRST, token=dead_token_of(FIRST))
    connect(world, SECOND)
    assert lines(run(world, "refresh")) == ["0 refreshed, 0 failed, 0 expire soon."]
    world.db.execute("update account_tokens set issued_at = now() - interval '40 days'")
    done = run(world, "refresh")
    assert done.exit_code == 1
    assert lines(done) == ["1 refreshed, 1 failed, 0 expire soon.", f"{FIRST} FAILED graph_token_invalid"]


def test_the_command_is_part_of_the_laptops_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "accounts", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(command in done.stdout for command in ("add", "list", "check", "refresh", "subscribe"))
