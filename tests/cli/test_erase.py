"""`python -m cli erase`: what an operator sees, and what is gone afterwards."""

import re
from collections.abc import Callable
from dataclasses import asdict

import httpx
import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from dev.stack.ports import free_port
from tests.support.builders import ACCOUNT, CONTACT, OTHER_CONTACT, message, webhook
from tests.support.erasures import OTHER_ACCOUNT, an_account, erasing_broken, preview, reply_rule, request, state
from tests.support.lives import Life, traces
from tests.support.world import World

Erase = Callable[..., Result]


@pytest.fixture(params=["local", "hosted"])
def erase(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> Erase:
    """The command, on the local stack by its ports, or on a hosted project by its URL and key."""
    for name in ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "PUBLIC_URL", "PRODUCTION_DOMAIN", "DEV_PORT_BASE"):
        monkeypatch.delenv(name, raising=False)
    where = [f"--{name}-port={port}" for name, port in asdict(world.stack.config.ports).items()]
    if request.param == "hosted":
        monkeypatch.setenv("SUPABASE_URL", world.stack.supabase_url)
        monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", world.stack.service_role_key)
        monkeypatch.setenv("PRODUCTION_DOMAIN", "shop.example")
        where = []

    def run(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(cli, ["erase", *where, *arguments], input=stdin)

    return run


def counts(done: Result) -> dict[str, int]:
    """The table that is shown first."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.M)}


def code_in(done: Result) -> str:
    found = re.search(r"^Confirmation code: ([A-Z2-7]{24})$", done.stdout, re.M)
    assert found, done.output
    return found[1]


def test_a_person_is_counted_then_erased_and_the_code_shows_it(world: World, erase: Erase) -> None:
    reply_rule(world)
    life = Life(world, contact=CONTACT, words="gardenia")
    expected = preview(world, CONTACT, "contact")
    done = erase("--contact", CONTACT)
    assert done.exit_code == 0, done.output
    assert counts(done) == {**expected, "all": sum(expected.values())}
    assert f"\n{sum(expected.values())} rows erased.\n" in done.stdout
    assert traces(world, *life.needles) == {}
    assert state(world, code_in(done))["state"] == "done"


def test_the_address_of_the_state_is_where_people_reach_the_functions(world: World, erase: Erase) -> None:
    done = erase("--contact", CONTACT)
    address = re.search(r"^State of the request: (\S+)$", done.stdout, re.M)
    assert address
    if "shop.example" in address[1]:
        assert address[1] == f"https://shop.example/api/privacy/deletion-status?code={code_in(done)}"
    else:
        assert "Nothing was stored about you" in httpx.get(address[1]).text


def test_a_dry_run_counts_and_erases_nothing(world: World, erase: Erase) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    before = world.snapshot()
    done = erase("--contact", CONTACT, "--dry-run")
    assert done.exit_code == 0
    assert counts(done)["messages"] == len(before["messages"])
    assert world.snapshot() == before
    assert world.count("erasures") == 0


def test_a_person_nobody_knows_gets_a_code_too(world: World, erase: Erase) -> None:
    done = erase("--contact", CONTACT)
    assert done.exit_code == 0
    assert "Nothing is stored." in done.stdout
    assert state(world, code_in(done))["rows_erased"] == 0


def test_with_both_ids_only_what_the_person_left_with_that_account_goes(world: World, erase: Erase) -> None:
    world.deliver(webhook(message("hydrangea"), account=OTHER_ACCOUNT))
    world.deliver(webhook(message("gardenia")))
    erase("--contact", CONTACT, "--account", ACCOUNT)
    assert [row["text"] for row in world.rows("select text from messages")] == ["hydrangea"]


@pytest.mark.parametrize("answer", ["", "n\n"])
def test_an_account_is_not_erased_without_a_yes(world: World, erase: Erase, answer: str) -> None:
    world.deliver(webhook(message("hydrangea")))
    done = erase("--account", ACCOUNT, stdin=answer)
    assert done.exit_code == 1
    assert f"Erase all data of the account {ACCOUNT} for good?" in done.output
    assert world.count("messages") == 1
    assert world.count("erasures") == 0


@pytest.mark.parametrize(("flags", "answer"), [(["--yes"], ""), ([], "y\n")])
def test_an_account_is_erased_with_a_yes_and_the_others_stay(
    world: World, erase: Erase, flags: list[str], answer: str
) -> None:
    world.deliver(webhook(message("hydrangea")))
    an_account(world)
    Life(world, contact=OTHER_CONTACT, words="orchid", account=OTHER_ACCOUNT)
    done = erase("--account", OTHER_ACCOUNT, *flags, stdin=answer)
    assert done.exit_code == 0, done.output
    assert re.search(r"^\d+ so far$", done.stderr, re.M)
    assert traces(world, OTHER_ACCOUNT, "orchid") == {}
    assert world.row("select text from messages")["text"] == "hydrangea"


def test_what_was_left_pending_is_finished(world: World, erase: Erase) -> None:
    lives = [Life(world, contact=contact, words="gardenia") for contact in (CONTACT, OTHER_CONTACT)]
    codes = [request(world, life.contact) for life in lives]
    done = erase("--pending")
    assert done.exit_code == 0, done.output
    assert done.stdout == "2 finished, 0 left, 0 failed.\n"
    assert traces(world, "gardenia", CONTACT, OTHER_CONTACT) == {}
    assert {state(world, code)["state"] for code in codes} == {"done"}
    assert erase("--pending").stdout == "0 finished, 0 left, 0 failed.\n"


def test_one_that_fails_is_named_and_keeps_no_other_back(world: World, erase: Erase) -> None:
    for contact in (CONTACT, OTHER_CONTACT):
        world.deliver(webhook(message("gardenia", contact=contact)))
    bad, good = request(world, CONTACT), request(world, OTHER_CONTACT)
    world.db.execute(
        "create function refuse() returns trigger language plpgsql as "
        "$$ begin raise exception 'held for a court' using errcode = '23514'; end $$; "
        "create trigger held before delete on messages for each row "
        f"when (old.contact_id = '{CONTACT}') execute function refuse()"
    )
    try:
        done = erase("--pending")
    finally:
        world.db.execute("drop function refuse() cascade")
    assert done.exit_code == 1
    assert done.stdout == f"1 finished, 0 left, 1 failed.\n{bad}  database_constraint\n"
    assert state(world, good)["state"] == "done"


def test_a_failure_on_the_way_is_a_sentence_and_pending_goes_on(world: World, erase: Erase) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    with erasing_broken(world):
        done = erase("--contact", CONTACT)
    assert done.exit_code == 1
    assert "The rest is not erased yet; --pending goes on with it: database_" in done.stderr
    assert erase("--pending").exit_code == 0
    assert state(world, code_in(done))["state"] == "done"


@pytest.mark.parametrize(
    "arguments", [[], ["--pending", "--contact", "1"], ["--pending", "--dry-run"], ["--contact", ""], ["--yes"]]
)
def test_what_can_not_be_meant_is_refused(erase: Erase, arguments: list[str]) -> None:
    done = erase(*arguments)
    assert done.exit_code == 2
    assert "Give --contact, --account or both; or --pending alone." in done.output


def test_where_nothing_answers_one_sentence_says_what_to_do(erase: Erase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_x")
    done = erase("--contact", CONTACT)
    assert done.exit_code == 1
    assert re.search(r"Error: Nothing answers on http://127\.0\.0\.1:\d+: start the local stack", done.output)
