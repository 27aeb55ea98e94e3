"""The faults and the events of a chaos run: the same for the same seed, and all of them there."""

from itertools import pairwise

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from dev.cli import cli
from tests.chaos.model import event_of, expected
from tests.chaos.schedule import ALL_RETRIES_S, KINDS, OUTAGES, schedule
from tests.chaos.traffic import LOCKED_OUT, traffic

NOW_MS = 1_795_000_000_000

seeds = st.integers(0, 2**32 - 1)
lengths = st.floats(6, 3600)


@given(seed=seeds, lasts_s=lengths)
def test_the_same_seed_gives_the_same_schedule(seed: int, lasts_s: float) -> None:
    assert schedule(seed, lasts_s) == schedule(seed, lasts_s)


@given(seed=seeds, lasts_s=lengths)
def test_every_kind_of_fault_comes_and_is_over_before_the_next_of_its_lane(seed: int, lasts_s: float) -> None:
    faults = schedule(seed, lasts_s)
    assert {fault.kind.name for fault in faults} == {kind.name for kinds in KINDS.values() for kind in kinds}
    for lane in KINDS:
        for earlier, later in pairwise([fault for fault in faults if fault.lane == lane]):
            assert earlier.at_s + earlier.for_s <= later.at_s
    assert all(fault.at_s + fault.for_s <= lasts_s for fault in faults)


@given(seed=seeds, lasts_s=lengths)
def test_the_last_fault_is_an_outage_that_begins_when_the_others_are_over(seed: int, lasts_s: float) -> None:
    *others, outage = schedule(seed, lasts_s, 7.0)
    assert others == schedule(seed, lasts_s)
    assert (outage.lane, outage.for_s) == ("outage", 7.0)
    assert all(fault.at_s + fault.for_s <= outage.at_s + 0.001 for fault in others)


def test_the_seed_chooses_the_outage_and_it_is_longer_than_all_retries() -> None:
    outages = {schedule(seed, 60, 1.0)[-1].kind.name for seed in range(50)}
    assert outages == {kind.name for kind in OUTAGES}
    a_message_s = 12 + 148 + 1808
    assert 2 * a_message_s < ALL_RETRIES_S  # its failure callback comes after it


def test_another_seed_gives_another_schedule() -> None:
    assert len({str(schedule(seed, 60)) for seed in range(20)}) == 20


@given(seed=seeds)
def test_the_same_seed_gives_the_same_events_and_no_two_are_one(seed: int) -> None:
    told = traffic(seed, 200, 60, now_ms=NOW_MS)
    assert told == traffic(seed, 200, 60, now_ms=NOW_MS)
    assert sorted(one.number for one in told) == list(range(200))
    genuine = [one for one in told if one.what in ("item", "change")]
    assert len({event_of(one, now_ms=NOW_MS).event_id for one in genuine}) == len(genuine)


@given(seed=seeds)
def test_nobody_is_owed_the_same_reply_twice(seed: int) -> None:
    replies = expected(traffic(seed, 300, 60, now_ms=NOW_MS), now_ms=NOW_MS).replies
    assert len({(reply.account, reply.contact, reply.text) for reply in replies}) == len(replies)


def test_a_run_has_everything_that_can_be_told() -> None:
    told = traffic(1, 2000, 60, now_ms=NOW_MS)
    wanted = expected(told, now_ms=NOW_MS)
    kinds = {"message", "echo", "unsend", "edit", "reaction", "read", "postback", "comment", "unknown"}
    assert set(wanted.events.values()) == kinds
    assert {one.what for one in told} == {"item", "change", "forged", "poison"}
    assert any(reply.account == LOCKED_OUT for reply in wanted.replies)
    assert any(reply.may_fail_with for reply in wanted.replies)


def test_the_plan_can_be_read_without_a_run() -> None:
    shown = [CliRunner().invoke(cli, ["chaos", "--seed", "7", "--minutes", "1", "--plan"]).output for _ in range(2)]
    assert shown[0] == shown[1]
    for kinds in KINDS.values():
        for kind in kinds:
            assert kind.name in shown[0]
    assert "is away for longer than all retries" in shown[0] or "are away for longer than all retries" in shown[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--plot", "nowhere/run.png"], "there is no directory nowhere"),
        (["--plot", "run.txt"], "a picture's name ends in .png, .svg, .pdf"),
        (["--time-scale", "1"], "QStash's third retry takes half an hour"),
    ],
)
def test_what_would_spoil_a_run_is_said_before_it(options: list[str], expected: str) -> None:
    done = CliRunner().invoke(cli, ["chaos", *options])
    assert done.exit_code == 2
    assert expected in " ".join(done.output.replace("\u2502", " ").split())
