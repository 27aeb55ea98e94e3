"""/api/privacy/data-deletion and …/deauthorize as Meta calls them, …/deletion-status as people look at it."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb

from dev.stack import keys
from lib.privacy.erasure import new_code
from lib.privacy.signed_request import MAX_FORM_BYTES, sign_request
from tests.support.builders import ACCOUNT, CONTACT, OTHER_CONTACT, message, now_ms, webhook
from tests.support.erasures import STATUS, erasing_broken, look, state
from tests.support.lives import Life, traces
from tests.support.world import World

DELETION = "/api/privacy/data-deletion"
DEAUTHORIZE = "/api/privacy/deauthorize"
BOTH = pytest.mark.parametrize("path", [DELETION, DEAUTHORIZE])

APP_SCOPED = "27841400000000000"
AWAY = {"SUPABASE_URL": "http://127.0.0.1:9"}


def signed(user_id: str, *, secret: str = keys.APP_SECRET, **changes: Any) -> str:
    """Meta's `signed_request` for a user."""
    said = {"algorithm": "HMAC-SHA256", "issued_at": int(time.time()), "user_id": user_id, **changes}
    return sign_request(json.dumps(said).encode(), secret)


def call(world: World, path: str, request: str, *, base_url: str = "") -> httpx.Response:
    """One callback, as Meta posts it."""
    return world.http.post(base_url + path, data={"signed_request": request})


# The data deletion callback.


def test_a_person_asks_meta_and_is_erased_before_the_answer(world: World) -> None:
    life = Life(world, contact=CONTACT, words="gardenia")
    answer = call(world, DELETION, signed(CONTACT))
    assert answer.status_code == 200, answer.text
    code = answer.json()["confirmation_code"]
    assert answer.json() == {
        "url": f"{world.stack.functions_url}{STATUS}?code={code}",
        "confirmation_code": code,
    }
    assert code.isalnum()
    assert traces(world, *life.needles) == {}
    page = world.http.get(answer.json()["url"])
    assert page.status_code == 200
    assert "Your data has been erased" in page.text


def test_the_owner_of_an_account_asks_under_the_other_id_and_all_of_it_is_erased(world: World) -> None:
    world.db.execute("insert into accounts (account_id, app_scoped_id) values (%s, %s)", (ACCOUNT, APP_SCOPED))
    Life(world, contact=CONTACT, words="gardenia")
    Life(world, contact=OTHER_CONTACT, words="hydrangea")
    code = call(world, DELETION, signed(APP_SCOPED)).json()["confirmation_code"]
    assert state(world, code)["scope"] == "account"
    assert state(world, code)["state"] == "done"
    assert {table: world.count(table) for table in ("events", "messages", "profiles", "comments", "accounts")} == {
        "events": 0, "messages": 0, "profiles": 0, "comments": 0, "accounts": 0,
    }  # fmt: skip


def test_a_user_nobody_knows_gets_a_code_too_and_is_told_that_nothing_was_stored(world: World) -> None:
    world.deliver(webhook(message("hydrangea")))
    before = world.snapshot()
    answer = call(world, DELETION, signed("218471"))
    assert answer.status_code == 200
    assert "Nothing was stored about you" in look(world, answer.json()["confirmation_code"]).text
    assert world.snapshot() == before


def test_the_same_request_delivered_again_gets_the_same_code_and_erases_nothing_new(world: World) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    request = signed(CONTACT)
    first = call(world, DELETION, request)
    world.deliver(webhook(message("written since", at_ms=now_ms() + 50)))
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: call(world, DELETION, request), range(4)))
    assert {answer.text for answer in again} == {first.text}
    assert world.count("messages") == 1
    assert world.count("erasures") == 1


def test_a_request_delivered_several_times_at_once_is_one_request(world: World) -> None:
    life = Life(world, contact=CONTACT, words="gardenia")
    request = signed(CONTACT)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: call(world, DELETION, request), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert traces(world, *life.needles) == {}
    assert world.count("erasures") == 1


def test_a_later_request_of_the_same_person_is_another_one(world: World) -> None:
    codes = {
        call(world, DELETION, signed(CONTACT, issued_at=at)).json()["confirmation_code"]
        for at in (1_790_000_000, 1_790_000_001)
    }
    assert len(codes) == 2


def test_a_request_that_comes_again_under_another_secret_of_ours_erases_nothing_of_the_new_life(world: World) -> None:
    world.db.execute("insert into accounts (account_id, app_scoped_id) values (%s, %s)", (ACCOUNT, APP_SCOPED))
    Life(world, contact=CONTACT, words="gardenia")
    request = signed(APP_SCOPED)
    first = call(world, DELETION, request)
    assert traces(world, "gardenia") == {}
    world.deliver(webhook(message("a new life", at_ms=now_ms() + 50)))
    before = world.snapshot()
    with world.stack.functions({"INTERNAL_API_SECRET": "another-secret-of-our-own"}) as base_url:
        again = call(world, DELETION, request, base_url=base_url)
    assert (again.status_code, again.json()["confirmation_code"]) == (200, first.json()["confirmation_code"])
    assert world.snapshot() == before


@pytest.mark.parametrize("subject", [CONTACT, ACCOUNT])
def test_a_request_erases_what_happened_up_to_its_time_and_no_more(world: World, subject: str) -> None:
    """Also if it comes late, for the first time: Meta was turned away when it was made."""
    hour_ago = now_ms() - 3_600_000
    world.deliver(webhook(message("before", mid="m_1", at_ms=hour_ago - 60_000)))
    world.deliver(webhook(message("after", mid="m_2", at_ms=hour_ago + 60_000)))
    request = signed(subject, issued_at=hour_ago // 1000)
    for _ in range(2):
        assert call(world, DELETION, request).status_code == 200
        assert [row["text"] for row in world.rows("select text from messages")] == ["after"]
        assert world.row("select first_seen_at > to_timestamp(%s) as anew from profiles", hour_ago / 1000)["anew"]
    world.deliver(webhook(message("late", at_ms=hour_ago - 30_000)))
    assert world.count("messages") == 1


def test_the_account_that_was_connected_again_since_keeps_its_token_and_goes_on(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    account = {"account_id": ACCOUNT, "app_scoped_id": APP_SCOPED, "username": "shop", "login_flavour": "instagram"}
    request = signed(APP_SCOPED, issued_at=int(time.time()) - 60)
    world.row("select save_account(%s, 'gAAAAnew')", Jsonb(account))
    assert call(world, DELETION, request).status_code == 200
    assert call(world, DEAUTHORIZE, signed(APP_SCOPED, issued_at=int(time.time()) - 61)).json() == {"status": "active"}
    assert world.row("select state, state_code from accounts") == {"state": "active", "state_code": None}
    assert world.count("account_tokens") == 1


@pytest.mark.parametrize("doors", [(DELETION, DEAUTHORIZE), (DEAUTHORIZE, DELETION)])
def test_one_proof_counts_at_one_door(world: World, doors: tuple[str, str]) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    request = signed(ACCOUNT)
    first, second = doors
    assert call(world, first, request).status_code == 200
    before = world.snapshot()
    refused = call(world, second, request)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "proof_already_used")
    assert world.snapshot() == before
    assert call(world, first, request).status_code == 200, "at its own door it may be shown again"


# An account of which only INSTAGRAM_ACCESS_TOKEN is known.


def test_both_ids_are_learned_at_the_first_use_of_the_token_and_both_callbacks_find_the_account(world: World) -> None:
    other_id = world.standins.get(
        f"{world.stack.graph_url}/v26.0/{ACCOUNT}?fields=id,user_id&access_token={keys.ACCESS_TOKEN}"
    ).json()["id"]
    world.deliver(webhook(message("gardenia")))
    learned = world.row("select account_id, app_scoped_id, state from accounts")
    assert learned == {"account_id": ACCOUNT, "app_scoped_id": other_id, "state": "active"}
    asked_at = int(time.time())
    assert call(world, DEAUTHORIZE, signed(other_id, issued_at=asked_at + 1)).json() == {"status": "stopped"}
    code = call(world, DELETION, signed(other_id, issued_at=asked_at + 2)).json()["confirmation_code"]
    assert state(world, code)["scope"] == "account"
    assert traces(world, "gardenia") == {}


def test_of_an_id_that_may_be_ours_nobody_is_told_that_nothing_is_stored(world: World) -> None:
    world.deliver(webhook(message("gardenia")))
    world.db.execute("delete from accounts")  # as if Meta could not be asked at the first use
    code = call(world, DELETION, signed(APP_SCOPED)).json()["confirmation_code"]
    assert state(world, code)["state"] == "unresolved"
    assert "Your data is being erased" in look(world, code).text
    assert world.count("messages") == 1
    daily = {"Authorization": f"Bearer {keys.CRON_SECRET}"}
    assert world.http.get("/api/cron/retention", headers=daily).status_code == 200
    assert state(world, code)["state"] == "unresolved"
    world.db.execute("insert into accounts (account_id, app_scoped_id) values (%s, %s)", (ACCOUNT, APP_SCOPED))
    world.http.get("/api/cron/retention", headers=daily)
    assert (state(world, code)["state"], state(world, code)["scope"]) == ("done", "account")
    assert traces(world, "gardenia") == {}


def test_once_every_account_is_known_an_unknown_id_is_nobodys(world: World) -> None:
    world.deliver(webhook(message("hydrangea")))
    world.db.execute("delete from accounts")
    code = call(world, DELETION, signed("218471")).json()["confirmation_code"]
    world.deliver(webhook(message("and again", contact=OTHER_CONTACT)))  # the ids are learned
    world.http.get("/api/cron/retention", headers={"Authorization": f"Bearer {keys.CRON_SECRET}"})
    assert "Nothing was stored about you" in look(world, code).text
    assert world.count("messages") == 2


def test_any_of_the_app_secrets_may_have_signed(world: World) -> None:
    with world.stack.functions({"INSTAGRAM_APP_SECRET": "a-new-one,the-old-one"}) as base_url:
        assert call(world, DELETION, signed("218471", secret="the-old-one"), base_url=base_url).status_code == 200
        assert call(world, DELETION, signed("218471"), base_url=base_url).status_code == 401


def test_what_there_is_no_time_for_is_left_and_the_person_has_their_code(world: World) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    with erasing_broken(world):
        answer = call(world, DELETION, signed(CONTACT))
    assert answer.status_code == 200
    code = answer.json()["confirmation_code"]
    assert state(world, code)["state"] == "pending"
    page = look(world, code)
    assert page.status_code == 200
    assert "Your data is being erased" in page.text
    assert traces(world, CONTACT)["messages"]
    # Already now, nothing comes back.
    before = world.count("messages")
    world.deliver(webhook(message("late", at_ms=now_ms() - 60_000)))
    assert world.count("messages") == before


def test_what_was_left_is_finished_by_the_daily_job(world: World) -> None:
    life = Life(world, contact=CONTACT, words="gardenia")
    with erasing_broken(world):
        code = call(world, DELETION, signed(CONTACT)).json()["confirmation_code"]
    answer = world.http.get("/api/cron/retention", headers={"Authorization": f"Bearer {keys.CRON_SECRET}"})
    assert answer.status_code == 200
    assert state(world, code)["state"] == "done"
    assert traces(world, *life.needles) == {}


def test_no_log_line_of_an_erasure_names_the_person(world: World) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    before = len(world.functions_log())
    code = call(world, DELETION, signed(CONTACT)).json()["confirmation_code"]
    with erasing_broken(world):
        call(world, DELETION, signed(CONTACT, issued_at=1_790_000_000))
    look(world, code)
    call(world, DELETION, signed(CONTACT, secret="of somebody else"))
    call(world, DELETION, "AAAA." + CONTACT)
    log = world.functions_log()[before:]
    assert '"Erasure requested"' in log
    assert '"Erasure left for later"' in log
    assert code in log
    assert CONTACT not in log


# Who may call, and how.


@BOTH
@pytest.mark.parametrize(
    "request_of",
    [
        lambda: signed(CONTACT, secret="of somebody else"),
        lambda: signed(CONTACT, secret=""),
        lambda: signed(CONTACT).split(".")[1],
        lambda: "." + signed(CONTACT).split(".")[1],
        lambda: signed(CONTACT)[:-1],
        lambda: "é.é",
        lambda: "",
    ],
    ids=["another secret", "an empty secret", "no signature", "empty signature", "cut", "no base64", "nothing"],
)
def test_a_caller_who_is_not_meta_is_401_and_nothing_happens(world: World, path: str, request_of: Any) -> None:
    world.deliver(webhook(message("hydrangea")))
    before = world.snapshot()
    assert call(world, path, request_of()).status_code == 401
    assert world.http.post(path, content=b"").status_code == 401
    assert world.snapshot() == before
    assert world.count("erasures") == 0


@BOTH
def test_what_meta_signed_but_names_nobody_is_400(world: World, path: str) -> None:
    for request in (
        sign_request(b"{", keys.APP_SECRET),
        sign_request(b'{"algorithm": "HMAC-SHA256"}', keys.APP_SECRET),
        signed(CONTACT, algorithm="none"),
        signed("\x00"),
    ):
        answer = call(world, path, request)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid_payload"
    assert world.count("erasures") == 0


@BOTH
def test_a_body_that_is_no_form_is_400_one_too_large_413_and_get_405(world: World, path: str) -> None:
    assert world.http.post(path, content=b"\xff\xfe").status_code == 400
    assert world.http.post(path, content=b"x" * (MAX_FORM_BYTES + 1)).status_code == 413
    refused = world.http.get(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


@BOTH
def test_while_the_database_is_away_meta_is_asked_to_come_again(world: World, path: str) -> None:
    with world.stack.functions(AWAY) as base_url:
        answer = call(world, path, signed(CONTACT), base_url=base_url)
        stranger = call(world, path, signed(CONTACT, secret="of somebody else"), base_url=base_url)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["kind"] == "retryable"
    assert stranger.status_code == 401


# The status page.


def test_the_page_says_when_and_how_much_and_loads_nothing(world: World) -> None:
    Life(world, contact=CONTACT, words="gardenia")
    code = call(world, DELETION, signed(CONTACT)).json()["confirmation_code"]
    page = look(world, code)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    rows = world.row("select rows_erased from erasures")["rows_erased"]
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(?:<[^>]+>)?(.*?)(?:</[a-z]+>)?</dd>", page.text))
    assert facts["Confirmation code"] == code
    assert facts["Records erased"] == str(rows)
    assert re.fullmatch(r"\d{1,2} [A-Z][a-z]+ 20\d\d, \d\d:\d\d UTC", facts["Received"])
    assert re.fullmatch(r"\d{1,2} [A-Z][a-z]+ 20\d\d, \d\d:\d\d UTC", facts["Done"])
    assert CONTACT not in page.text
    assert not re.search(r"https?://|src=|<script|url\(|@import", page.text)


@pytest.mark.parametrize("code", ["ABCDEFGHIJKLMNOPQRSTUVWX", "", "<script>alert(1)</script>"])
def test_every_page_is_kept_out_of_caches_indexes_and_frames(world: World, code: str) -> None:
    headers = look(world, code).headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "noindex" in headers["x-robots-tag"]
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"].startswith("'sha256-")
    assert policy["frame-ancestors"] == "'none'"


def test_an_unknown_code_is_404_and_says_so(world: World) -> None:
    page = look(world, new_code())
    assert page.status_code == 404
    assert "This code is not known" in page.text
    answer = look(world, new_code(), accept="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_code")


@pytest.mark.parametrize("code", ["", "abc", "<script>alert(1)</script>", "A" * 25, "abcdefghijklmnopqrstuvwx1"])
def test_what_can_be_no_code_is_400_and_is_not_shown(world: World, code: str) -> None:
    page = look(world, code)
    assert page.status_code == 400
    assert "<script" not in page.text
    assert look(world, code, accept="application/json").json()["error"]["code"] == "malformed_code"


def test_a_page_without_a_code_is_400(world: World) -> None:
    assert world.http.get(STATUS).status_code == 400


def test_a_person_is_told_to_look_again_while_the_database_is_away(world: World) -> None:
    with world.stack.functions(AWAY) as base_url:
        page = look(world, new_code(), base_url=base_url)
    assert page.status_code == 503
    assert int(page.headers["retry-after"]) >= 1
    assert "Your request is not affected" in page.text


def test_who_asks_for_json_gets_the_state_as_json(world: World) -> None:
    code = call(world, DELETION, signed("218471")).json()["confirmation_code"]
    answer = look(world, code, accept="application/json")
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.pop("requested_at") <= body.pop("finished_at")
    assert body == {"confirmation_code": code, "state": "done", "scope": "contact", "rows_erased": 0}
    assert look(world, code, accept="text/html,application/json").headers["content-type"].startswith("text/html")


# The deauthorize callback.


def test_an_account_whose_owner_removed_the_app_sends_nothing_more_and_keeps_what_comes(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.db.execute("insert into accounts (account_id, app_scoped_id) values (%s, %s)", (ACCOUNT, APP_SCOPED))
    world.db.execute("insert into account_tokens (account_id, ciphertext) values (%s, 'gAAAAtoken')", (ACCOUNT,))
    answer = call(world, DEAUTHORIZE, signed(APP_SCOPED))
    assert (answer.status_code, answer.json()) == (200, {"status": "stopped"})
    account = world.row("select * from accounts")
    assert (account["account_id"], account["state"], account["state_code"]) == (ACCOUNT, "needs_reauth", "deauthorized")
    assert world.count("account_tokens") == 0
    world.deliver(webhook(message("price")))
    assert world.sent() == []
    assert world.row("select error_code from outbox")["error_code"] == "account_needs_reauth"
    assert world.count("messages") == 1


def test_an_account_known_by_its_messages_alone_is_stopped_too(world: World) -> None:
    world.deliver(webhook(message("hydrangea")))
    assert call(world, DEAUTHORIZE, signed(ACCOUNT)).json() == {"status": "stopped"}
    assert world.row("select state from accounts where account_id = %s", ACCOUNT)["state"] == "needs_reauth"


def test_the_same_callback_again_does_not_stop_an_owner_who_has_logged_in_since(world: World) -> None:
    world.deliver(webhook(message("hydrangea")))
    request = signed(ACCOUNT, issued_at=int(time.time()) - 60)
    call(world, DEAUTHORIZE, request)
    world.db.execute("select mark_account(%s, 'active')", (ACCOUNT,))
    assert call(world, DEAUTHORIZE, request).json() == {"status": "active"}
    assert world.row("select state from accounts")["state"] == "active"


def test_an_account_that_was_erased_is_not_brought_back(world: World) -> None:
    world.deliver(webhook(message("hydrangea")))
    asked_at = int(time.time())
    call(world, DELETION, signed(ACCOUNT, issued_at=asked_at))
    assert call(world, DEAUTHORIZE, signed(ACCOUNT, issued_at=asked_at - 1)).json() == {"status": "unknown"}
    assert traces(world, ACCOUNT) == {}
