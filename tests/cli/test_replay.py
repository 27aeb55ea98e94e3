"""`python -m cli replay`: an archive as older code left it is reprocessed by the code of today."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any, LiteralString

import psycopg
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from rich.console import Console

from cli.main import cli
from cli.replay.report import progress
from cli.replay.reprocess import Tally
from dev.send.samples import SAMPLES
from dev.stack.ports import free_port
from lib.archive import store as archive_store
from lib.database import read_answer
from lib.events.model import as_json
from lib.webhooks.parser import parse_webhook
from lib.webhooks.reparse import ArchivedEvent, reparse
from tests.pipeline.facts import Fact, conversations
from tests.support.builders import (
    ACCOUNT,
    CONTACT,
    OTHER_CONTACT,
    comment,
    echo,
    edit,
    item,
    message,
    new_mid,
    now_ms,
    postback,
    reaction,
    read,
    unsend,
    webhook,
)
from tests.support.samples import CAPTURED, CHANGES, ITEMS, OWN, _index
from tests.support.world import World

IMAGE = {"type": "image", "payload": {"url": "https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id=1"}}


@pytest.fixture(autouse=True)
def project(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find the stack as they find a hosted project, whatever the developer's `.env` says."""
    monkeypatch.setenv("SUPABASE_URL", world.stack.supabase_url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", world.stack.service_role_key)


def replay(*arguments: str, since: str = "7d") -> Result:
    return CliRunner().invoke(cli, ["replay", "--since", since, *arguments])


def counts(done: Result) -> dict[str, int]:
    """The table: every outcome with its events, and indented beneath it from which kind to which."""
    found = re.findall(r"^ *(\w+(?: → \w+)?)  +(\d+)(?:  |$)", done.stdout, re.M)
    return {name: int(number) for name, number in found if int(number)}


def degrade(world: World, statement: LiteralString, *params: object) -> int:
    """Makes the tables look as code would have left them that understood less; how many rows that were."""
    return world.db.execute(statement, params).rowcount


def as_unknown(world: World, where: LiteralString, *params: object) -> int:
    """Events as code left them that knew neither their kind nor whom or what they are about."""
    return degrade(
        world,
        "update events e set event_id = 'ig_unk_' || account_id || '_' || left(md5(event_id), 16), kind = 'unknown', "
        "contact_id = null, mid = null, direction = 'inbound', is_test = false, topic = 'something' where " + where,
        *params,
    )


def everything(world: World, folder: Any) -> int:
    """Posts every sample of a folder; how many events that made."""
    for listed in _index(folder):
        assert world.post_webhook((folder / listed["file"]).read_bytes()).status_code == 200
    world.settle()
    return world.count("events")


# What the code of today wrote, it reads the same.


@pytest.mark.parametrize("folder", [OWN, CAPTURED], ids=["own", "captured"])
def test_an_archive_of_the_same_code_is_unchanged(world: World, folder: Any) -> None:
    if not _index(folder):
        pytest.skip("no shared/samples/INDEX.json beside the project: captured bodies are not part of it")
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    events = everything(world, folder)
    before, calls = world.snapshot(), world.graph_calls()
    done = replay()
    assert done.exit_code == 0, done.output
    assert counts(done) == {"unchanged": events}
    assert world.snapshot() == before
    assert world.graph_calls() == calls


def test_edits_unsends_and_answers_are_left_as_they_are(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    edited, taken_back, answered = new_mid(), new_mid(), new_mid()
    world.deliver(webhook(message("how much", mid=edited), message("secret", mid=taken_back, attachments=[IMAGE])))
    world.deliver(webhook(edit(edited, "how much is it"), unsend(taken_back), message("price", mid=answered)))
    world.deliver(webhook(reaction(edited), reaction(edited, "unreact"), read(answered), echo("20.")))
    before, sent = world.snapshot(), world.sent()
    assert counts(replay()) == {"unchanged": world.count("events")}
    assert world.snapshot() == before
    assert world.sent() == sent
    assert "secret" not in str(world.snapshot())
    assert world.row("select text from messages where mid = %s", edited)["text"] == "how much is it"


def test_an_account_known_by_two_ids_keeps_its_events_under_both(world: World) -> None:
    world.db.execute("insert into accounts (account_id, app_scoped_id) values (%s, '5550001')", (ACCOUNT,))
    world.deliver(
        webhook(message("hello"), echo("hi"), read(new_mid()), item(referral={"ref": "r"}), account="5550001")
    )
    before = world.snapshot()
    assert {row["account_id"] for row in before["events"]} == {ACCOUNT}
    assert counts(replay()) == {"unchanged": 4}
    assert world.snapshot() == before


@given(st.lists(ITEMS, max_size=3), st.lists(ITEMS, max_size=1), st.lists(CHANGES, max_size=2))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_whatever_was_recorded_is_read_again_out_of_the_database_as_it_was(
    world: World, messaging: list[Any], standby: list[Any], changed: list[Any]
) -> None:
    # Each event is told once here, and below in several ways.
    world.empty()
    entry = {"id": ACCOUNT, "time": 1_789_376_400, "messaging": messaging, "standby": standby, "changes": changed}
    assume(not has_huge_float(entry))
    events = parse_webhook({"object": "instagram", "entry": [entry]}, received_at=1_789_376_401_000)
    subjects = [getattr(event, "mid", None) or event.event_id for event in events]
    assume(len(set(subjects)) == len(subjects))
    for event in events:
        world.row("select record_event(%s, 'queue')", Jsonb(as_json(event)))
    for row in world.rows("select e.*, e.raw from events e"):
        archived = read_answer(row, ArchivedEvent)
        again = reparse(archived)
        assert again is not None
        assert replay_event(world, archived.event_id, again) == "unchanged"


@given(facts=conversations(8), data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_what_was_told_in_several_ways_is_left_as_it_was_by_a_replay_in_any_order(
    world: World, facts: list[Fact], data: st.DataObject
) -> None:
    """Two tellings of one event, two events of one message: the tables have more than any one item of the archive."""
    world.empty()
    for fact in data.draw(st.permutations(facts)):
        world.row("select record_event(%s, 'queue')", Jsonb(as_json(fact.event())))
    before = world.snapshot()
    for row in data.draw(st.permutations(world.rows("select e.*, e.raw from events e order by event_id"))):
        again = reparse(read_answer(row, ArchivedEvent))
        assert again is not None
        assert replay_event(world, row["event_id"], again) == "unchanged"
    assert world.snapshot() == before


def test_what_was_told_in_several_ways_stays_under_its_id(world: World) -> None:
    mid = new_mid()
    for words in ("one", "another"):
        world.deliver(webhook(message(words, mid=mid)))
        world.forget_deduplication()
    before = world.snapshot()
    [tap] = parse_webhook(webhook(postback("BUY", mid=mid)), received_at=now_ms())
    assert replay_event(world, f"ig_msg_{mid}", tap) == "unchanged"
    assert world.snapshot() == before


def has_huge_float(value: Any) -> bool:
    """Past 2^53 a float is not the number that was written, and `jsonb` keeps the latter: no id to be found in it."""
    if isinstance(value, dict | list):
        return any(map(has_huge_float, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and abs(value) >= 2**53


def replay_event(world: World, event_id: str, event: Any, *, dry_run: bool = False) -> str:
    found = world.row("select replay_event(%s, %s, %s) as r", event_id, Jsonb(as_json(event)), dry_run)
    return str(found["r"])


# What older code did not know.


def test_an_archive_nobody_understood_ends_as_if_it_had_been_understood_at_once(world: World) -> None:
    world.rule(trigger="keyword", pattern="bowl", reply_text="20.")
    everything(world, SAMPLES)
    understood = world.snapshot()
    unknown = as_unknown(world, "kind <> 'unknown'")
    for table in ("messages", "reactions", "comments", "mentions"):
        world.db.execute(psycopg.sql.SQL("delete from public.{}").format(psycopg.sql.Identifier(table)))
    world.db.execute(
        "update profiles set last_inbound_at = null, last_outbound_at = null, last_message_at = null, "
        "read_watermark_at = null, read_watermark_mid = null, first_seen_at = now()"
    )
    degraded, calls = world.snapshot(), world.graph_calls()
    assert unknown > 25

    dry = replay("--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "A dry run: nothing was changed." in dry.stdout
    assert world.snapshot() == degraded

    done = replay()
    assert done.exit_code == 0, done.output
    assert counts(done)["reclassified"] == unknown == counts(dry)["reclassified"]
    moved = {name: count for name, count in counts(done).items() if "→" in name}
    kinds = world.rows("select kind, count(*) as n from events where kind <> 'unknown' group by kind")
    assert moved == {f"unknown → {row['kind']}": row["n"] for row in kinds}
    assert world.snapshot() == understood
    assert world.graph_calls() == calls

    assert counts(replay()) == {"unchanged": world.count("events")}


def test_fields_nobody_read_before_are_filled_in_and_only_those(world: World) -> None:
    answer = message("this one", reply_to={"mid": "m_before"}, referral={"ref": "ad"}, quick_reply={"payload": "BLUE"})
    world.deliver(webhook(answer, message(None, attachments=[IMAGE]), message("plain"), postback("START")))
    world.deliver(webhook(reaction("m_before"), item(policy_enforcement={"action": "warning"})))
    world.deliver(webhook(comment("nice"), under="changes"))
    understood = world.snapshot()
    messages = degrade(
        world,
        "update messages set reply_to_mid = null, referral = null, payload = null, attachments = '[]', "
        "direction = 'outbound' where text is distinct from 'plain'",
    )
    reactions = degrade(world, "update reactions set emoji = null")
    comments = degrade(world, "update comments set username = null, media_id = null")
    ledger = degrade(world, "update events set topic = null where kind = 'unknown'")
    assert (messages, reactions, comments, ledger) == (3, 1, 1, 1)
    assert counts(replay("--dry-run")) == {"improved": 6, "unchanged": 1}
    assert counts(replay()) == {"improved": 6, "unchanged": 1}
    assert world.snapshot() == understood
    assert counts(replay()) == {"unchanged": 7}


def test_what_the_new_code_does_not_know_stays(world: World) -> None:
    world.deliver(webhook(message("hello", mid="m_kept")))
    world.db.execute("update messages set reply_to_mid = 'm_by_hand', referral = '{\"ref\": \"by hand\"}'")
    world.db.execute("update ingestion.raw_items set item = item #- '{message,text}' #- '{sender}'")
    assert counts(replay()) == {"unchanged": 1}
    row = world.row("select text, contact_id, reply_to_mid, referral from messages")
    assert row == {
        "text": "hello", "contact_id": CONTACT, "reply_to_mid": "m_by_hand", "referral": {"ref": "by hand"},
    }  # fmt: skip
    assert world.row("select contact_id from events")["contact_id"] == CONTACT


def test_a_message_understood_after_its_edit_and_one_after_its_unsend(world: World) -> None:
    edited, taken_back = new_mid(), new_mid()
    world.deliver(webhook(message("first words", mid=edited), message("secret", mid=taken_back)))
    as_unknown(world, "kind = 'message'")
    world.db.execute("delete from messages")
    world.deliver(webhook(edit(edited, "better words"), unsend(taken_back)))
    assert counts(replay()) == {"reclassified": 2, "unknown → message": 2, "unchanged": 2}
    rows = {row["mid"]: row for row in world.rows("select * from messages")}
    assert (rows[edited]["text"], rows[edited]["num_edit"]) == ("better words", 1)
    assert (rows[taken_back]["text"], rows[taken_back]["is_placeholder"]) == (None, False)
    assert rows[taken_back]["unsent_at"] is not None
    assert "secret" not in str(world.snapshot())
    assert counts(replay()) == {"unchanged": 4}


def test_an_unsend_nobody_understood_erases_its_message(world: World) -> None:
    mid = new_mid()
    world.deliver(webhook(unsend(mid)))
    as_unknown(world, "true")
    world.db.execute("delete from messages")
    world.deliver(webhook(message("secret", mid=mid)))
    assert counts(replay()) == {"reclassified": 1, "unknown → unsend": 1, "unchanged": 1}
    assert world.row("select text from messages")["text"] is None
    assert "secret" not in str(world.snapshot())


def test_an_unknown_event_that_was_understood_at_its_second_delivery_goes(world: World) -> None:
    world.deliver(webhook(message("hello")))
    understood = world.snapshot()
    world.db.execute(
        "insert into events (event_id, kind, account_id, direction, via, occurred_at, received_at, processed_at) "
        "select 'ig_unk_before', 'unknown', account_id, 'inbound', 'queue', occurred_at, received_at, now() "
        "from events"
    )
    world.put_raw("ig_unk_before", understood["events"][0]["raw"])
    assert counts(replay("--dry-run")) == {"reclassified": 1, "unknown → message": 1, "unchanged": 1}
    assert world.count("events") == 2
    assert counts(replay()) == {"reclassified": 1, "unknown → message": 1, "unchanged": 1}
    assert world.snapshot() == understood


def test_two_unknown_events_that_are_one_message_become_one(world: World) -> None:
    world.deliver(webhook(message("hello")))
    understood = world.snapshot()
    as_unknown(world, "true")
    world.db.execute("delete from messages")
    world.db.execute(
        "insert into events (event_id, kind, account_id, direction, via, occurred_at, received_at, processed_at) "
        "select 'ig_unk_again', kind, account_id, direction, via, occurred_at, received_at, now() from events"
    )
    world.put_raw("ig_unk_again", understood["events"][0]["raw"])
    assert counts(replay())["reclassified"] == 2
    assert world.snapshot() == understood


@pytest.mark.parametrize("was", ["comment", "message", "reaction"])
def test_what_was_taken_for_something_else_leaves_no_trace_of_it(world: World, was: str) -> None:
    world.deliver(webhook({"field": "mentions", "value": {"media_id": "1", "comment_id": "2"}}, under="changes"))
    understood = world.snapshot()
    world.db.execute("delete from mentions")
    world.db.execute("update events set event_id = 'ig_old_2', kind = %s, mid = 'm2'", (was,))
    world.db.execute(
        {
            "comment": "insert into comments (account_id, comment_id, commented_at, event_id) "
            "select account_id, '2', occurred_at, event_id from events",
            "message": "insert into messages (account_id, mid, kind, direction, event_id) "
            "select account_id, 'm2', 'message', 'inbound', event_id from events",
            "reaction": "insert into reactions (account_id, mid, actor_id, action, acted_at, event_id) "
            "select account_id, 'm2', 'somebody', 'react', occurred_at, event_id from events",
        }[was]
    )
    assert counts(replay()) == {"reclassified": 1, f"{was} → mention": 1}
    world.db.execute("update events set mid = null")  # what is not known any more stays, also where it was wrong
    assert world.snapshot() == understood


def test_a_message_that_was_taken_for_a_postback_is_one_message(world: World) -> None:
    world.deliver(webhook(message("hello")))
    understood = world.snapshot()
    world.db.execute("update events set event_id = 'ig_pb_x', kind = 'postback', mid = null")
    world.db.execute("update messages set event_id = 'ig_pb_x', kind = 'postback', mid = 'ig_pb_x', text = null")
    assert counts(replay()) == {"reclassified": 1, "postback → message": 1}
    assert world.snapshot() == understood


# What a replay never does.


def test_nobody_is_written_to_for_what_is_understood_now(world: World) -> None:
    world.deliver(webhook(message("price"), message("hello", contact=OTHER_CONTACT)))
    as_unknown(world, "true")
    for table in ("messages", "profiles"):
        world.db.execute(psycopg.sql.SQL("delete from public.{}").format(psycopg.sql.Identifier(table)))
    for trigger in ("keyword", "first_message"):
        world.rule(trigger=trigger, pattern="price" if trigger == "keyword" else None, reply_text="20.")
    calls = world.graph_calls()
    assert counts(replay()) == {"reclassified": 2, "unknown → message": 2}
    world.settle()
    assert world.count("messages") == 2
    assert world.count("outbox") == 0
    assert world.sent() == []
    assert world.graph_calls() == calls
    assert {row["state"] for row in world.rows("select state from profiles")} == {"pending"}


def test_the_redelivery_of_what_was_understood_by_a_replay_is_a_duplicate(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    body = webhook(message("price"))
    world.deliver(body)
    as_unknown(world, "true")
    world.db.execute("delete from messages")
    replay()
    before = world.snapshot()
    world.deliver(body)
    assert world.snapshot() == before
    assert len(world.sent()) == 1


def test_an_event_that_owes_something_keeps_its_id_until_it_is_processed(world: World) -> None:
    world.deliver(webhook(message("hello")))
    as_unknown(world, "true")
    world.db.execute("update events set processed_at = null")
    assert counts(replay()) == {"unchanged": 1}
    world.db.execute("update events set processed_at = now()")
    assert counts(replay()) == {"reclassified": 1, "unknown → message": 1}


def test_an_event_with_an_answer_of_its_own_is_not_dropped_for_another(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.deliver(webhook(message("price")))
    world.db.execute(
        "insert into events (event_id, kind, account_id, direction, via, occurred_at, received_at, processed_at) "
        "select 'ig_unk_answered', 'unknown', account_id, direction, via, occurred_at, received_at, now() "
        "from events"
    )
    world.put_raw("ig_unk_answered", world.row("select e.raw from events e where kind = 'message'")["raw"])
    world.db.execute("update outbox set event_id = 'ig_unk_answered'")
    before = world.snapshot()
    assert counts(replay()) == {"unchanged": 2}
    assert world.snapshot() == before


def test_an_erased_person_does_not_come_back_out_of_what_nobody_understood(world: World) -> None:
    gone = "6001110000000007"
    world.deliver(webhook(message("remember me", contact=gone)))
    as_unknown(world, "true")
    world.db.execute("delete from messages")
    world.db.execute("delete from profiles")
    world.db.execute(
        "insert into ingestion.erased_people (digest, erased_at) values (ingestion.person_digest(%s, %s), now())",
        (ACCOUNT, gone),
    )
    assert counts(replay("--dry-run")) == {"erased": 1}
    assert world.count("events") == 1
    assert counts(replay()) == {"erased": 1}
    assert world.count("events") + world.count("messages") + world.count("profiles") == 0


def test_a_replay_gives_way_to_whoever_holds_a_message(world: World) -> None:
    mid = new_mid()
    world.deliver(webhook(message("hello", mid=mid)))
    [row] = world.rows("select e.*, e.raw from events e")
    event = reparse(read_answer(row, ArchivedEvent))
    with psycopg.connect(world.stack.dsn) as other:
        other.execute("select from messages where mid = %s for update", (mid,))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            replay_event(world, row["event_id"], event)
        # The event itself is free again: whoever holds the message may have it, too.
        other.execute("select from events where event_id = %s for update nowait", (row["event_id"],))
    assert replay_event(world, row["event_id"], event) == "unchanged"


def test_a_replay_and_live_events_of_the_same_messages_do_not_hurt_each_other(world: World) -> None:
    mids = [new_mid() for _ in range(40)]
    world.deliver(webhook(*[message(f"secret {n}", mid=mid) for n, mid in enumerate(mids)]))
    failures: list[Result] = []

    def replay_again_and_again() -> None:
        for _ in range(3):
            done = replay()
            if done.exit_code != 0:
                failures.append(done)

    thread = threading.Thread(target=replay_again_and_again)
    thread.start()
    for mid in mids:
        world.post_webhook(webhook(edit(mid, "other words"), unsend(mid)))
    thread.join()
    world.settle()
    assert [done.output for done in failures] == []
    assert world.count("dead_letters") == 0
    assert world.rows("select mid from messages where unsent_at is null or text is not null") == []
    assert "secret" not in str(world.snapshot())


# What goes wrong.


@contextmanager
def database_refuses(world: World, event_id: str, code: str, *, times: int = 1000) -> Iterator[None]:
    """A trigger that raises `code` for one event, so many times."""
    world.db.execute("create sequence refusals")
    world.db.execute("grant usage on sequence refusals to service_role")
    body = psycopg.sql.SQL(
        "begin if old.event_id = {} and nextval('public.refusals') <= {} then "
        "raise exception 'words of a person' using errcode = {}; end if; return new; end"
    ).format(psycopg.sql.Literal(event_id), psycopg.sql.Literal(times), psycopg.sql.Literal(code))
    world.db.execute(
        psycopg.sql.SQL("create function refuse() returns trigger language plpgsql as {}").format(
            psycopg.sql.Literal(body.as_string(world.db))
        )
    )
    world.db.execute("create trigger refuse before update on events for each row execute function refuse()")
    try:
        yield
    finally:
        world.db.execute("drop trigger refuse on events")
        world.db.execute("drop function refuse")
        world.db.execute("drop sequence refusals")


def test_an_event_the_database_refuses_is_named_and_the_others_are_read(world: World) -> None:
    world.deliver(webhook(*[message(f"line {n}") for n in range(5)]))
    as_unknown(world, "true")
    world.db.execute("delete from messages")
    bad = world.rows("select event_id from events order by recorded_at limit 1")[0]["event_id"]
    with database_refuses(world, bad, "23514"):
        done = replay()
    assert done.exit_code == 1
    assert counts(done) == {
        "reclassified": 4, "unknown → message": 4, "failed": 1, "database_constraint": 1,
    }  # fmt: skip
    assert f"failed: {bad}  database_constraint\n" in done.stdout
    assert "words of a person" not in done.output
    assert world.count("messages") == 4
    assert replay().exit_code == 0
    assert world.count("messages") == 5


def test_an_error_that_passes_is_outlasted(world: World) -> None:
    world.deliver(webhook(message("hello")))
    as_unknown(world, "true")
    bad = world.row("select event_id from events")["event_id"]
    with database_refuses(world, bad, "40001", times=2):
        done = replay()
    assert done.exit_code == 0, done.output
    assert counts(done) == {"reclassified": 1, "unknown → message": 1}


def test_an_error_that_does_not_pass_is_counted_after_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.retries.FIRST_PAUSE_S", 0.001)
    world.deliver(webhook(message("hello")))
    as_unknown(world, "true")
    bad = world.row("select event_id from events")["event_id"]
    with database_refuses(world, bad, "40P01"):
        done = replay()
    assert done.exit_code == 1
    assert counts(done) == {"failed": 1, "database_conflict": 1}


def test_events_past_retention_are_counted_as_missing(world: World) -> None:
    world.deliver(webhook(message("one"), message("two")))
    world.db.execute(
        "delete from ingestion.raw_items where raw_id ="
        " (select raw_id from events where mid = (select min(mid) from messages))"
    )
    done = replay()
    assert done.exit_code == 0
    assert counts(done) == {"unchanged": 1, "missing": 1}


def test_an_event_that_goes_meanwhile_is_missing(world: World) -> None:
    world.deliver(webhook(message("one")))
    [row] = world.rows("select e.*, e.raw from events e")
    event = reparse(read_answer(row, ArchivedEvent))
    world.db.execute("delete from ingestion.raw_items")
    assert replay_event(world, row["event_id"], event) == "missing"
    assert replay_event(world, "ig_msg_never", event) == "missing"


def test_where_nothing_answers_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr("cli.retries.FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{port}")
    done = replay()
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: Nothing answers on http://127.0.0.1:{port}: start the")
    assert done.stdout == ""


def test_a_key_that_is_refused_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.retries.FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_of_somebody_else")
    done = replay()
    assert done.exit_code == 1
    assert "Error: The archive cannot be read: " in done.stderr
    assert "somebody" not in done.output


# Which part of the archive.


def test_the_local_stack_is_found_by_its_port(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dev.stack.options.user_settings", lambda _root: {})
    world.deliver(webhook(message("hello")))
    done = replay("--rest-port", str(world.stack.config.ports.rest))
    assert done.exit_code == 0, done.output
    assert counts(done) == {"unchanged": 1}
    assert "(the local stack)" in done.stderr


def test_only_the_part_that_was_asked_for_is_read(world: World) -> None:
    world.deliver(webhook(message("one"), reaction("m1"), echo("two")))
    world.deliver(webhook(message("three"), account="17841400000000009"))
    world.db.execute("update events set recorded_at = now() - interval '3 days' where kind = 'echo'")
    assert counts(replay()) == {"unchanged": 4}
    assert counts(replay("--kind", "message")) == {"unchanged": 2}
    assert counts(replay("--kind", "message", "--kind", "reaction")) == {"unchanged": 3}
    assert counts(replay("--account", ACCOUNT)) == {"unchanged": 3}
    assert counts(replay(since="2d")) == {"unchanged": 3}
    assert counts(replay("--until", "48h")) == {"unchanged": 1}
    assert counts(replay("--until", "2d", "--kind", "message")) == {}
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for since in (f"{yesterday:%Y-%m-%d}", f"{yesterday:%Y-%m-%dT%H:%M}", f"{yesterday:%Y-%m-%dT%H:%M}Z"):
        assert counts(replay(since=since)) == {"unchanged": 3}


def test_pages_follow_each_other_without_a_gap_where_events_came_at_one_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_store, "PAGE_SIZE", 3)
    world.deliver(webhook(*[message(f"line {n}") for n in range(10)]))
    world.db.execute("update events set recorded_at = date_trunc('minute', recorded_at)")
    assert counts(replay()) == {"unchanged": 10}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Missing option '--since'"),
        (["--since", "yesterday"], "'yesterday' is no date"),
        (["--since", "999999d"], "is no date"),
        (["--since", "7d", "--kind", "like"], "'like' is not one of 'message', 'echo'"),
        (["--since", "1d", "--until", "2d"], "--since has to be before --until."),
    ],
)
def test_a_mistake_on_the_command_line_is_named(arguments: list[str], complaint: str) -> None:
    done = CliRunner().invoke(cli, ["replay", *arguments])
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_progress_is_said_now_and_then_where_there_is_no_terminal(world: World) -> None:
    world.deliver(webhook(*[message(f"line {n}") for n in range(25)]))
    as_unknown(world, "true")
    world.db.execute("delete from messages")
    lines = [line for line in replay().stderr.splitlines() if "reprocessed" in line]
    assert len(lines) == 10
    assert lines[-1] == "25 of 25 reprocessed, 0 improved, 25 reclassified"


def test_an_event_that_came_after_they_were_counted_does_not_upset_the_progress() -> None:
    said = StringIO()
    with progress(Console(file=said), 0, Tally()) as tick:
        tick()
    assert said.getvalue() == ""
