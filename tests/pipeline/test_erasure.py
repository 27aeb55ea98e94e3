"""Erasure: whoever asks for it is gone from every table, stays gone, and nobody else is touched."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from lib.events.model import as_json
from lib.privacy.erasure import new_code
from tests.pipeline.facts import PERSON, Fact, conversations
from tests.support.builders import ACCOUNT, CONTACT, OTHER_CONTACT, comment, message, now_ms, unsend, webhook
from tests.support.deliveries import body_of, event, failure_callback, post
from tests.support.erasures import APP_SCOPED, OTHER_ACCOUNT, an_account, preview, reply_rule, request
from tests.support.lives import Life, traces
from tests.support.world import CONSUMER, FAILURE, World


def step(world: World, code: str, limit: int = 5000) -> dict[str, Any]:
    """One step; the state after it."""
    state: dict[str, Any] = world.row("select run_erasure(%s, %s) as state", code, limit)["state"]
    return state


def erase(world: World, subject: str, **how: Any) -> dict[str, Any]:
    """From the request to the end."""
    code = request(world, subject, **how)
    while (state := step(world, code))["state"] == "pending":
        pass
    return state


def soon_ms() -> int:
    """Certainly after what was just done: Instagram's times are whole milliseconds."""
    return now_ms() + 50


def test_a_person_is_erased_from_every_table_and_nobody_else_is_touched(world: World) -> None:
    reply_rule(world)
    Life(world, contact=OTHER_CONTACT, words="hydrangea")
    Life(world, contact="6005555555555555", words="delphinium", account=OTHER_ACCOUNT)
    before = world.snapshot()
    life = Life(world, contact=CONTACT, words="gardenia")
    left = traces(world, *life.needles)
    counted = {"events", "messages", "reactions", "comments", "profiles", "outbox", "dead_letters"}
    assert set(left) == counted | {"raw_items", "raw_items_0", "conversation_order"}
    expected = preview(world, CONTACT, "contact")
    assert set(expected) == counted

    done = erase(world, CONTACT)

    assert done["state"] == "done"
    assert done["rows_erased"] == sum(expected.values())
    assert traces(world, *life.needles) == {}
    assert world.snapshot() == before
    assert preview(world, CONTACT, "contact") == {}


def test_a_person_of_one_account_keeps_what_they_left_with_another(world: World) -> None:
    Life(world, contact=CONTACT, words="hydrangea", account=OTHER_ACCOUNT)
    before = world.snapshot()
    Life(world, contact=CONTACT, words="gardenia")
    wrote_at = now_ms()
    erase(world, CONTACT, account=ACCOUNT)
    assert traces(world, "gardenia") == {}
    after = world.snapshot()
    # A body that was no event does not say for sure of which account it is.
    assert [row for row in before.pop("dead_letters") if row["account_id"]] == after.pop("dead_letters")
    before["accounts"] = after["accounts"] = []  # both ids of an account may be learned meanwhile
    assert after == before
    for account in (ACCOUNT, OTHER_ACCOUNT):
        world.deliver(webhook(message("late", at_ms=wrote_at), account=account))
    assert world.row("select account_id from messages where text = 'late'")["account_id"] == OTHER_ACCOUNT


def test_a_person_of_several_accounts_is_erased_from_all_of_them(world: World) -> None:
    lives = [Life(world, contact=CONTACT, words="gardenia", account=account) for account in (ACCOUNT, OTHER_ACCOUNT)]
    erase(world, CONTACT)
    assert traces(world, *lives[0].needles) == {}


@pytest.mark.parametrize("channel", ["queue", "direct"])
def test_what_is_delivered_again_after_an_erasure_leaves_nothing(world: World, channel: str) -> None:
    life = Life(world, contact=CONTACT, words="gardenia")
    erase(world, CONTACT)
    # Meta delivers a notification again with a new sending time, which is all the time a comment has.
    for body in life.webhooks:
        body["entry"][0]["time"] = body["entry"][0]["time"] + 3_600_000
    world.forget_deduplication()
    with world.qstash_fault(publish="ok" if channel == "queue" else "refuse"):
        for body in life.webhooks:
            world.deliver(body)
    assert traces(world, *life.needles) == {}
    assert world.count("events") == 0


def test_a_redelivery_by_qstash_itself_leaves_nothing(world: World) -> None:
    one = event(text="gardenia")
    assert post(world, CONSUMER, body_of(one)).json()["status"] == "processed"
    erase(world, CONTACT)
    again = post(world, CONSUMER, body_of(one))
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert traces(world, CONTACT, "gardenia") == {}


def test_who_writes_again_after_the_erasure_begins_a_new_conversation(world: World) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    erase(world, CONTACT)
    world.deliver(webhook(message("hello, it is me again", at_ms=soon_ms())))
    conversation = world.row("select * from conversations")
    assert (conversation["last_text"], conversation["unread_count"]) == ("hello, it is me again", 1)
    assert world.count("messages") == 1
    assert traces(world, "gardenia") == {}


def test_who_is_not_known_yet_is_kept_out_all_the_same_if_they_wrote_before(world: World) -> None:
    wrote_at = now_ms() - 5_000
    state = erase(world, CONTACT, scope=None)
    assert (state["state"], state["rows_erased"]) == ("done", 0)
    world.deliver(webhook(message("gardenia", at_ms=wrote_at)))
    assert traces(world, CONTACT, "gardenia") == {}


def test_an_id_nobody_knows_may_turn_out_to_be_an_account(world: World) -> None:
    wrote_at = now_ms() - 5_000
    erase(world, OTHER_ACCOUNT, scope=None)
    world.deliver(webhook(message("gardenia", at_ms=wrote_at), account=OTHER_ACCOUNT))
    world.deliver(webhook(message("hydrangea", at_ms=wrote_at)))
    assert [row["text"] for row in world.rows("select text from messages")] == ["hydrangea"]


def test_a_mistaken_contact_that_is_an_account_harms_no_account(world: World) -> None:
    world.deliver(webhook(message("hydrangea")))
    erase(world, ACCOUNT, scope="contact")
    world.deliver(webhook(message("delphinium", at_ms=now_ms() - 5_000)))
    assert world.count("messages") == 2


def test_a_letter_of_an_erased_person_is_not_kept(world: World) -> None:
    lost = event(text="gardenia")
    erase(world, CONTACT)
    body = failure_callback(sourceBody=base64.b64encode(body_of(lost)).decode())
    assert post(world, FAILURE, body).status_code == 200
    assert world.count("dead_letters") == 0
    other = event(text="hydrangea", contact_id=OTHER_CONTACT)
    assert (
        post(world, FAILURE, failure_callback(sourceBody=base64.b64encode(body_of(other)).decode())).status_code == 200
    )
    assert world.count("dead_letters") == 1


def test_a_short_id_takes_nothing_along_that_only_contains_it(world: World) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    before = world.snapshot()
    assert erase(world, CONTACT[:6])["rows_erased"] == 0
    assert world.snapshot() == before


def test_an_account_is_erased_step_by_step_and_the_others_are_not(world: World) -> None:
    reply_rule(world)
    Life(world, contact=CONTACT, words="gardenia")
    before = world.snapshot()
    an_account(world)
    lives = [
        Life(world, contact=contact, words="orchid", account=OTHER_ACCOUNT)
        for contact in (OTHER_CONTACT, "6005550000000000")
    ]
    world.deliver(webhook({"field": "mentions", "value": {"media_id": "1799"}}, account=OTHER_ACCOUNT, under="changes"))
    world.db.execute(
        "insert into dead_letters (source_message_id, account_id, event) values ('msg_old', %s, '{}')", (APP_SCOPED,)
    )
    needles = [OTHER_ACCOUNT, APP_SCOPED, "orchid", "gAAAAtoken", *(life.username for life in lives)]
    expected = preview(world, APP_SCOPED, "account")
    assert set(expected) == {
        "account_tokens", "events", "outbox", "messages", "reactions", "comments", "mentions", "dead_letters",
        "profiles", "reply_rules", "accounts",
    }  # fmt: skip

    code = request(world, APP_SCOPED, scope=None)
    erased, last = [], 0
    while (state := step(world, code, 3))["state"] == "pending":
        erased.append(state["rows_erased"] - last)
        last = state["rows_erased"]

    assert len(erased) > 15
    assert state["scope"] == "account"
    assert state["rows_erased"] == sum(expected.values())
    assert traces(world, *needles) == {}
    assert world.snapshot() == before


def test_an_account_that_is_being_erased_sends_nothing(world: World) -> None:
    an_account(world)
    world.deliver(webhook(message("hydrangea"), account=OTHER_ACCOUNT))
    code = request(world, OTHER_ACCOUNT, scope="account")
    world.deliver(webhook(message("orchid", at_ms=soon_ms()), account=OTHER_ACCOUNT))
    assert world.sent() == []
    assert world.row("select state, error_code from outbox") == {"state": "skipped", "error_code": "account_stopped"}
    while step(world, code)["state"] == "pending":
        pass
    assert traces(world, OTHER_ACCOUNT) == {}


def test_what_comes_late_for_an_erased_account_is_not_kept_under_either_id(world: World) -> None:
    an_account(world)
    wrote_at = now_ms() - 5_000
    erase(world, OTHER_ACCOUNT, scope="account")
    for account in (OTHER_ACCOUNT, APP_SCOPED):
        world.deliver(webhook(message("orchid", at_ms=wrote_at), account=account))
    assert traces(world, OTHER_ACCOUNT, APP_SCOPED, "orchid") == {}


def test_a_code_counts_once_however_often_it_is_requested(world: World) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    code = request(world, CONTACT)
    first = step(world, code)
    while step(world, code)["state"] == "pending":
        pass
    world.deliver(webhook(message("written later", at_ms=soon_ms())))
    assert request(world, CONTACT, code=code) == code
    state = step(world, code)
    assert (state["state"], state["rows_erased"]) == ("done", first["rows_erased"])
    assert world.count("messages") == 1


def test_a_request_that_is_done_says_no_more_whose_it_was(world: World) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    code = request(world, CONTACT)
    assert traces(world, CONTACT)["erasures"] == 1
    while step(world, code)["state"] == "pending":
        pass
    row = world.row("select * from erasures")
    assert (row["contact_id"], row["account_ids"], row["digests"]) == (None, None, None)


def test_a_code_that_was_never_given_is_missing(world: World) -> None:
    assert step(world, new_code()) == {"state": "missing"}


def test_erasing_twice_at_once_is_erasing_once(world: World) -> None:
    reply_rule(world)
    life = Life(world, contact=CONTACT, words="gardenia")
    expected = sum(preview(world, CONTACT, "contact").values())
    codes = [request(world, CONTACT), request(world, CONTACT)]

    def work(code: str) -> None:
        with psycopg.connect(world.stack.dsn, autocommit=True) as db:
            while db.execute("select run_erasure(%s, 1) ->> 'state'", (code,)).fetchone() != ("done",):
                pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, codes * 2))
    assert traces(world, *life.needles) == {}
    assert [row["n"] for row in world.rows("select sum(rows_erased)::int as n from erasures")] == [expected]


def test_an_event_that_is_being_recorded_just_then_does_not_escape(world: World) -> None:
    code = new_code()
    with psycopg.connect(world.stack.dsn) as recording, ThreadPoolExecutor(1) as pool:
        recording.execute("select record_event(%s, 'queue')", (Jsonb(event(text="gardenia")),))
        asked = pool.submit(request, world, CONTACT, code=code)
        _wait_until_blocked(recording)
        assert not asked.done()
        recording.commit()
        asked.result(timeout=10)
    while step(world, code)["state"] == "pending":
        pass
    assert traces(world, CONTACT, "gardenia") == {}


def _wait_until_blocked(holder: psycopg.Connection[Any]) -> None:
    """Until somebody waits for a lock of `holder`."""
    for _ in range(1000):
        found = holder.execute(
            "select count(*) from pg_stat_activity where %s = any (pg_blocking_pids(pid))", (holder.info.backend_pid,)
        ).fetchone()
        if found != (0,):
            return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits")


def test_a_send_that_is_on_its_way_ends_well_and_leaves_nothing(world: World) -> None:
    reply_rule(world)
    world.graph_fault("send", "latency", latency_ms=1_500, times=1)
    assert world.post_webhook(webhook(message("price gardenia"))).status_code == 200
    for _ in range(1000):
        if world.rows("select from outbox where state = 'sending'"):
            break
        threading.Event().wait(0.01)
    erase(world, CONTACT)
    assert world.count("outbox") == 0
    world.settle()
    (sent,) = world.sent()
    assert sent["recipient_id"] == CONTACT
    assert world.count("dead_letters") == 0
    assert traces(world, CONTACT, "gardenia") == {}


def test_a_send_that_ended_just_before_is_erased_with_its_message(world: World) -> None:
    reply_rule(world)
    world.deliver(webhook(message("price gardenia")))
    assert world.count("messages") == 2
    erase(world, CONTACT)
    assert world.count("messages") == 0


def test_comments_of_others_under_the_same_post_stay(world: World) -> None:
    world.deliver(webhook(comment("gardenia"), comment("hydrangea", contact=OTHER_CONTACT), under="changes"))
    erase(world, CONTACT)
    assert [row["text"] for row in world.rows("select text from comments")] == ["hydrangea"]


# What leads to a person without their id.


def told_late(world: World, *webhooks: dict[str, Any]) -> None:
    world.forget_deduplication()
    for body in webhooks:
        world.deliver(body)


def test_an_edit_without_its_sender_that_comes_late_does_not_bring_the_person_back(world: World) -> None:
    at = now_ms() - 60_000
    world.deliver(webhook(message("gardenia", mid="m_1", at_ms=at)))
    erase(world, CONTACT)
    nobody = {"timestamp": at + 1_000}
    told_late(
        world,
        webhook({**nobody, "message_edit": {"mid": "m_1", "text": "gardenia edited", "num_edit": 1}}),
        webhook({**nobody, "message": {"mid": "m_1", "is_deleted": True}}),
    )
    assert traces(world, CONTACT, "gardenia", "m_1") == {}


def test_such_an_edit_as_a_dead_letter_neither(world: World) -> None:
    at = now_ms() - 60_000
    world.deliver(webhook(message("gardenia", mid="m_1", at_ms=at)))
    edit_of_it = event(
        kind="edit", event_id="ig_edit_m_1_1", mid="m_1", text="gardenia edited", contact_id=None, num_edit=1,
        occurred_at=at, raw={"message_edit": {"mid": "m_1", "text": "gardenia edited", "num_edit": 1}},
    )  # fmt: skip
    body = failure_callback(sourceBody=base64.b64encode(body_of(edit_of_it)).decode())
    assert post(world, FAILURE, body).status_code == 200
    assert world.count("dead_letters") == 1
    erase(world, CONTACT)
    assert traces(world, "gardenia") == {}
    again = failure_callback(sourceMessageId="msg_2", sourceBody=base64.b64encode(body_of(edit_of_it)).decode())
    assert post(world, FAILURE, again).status_code == 200
    assert traces(world, "gardenia") == {}


@pytest.mark.parametrize("name_of", ["profile", "comment"])
def test_a_comment_with_the_name_alone_that_comes_late_neither(world: World, name_of: str) -> None:
    at = now_ms() - 60_000
    if name_of == "profile":
        world.deliver(webhook(message("hello", at_ms=at)))
        username = world.row("select username from profiles")["username"]
    else:
        signed_comment = comment("gardenia")
        username = signed_comment["value"]["from"]["username"]
        world.deliver({**webhook(signed_comment, under="changes")})
    erase(world, CONTACT)
    anonymous = comment("gardenia with the name")
    anonymous["value"]["from"] = {"username": username.upper()}
    body = webhook(anonymous, under="changes")
    body["entry"][0]["time"] = at // 1000
    told_late(world, body)
    assert traces(world, "gardenia") == {}
    later = webhook(anonymous, under="changes")
    later["entry"][0]["time"] = soon_ms() // 1000 + 1
    told_late(world, later)
    assert world.count("comments") == 1, "what happens later is new"


@pytest.mark.parametrize(
    "unknown",
    [
        {"by": [{"id": CONTACT}]},
        {"by": int(CONTACT)},
        {"deep": {"er": [[{"who": f"thread:{CONTACT}:1"}]]}},
        {"who": "USERNAME"},
        {"who": "@USERNAME"},
        {"about": "m_1"},
    ],
)
def test_an_event_we_did_not_understand_that_names_them_neither(world: World, unknown: dict[str, Any]) -> None:
    at = now_ms() - 60_000
    world.deliver(webhook(message("gardenia", mid="m_1", at_ms=at)))
    username = world.row("select username from profiles")["username"]
    item = json.loads(json.dumps({**unknown, "text": "of the gardenia"}).replace("USERNAME", username))
    erase(world, CONTACT)
    body = webhook({"field": "something_new", "value": item}, under="changes")
    body["entry"][0]["time"] = at // 1000
    told_late(world, body)
    assert traces(world, "gardenia") == {}


def test_an_event_that_says_no_time_does_not_come_back_though_its_raw_item_is_past_retention(world: World) -> None:
    """RAW_RETENTION_DAYS may be 1: then nothing says any more that the item had no time of its own."""
    body = webhook(comment("gardenia"), under="changes")
    world.deliver(body)
    world.db.execute("delete from ingestion.raw_items")
    erase(world, CONTACT)
    body["entry"][0]["time"] = soon_ms() // 1000 + 3600
    told_late(world, body)
    assert traces(world, CONTACT, "gardenia") == {}


def test_a_body_that_names_them_and_comes_late_is_not_kept(world: World) -> None:
    world.deliver(webhook(message("gardenia", at_ms=now_ms() - 60_000)))
    erase(world, CONTACT)
    words = json.dumps({"to": int(CONTACT), "text": "gardenia"}).encode()
    body = failure_callback(sourceBody=base64.b64encode(words).decode(), createdAt=str(now_ms() - 60_000))
    assert post(world, FAILURE, body).status_code == 200
    assert traces(world, "gardenia") == {}


def test_digests_that_nothing_can_arrive_for_any_more_are_forgotten(world: World) -> None:
    world.deliver(webhook(message("gardenia", mid="m_1")))
    erase(world, CONTACT)
    kept = world.row("select count(*) as n from ingestion.erased_people where forget_at is null")["n"]
    assert kept
    assert world.row("select count(*) as n from ingestion.erased_people")["n"] > kept
    world.db.execute(
        "update ingestion.erased_people set forget_at = now() - interval '1 second' where forget_at > now()"
    )
    world.db.execute("select expire_raw(now() - interval '30 days')")
    assert world.row("select count(*) as n from ingestion.erased_people")["n"] == kept


def test_words_that_were_taken_back_leave_dead_letters_too(world: World) -> None:
    mids = ("m_1", "m_2")
    for number, mid in enumerate(mids):
        lost = event(
            event_id=f"ig_msg_{mid}", mid=mid, text="gardenia", payload="gardenia",
            attachments=[{"type": "image", "payload": {"url": "https://cdn/gardenia"}}],
            raw={"message": {"mid": mid, "text": "gardenia"}},
        )  # fmt: skip
        letter = failure_callback(sourceMessageId=f"msg_{number}", sourceBody=base64.b64encode(body_of(lost)).decode())
        if number == 0:
            assert post(world, FAILURE, letter).status_code == 200
            world.deliver(webhook(unsend(mid)))
        else:
            world.deliver(webhook(unsend(mid)))
            assert post(world, FAILURE, letter).status_code == 200
    assert world.count("dead_letters") == 2
    assert traces(world, "gardenia") == {}
    letters = world.rows("select event from dead_letters")
    assert {row["event"]["event_id"] for row in letters} == {"ig_msg_m_1", "ig_msg_m_2"}


@given(facts=conversations(8), split=st.integers(0, 8), data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_whatever_is_told_again_in_whatever_order_the_erased_stay_erased(
    world: World, facts: list[Fact], split: int, data: st.DataObject
) -> None:
    """By QStash or as a dead letter, in every form Meta has. Of what was never known to be theirs nobody can tell."""
    world.empty()
    for fact in facts[:split]:
        world.row("select record_event(%s, 'queue')", Jsonb(as_json(fact.event())))
    known = [row["mid"] for row in world.rows("select mid from messages where contact_id = %s", PERSON)]
    erase(world, PERSON)
    for number, fact in enumerate(data.draw(st.permutations(facts))):
        event = as_json(fact.event())
        letter = {"source_message_id": f"msg_{number}", "event": event, "error_code": "x", "kind": event["kind"]}
        letter |= {"event_id": event["event_id"], "account_id": event["account_id"]}
        world.row("select store_dead_letter(%s)", Jsonb(letter))
        world.row("select record_event(%s, 'queue')", Jsonb(event))
    # The id of a message may stay where somebody else answers it; its words and its person do not.
    assert traces(world, PERSON, *(f"said in {mid} " for mid in known)) == {}
