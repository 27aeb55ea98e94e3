"""`python -m cli dead-letters`: what QStash gave up on is seen, sent again once its cause is gone, or given up."""

import base64
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from dev.stack import keys
from dev.stack.environment import child_environment
from dev.stack.ports import free_port
from tests.support.builders import ACCOUNT, CONTACT, comment, message, webhook
from tests.support.deliveries import body_of, event, failure_callback, post
from tests.support.processes import started
from tests.support.world import CONSUMER, FAILURE, World

WORDS = "refused gardenia"
OTHER_ACCOUNT = "17841400000000077"


@pytest.fixture(autouse=True)
def _settings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's own `.env` says."""
    use(monkeypatch)
    monkeypatch.setenv("COLUMNS", "100")


def use(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """The operator's `.env` has these settings."""
    monkeypatch.setattr("dev.stack.options.user_settings", lambda _root: settings)


def run(world: World, *arguments: str, stdin: str | None = None) -> Result:
    where = [f"--{name}-port={getattr(world.stack.config.ports, name)}" for name in ("functions", "qstash", "rest")]
    graph = f"--graph-port={world.stack.config.ports.graph}"
    done = CliRunner().invoke(cli, ["dead-letters", *arguments, *where, graph], input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    if "--with-content" not in arguments:
        assert "gardenia" not in done.output
    return done


def counts(done: Result) -> dict[str, int]:
    """The summary."""
    return {name: int(count) for name, count in re.findall(r"^([a-z ]+?) +(\d+)$", done.stdout, re.M)}


@contextmanager
def refusing(world: World) -> Iterator[None]:
    """The database refuses messages and comments with some words, for good."""
    world.db.execute("alter table messages add constraint no_such_words check (text not like 'refused%')")
    world.db.execute("alter table comments add constraint no_such_words check (text not like 'refused%')")
    try:
        yield
    finally:
        world.db.execute("alter table messages drop constraint no_such_words")
        world.db.execute("alter table comments drop constraint no_such_words")


def poison(world: World, *mids: str, account: str = ACCOUNT) -> None:
    """Messages that could not be processed; their cause is gone by now."""
    with refusing(world):
        world.deliver(webhook(*(message(WORDS, mid=mid) for mid in mids), account=account))


def dlq(world: World) -> list[dict[str, Any]]:
    """QStash's own dead letter queue."""
    headers = {"Authorization": f"Bearer {keys.QSTASH_TOKEN}"}
    return list(world.standins.get(f"{world.stack.qstash_url}/v2/dlq", headers=headers).json()["messages"])


def states(world: World) -> list[str]:
    return [row["state"] for row in world.rows("select state from dead_letters order by event_id, failed_at")]


def letter_id(world: World) -> str:
    return str(world.row("select source_message_id from dead_letters")["source_message_id"])


# Looked at.


def test_without_dead_letters_the_list_says_so(world: World) -> None:
    assert run(world, "list").stdout == "No dead letters.\n"


def test_a_list_says_what_whose_why_and_when_and_nothing_that_a_person_wrote(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    poison(world, "one")
    letter = world.row("select *, to_char(failed_at at time zone 'utc', 'YYYY-MM-DD HH24:MI') as at from dead_letters")
    done = run(world, "list")
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()
    assert first == letter["source_message_id"]
    assert second == f"  message   {ACCOUNT}  {letter['at']}  489 database_constraint  open"
    assert len(second) <= 80


def test_a_long_list_ends_with_how_many_more_there_are(world: World) -> None:
    poison(world, "one", "two", "three")
    shown = run(world, "list", "--limit", "2").stdout.splitlines()
    assert (len(shown), shown[-1]) == (5, "and 1 more; --limit shows them.")


def test_one_is_shown_with_its_ids_its_error_and_its_attempts(world: World) -> None:
    poison(world, "one")
    letter = world.row("select * from dead_letters")
    done = run(world, "show", letter["source_message_id"])
    assert done.exit_code == 0, done.output
    told = {line[:11].strip(): line[11:] for line in done.stdout.splitlines()}
    assert (told["letter"], told["event"]) == (letter["source_message_id"], "ig_msg_one")
    assert (told["DLQ id"], told["account"]) == (letter["dlq_id"], ACCOUNT)
    assert (told["status"], told["error"], told["attempts"]) == ("489", "database_constraint", "1 of 4")
    assert (told["kind"], told["state"], told["sent to"]) == ("message", "open", world.stack.functions_url + CONSUMER)


def test_what_the_person_wrote_is_shown_to_whoever_asks_for_it(world: World) -> None:
    poison(world, "one")
    done = run(world, "show", "ig_msg_one", "--with-content")
    shown = json.loads(done.stdout[done.stdout.index("{") :])
    assert (shown["text"], shown["mid"]) == (WORDS, "one")


def test_a_letter_that_does_not_exist_is_an_error(world: World) -> None:
    done = run(world, "show", "msg_nobody")
    assert done.exit_code == 1
    assert "There is no dead letter msg_nobody." in done.output


def test_a_foreign_message_is_shown_and_discarded_and_never_replayed(world: World) -> None:
    post(world, FAILURE, failure_callback(sourceBody=base64.b64encode(b"gardenia\x1b[31m").decode(), dlqId=None))
    assert "a foreign message" in run(world, "show", "msg_1").stdout
    assert "gardenia\ufffd[31m" in run(world, "show", "msg_1", "--with-content").stdout
    done = run(world, "retry", "msg_1")
    assert (done.exit_code, counts(done)) == (1, {"no event": 1})
    assert states(world) == ["open"]
    assert counts(run(world, "discard", "msg_1")) == {"discarded": 1}
    assert states(world) == ["discarded"]


# Replayed.


def test_a_replayed_message_lands_once_and_the_letter_and_its_entry_are_closed(world: World) -> None:
    poison(world, "one")
    assert (world.count("messages"), len(dlq(world))) == (0, 1)
    done = run(world, "retry", letter_id(world))
    assert (done.exit_code, counts(done)) == (0, {"queued": 1})
    world.settle()
    assert world.row("select mid, text from messages") == {"mid": "one", "text": WORDS}
    assert (states(world), dlq(world)) == (["replayed"], [])
    assert world.row("select closed_at is not null as closed from dead_letters") == {"closed": True}
    assert counts(run(world, "retry", letter_id(world))) == {"already closed": 1}
    assert world.count("messages") == 1


def test_a_replay_plans_and_sends_what_the_event_owes_once(world: World) -> None:
    world.rule(trigger="keyword", pattern="gardenia", reply_text="20.")
    poison(world, "one")
    run(world, "retry", "--all")
    run(world, "retry", "--all")
    world.settle()
    assert [sent["message"]["text"] for sent in world.sent()] == ["20."]


def test_two_replays_at_once_are_one(world: World) -> None:
    world.rule(trigger="keyword", pattern="gardenia", reply_text="20.")
    with refusing(world):  # a person each: replies to one person wait for each other
        world.deliver(
            webhook(*(message(WORDS, mid=f"m{number}", contact=f"{CONTACT}{number}") for number in range(12)))
        )
    ports = world.stack.config.ports
    where = [f"--{name}-port={getattr(ports, name)}" for name in ("functions", "qstash", "rest", "graph")]
    command = [sys.executable, "-m", "cli", "dead-letters", "retry", "--all", *where]
    with started(command, child_environment({})) as one, started(command, child_environment({})) as other:
        for operator in (one, other):
            output, _ = operator.communicate(timeout=60)
            assert operator.returncode == 0, output
    world.settle()
    assert len(world.rows("select mid from messages where direction = 'inbound'")) == 12
    assert (set(states(world)), dlq(world)) == ({"replayed"}, [])
    assert len(world.sent()) == 12


def test_what_fails_again_comes_back_as_a_new_letter_and_can_be_replayed_at_once(world: World) -> None:
    poison(world, "one")
    with refusing(world):
        assert counts(run(world, "retry", "--all")) == {"queued": 1}
        world.settle()
    # QStash had the event, and it was not processed: the older letter gave way to the newer one.
    assert sorted(states(world)) == ["open", "superseded"]
    assert counts(run(world, "retry", "--all")) == {"queued": 1}
    world.settle()
    assert (world.count("messages"), sorted(states(world)), dlq(world)) == (1, ["replayed", "superseded"], [])


def test_a_letter_is_open_until_its_event_is_processed(world: World) -> None:
    poison(world, "one")
    world.forget_deduplication()
    with world.qstash_fault(delivery={"delay_ms": 3000}):
        assert counts(run(world, "retry", "--all")) == {"queued": 1}
        assert states(world) == ["open"]
        assert "retried, waiting" in run(world, "list").stdout
        # QStash takes a second retry for the same message.
        assert counts(run(world, "retry", "--all")) == {"queued": 1}
    assert world.settle()["delivered"] == 1
    assert states(world) == ["replayed"]


def test_an_event_that_came_through_meanwhile_is_not_sent_again(world: World) -> None:
    poison(world, "one")
    world.forget_deduplication()
    assert post(world, CONSUMER, body_of(event(event_id="ig_msg_one", mid="one"))).json()["status"] == "processed"
    assert states(world) == ["replayed"]
    assert run(world, "retry", "--all").stdout.startswith("No dead letters.")
    run(world, "find-lost")
    assert (world.settle()["delivered"], dlq(world)) == (0, [])


def test_the_sweeper_closes_letters_of_what_it_has_finished(world: World) -> None:
    world.rule(trigger="comment", reply_text="Look into your messages")
    world.graph_fault("send", "429")
    world.deliver(webhook(comment("hi"), under="changes"))
    assert states(world) == ["open"]
    world.graph_fault("send", "ok")
    world.sweep()
    world.sweep()
    assert states(world) == ["replayed"]


def test_while_qstash_is_down_a_replay_is_processed_from_here(world: World) -> None:
    poison(world, "one")
    with world.qstash_fault(publish="refuse"):
        done = run(world, "retry", "--all")
    assert (done.exit_code, counts(done)) == (0, {"processed": 1})
    assert (world.count("messages"), states(world), dlq(world)) == (1, ["replayed"], [])


def test_an_entry_that_can_not_be_deleted_keeps_no_letter_open_and_is_deleted_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(world, "one")
    with monkeypatch.context() as away:
        use(
            away,
            QSTASH_URL=f"http://127.0.0.1:{free_port()}",
            QSTASH_TOKEN=keys.QSTASH_TOKEN,
            QSTASH_CURRENT_SIGNING_KEY=keys.QSTASH_CURRENT_SIGNING_KEY,
        )
        done = run(world, "retry", "--all")
    assert (done.exit_code, counts(done)) == (0, {"processed": 1})
    assert "Still in QStash's own queue: 1; `find-lost` deletes them." in done.stdout
    assert (states(world), len(dlq(world))) == (["replayed"], 1)
    run(world, "find-lost")
    assert dlq(world) == []


def test_what_fails_from_here_stays_open_and_is_named_with_its_code(world: World) -> None:
    poison(world, "one")
    with refusing(world), world.qstash_fault(publish="refuse"):
        done = run(world, "retry", "ig_msg_one")
    assert (done.exit_code, counts(done)) == (1, {"failed": 1})
    assert re.search(r"^failed: msg_\S+  database_constraint$", done.stdout, re.M)
    assert "open" in states(world)
    assert len(dlq(world)) == 1


def test_a_letter_of_an_event_processed_directly_is_replayed_through_qstash(world: World) -> None:
    with refusing(world), world.qstash_fault(publish="refuse"):
        world.post_webhook(webhook(message(WORDS, mid="one")))
    assert letter_id(world) == f"direct:ig_msg_one:{ACCOUNT}"
    assert counts(run(world, "retry", f"direct:ig_msg_one:{ACCOUNT}")) == {"queued": 1}
    world.settle()
    assert (world.count("messages"), states(world)) == (1, ["replayed"])


def test_a_dry_run_says_what_would_be_done_and_does_nothing(world: World) -> None:
    poison(world, "one", "two")
    done = run(world, "retry", "--all", "--dry-run")
    assert (done.exit_code, counts(done)) == (0, {"queued": 2})
    assert "A dry run" in done.stdout
    world.settle()
    assert (world.count("messages"), states(world), len(dlq(world))) == (0, ["open", "open"], 2)
    assert run(world, "discard", "--all", "--dry-run").stdout == "2 would be discarded.\n"
    assert states(world) == ["open", "open"]


def test_more_letters_than_a_page_are_all_replayed(world: World) -> None:
    for start in range(0, 250, 50):
        poison(world, *(f"m{number:03}" for number in range(start, start + 50)))
    assert counts(run(world, "retry", "--all")) == {"queued": 250}
    world.settle()
    assert (world.count("messages"), set(states(world)), dlq(world)) == (250, {"replayed"}, [])


# Chosen.


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--kind", "comment"], {"ig_cmt"}),
        (["--account", OTHER_ACCOUNT], {"ig_msg_two"}),
        (["--account", "26000000000000077"], {"ig_msg_two"}),
        (["--code", "database_constraint", "--kind", "message"], {"ig_msg_one", "ig_msg_two", "ig_msg_old"}),
        (["--code", "another"], set()),
        (["--since", "1h"], {"ig_msg_one", "ig_msg_two", "ig_cmt"}),
        (["--until", "1h"], {"ig_msg_old"}),
        (["ig_msg_one", "ig_msg_old"], {"ig_msg_one", "ig_msg_old"}),
    ],
)
def test_a_filter_or_ids_choose_and_the_others_stay_open(world: World, options: list[str], expected: set[str]) -> None:
    poison(world, "one", "old")
    poison(world, "two", account=OTHER_ACCOUNT)
    with refusing(world):
        world.deliver(webhook(comment(WORDS), under="changes"))
    world.db.execute("update dead_letters set event_id = 'ig_cmt' where kind = 'comment'")
    world.db.execute("update dead_letters set failed_at = failed_at - interval '1 day' where event_id = 'ig_msg_old'")
    world.db.execute(
        "insert into accounts (account_id, app_scoped_id) values (%s, '26000000000000077') "
        "on conflict (account_id) do update set app_scoped_id = excluded.app_scoped_id",
        (OTHER_ACCOUNT,),
    )
    done = run(world, "discard", "--yes", *options)
    assert counts(done) == ({"discarded": len(expected)} if expected else {})
    closed = world.rows("select event_id from dead_letters where state = 'discarded'")
    assert {row["event_id"] for row in closed} == expected
    assert len(dlq(world)) == 4 - len(expected)


@pytest.mark.parametrize("command", ["retry", "discard"])
@pytest.mark.parametrize("options", [[], ["--all", "--code", "x"], ["msg_1", "--all"], ["msg_1", "--kind", "message"]])
def test_what_can_not_be_meant_is_refused(world: World, command: str, options: list[str]) -> None:
    done = run(world, command, *options)
    assert done.exit_code == 2
    assert "Give ids, or a filter, or --all." in done.output


def test_many_are_discarded_only_after_a_yes(world: World) -> None:
    poison(world, "one", "two")
    assert run(world, "discard", "--all", stdin="n\n").exit_code == 1
    assert states(world) == ["open", "open"]
    done = run(world, "discard", "--all", stdin="y\n")
    assert "Discard 2 dead letters for good?" in done.stdout
    assert (states(world), dlq(world)) == (["discarded", "discarded"], [])
    assert run(world, "retry", "--all").stdout == "No dead letters.\n"
    assert world.count("messages") == 0


def test_a_list_of_another_state_shows_what_is_over(world: World) -> None:
    poison(world, "one")
    run(world, "discard", "ig_msg_one")
    assert run(world, "list").stdout == "No dead letters.\n"
    assert "discarded" in run(world, "list", "--state", "discarded").stdout
    assert "discarded" in run(world, "list", "--state", "all").stdout


# Found.


def test_an_entry_of_qstash_whose_callback_never_came_is_found_and_replayed(world: World) -> None:
    poison(world, "one")
    lost = world.row("select * from dead_letters")
    world.db.execute("delete from dead_letters")
    done = run(world, "find-lost")
    assert done.exit_code == 1
    assert "1 without a letter, stored now" in done.stdout
    found = world.row("select * from dead_letters")
    same = ("source_message_id", "dlq_id", "event_id", "kind", "account_id", "url", "status", "error_code", "event",
            "max_retries", "first_tried_at", "state")  # fmt: skip
    assert {name: found[name] for name in same} == {name: lost[name] for name in same}
    again = run(world, "find-lost")
    assert (again.exit_code, "0 without a letter, stored now; 1 with an open letter" in again.stdout) == (0, True)
    assert counts(run(world, "retry", "--all")) == {"queued": 1}
    world.settle()
    assert (world.count("messages"), dlq(world)) == (1, [])


def test_entries_on_many_pages_are_found(world: World) -> None:
    for start in range(0, 150, 50):
        poison(world, *(f"m{number:03}" for number in range(start, start + 50)))
    world.db.execute("delete from dead_letters")
    assert "150 without a letter, stored now" in run(world, "find-lost").stdout
    assert world.count("dead_letters") == 150


def test_entries_whose_letter_is_closed_are_deleted(world: World) -> None:
    poison(world, "one")
    world.db.execute("update dead_letters set state = 'discarded'")
    done = run(world, "find-lost")
    assert (done.exit_code, dlq(world), states(world)) == (0, [], ["discarded"])
    assert "1 done, deleted now" in done.stdout


def test_entries_of_somebody_who_was_erased_are_deleted_and_not_kept(world: World) -> None:
    poison(world, "one")
    erased = CliRunner().invoke(
        cli, ["erase", "--contact", CONTACT, "--account", ACCOUNT, f"--rest-port={world.stack.config.ports.rest}"]
    )
    assert erased.exit_code == 0, erased.output
    run(world, "find-lost")
    assert (world.count("dead_letters"), dlq(world)) == (0, [])


def test_what_another_deployment_failed_on_is_left_alone(world: World) -> None:
    headers = {
        "Authorization": f"Bearer {keys.QSTASH_TOKEN}",
        "Upstash-Retries": "0",
        "Upstash-Label": "instagram-messaging-event",
    }
    elsewhere = f"{world.stack.graph_url}/api/qstash/instagram-ingestion"
    answer = world.standins.post(f"{world.stack.qstash_url}/v2/publish/{elsewhere}", headers=headers, json=event())
    assert answer.status_code == 200, answer.text
    world.settle()
    assert run(world, "find-lost").exit_code == 0
    assert (world.count("dead_letters"), len(dlq(world))) == (0, 1)


def test_a_body_that_qstash_hides_is_named_for_a_retry_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing(world), world.stack.functions({"QSTASH_REDACT_BODY": "true"}) as base_url:
        world.post_webhook(webhook(message(WORDS, mid="one")), base_url=base_url)
        world.settle()
    world.db.execute("delete from dead_letters")
    [entry] = dlq(world)
    use(monkeypatch, PUBLIC_URL=base_url)
    done = run(world, "find-lost")
    assert done.exit_code == 1
    assert f"hidden: {entry['dlqId']}" in done.stdout
    assert (world.count("dead_letters"), len(dlq(world))) == (0, 1)


def test_what_was_recorded_and_never_finished_is_shown(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429")
    with world.qstash_fault(publish="refuse"):
        world.post_webhook(webhook(message("price gardenia", mid="one")))
    assert "Recorded and not finished: 0." in run(world, "find-lost").stdout, "it is young"
    world.db.execute("update events set recorded_at = recorded_at - interval '1 hour'")
    done = run(world, "find-lost")
    assert done.exit_code == 1
    assert re.search(rf"^[\d-]+ [\d:]+  message  {ACCOUNT}  ig_msg_one$", done.stdout, re.M)
    world.graph_fault("send", "ok")


# Where.


def test_on_a_hosted_project_letters_go_by_its_own_qstash_to_its_own_functions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(world, "one")
    hosted = {
        "SUPABASE_URL": world.stack.supabase_url,
        "SUPABASE_SERVICE_ROLE_KEY": world.stack.service_role_key,
        "QSTASH_URL": world.stack.qstash_url,
        "QSTASH_CURRENT_SIGNING_KEY": keys.QSTASH_CURRENT_SIGNING_KEY,
        "INSTAGRAM_APP_SECRET": keys.APP_SECRET,
    }
    use(monkeypatch, **hosted)
    done = run(world, "retry", "--all")
    assert done.exit_code == 2
    assert "For a hosted project set QSTASH_TOKEN, and PRODUCTION_DOMAIN or PUBLIC_URL" in done.output
    use(monkeypatch, **hosted, QSTASH_TOKEN=keys.QSTASH_TOKEN, PUBLIC_URL=world.stack.functions_url)
    assert counts(run(world, "retry", "--all")) == {"queued": 1}
    world.settle()
    assert (world.count("messages"), states(world)) == (1, ["replayed"])
