"""`python -m cli schedule`: one schedule of one id calls the sweep, in the region that QSTASH_URL names."""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from cli.schedule import SCHEDULE_ID
from dev.stack import keys
from dev.stack.ports import free_port
from tests.support.world import SWEEP, World


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)


def use(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """The operator's `.env` has these settings."""
    monkeypatch.setattr("dev.stack.options.user_settings", lambda _root: settings)


def hosted(world: World) -> dict[str, str]:
    """The settings of a hosted project: its services are those of the stack."""
    return {
        "SUPABASE_URL": world.stack.supabase_url,
        "SUPABASE_SERVICE_ROLE_KEY": world.stack.service_role_key,
        "QSTASH_URL": world.stack.qstash_url,
        "QSTASH_TOKEN": keys.QSTASH_TOKEN,
        "QSTASH_CURRENT_SIGNING_KEY": keys.QSTASH_CURRENT_SIGNING_KEY,
        "PUBLIC_URL": "https://shop.example",
    }


def run(world: World, *arguments: str) -> Result:
    where = [f"--{name}-port={getattr(world.stack.config.ports, name)}" for name in ("functions", "qstash", "rest")]
    done = CliRunner().invoke(cli, ["schedule", *arguments, *where])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def schedules(world: World) -> list[dict[str, Any]]:
    answer = world.standins.get(
        f"{world.stack.qstash_url}/v2/schedules", headers={"Authorization": f"Bearer {keys.QSTASH_TOKEN}"}
    )
    return list(answer.json())


def test_there_is_one_schedule_however_often_it_is_set_up(world: World) -> None:
    for cron in ("*/10 * * * *", "*/30 * * * *"):
        done = run(world, "--cron", cron)
        assert done.exit_code == 0, done.output
        assert f"{SWEEP} at {cron} UTC (schedule instagram-sweep)" in done.output
        [schedule] = schedules(world)
        assert (schedule["scheduleId"], schedule["cron"], schedule["destination"]) == (
            "instagram-sweep", cron, world.stack.functions_url + SWEEP,
        )  # fmt: skip
    assert keys.CRON_SECRET not in str(schedules(world)), "QStash keeps no secret of ours"
    for _ in range(2):
        assert run(world, "--remove").exit_code == 0
        assert schedules(world) == []


def test_what_it_calls_sweeps(world: World) -> None:
    run(world)
    [schedule] = schedules(world)
    world.db.execute("update ingestion.sweep_state set swept_at = now() - interval '1 day'")
    answer = world.standins.post(
        f"{world.stack.qstash_url}/v2/publish/{schedule['destination']}",
        headers={"Authorization": f"Bearer {keys.QSTASH_TOKEN}", "Upstash-Retries": "0"},
    )
    assert answer.status_code == 200
    assert world.settle()["dlq"] == 0
    assert world.row("select swept_at > now() - interval '1 minute' as now from ingestion.sweep_state")["now"]


def test_a_hosted_project_has_its_own_address(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, **hosted(world))
    assert run(world).exit_code == 0
    assert schedules(world)[0]["destination"] == f"https://shop.example{SWEEP}"


@pytest.mark.parametrize("missing", ["QSTASH_TOKEN", "PUBLIC_URL"])
def test_what_is_missing_is_named(world: World, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    use(monkeypatch, **{name: value for name, value in hosted(world).items() if name != missing})
    done = run(world)
    assert (done.exit_code, missing in done.output) == (2, True)
    assert schedules(world) == []


@pytest.mark.parametrize("wrong", ["QSTASH_TOKEN", "QSTASH_URL"])
def test_a_region_that_does_not_know_the_token_is_told_in_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    value = {"QSTASH_TOKEN": "a-token-of-another-region", "QSTASH_URL": f"http://127.0.0.1:{free_port()}"}[wrong]
    use(monkeypatch, **{**hosted(world), wrong: value})
    done = run(world)
    assert done.exit_code == 1
    assert "QSTASH_URL, which names the region" in done.output
    assert SCHEDULE_ID not in [schedule["scheduleId"] for schedule in schedules(world)]
