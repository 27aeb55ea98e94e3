"""The consumer is killed at every await point of the way to a reply, under every fault: nobody is answered twice.

In short with every run of the tests; everywhere with CRASH_EVERYWHERE=1 (`make crash-test`).
"""

import os
import random
from collections.abc import Iterator
from itertools import product
from typing import Literal, TypeAlias, get_args

import pytest

from tests.crash.rig import PASSING, Case, Echo, Outcome, Rig
from tests.crash.stepping import Side

End: TypeAlias = Literal["accepted", "refused", "waits", "nothing"]
"""What comes of one send under a fault: Meta takes it, says no, the token is dead, or it is lost on its way."""

FAULTS: dict[str, End] = {
    "ok": "accepted",
    "cut_after_accept": "accepted",
    "timeout_accepted": "accepted",
    "500_after_accept": "accepted",
    "garbage": "accepted",
    "already_sent": "accepted",
    **dict.fromkeys(PASSING, "accepted"),
    "outside_window": "refused",
    "expired_token": "waits",
    "cut_before_accept": "nothing",
    "timeout_dropped": "nothing",
}
THOROUGHLY: dict[Echo, str] = {"early": "ok", "never": "cut_after_accept"}
"""In short: every point under one fault with one echo, and under all others `SOME`."""

SOME = 1
REMEMBERED = ("rate_limit", "rate_limit_thread")
"""Faults by which Meta says that a limit is reached. A consumer that lives remembers it for a minute."""

AT_ONCE = 130
EVERYWHERE = bool(os.environ.get("CRASH_EVERYWHERE"))
FAULTS_AT_ONCE = [[fault] for fault in FAULTS] if EVERYWHERE else [[*FAULTS]]

IN_THE_SEND = ("begin_send", "send", "finish_effect")
"""Whoever dies in these may have sent it. Whoever dies before has certainly not, and it is sent later."""


@pytest.fixture(scope="session")
def points(rig: Rig) -> int:
    """How many await points there are at most, when nobody is killed. Some ways are a little shorter."""
    cases = [Case(fault, ()) for fault in FAULTS]
    rig.run(cases, "never")
    return max(len(outcome.deliveries[0]["places"]) for outcome in rig.outcomes(cases))


def cases_of(echo: Echo, fault: str, points: int) -> list[Case]:
    """One for each side of each await point. In short, one for each point or only some."""
    sides: tuple[Side, ...] = get_args(Side)
    cases = [Case(fault, ((side, point),)) for point, side in product(range(1, points + 1), sides)]
    if EVERYWHERE:
        return cases
    chance = random.Random(f"{echo} {fault}")
    if THOROUGHLY.get(echo) == fault:
        return [chance.choice(pair) for pair in zip(cases[::2], cases[1::2], strict=True)]
    return chance.sample(cases, SOME)


def complaints(outcome: Outcome, echo: Echo) -> Iterator[str]:
    """What is wrong with what came of a case."""
    yield from complaints_of_the_reply(outcome, echo)
    if not outcome.processed and FAULTS[outcome.case.fault] != "waits":
        yield "the event was lost"


def complaints_of_the_reply(outcome: Outcome, echo: Echo) -> Iterator[str]:
    """It is never sent twice, what was accepted ends sent, and what certainly did not leave is sent."""
    fault, row, end = outcome.case.fault, outcome.row, FAULTS[outcome.case.fault]
    if len(outcome.accepted) > 1:
        yield f"{len(outcome.accepted)} replies were accepted"
    # Meta is asked again where it refused for a token: nothing was delivered, and whoever was killed could not say so.
    if outcome.asked > (2 if fault in PASSING else 1) and end != "waits":
        yield f"the reply was received {outcome.asked} times"
    if outcome.accepted:
        # Only an answer or an echo tells the mid; "already sent" is an answer without one.
        mids = [*outcome.accepted, None] if fault == "already_sent" and echo == "never" else outcome.accepted
        if row["state"] != "sent" or row["mid"] not in mids:
            yield f"the reply was accepted, and is {row['state']}"
        return
    ends = {"accepted": (), "refused": ("failed",), "waits": ("planned",), "nothing": ("unknown",)}[end]
    if any(place in IN_THE_SEND for place in outcome.died_in):
        ends += ("unknown",)
    if row["state"] not in ends:
        yield f"the reply was not accepted, and is {row['state']}"


def complaints_of_the_deliveries(outcome: Outcome, echo: Echo) -> Iterator[str]:
    """The first dies where it was to, if it got there. While its lease lasts, a retry is turned away."""
    (_, point), (first, *retries) = outcome.case.deaths[0], outcome.deliveries
    if "died_in" not in first and len(first["places"]) >= int(point):
        yield "nobody was killed"
    if echo in ("early", "soon"):
        return  # a retry may find that the echo has settled everything, or is just about to
    if first.get("died_in") in ("profile", "begin_send", "send") and retries[0].get("said") != "in_progress":
        yield f"the first retry was not turned away but {retries[0]}"
    # Killed while it waited for the database, whose answer may come about during the retry.
    under_way = first.get("died_in") == "record_event"
    for retry in retries:
        # A retry that goes further than the first delivery may be the one that is killed: it said nothing.
        changed = retry.get("changed", False) and not under_way
        if retry.get("said") == "in_progress" and (retry["status"] != 503 or changed):
            yield f"a retry that was turned away answered {retry['status']}, changed: {retry['changed']}"


def run(rig: Rig, cases: list[Case], echo: Echo) -> list[str]:
    """Runs `cases`, and says what is wrong with each."""
    found = []
    for start in range(0, len(cases), AT_ONCE):
        some = cases[start : start + AT_ONCE]
        rig.run(some, echo)
        if echo == "never":
            rig.sweep()
        for outcome in rig.outcomes(some):
            heard = [*complaints(outcome, echo), *complaints_of_the_deliveries(outcome, echo)]
            found += [f"{outcome.case} {outcome.died_in}: {complaint}" for complaint in heard]
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("faults", FAULTS_AT_ONCE, ids=" ".join if EVERYWHERE else ["any fault"])
@pytest.mark.parametrize("echo", get_args(Echo))
def test_nobody_is_written_to_twice_and_no_reply_is_lost_wherever_the_consumer_is_killed(
    rig: Rig, points: int, echo: Echo, faults: list[str]
) -> None:
    cases = [case for fault in faults for case in cases_of(echo, fault, points)]
    assert run(rig, cases, echo) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("echo", get_args(Echo) if EVERYWHERE else ["never"])
def test_nobody_is_written_to_twice_when_one_consumer_after_the_other_is_killed(
    rig: Rig, points: int, echo: Echo
) -> None:
    chance = random.Random(echo)
    cases = [
        Case(fault, tuple((chance.choice(get_args(Side)), chance.randint(1, points)) for _ in range(3)))
        for fault in FAULTS.keys() - REMEMBERED
        for _ in range(12 if EVERYWHERE else 1)
    ]
    rig.run(cases, echo)
    rig.sweep()
    if echo == "late":
        rig.post_echoes(rig.world.sent())
    assert [
        f"{outcome.case} {outcome.died_in}: {complaint}"
        for outcome in rig.outcomes(cases)
        for complaint in complaints(outcome, echo)
    ] == []
