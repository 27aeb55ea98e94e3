"""Several accounts in one deployment: each acts with its own token, and is stopped and started by itself."""

import base64
from typing import Any

import psycopg
import pytest

from dev.stack import keys
from lib.accounts.tokens import seal
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
from tests.support.builders import comment, message, webhook
from tests.support.world import HEALTH, World

OURS = {"Authorization": f"Bearer {keys.INTERNAL_SECRET}"}
ANOTHER_KEY = base64.b64encode(b"x" * 32).decode()


@pytest.fixture(autouse=True)
def _price(world: World) -> None:
    """Every account answers to this word, every time."""
    world.rule(trigger="keyword", pattern="price", reply_text="20.", cooldown_s=0)


def health(world: World, base_url: str = "") -> tuple[int, dict[str, Any]]:
    answer = world.http.get(base_url + HEALTH, headers=OURS)
    return answer.status_code, answer.json()["checks"]


def outcomes(world: World) -> list[tuple[str, str, str | None]]:
    rows = world.rows("select account_id, state, error_code from outbox order by planned_at")
    return [(row["account_id"], row["state"], row["error_code"]) for row in rows]


def test_each_account_acts_with_its_own_token_and_proves_it(world: World) -> None:
    connect(world, FIRST, SECOND)
    world.deliver(message_to(FIRST, "price"))
    world.deliver(message_to(SECOND, "price"))
    assert [sent["account_id"] for sent in world.sent()] == [FIRST, SECOND]
    assert callers(world, "send") == [FIRST, SECOND]
    assert callers(world, "profile") == [FIRST, SECOND]
    assert all(call["appsecret_proof"] for call in world.graph_calls())
    assert [row["state"] for row in world.rows("select state from profiles")] == ["complete", "complete"]


def test_a_comment_is_answered_with_the_token_of_the_account_it_was_written_to(world: World) -> None:
    connect(world, FIRST, SECOND)
    world.rule(trigger="comment", pattern="link", reply_text="Here it is")
    world.deliver(webhook(comment("link please"), account=SECOND, under="changes"))
    assert callers(world, "send") == [SECOND]


def test_an_account_is_found_under_its_other_id(world: World) -> None:
    connect(world, FIRST, SECOND)
    world.deliver(message_to(other_id(FIRST), "price"))
    world.deliver(message_to(FIRST, "hello"))
    assert {row["account_id"] for row in world.rows("select account_id from messages")} == {FIRST}
    assert world.count("profiles") == 1
    (sent,) = world.sent()
    assert sent["account_id"] == FIRST
    assert callers(world, "send") == [FIRST]


def test_a_row_made_under_the_other_id_before_the_account_was_added_is_gone_afterwards(world: World) -> None:
    world.rows("select mark_account(%s, 'needs_reauth', 'graph_token_invalid')", other_id(FIRST))
    connect(world, FIRST)
    row = world.row("select account_id, app_scoped_id, state from accounts")
    assert row == {"account_id": FIRST, "app_scoped_id": other_id(FIRST), "state": "active"}


def test_without_a_token_messages_are_stored_and_meta_is_not_called(world: World) -> None:
    connect(world, FIRST)
    with world.stack.functions({"INSTAGRAM_ACCESS_TOKEN": ""}) as base_url:
        for account_id in (SECOND, FIRST):
            world.deliver(message_to(account_id, "price"), base_url=base_url)
        _, checks = health(world, base_url)
    assert outcomes(world) == [(SECOND, "planned", "no_access_token"), (FIRST, "sent", None)]
    assert set(callers(world, "profile") + callers(world, "send")) == {FIRST}
    profiles = world.rows("select account_id, state from profiles order by account_id")
    assert [(row["account_id"], row["state"]) for row in profiles] == [(FIRST, "complete"), (SECOND, "pending")]
    # The reply waits for a token.
    assert world.rows("select account_id from events where processed_at is null") == [{"account_id": SECOND}]
    assert [account["account_id"] for account in checks["graph"]["detail"]["accounts"]] == [FIRST]


def test_the_environments_token_is_for_its_own_account_alone(world: World) -> None:
    world.db.execute("insert into accounts (account_id, app_scoped_id) values (%s, %s)", (FIRST, other_id(FIRST)))
    env = {"INSTAGRAM_ACCOUNT_ID": FIRST, "INSTAGRAM_ACCESS_TOKEN": token_of(FIRST)}
    with world.stack.functions(env) as base_url:
        world.deliver(message_to(SECOND, "price"), base_url=base_url)
        assert world.graph_calls() == []
        world.deliver(message_to(other_id(FIRST), "price"), base_url=base_url)
    assert outcomes(world) == [(SECOND, "planned", "no_access_token"), (FIRST, "sent", None)]
    assert set(callers(world, "profile") + callers(world, "send")) == {FIRST}


def test_a_page_token_sends_as_its_page(world: World) -> None:
    connect(world, FIRST, flavour="facebook", life_days=None)
    world.deliver(message_to(FIRST, "price"))
    (call,) = [call for call in world.graph_calls() if call["endpoint"] == "send"]
    # The stack's app secret is that of an Instagram-Login app: it proves nothing for another app's token.
    assert (call["path"], call["account_id"], call["appsecret_proof"]) == ("/v26.0/me/messages", FIRST, False)
    with world.stack.functions({"INSTAGRAM_LOGIN_FLAVOUR": "facebook"}) as base_url:
        world.deliver(message_to(FIRST, "price"), base_url=base_url)
    assert [call["appsecret_proof"] for call in world.graph_calls() if call["endpoint"] == "send"] == [False, True]
    assert [state for _, state, _ in outcomes(world)] == ["sent", "sent"]


def test_the_version_of_the_graph_api_is_a_setting(world: World) -> None:
    connect(world, FIRST)
    with world.stack.functions({"GRAPH_API_VERSION": "v27.0"}) as base_url:
        world.deliver(message_to(FIRST, "price"), base_url=base_url)
    assert {call["path"].split("/")[1] for call in world.graph_calls()} == {"v27.0"}


def test_a_dead_token_stops_its_account_alone_and_a_new_one_starts_it_again(world: World) -> None:
    connect(world, FIRST, token=dead_token_of(FIRST))
    connect(world, SECOND)
    for _ in range(2):
        world.deliver(message_to(FIRST, "price"))
        world.deliver(message_to(SECOND, "price"))
    assert [sent["account_id"] for sent in world.sent()] == [SECOND, SECOND]
    assert world.count("messages") == 4 + 2  # theirs, and ours until their echoes come
    assert state_of(world, FIRST) == ("needs_reauth", "graph_token_invalid")
    assert state_of(world, SECOND) == ("active", None)
    status, checks = health(world)
    assert checks["postgres"]["detail"]["accounts_not_active"] == [
        {"account_id": FIRST, "state": "needs_reauth", "code": "graph_token_invalid"}
    ]
    assert status == 200
    assert FIRST not in str(checks["graph"])

    connect(world, FIRST)
    world.deliver(message_to(FIRST, "price"))
    assert [sent["account_id"] for sent in world.sent()] == [SECOND, SECOND, FIRST]
    _, checks = health(world)
    assert checks["postgres"]["detail"]["accounts_not_active"] == []


def test_an_expired_token_at_one_account_leaves_the_next_call_of_another_alone(world: World) -> None:
    connect(world, FIRST, SECOND)
    world.graph_fault("send", "expired_token", times=1)
    world.deliver(message_to(SECOND, "price"))
    world.deliver(message_to(FIRST, "price"))
    assert (state_of(world, FIRST)[0], state_of(world, SECOND)[0]) == ("active", "needs_reauth")
    assert [sent["account_id"] for sent in world.sent()] == [FIRST]


def test_a_late_failure_with_the_old_token_does_not_stop_an_account_that_has_a_new_one(world: World) -> None:
    connect(world, FIRST)
    before = ciphertext_of(world, FIRST)
    connect(world, FIRST)
    for failed_with in (before, None):
        stopped = world.row("select stop_account(%s, 'needs_reauth', 'late', %s) as done", FIRST, failed_with)
        assert stopped["done"] is False
    assert state_of(world, FIRST) == ("active", None)
    now = ciphertext_of(world, FIRST)
    assert world.row("select stop_account(%s, 'needs_reauth', 'now', %s) as done", other_id(FIRST), now)["done"]
    assert state_of(world, FIRST) == ("needs_reauth", "now")


def test_a_token_near_its_end_shows_in_health(world: World) -> None:
    connect(world, FIRST, life_days=60)
    connect(world, SECOND, life_days=5)
    _, checks = health(world)
    assert checks["postgres"]["detail"]["tokens_expiring"] == [{"account_id": SECOND, "days_left": 4}]


def test_a_token_no_key_opens_holds_up_its_own_sends_and_nothing_else(world: World) -> None:
    connect(world, FIRST)
    with world.stack.functions({"TOKEN_ENCRYPTION_KEY": ANOTHER_KEY}) as base_url:
        world.deliver(message_to(FIRST, "price"), base_url=base_url)
        world.deliver(webhook(message("price")), base_url=base_url)  # the account of the environment's token
        status, checks = health(world, base_url)
    assert [(state, code) for _, state, code in outcomes(world)] == [("planned", "token_unreadable"), ("sent", None)]
    assert world.rows("select account_id from events where processed_at is null") == [{"account_id": FIRST}]
    assert world.row("select state from profiles where account_id = %s", FIRST)["state"] == "pending"
    assert state_of(world, FIRST) == ("active", None)
    assert status == 503
    assert checks["tokens"]["code"] == "token_unreadable"
    assert checks["tokens"]["detail"] == {"tried": 1, "unreadable": [FIRST]}


def test_a_token_moved_to_another_accounts_row_is_not_used(world: World) -> None:
    connect(world, FIRST, SECOND)
    moved = ciphertext_of(world, SECOND)
    world.db.execute("update account_tokens set ciphertext = %s where account_id = %s", (moved, FIRST))
    world.deliver(message_to(FIRST, "price"))
    assert outcomes(world) == [(FIRST, "planned", "token_unreadable")]
    assert world.graph_calls() == []
    _, checks = health(world)
    assert checks["tokens"]["detail"]["unreadable"] == [FIRST]


def test_while_the_key_is_changed_tokens_under_either_are_used(world: World) -> None:
    connect(world, FIRST)
    ciphertext = seal(token_of(SECOND), account_id=SECOND, keys=(ANOTHER_KEY,))
    connect(world, SECOND)
    world.db.execute("update account_tokens set ciphertext = %s where account_id = %s", (ciphertext, SECOND))
    with world.stack.functions({"TOKEN_ENCRYPTION_KEY": f"{ANOTHER_KEY}, {keys.TOKEN_KEY}"}) as base_url:
        for account_id in (FIRST, SECOND):
            world.deliver(message_to(account_id, "price"), base_url=base_url)
        status, checks = health(world, base_url)
    assert callers(world, "send") == [FIRST, SECOND]
    assert (status, checks["tokens"]["ok"]) == (200, True)


def test_a_forgotten_token_is_gone_and_the_messages_stay(world: World) -> None:
    connect(world, FIRST)
    world.deliver(message_to(FIRST, "hello"))
    world.rows("select forget_token(%s)", other_id(FIRST))
    assert world.count("account_tokens") == 0
    assert (world.count("accounts"), world.count("messages")) == (1, 1)


def test_a_plain_token_does_not_fit_into_the_table(world: World) -> None:
    world.db.execute("insert into accounts (account_id) values (%s)", (FIRST,))
    with pytest.raises(psycopg.errors.CheckViolation):
        world.db.execute("insert into account_tokens (account_id, ciphertext) values (%s, 'IGAAplain')", (FIRST,))


def test_a_token_is_in_no_log_no_answer_and_no_table_and_its_ciphertext_in_one_column(world: World) -> None:
    connect(world, FIRST, token=dead_token_of(FIRST))
    connect(world, SECOND, life_days=5)
    ciphertexts = [ciphertext_of(world, account_id) for account_id in (FIRST, SECOND)]
    for fault in ("ok", "500", "cut_after_accept", "garbage", "transient"):
        world.graph_fault("*", fault, times=2)
        for account_id in (FIRST, SECOND):
            world.deliver(message_to(account_id, "price"))
    world.graph_fault("*", "ok")
    world.db.execute("update account_tokens set issued_at = now() - interval '40 days'")
    refreshed = world.http.get("/api/cron/refresh-tokens", headers={"Authorization": f"Bearer {keys.CRON_SECRET}"})
    assert refreshed.json()["refreshed"] == 1
    ciphertexts += [ciphertext_of(world, account_id) for account_id in (FIRST, SECOND)]

    logs = [path.read_text() for path in (world.stack.config.data_dir / "logs").iterdir()]
    answers = [refreshed.text, world.http.get(HEALTH, headers=OURS).text]
    shown = {name: asked(world, "GET", name) for name in tables_and_views(world)}
    of_tokens = shown.pop("account_tokens")
    told = [asked(world, "POST", f"rpc/{name}") for name in ("list_accounts", "ingestion_status", "expiring_tokens")]

    for secret in ("very-secret", "local-refreshed"):
        assert not any(secret in text for text in (*logs, *answers, *shown.values(), *told, of_tokens))
    assert not any(secret in text for secret in ciphertexts for text in (*logs, *answers, *shown.values(), *told))
    assert all(ciphertext in of_tokens for ciphertext in ciphertexts[2:])


def tables_and_views(world: World) -> list[str]:
    """All that PostgREST serves."""
    rows = world.rows("select table_name from information_schema.tables where table_schema = 'public'")
    names = [row["table_name"] for row in rows]
    assert {"accounts", "account_tokens", "outbox", "events", "conversations"} <= set(names)
    return names


def asked(world: World, method: str, path: str) -> str:
    """What PostgREST answers to the service role."""
    key = world.stack.service_role_key
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    answer = world.standins.request(method, f"{world.stack.supabase_url}/rest/v1/{path}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.text
