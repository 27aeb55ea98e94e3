"""Damaged bodies, signed rightly and wrongly: each is taken or refused, and nothing is left of a refusal."""

import base64
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.callers import BODIES, FORMS, OTHERS, Who
from tests.fuzz.effort import thorough
from tests.fuzz.mutations import EVENTS, WEBHOOKS, damaged
from tests.fuzz.rig import Rig
from tests.pipeline.test_consumer import failure_callback
from tests.world import CONSUMER, FAILURE, INGEST, WEBHOOK

LETTERS = [
    failure_callback(
        sourceMessageId=f"msg_{number}",
        url="https://pipeline.example/api/qstash/instagram-ingestion",
        sourceBody=base64.b64encode(event).decode(),
        createdAt=1_725_323_658_779,
    )
    for number, event in enumerate([*EVENTS, b"\x00 no event \xff"])
]
PAYLOADS = [
    b'{"algorithm": "HMAC-SHA256", "user_id": "6001234567890123", "issued_at": 1795000000, "expires": 1795003600}',
    b'{"algorithm": "HMAC-SHA256", "user_id": 17841400000000000}',
]
BATCHES = [b'{"events": [' + b", ".join(EVENTS[:3]) + b"]}", b'{"events": []}']

OF = {
    WEBHOOK: WEBHOOKS,
    INGEST: [*EVENTS, *BATCHES],
    CONSUMER: EVENTS,
    FAILURE: LETTERS,
    **dict.fromkeys(FORMS, PAYLOADS),
}
"""What each route is sent when nothing is wrong."""

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
