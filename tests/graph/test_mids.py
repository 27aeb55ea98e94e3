"""Message ids of the stand-in, held against one captured from Instagram."""

import re

import pytest

from dev.graph.mids import new_mid, read_mid, thread_id

REAL_MID = (
    "aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlEOjE3ODQxNDAwNTM4ODY3MTkwOjM0MDI4MjM2Njg0MTcxMDMwMTI0NDI1ODU5OTE3"
    "NTI2OTQwODg3NjozMjUwMzM2MTczNzg4MTI5NDExMzU3NjQ4OTczNTY4NDA5NgZDZD"
)


def test_a_real_mid_says_its_account_and_its_time() -> None:
    mid = read_mid(REAL_MID)

    assert mid.account_id == "17841400538867190"
    assert mid.created_us // 1000 == 1762010770464


def test_a_mid_made_here_reads_like_a_real_one() -> None:
    made = new_mid("17841400538867190", "1623552688727379", now_us=1762010770464123)

    mid = read_mid(made)

    assert (mid.account_id, mid.created_us) == ("17841400538867190", 1762010770464123)
    assert mid.thread_id == thread_id("17841400538867190", "1623552688727379")
    assert len(mid.thread_id) == 39
    assert re.fullmatch("[A-Za-z0-9]{160,170}", made)


def test_no_two_mids_are_the_same() -> None:
    assert new_mid("1", "2", now_us=1) != new_mid("1", "2", now_us=1)


@pytest.mark.parametrize("mid", ["", "random_mid", "m_abc-def", "aWdfZAG0"])
def test_other_ids_are_not_read(mid: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_mid(mid)
