"""`python -m cli accounts subscribe`: every field that Meta takes, and the truth about those that it does not take."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from dev.stack import keys
from dev.stack.config import ROOT
from dev.stack.environment import graph_settings
from lib.graph.webhook_fields import EXPECTED, WANTED
from tests.support.accounts import FIRST, SECOND, connect, dead_token_of, other_id, token_of
from tests.support.world import World

INSTAGRAM, FACEBOOK = WANTED["instagram"], WANTED["facebook"]


@pytest.fixture(autouse=True)
def _settings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's own `.env` says. No account of the environment's token."""
    use(monkeypatch, world, {})


def use(monkeypatch: pytest.MonkeyPatch, world: World, settings: Mapping[str, str]) -> None:
    """The operator's `.env` has these settings, and names a stand-in for Meta."""
    meta = graph_settings({}, world.stack.graph_url) | {"INSTAGRAM_ACCESS_TOKEN": ""}
    monkeypatch.setattr("dev.stack.options.user_settings", lambda _root: meta | dict(settings))


def subscribe(world: World, *arguments: str) -> Result:
    ports = world.stack.config.ports
    places = ["--rest-port", str(ports.rest), "--graph-port", str(ports.graph)]
    places += ["--data-dir", str(world.stack.config.data_dir)]
    done = CliRunner().invoke(cli, ["accounts", "subscribe", *places, *arguments])
    assert "very-secret" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def lines(done: Result) -> list[str]:
    """What it said, without the line that names the project and the blanks that make columns."""
    return [" ".join(line.split()) for line in done.output.splitlines() if not line.startswith("Project: ")]


def fields_of(world: World, account_id: str, *, prefix: str = "") -> list[str]:
    """What Meta lists for the account."""
    answer = world.standins.get(
        f"{world.stack.graph_url}{prefix}/v26.0/me/subscribed_apps",
        headers={"Authorization": f"Bearer {token_of(account_id)}"},
    ).json()
    return [name for app in answer["data"] for name in app["subscribed_fields"]]


def unsubscribe(world: World, account_id: str) -> None:
    url = f"{world.stack.graph_url}/v26.0/me/subscribed_apps"
    world.standins.delete(url, headers={"Authorization": f"Bearer {token_of(account_id)}"}).raise_for_status()


def posts(world: World) -> list[dict[str, Any]]:
    calls = [call for call in world.graph_calls() if call["endpoint"] == "subscribed_apps"]
    return [call for call in calls if call["method"] == "POST"]


def test_an_account_gets_every_field_that_meta_takes_in_one_list(world: World) -> None:
    connect(world, FIRST)
    unsubscribe(world, FIRST)
    for _ in range(2):
        done = subscribe(world)
        assert done.exit_code == 0, done.output
        assert lines(done) == [f"{FIRST} ok subscribed to {', '.join(INSTAGRAM)}"]
        assert fields_of(world, FIRST) == list(INSTAGRAM)
    assert len(posts(world)) == 2


def test_a_page_is_asked_with_the_names_of_a_page(world: World) -> None:
    connect(world, FIRST, flavour="facebook", life_days=None)
    done = subscribe(world)
    assert done.exit_code == 0, done.output
    assert lines(done) == [f"{FIRST} ok subscribed to {', '.join(FACEBOOK)}"]
    assert [call["host"] for call in posts(world)] == ["facebook"]
    assert fields_of(world, FIRST, prefix="/facebook") == list(FACEBOOK)


@pytest.mark.parametrize(
    "unknown",
    [["message_edit"], ["messages", "live_comments"], ["messaging_optins", "messaging_handover", "standby"]],
    ids=len,
)
def test_what_meta_does_not_know_is_left_out_and_the_rest_is_one_list(world: World, unknown: list[str]) -> None:
    connect(world, FIRST)
    unsubscribe(world, FIRST)
    world.graph_fields(unknown=unknown)
    done = subscribe(world)
    rest = [name for name in INSTAGRAM if name not in unknown]
    assert fields_of(world, FIRST) == rest
    assert f"subscribed to {', '.join(rest)}; Meta does not know {', '.join(unknown)}" in lines(done)[0]
    assert done.exit_code == int("messages" in unknown)
    assert len(posts(world)) == len(unknown) + 1


def test_meta_may_take_nothing_at_all(world: World) -> None:
    connect(world, FIRST)
    unsubscribe(world, FIRST)
    world.graph_fields(unknown=list(INSTAGRAM))
    done = subscribe(world)
    assert done.exit_code == 1
    assert lines(done)[0].startswith(f"{FIRST} BAD subscribed to nothing; Meta does not know messages, ")
    assert len(posts(world)) == len(INSTAGRAM)


def test_a_field_without_its_permission_is_named_and_costs_no_other(world: World) -> None:
    connect(world, FIRST)
    world.graph_fields(forbidden=["comments", "live_comments"])
    done = subscribe(world)
    assert done.exit_code == 1
    rest = [name for name in INSTAGRAM if "comments" not in name]
    assert lines(done) == [
        f"{FIRST} BAD subscribed to {', '.join(rest)}; the token has no permission for comments, live_comments"
    ]
    assert fields_of(world, FIRST) == rest


def test_what_meta_leaves_out_in_silence_is_found_in_its_list(world: World) -> None:
    connect(world, FIRST)
    world.graph_fields(unticked=["live_comments"])
    done = subscribe(world)
    assert done.exit_code == 0
    assert lines(done)[0].endswith("; Meta left out live_comments")
    assert "tick it in the App Dashboard" in lines(done)[1]
    world.graph_fields(unticked=["messages"])
    done = subscribe(world)
    assert done.exit_code == 1
    assert lines(done)[0].startswith(f"{FIRST} BAD ")


def test_other_fields_of_the_account_stay(world: World) -> None:
    connect(world, FIRST)
    world.standins.post(
        f"{world.stack.graph_url}/v26.0/me/subscribed_apps",
        data={"subscribed_fields": "messages,mentions"},
        headers={"Authorization": f"Bearer {token_of(FIRST)}"},
    ).raise_for_status()
    assert subscribe(world).exit_code == 0
    assert fields_of(world, FIRST) == [*INSTAGRAM, "mentions"]


def test_an_answer_that_is_lost_is_settled_by_metas_list(world: World) -> None:
    connect(world, FIRST)
    world.graph_fault("subscribed_apps", "500", times=1)
    done = subscribe(world)
    assert done.exit_code == 0, done.output
    assert fields_of(world, FIRST) == list(INSTAGRAM)


@pytest.mark.parametrize("fault", ["invalid_parameter", "expired_token", "permission_missing"])
def test_a_refusal_that_names_no_field_ends_with_its_code(world: World, fault: str) -> None:
    connect(world, FIRST)
    before = fields_of(world, FIRST)
    world.graph_fault("subscribed_apps", fault)
    done = subscribe(world)
    world.graph_fault("subscribed_apps", "ok")
    assert done.exit_code == 1
    assert lines(done)[0].startswith(f"{FIRST} BAD graph_")
    assert fields_of(world, FIRST) == before


def test_one_account_can_be_named_by_either_id(world: World) -> None:
    connect(world, FIRST, SECOND)
    unsubscribe(world, FIRST)
    unsubscribe(world, SECOND)
    assert subscribe(world, "--account", FIRST).exit_code == 0
    assert (fields_of(world, FIRST), fields_of(world, SECOND)) == (list(INSTAGRAM), [])
    assert subscribe(world, "--account", other_id(SECOND)).exit_code == 0
    assert fields_of(world, SECOND) == list(INSTAGRAM)
    done = subscribe(world, "--account", "17841400000000099")
    assert done.exit_code == 1
    assert "No account 17841400000000099 has a token." in done.output


def test_a_dead_token_is_named_and_the_others_are_subscribed(world: World) -> None:
    connect(world, FIRST, token=dead_token_of(FIRST))
    connect(world, SECOND)
    done = subscribe(world)
    assert done.exit_code == 1
    assert [line.split()[:2] for line in lines(done)] == [[FIRST, "BAD"], [SECOND, "ok"]]
    assert "graph_token_invalid" in lines(done)[0]


def test_the_environments_token_is_for_its_own_account(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, world, {"INSTAGRAM_ACCESS_TOKEN": token_of(FIRST)})
    connect(world, SECOND)
    done = subscribe(world)
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in lines(done)] == [SECOND, FIRST]
    for account_id in (FIRST, other_id(FIRST)):
        assert [line.split()[0] for line in lines(subscribe(world, "--account", account_id))] == [FIRST]


def test_without_accounts_there_is_nothing_to_do(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hosted = {"SUPABASE_URL": world.stack.supabase_url, "SUPABASE_SERVICE_ROLE_KEY": world.stack.service_role_key}
    use(monkeypatch, world, {**hosted, "INSTAGRAM_APP_SECRET": keys.APP_SECRET})
    done = subscribe(world)
    assert done.exit_code == 0, done.output
    assert lines(done) == ["No accounts. `python -m cli accounts add` adds one."]


@pytest.mark.parametrize("flavour", ["instagram", "facebook"])
def test_what_the_doctor_expects_is_asked_for(flavour: Any) -> None:
    assert set(EXPECTED[flavour]) <= set(WANTED[flavour])


def test_the_documents_ask_for_the_same_fields() -> None:
    lists = [
        names
        for page in (ROOT / "docs").glob("*.md")
        for names in re.findall(r"subscribed_fields=([a-z_,]+)", page.read_text(encoding="utf-8"))
    ]
    assert lists == [",".join(INSTAGRAM)]
