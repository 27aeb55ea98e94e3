"""Two equal replies to one person within minutes, and nobody left who knows which echo is whose: no mid goes to two."""

from itertools import permutations
from typing import Any, Literal, TypeAlias

import pytest

from tests.crash.delivery import Death
from tests.crash.rig import Case, Rig
from tests.support.world import World

KILLED: tuple[Death, ...] = (("before", "finish_effect"),)
"""Meta has answered, with the mid, and nobody will ever know."""

Step: TypeAlias = tuple[Literal["echo", "answer"], int]
"""What is heard of the first reply (0) or the second (1): its echo, or the answer to its send."""

STEPS: tuple[Step, ...] = (("echo", 0), ("echo", 1), ("answer", 0), ("answer", 1))


def both_to(world: World, contact: str) -> list[dict[str, Any]]:
    """The two replies Meta accepted, each with the row of the outbox it is of."""
    sent = [one for one in world.sent() if one["recipient_id"] == contact]
    rows = world.rows("select * from outbox where contact_id = %s order by sending_at", contact)
    assert (len(sent), len(rows)) == (2, 2), "two were accepted"
    return [{**one, "row": row} for one, row in zip(sent, rows, strict=True)]


def mistaken(world: World, contact: str) -> list[tuple[str, str | None]]:
    """What the rows say, where that is not: both sent, each with a mid of its own that Meta gave."""
    both = both_to(world, contact)
    said = [(one["row"]["state"], one["row"]["mid"]) for one in both]
    return [] if sorted(said) == sorted(("sent", one["message_id"]) for one in both) else said


@pytest.mark.parametrize("first_echo", [0, 1])
@pytest.mark.parametrize("deaths", [(KILLED, KILLED), (KILLED, ()), ((), KILLED)], ids=["both", "first", "second"])
def test_equal_replies_whose_consumers_were_killed_get_an_echo_each(
    rig: Rig, deaths: tuple[tuple[Death, ...], ...], first_echo: int
) -> None:
    person = Case("ok", ()).person
    cases = [Case("ok", death, person) for death in deaths]
    rig.run(cases, "never")
    assert [len(outcome.died_in) for outcome in rig.outcomes(cases)] == [len(death) for death in deaths]
    sent = rig.world.sent()
    for echoed in (first_echo, 1 - first_echo):
        rig.post_echoes([sent[echoed]])
    assert mistaken(rig.world, cases[0].contact) == []


def test_whatever_is_heard_of_two_equal_replies_in_whatever_order_each_gets_its_own_mid(rig: Rig) -> None:
    heard = [(), *permutations(STEPS, 2), *permutations(STEPS)]
    people = [Case("cut_after_accept", ()) for _ in heard]
    rig.run([*people, *(Case("cut_after_accept", (), case.person) for case in people)], "never")
    accepted = {case.contact: both_to(rig.world, case.contact) for case in people}
    for turn in range(len(STEPS)):
        now = [(case, steps[: turn + 1]) for case, steps in zip(people, heard, strict=True) if len(steps) > turn]
        last = [(accepted[case.contact], *steps[-1]) for case, steps in now]
        rig.post_echoes([both[which] for both, what, which in last if what == "echo"])
        for both, what, which in last:
            if what == "answer":
                answer(rig.world, both[which])
        of_both = [(case, steps) for case, steps in now if {which for _, which in steps} == {0, 1}]
        assert {steps: wrong for case, steps in of_both if (wrong := mistaken(rig.world, case.contact))} == {}
    rig.sweep()
    assert [case.contact for case in people if mistaken(rig.world, case.contact)] == []


def answer(world: World, reply: dict[str, Any]) -> None:
    """The answer to its send comes at last."""
    row = reply["row"]
    world.db.execute(
        "select finish_effect(%s, %s, 'sent', %s)", (row["effect_id"], row["lease_token"], reply["message_id"])
    )
