"""Raw items go after their time: by GET /api/cron/retention, daily, or by `python -m cli retention`, now."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from dev.stack import keys
from dev.stack.config import ROOT
from lib.archive import retention
from lib.archive.retention import Expired, expire
from lib.container import Container
from lib.core.deadline import Deadline
from lib.core.settings import load
from tests.support.builders import message, new_mid, webhook
from tests.support.world import World

RETENTION = "/api/cron/retention"
OURS = {"Authorization": f"Bearer {keys.CRON_SECRET}"}


def recorded(world: World, *days_ago: float) -> list[str]:
    """Messages whose segments of the archive were closed so many days ago, the oldest first; their event ids."""
    mids = [new_mid() for _ in days_ago]
    for mid, days, next_days in zip(mids, days_ago, [*days_ago[1:], 0.0], strict=True):
        world.deliver(webhook(message("hello", mid=mid)))
        if days:
            world.age_archive(days - next_days)
    return [f"ig_msg_{mid}" for mid in mids]


def with_raw(world: World) -> set[str]:
    return {row["event_id"] for row in world.rows("select event_id from events e where e.raw is not null")}


def test_the_cron_job_empties_raw_items_older_than_thirty_days_and_nothing_else(world: World) -> None:
    older, old, young, new = recorded(world, 400, 30.01, 29.99, 0)
    before = world.snapshot()
    answer = world.http.get(RETENTION, headers=OURS)
    assert (answer.status_code, answer.json()) == (200, {"expired": 2, "done": True})
    assert with_raw(world) == {young, new}
    for row in before["events"]:
        row["raw"] = None if row["event_id"] in (old, older) else row["raw"]
    assert world.snapshot() == before
    assert world.http.get(RETENTION, headers=OURS).json() == {"expired": 0, "done": True}


def test_how_long_raw_items_are_kept_is_a_setting(world: World) -> None:
    _, young = recorded(world, 4, 2)
    with world.stack.functions({"RAW_RETENTION_DAYS": "3"}) as base_url:
        assert httpx.get(base_url + RETENTION, headers=OURS).json() == {"expired": 1, "done": True}
    assert with_raw(world) == {young}


def test_they_may_be_kept_for_ever(world: World) -> None:
    recorded(world, 700)
    with world.stack.functions({"RAW_RETENTION_DAYS": "3000000"}) as base_url:
        assert httpx.get(base_url + RETENTION, headers=OURS).json() == {"expired": 0, "done": True}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer guess"},
        {"Authorization": f"Bearer {keys.INTERNAL_SECRET}"},
        {"Authorization": keys.CRON_SECRET},
        {"User-Agent": "vercel-cron/1.0"},
    ],
)
def test_who_is_not_vercel_is_401_and_nothing_goes(world: World, headers: dict[str, str]) -> None:
    kept = set(recorded(world, 400))
    assert world.http.get(RETENTION, headers=headers).status_code == 401
    assert with_raw(world) == kept


@pytest.mark.parametrize("authorization", ["Bearer", "", f"Bearer {keys.CRON_SECRET}"])
def test_without_a_secret_everybody_is_401(world: World, authorization: str) -> None:
    kept = set(recorded(world, 400))
    with world.stack.functions({"CRON_SECRET": ""}) as base_url:
        assert httpx.get(base_url + RETENTION, headers={"Authorization": authorization}).status_code == 401
    assert with_raw(world) == kept


def test_a_database_that_is_away_is_503(world: World) -> None:
    with world.stack.functions({"SUPABASE_URL": "http://127.0.0.1:9"}) as base_url:
        answer = httpx.get(base_url + RETENTION, headers=OURS, timeout=30)
    assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "retryable")


def test_other_methods_are_405(world: World) -> None:
    assert world.http.post(RETENTION, headers=OURS).status_code == 405


def test_vercel_calls_the_route_once_a_day_and_gives_it_a_minute() -> None:
    vercel: dict[str, Any] = json.loads((ROOT / "vercel.json").read_text())
    [job] = [job for job in vercel["crons"] if job["path"] == RETENTION]
    minute, hour, *every = job["schedule"].split()
    assert (minute.isdecimal(), hour.isdecimal(), every) == (True, True, ["*", "*", "*"])
    assert vercel["functions"]["api/cron.py"]["maxDuration"] == 60


def test_what_somebody_is_at_work_on_waits_for_the_next_time(world: World) -> None:
    [held] = recorded(world, 400)
    with psycopg.connect(world.stack.dsn) as other:
        other.execute("select from ingestion.raw_items for update")
        answer = world.http.get(RETENTION, headers=OURS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_conflict")
        assert with_raw(world) == {held}
    assert world.http.get(RETENTION, headers=OURS).json() == {"expired": 1, "done": True}


def test_an_item_is_kept_for_a_thirtieth_of_the_time_longer_at_most(world: World) -> None:
    """A segment stays open for so long. Its first item is past its time then, and its last one is not."""
    world.deliver(webhook(message("one", mid="m_1")))
    for _ in range(2):
        world.http.get(RETENTION, headers=OURS)
    assert world.row("select count(*) as n from ingestion.raw_segments where opened_at is not null") == {"n": 1}
    world.db.execute(
        "update ingestion.raw_segments set opened_at = now() - interval '25 hours' where opened_at < now()"
    )
    world.http.get(RETENTION, headers=OURS)
    world.deliver(webhook(message("two", mid="m_2")))
    segments = world.rows(
        "select raw_id / ingestion.first_raw_id(1) as segment from events where mid is not null order by recorded_at"
    )
    assert segments[0] != segments[1]
    states = world.rows("select closed_at is null as open from ingestion.raw_segments where opened_at is not null")
    assert sorted(row["open"] for row in states) == [False, True]


def test_the_ring_goes_round_and_no_id_is_given_twice(world: World) -> None:
    given = set()
    for turn in range(130):
        world.db.execute("select ingestion.rotate_raw(interval '-1 second')")
        given.add(world.row("select nextval('ingestion.raw_ids') as id")["id"])
        if turn % 50 == 49:
            world.db.execute("update ingestion.raw_segments set closed_at = '-infinity' where closed_at is not null")
            while not world.row("select expire_raw(now() - interval '30 days') as step")["step"]["done"]:
                pass
    assert len(given) == 130
    assert len({raw_id // 10**16 for raw_id in given}) == 64


def test_without_an_empty_segment_the_open_one_stays_open(world: World) -> None:
    """The retention time was made longer again and again: nothing is lost, and items are kept longer."""
    for _ in range(100):
        world.db.execute("select ingestion.rotate_raw(interval '-1 second')")
    assert world.row("select count(*) as n from ingestion.raw_segments where opened_at is null") == {"n": 0}
    world.deliver(webhook(message("hello", mid="m_1")))
    assert with_raw(world) == {"ig_msg_m_1"}
    world.db.execute("update ingestion.raw_segments set closed_at = '-infinity' where closed_at is not null")
    while not world.row("select expire_raw(now() - interval '30 days') as step")["step"]["done"]:
        pass
    assert with_raw(world) == {"ig_msg_m_1"}


def test_an_item_goes_with_its_event(world: World) -> None:
    recorded(world, 0)
    world.db.execute("delete from events")
    assert world.row("select count(*) as n from ingestion.raw_items") == {"n": 0}


def test_dead_letters_that_are_done_with_lose_their_words_too(world: World) -> None:
    for number, (state, days) in enumerate([("replayed", 31), ("discarded", 31), ("open", 31), ("replayed", 1)]):
        world.db.execute(
            "insert into dead_letters (source_message_id, event, body, state, failed_at) "
            "values (%s, '{\"text\": \"secret\"}', 'secret', %s, now() - %s * interval '1 day')",
            (f"msg_{number}", state, days),
        )
    assert world.http.get(RETENTION, headers=OURS).json() == {"expired": 2, "done": True}
    kept = world.rows("select state from dead_letters where event is not null and body is not null order by 1")
    assert [row["state"] for row in kept] == ["open", "replayed"]
    assert world.count("dead_letters") == 4


def steps(world: World, deadline: Deadline) -> Expired:
    async def work() -> Expired:
        here = Container(load(world.stack.env))
        try:
            return await expire(here.archive, now=datetime.now(UTC), keep_days=30, deadline=deadline)
        finally:
            await here.close()

    return asyncio.run(work())


def test_it_goes_in_steps_the_oldest_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    recorded(world, *range(105, 100, -1))
    assert steps(world, Deadline.after(60)) == Expired(expired=5, done=True)


def test_no_step_begins_after_the_deadline_and_the_rest_is_due_the_next_time(world: World) -> None:
    kept = set(recorded(world, 400))
    assert steps(world, Deadline.after(0)) == Expired(expired=0, done=False)
    assert with_raw(world) == kept


@pytest.fixture
def hosted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the stack as it finds a hosted project, whatever the developer's `.env` says."""
    monkeypatch.setenv("SUPABASE_URL", world.stack.supabase_url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", world.stack.service_role_key)
    monkeypatch.setenv("RAW_RETENTION_DAYS", "20")


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["retention", *arguments])


@pytest.mark.usefixtures("hosted")
def test_the_command_empties_what_the_setting_says_or_what_it_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.retention.STEP", 1)
    _, _, young, new = recorded(world, 40, 21, 19, 1)
    done = command()
    assert (done.exit_code, done.stdout) == (0, "2 raw items older than 20 days emptied.\n")
    assert done.stderr.splitlines()[1:] == ["1 so far", "2 so far"]
    assert with_raw(world) == {young, new}
    assert command("--days", "2").stdout == "1 raw items older than 2 days emptied.\n"
    assert with_raw(world) == {new}


@pytest.mark.usefixtures("hosted")
@pytest.mark.parametrize("days", ["0", "-1", "soon"])
def test_a_number_of_days_that_is_none_is_a_mistake(world: World, days: str) -> None:
    kept = set(recorded(world, 400))
    assert command("--days", days).exit_code == 2
    assert with_raw(world) == kept
