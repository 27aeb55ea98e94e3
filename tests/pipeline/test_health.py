"""GET /api/health: names of settings for everybody, the state of the dependencies for who holds the secret."""

import httpx

from dev.stack import keys
from lib.core.env_vars import NEEDED
from tests.support.builders import message, webhook
from tests.support.world import HEALTH, World

OURS = {"Authorization": f"Bearer {keys.INTERNAL_SECRET}"}


def test_health_shows_which_settings_are_there_and_no_value(world: World) -> None:
    answer = world.http.get(HEALTH)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "settings": dict.fromkeys(NEEDED, True)}
    assert not any(value in answer.text for value in world.stack.env.values() if len(value) > 8)


def test_a_missing_setting_is_503_and_says_where_to_get_it(world: World) -> None:
    with world.stack.functions({"QSTASH_TOKEN": "", "LOG_LEVEL": "LOUD"}) as base_url:
        answer = httpx.get(base_url + HEALTH)
    assert answer.status_code == 503
    body = answer.json()
    assert body["status"] == "not_configured"
    assert body["settings"]["QSTASH_TOKEN"] is False
    assert set(body["problems"]) == {"QSTASH_TOKEN", "LOG_LEVEL"}
    assert "Upstash Console" in body["problems"]["QSTASH_TOKEN"]


def test_the_dependencies_are_asked_for_who_holds_the_secret(world: World) -> None:
    answer = world.http.get(HEALTH, headers=OURS)
    assert answer.status_code == 200, answer.text
    checks = answer.json()["checks"]
    assert set(checks) == {"postgres", "qstash", "graph"}
    assert all(check["ok"] for check in checks.values())
    assert checks["postgres"]["detail"]["open_dead_letters"] == 0
    assert [account["username"] for account in checks["graph"]["detail"]["accounts"]] == ["shop.0001"]


def test_a_wrong_secret_is_401_and_asks_nobody(world: World) -> None:
    answer = world.http.get(HEALTH, headers={"Authorization": "Bearer guess"})
    assert answer.status_code == 401
    assert world.graph_calls() == []


def test_a_dependency_that_is_away_is_503_and_named(world: World) -> None:
    with world.stack.functions({"SUPABASE_URL": "http://127.0.0.1:9", "QSTASH_TOKEN": "wrong"}) as base_url:
        answer = httpx.get(base_url + HEALTH, headers=OURS, timeout=30)
    assert answer.status_code == 503
    body = answer.json()
    assert body["status"] == "degraded"
    assert [name for name, check in body["checks"].items() if not check["ok"]] == ["postgres", "qstash"]
    assert all(check["code"] for check in body["checks"].values() if not check["ok"])


def test_an_account_whose_token_died_shows_in_health(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "expired_token", times=1)
    world.deliver(webhook(message("price")))
    detail = world.http.get(HEALTH, headers=OURS).json()["checks"]["postgres"]["detail"]
    assert [account["state"] for account in detail["accounts_not_active"]] == ["needs_reauth"]


def test_other_methods_are_405_with_the_allowed_one(world: World) -> None:
    answer = world.http.post(HEALTH)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert answer.json()["error"]["code"] == "method_not_allowed"
