"""Secrets and people's words stay inside, whatever fails; and the guard that looks for them all the time finds them.

The guard is `tests/support/secrecy.py`. It fails any test in which it finds a leak, so these tests only have to make
things fail.
"""

import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.stack import keys
from lib.accounts.tokens import _Sealed
from lib.core import log
from lib.core.settings import load
from tests.security.callers import qstash_token
from tests.security.functions import SETTINGS
from tests.support.builders import comment, echo, edit, item, message, new_mid, postback, webhook
from tests.support.deliveries import event
from tests.support.logs import written
from tests.support.secrecy import Secrecy, function_logs, watch
from tests.support.world import CONSUMER, FAILURE, HEALTH, INGEST, SWEEP, World

SECRET = "the-secret+of/this=test"
WORDS = "words that only their writer and their reader may know"


@pytest.fixture
def guard() -> Secrecy:
    """A guard of one secret and one person's words."""
    guard = Secrecy()
    guard.learn_settings(
        {"CRON_SECRET": f"{SECRET}, short", "LOG_LEVEL": "INFORMATION", "QSTASH_URL": "https://q.example"}
    )
    guard.learn_words(httpx.Request("POST", "https://f.example", json=webhook(message(WORDS))))
    return guard


def answer(body: str, *, path: str = HEALTH, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(200, text=body, headers=headers, request=httpx.Request("GET", f"https://f.example{path}"))


# The guard.


@pytest.mark.parametrize("shown", [SECRET, "the-secret%2Bof%2Fthis%3Dtest", WORDS, "very-secret", keys.ACCESS_TOKEN])
def test_the_guard_finds_what_is_shown(guard: Secrecy, shown: str) -> None:
    guard.look_at(f"something {shown}.", "a line")
    assert len(guard.leaks) == 1
    assert guard.leaks[0].endswith("in a line")


def test_the_guard_finds_words_that_a_line_of_json_has_written_otherwise() -> None:
    guard, words = Secrecy(), 'Grüße "aus" der\nFerne \U0001f30d'
    guard.learn_words(httpx.Request("POST", "https://f.example", json={"text": words}))
    guard.look_at(json.dumps({"said": words}), "a line")
    assert len(guard.leaks) == 1


def test_the_guard_finds_nothing_where_there_is_nothing(guard: Secrecy) -> None:
    guard.look_at("INFORMATION for q.example, short: the-secret; words that only", "a line")
    assert guard.leaks == []


def test_the_guard_looks_at_the_body_and_the_headers_of_every_answer_of_a_function(guard: Secrecy) -> None:
    guard.look_at_answer(answer("fine"))
    guard.look_at_answer(answer(SECRET, path="/__dev/calls"))
    assert guard.leaks == []
    guard.look_at_answer(answer(WORDS))
    guard.look_at_answer(answer("fine", headers={"X-Debug": SECRET}))
    assert [leak.split(" ")[0] for leak in guard.leaks] == ["somebody's", "CRON_SECRET"]


def test_the_guard_looks_at_each_line_of_each_log_once(guard: Secrecy, tmp_path: Path) -> None:
    file = tmp_path / "stack" / "logs" / "functions-1234.log"
    file.parent.mkdir(parents=True)
    file.write_text("one\n")
    guard.look_at_logs(function_logs(tmp_path))
    assert guard.leaks == []
    with file.open("a") as more:
        more.write(f"two {SECRET[:5]}")
    guard.look_at_logs(function_logs(tmp_path))
    with file.open("a") as more:
        more.write(f"{SECRET[5:]}\nthree\n")
    for _ in range(2):
        guard.look_at_logs(function_logs(tmp_path))
    assert guard.leaks == [f"CRON_SECRET is in {file}: two {SECRET}"]
    file.write_text(f"one\n{WORDS}\n")
    guard.begins_anew(file)
    guard.look_at_logs(function_logs(tmp_path))
    assert len(guard.leaks) == 2


def test_the_guard_sees_every_record_of_this_process_as_it_would_be_written(guard: Secrecy) -> None:
    with guard.watching_records():
        log.get("lib.x").error("Request failed", code=SECRET)
        log.get("lib.x").error("Request failed", access_token=SECRET)
        logging.getLogger("a.library").error("this is %s", SECRET)
        logging.getLogger("a.library").error(f"this is {SECRET}")
    assert [leak.split(" (")[0] for leak in guard.leaks] == [
        "CRON_SECRET is in a line of lib.x",
        "CRON_SECRET is in a line of a.library",
    ]


def test_the_guard_of_this_session_knows_the_secrets_of_the_stack_and_is_at_work(world: World) -> None:
    before = dict(watch.looked_at)
    world.deliver(webhook(message(WORDS)))
    watch.look_at_logs(function_logs(world.stack.config.data_dir))
    log.get("lib.x").error("Something a person should look at")
    assert all(watch.looked_at[what] > before[what] for what in before)
    probe = Secrecy()
    probe._secrets, probe._words = watch._secrets, watch._words
    for secret in (
        keys.APP_SECRET, keys.VERIFY_TOKEN, keys.INTERNAL_SECRET, keys.CRON_SECRET, keys.QSTASH_TOKEN, keys.TOKEN_KEY,
        keys.QSTASH_CURRENT_SIGNING_KEY, keys.QSTASH_NEXT_SIGNING_KEY, world.stack.service_role_key, keys.ACCESS_TOKEN,
        WORDS,
    ):  # fmt: skip
        found = len(probe.leaks)
        probe.look_at(secret, "a line")
        assert len(probe.leaks) > found, secret[:6]


# What it guards.


def everything_said() -> list[dict[str, Any]]:
    """An item of each kind in which there are somebody's words."""
    mid = new_mid()
    reply = {"mid": new_mid(), "story": {"id": "1", "url": f"https://s.example/{WORDS}"}}
    return [
        message(
            WORDS, mid=mid, reply_to=reply, attachments=[{"type": "image", "payload": {"url": WORDS, "title": WORDS}}]
        ),
        message(f"{WORDS} price", quick_reply={"payload": WORDS}),
        edit(mid, WORDS),
        echo(WORDS),
        postback(WORDS),
        item(referral={"ref": WORDS, "source": WORDS, "type": WORDS}),
        item(optin={"type": WORDS, "payload": WORDS, "notification_messages_token": WORDS}),
        item(brand_new={"text": WORDS, WORDS[:30]: 1}),
        item(message={"mid": new_mid(), "text": {"unexpected": WORDS}, "attachments": WORDS}),
    ]


def said() -> dict[str, Any]:
    body = webhook(*everything_said())
    body["entry"] += webhook(comment(WORDS), under="changes")["entry"]
    return body


def log_of(world: World, base_url: str) -> str:
    return (world.stack.log_path(f"functions-{base_url.rpartition(':')[2]}")).read_text()


def test_nothing_is_told_while_everything_works_however_much_is_logged(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text=f"{WORDS}, {{username}}.")
    with world.stack.functions({"LOG_LEVEL": "DEBUG"}) as base_url:
        assert world.post_webhook(said(), base_url=base_url).status_code == 200
        world.settle()
        headers = {"Authorization": f"Bearer {keys.INTERNAL_SECRET}"}
        assert world.http.get(base_url + HEALTH, headers=headers).status_code == 200
        world.sweep(base_url=base_url)
        text = log_of(world, base_url)
    assert len(world.sent()) == 1
    assert text.count("Event processed") >= 9
    assert WORDS not in text


@pytest.mark.parametrize(
    "env",
    [
        {"PUBLIC_URL": "http://127.0.0.1:9", "SUPABASE_URL": "http://127.0.0.1:9", "QSTASH_URL": "http://127.0.0.1:9"},
        {"SUPABASE_SERVICE_ROLE_KEY": "sb_secret_of_another_project", "QSTASH_URL": "http://127.0.0.1:9"},
        {"QSTASH_TOKEN": "a-token-that-qstash-does-not-know"},
        {"INSTAGRAM_ACCESS_TOKEN": "EXPIRED-very-secret-and-dead", "QSTASH_URL": "http://127.0.0.1:9"},
        {"TOKEN_ENCRYPTION_KEY": "a-key-that-is-none-at-all", "LOG_LEVEL": "LOUD-and-clear"},
    ],
    ids=["nothing answers", "key refused", "token refused", "dead access token", "not configured"],
)
def test_nothing_is_told_while_what_we_depend_on_fails(world: World, env: dict[str, str]) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text=f"{WORDS}.")
    with world.stack.functions({"LOG_LEVEL": "DEBUG", **env}) as base_url:
        world.post_webhook(said(), base_url=base_url)
        for path, secret in ((HEALTH, keys.INTERNAL_SECRET), (SWEEP, keys.CRON_SECRET)):
            world.http.get(base_url + path, headers={"Authorization": f"Bearer {secret}"})
        world.post_events({"text": WORDS, "kind": WORDS, "event_id": WORDS}, base_url=base_url)
        world.settle()
        text = log_of(world, base_url)
        watch.look_at_logs([world.stack.log_path(f"functions-{base_url.rpartition(':')[2]}")])
    assert any(
        written(line)["level"] == "error" for line in text.splitlines() if not line.startswith(("GET /", "POST /"))
    )
    assert not [value for name, value in env.items() if "URL" not in name and value in text]
    assert WORDS not in text


def test_nothing_is_told_when_the_database_quotes_the_row_that_it_refuses(world: World) -> None:
    world.db.execute("alter table messages add constraint no_such_words check (text not like '%their reader%')")
    try:
        with world.stack.functions({"QSTASH_URL": "http://127.0.0.1:9"}) as base_url:
            answer = world.post_webhook(webhook(message(WORDS)), base_url=base_url)
            text = log_of(world, base_url)
    finally:
        world.db.execute("alter table messages drop constraint no_such_words")
    assert answer.json()["rejected"] == 1
    assert "refused the event for good" in text
    assert world.row("select event ->> 'text' as text from dead_letters")["text"] == WORDS
    assert WORDS not in text


@pytest.mark.parametrize(
    "body",
    [
        event(text=WORDS, occurred_at=WORDS),
        event(text={"unexpected": WORDS}),
        event(kind=WORDS),
        {"sourceMessageId": [WORDS], "sourceBody": WORDS},
        [WORDS],
    ],
    ids=["time", "text", "kind", "callback", "array"],
)
def test_nothing_is_told_of_a_delivery_that_can_not_be_read(world: World, body: object) -> None:
    before = len(world.functions_log())
    raw = json.dumps(body).encode()
    for path in (CONSUMER, FAILURE):
        headers = {"Upstash-Signature": qstash_token(raw, world.stack.functions_url + path)}
        answer = world.http.post(path, content=raw, headers=headers)
        assert (answer.status_code, WORDS in answer.text) == (489, False)
    assert world.post_events(body).status_code == 400
    text = world.functions_log()[before:]
    assert text.count("invalid_payload") == 3
    assert WORDS not in text


def test_nothing_is_told_of_what_a_stranger_sends(world: World) -> None:
    for path in (CONSUMER, FAILURE, INGEST):
        for secret in (keys.APP_SECRET, keys.VERIFY_TOKEN):
            headers = {"Authorization": f"Bearer {secret}", "Upstash-Signature": secret, "X-Hub-Signature-256": secret}
            answer = world.http.post(path, json={"text": WORDS}, headers=headers)
            assert answer.status_code == 401


def test_what_holds_a_secret_does_not_show_it() -> None:
    settings = load(SETTINGS)
    sealed = _Sealed(account_id="17841400000000000", token=keys.ACCESS_TOKEN)
    shown = f"{settings} {settings!r} {sealed} {sealed!r} {[sealed]}"
    assert not [name for name, value in SETTINGS.items() if "URL" not in name and value in shown]


def test_a_page_for_people_shows_no_word_of_a_request(world: World) -> None:
    for code in ("<script>alert(1)</script>", '"onmouseover="alert(1)', WORDS, "A" * 24):
        page = world.http.get("/api/privacy/deletion-status", params={"code": code}, headers={"Accept": code})
        assert page.status_code in (400, 404)
        assert code not in page.text
