"""Damaged bodies, signed rightly and wrongly: each is taken or refused, and nothing is left of a refusal."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.callers import BODIES, FORMS, OTHERS, Who
from tests.fuzz.effort import thorough
from tests.fuzz.mutations import OF, damaged
from tests.fuzz.rig import Rig
from tests.support.world import CONSUMER, FAILURE, INGEST, WEBHOOK

REFUSALS = {
    WEBHOOK: {400},
    INGEST: {400},
    CONSUMER: {489, 401},
    FAILURE: {489, 401},
    **{path: {400, 413} for path in FORMS},
}
"""For what is rightly signed. QStash signs text: what is not UTF-8 it can not have signed."""

UNSIGNED = {path: {400, 401, 413} if path in FORMS else {401} for path in BODIES}
"""A form has its signature inside: to look for it, it has to be one, and no larger than one."""


class Body(bytes):
    """A body that a report can show."""

    def __repr__(self) -> str:
        whole = bytes(self)
        return repr(whole) if len(whole) < 5000 else f"{whole[:2500]!r} … {whole[-2500:]!r}"


def bodies(path: str) -> st.SearchStrategy[bytes]:
    """Bodies for `path`, most of them damaged."""

    def made(body: bytes, random: Random) -> bytes:
        return Body(damaged(body, random))

    return st.builds(made, st.sampled_from(OF[path]), st.randoms(use_true_random=False))


@pytest.mark.parametrize("path", BODIES)
def test_a_damaged_body_is_taken_or_refused_and_nothing_is_left_of_a_refusal(rig: Rig, path: str) -> None:
    @thorough
    @given(bodies(path))
    def check(body: bytes) -> None:
        before = rig.footprint()
        answer = rig.post(path, body, "right")
        if answer.status_code != 200:
            assert answer.status_code in REFUSALS[path], answer.text
            assert rig.footprint() == before

    check()
    rig.world.settle()
    if path != FAILURE:
        assert rig.world.rows("select * from dead_letters") == [], "it was accepted, and could not take effect"
    assert rig.world.rows("select event_id from events where processed_at is null") == []


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("who", OTHERS)
def test_whoever_has_not_signed_rightly_is_refused_and_leaves_nothing(rig: Rig, path: str, who: Who) -> None:
    empty = rig.footprint()

    @thorough
    @given(bodies(path))
    def check(body: bytes) -> None:
        answer = rig.post(path, body, who)
        assert answer.status_code in UNSIGNED[path], answer.text
        assert rig.footprint() == empty

    check()
