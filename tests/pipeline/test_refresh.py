"""GET /api/cron/refresh-tokens: tokens are refreshed before they die, each by itself; who can't be helped is named."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from dev.stack import keys
from lib.accounts.refresh import Refresher, Report
from lib.accounts.tokens import unseal
from lib.container import Container
from lib.core.deadline import Deadline
from lib.core.settings import load
from tests.support.accounts import FIRST, SECOND, callers, ciphertext_of, connect, dead_token_of, message_to, state_of
from tests.support.world import HEALTH, World

REFRESH = "/api/cron/refresh-tokens"


def ask(world: World, secret: str = keys.CRON_SECRET, *, base_url: str = "") -> httpx.Response:
    return world.http.get(base_url + REFRESH, headers={"Authorization": f"Bearer {secret}".strip()})


def refresh(world: World, *, base_url: str = "") -> dict[str, Any]:
    answer = ask(world, base_url=base_url)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def age(world: World, account_id: str, *, hours: int, hours_left: int | None) -> None:
    """The token was given out so long ago, and lasts so much longer."""
    world.db.execute(
        "update account_tokens set issued_at = now() - %s * interval '1 hour',"
        " expires_at = now() + %s * interval '1 hour' where account_id = %s",
        (hours, hours_left, account_id),
    )


def token_now(world: World, account_id: str) -> str:
    return unseal(ciphertext_of(world, account_id), account_id=account_id, keys=(keys.TOKEN_KEY,))


def days_left(world: World, account_id: str) -> float:
    query = "select extract(epoch from expires_at - now()) / 86400 as days from account_tokens where account_id = %s"
    return float(world.row(query, account_id)["days"])


@pytest.mark.parametrize("secret", ["", "guess", keys.INTERNAL_SECRET, f"{keys.CRON_SECRET}x"])
def test_nobody_but_vercels_cron_gets_in(world: World, secret: str) -> None:
    connect(world, FIRST)
    age(world, FIRST, hours=24 * 40, hours_left=24 * 20)
    answer = ask(world, secret)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "wrong_cron_secret"
    assert world.graph_calls() == []


def test_without_a_cron_secret_nobody_gets_in_at_all(world: World) -> None:
    with world.stack.functions({"CRON_SECRET": ""}) as base_url:
        for secret in ("", keys.CRON_SECRET):
            assert ask(world, secret, base_url=base_url).status_code == 401


def test_only_get_is_taken(world: World) -> None:
    answer = world.http.post(REFRESH, headers={"Authorization": f"Bearer {keys.CRON_SECRET}"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_an_old_token_is_refreshed_and_the_new_one_is_used(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    connect(world, FIRST)
    age(world, FIRST, hours=24 * 31, hours_left=24 * 29)
    before = ciphertext_of(world, FIRST)
    assert refresh(world) == {"refreshed": 1, "failed": [], "expiring": []}
    assert ciphertext_of(world, FIRST) != before
    assert token_now(world, FIRST).startswith("local-refreshed-")
    assert 59 < days_left(world, FIRST) <= 60
    world.deliver(message_to(FIRST, "price"))
    assert callers(world, "send") == [FIRST]
    assert refresh(world)["refreshed"] == 0


@pytest.mark.parametrize(
    ("hours", "hours_left", "is_refreshed"),
    [
        (24 * 29, 24 * 31, False),  # younger than TOKEN_REFRESH_AFTER_DAYS
        (24 * 29, 24 * 9, True),  # as young, but near its end
        (23, 24 * 9, False),  # Meta refreshes none that is younger than a day
        (24 * 31, None, True),  # nobody knows how long it lasts
        (24 * 70, -1, False),  # expired: only its owner can help
    ],
)
def test_a_token_is_refreshed_when_it_is_old_enough_and_not_too_old(
    world: World, hours: int, hours_left: int | None, is_refreshed: bool
) -> None:
    connect(world, FIRST)
    age(world, FIRST, hours=hours, hours_left=hours_left)
    assert refresh(world)["refreshed"] == is_refreshed
    assert callers(world, "refresh") == [FIRST] * is_refreshed


def test_the_age_is_a_setting(world: World) -> None:
    connect(world, FIRST)
    age(world, FIRST, hours=24 * 8, hours_left=24 * 52)
    assert refresh(world)["refreshed"] == 0
    with world.stack.functions({"TOKEN_REFRESH_AFTER_DAYS": "7"}) as base_url:
        assert refresh(world, base_url=base_url)["refreshed"] == 1


def test_whoever_expires_within_ten_days_is_warned_of_in_answer_log_and_health(world: World) -> None:
    connect(world, FIRST, SECOND)
    age(world, FIRST, hours=12, hours_left=24 * 9 + 1)
    age(world, SECOND, hours=24 * 61, hours_left=-25)
    expiring = [{"account_id": SECOND, "days_left": -2}, {"account_id": FIRST, "days_left": 9}]
    assert refresh(world) == {"refreshed": 0, "failed": [], "expiring": expiring}
    lines = [json.loads(line) for line in world.functions_log().splitlines() if "Access expires" in line]
    warned = [(line["level"], line["account_id"], line["days_left"]) for line in lines[-2:]]
    assert warned == [("warning", SECOND, -2), ("warning", FIRST, 9)]
    health = world.http.get(HEALTH, headers={"Authorization": f"Bearer {keys.INTERNAL_SECRET}"}).json()
    assert health["checks"]["postgres"]["detail"]["tokens_expiring"] == expiring


@pytest.mark.parametrize("fault", ["500", "429", "transient", "cut_before_accept", "garbage"])
def test_what_fails_for_a_moment_is_left_as_it_is_for_tomorrow(world: World, fault: str) -> None:
    connect(world, FIRST)
    age(world, FIRST, hours=24 * 31, hours_left=24 * 29)
    before = ciphertext_of(world, FIRST)
    world.graph_fault("refresh", fault, times=1)
    report = refresh(world)
    assert report["refreshed"] == 0
    assert [failure["account_id"] for failure in report["failed"]] == [FIRST]
    assert ciphertext_of(world, FIRST) == before
    assert state_of(world, FIRST) == ("active", None)
    assert refresh(world)["refreshed"] == 1


def test_a_revoked_token_stops_its_account_and_the_others_are_refreshed(world: World) -> None:
    connect(world, FIRST, token=dead_token_of(FIRST))
    connect(world, SECOND)
    for account_id in (FIRST, SECOND):
        age(world, account_id, hours=24 * 31, hours_left=24 * 29)
    failed = [{"account_id": FIRST, "code": "graph_token_invalid"}]
    assert refresh(world) == {"refreshed": 1, "failed": failed, "expiring": []}
    assert (state_of(world, FIRST)[0], state_of(world, SECOND)[0]) == ("needs_reauth", "active")
    asked_before = len(world.graph_calls())
    assert refresh(world) == {"refreshed": 0, "failed": [], "expiring": []}
    assert len(world.graph_calls()) == asked_before


def test_a_stopped_account_keeps_its_token_fresh(world: World) -> None:
    connect(world, FIRST)
    world.rows("select mark_account(%s, 'stopped', 'graph_policy_block')", FIRST)
    age(world, FIRST, hours=24 * 31, hours_left=24 * 29)
    assert refresh(world)["refreshed"] == 1
    assert state_of(world, FIRST) == ("stopped", "graph_policy_block")


def test_a_page_token_is_left_alone(world: World) -> None:
    connect(world, FIRST, flavour="facebook", life_days=None)
    age(world, FIRST, hours=24 * 400, hours_left=None)
    assert refresh(world) == {"refreshed": 0, "failed": [], "expiring": []}
    assert world.graph_calls() == []


def test_a_token_that_can_not_be_read_fails_alone(world: World) -> None:
    connect(world, FIRST, SECOND)
    moved = ciphertext_of(world, SECOND)
    world.db.execute("update account_tokens set ciphertext = %s where account_id = %s", (moved, FIRST))
    for account_id in (FIRST, SECOND):
        age(world, account_id, hours=24 * 31, hours_left=24 * 29)
    report = refresh(world)
    assert report["failed"] == [{"account_id": FIRST, "code": "token_unreadable"}]
    assert report["refreshed"] == 1
    assert state_of(world, FIRST) == ("active", None)


def test_two_runs_at_once_leave_one_good_token(world: World) -> None:
    connect(world, FIRST)
    world.graph_fault("refresh", "latency", latency_ms=500)
    with world.stack.functions({}) as base_url, ThreadPoolExecutor(2) as pool:
        for url in ("", base_url):
            assert refresh(world, base_url=url)["refreshed"] == 0  # both are warm now
        age(world, FIRST, hours=24 * 31, hours_left=24 * 29)
        runs = [pool.submit(refresh, world, base_url=url) for url in ("", base_url)]
        reports = [run.result() for run in runs]
    assert callers(world, "refresh") == [FIRST, FIRST]
    assert sorted(report["refreshed"] for report in reports) == [0, 1]
    assert all(report["failed"] == [] for report in reports)
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.deliver(message_to(FIRST, "price"))
    assert callers(world, "send") == [FIRST]


def test_a_token_given_by_a_person_meanwhile_stays(world: World) -> None:
    connect(world, FIRST)
    age(world, FIRST, hours=24 * 31, hours_left=24 * 29)
    world.graph_fault("refresh", "latency", latency_ms=500)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(refresh, world)
        while not [call for call in world.graph_calls() if call["endpoint"] == "refresh"]:
            assert not run.done()
        connect(world, FIRST, token=f"local-by-hand-{FIRST}")
        assert run.result()["refreshed"] == 0
    assert token_now(world, FIRST) == f"local-by-hand-{FIRST}"


def test_what_time_does_not_allow_is_left_for_the_next_run(world: World) -> None:
    connect(world, FIRST, SECOND)
    for account_id in (FIRST, SECOND):
        age(world, account_id, hours=24 * 31, hours_left=24 * 29)

    async def run(seconds: float) -> Report:
        here = Container(load(world.stack.env))
        try:
            refresher = Refresher(here.settings, accounts=here.accounts, graph=here.graph)
            return await refresher.run(deadline=Deadline.after(seconds))
        finally:
            await here.close()

    assert asyncio.run(run(0)) == Report(refreshed=0, failed=[], expiring=[])
    assert world.graph_calls() == []
    assert asyncio.run(run(30)).refreshed == 2
