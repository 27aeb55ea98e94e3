"""Who a person is, and what is asked again when Meta will not tell everything."""

import pytest

from lib.errors.classify import classify
from lib.errors.exceptions import GraphError, GraphTransportError, InvalidPayload
from lib.graph.client import ProfileData
from tests.graph.conftest import PERSON, Meta, credentials


def profile(meta: Meta, igsid: str = PERSON, *, timeout_s: float = 5.0) -> ProfileData:
    return meta.ask(lambda graph: graph.profile(credentials(), igsid, timeout_s=timeout_s))


def test_a_profile_has_what_meta_tells(meta: Meta) -> None:
    meta.post(
        "profiles",
        {
            "id": PERSON,
            "name": "Ada",
            "username": "ada",
            "profile_pic": "https://cdn.example.net/a.jpg",
            "follower_count": 12,
            "is_verified_user": False,
            "is_user_follow_business": True,
            "is_business_follow_user": False,
        },
    )

    assert profile(meta) == ProfileData(
        name="Ada",
        username="ada",
        profile_pic="https://cdn.example.net/a.jpg",
        follower_count=12,
        is_verified_user=False,
        is_user_follow_business=True,
        is_business_follow_user=False,
    )


def test_a_profile_without_a_name_or_picture_is_a_profile(meta: Meta) -> None:
    meta.post("profiles", {"id": PERSON, "username": "ada"})

    assert profile(meta) == ProfileData(username="ada")


def test_a_profile_with_values_of_the_wrong_type_has_none_of_them(meta: Meta) -> None:
    meta.post("profiles", {"id": PERSON, "username": 7, "follower_count": True, "is_verified_user": "yes"})

    assert profile(meta) == ProfileData()


def test_a_name_can_always_be_stored(meta: Meta) -> None:
    meta.post("profiles", {"id": PERSON, "name": "A\x00da \ud83d"})

    name = profile(meta).name

    assert name is not None
    assert "\x00" not in name
    assert name.encode("utf-8")


def test_the_follower_fields_are_left_out_where_they_are_refused(meta: Meta) -> None:
    meta.fault("profile", "field_refused")

    found = profile(meta)

    assert found.username is not None
    assert found.follower_count is None
    assert [call["fields"] for call in meta.calls()][1:] == ["name,username,profile_pic"]


@pytest.mark.parametrize(
    ("igsid", "code"), [("178400000000230", 230), ("178400000009010", 9010), ("1784000002534014", 100)]
)
def test_a_person_who_is_not_shown_is_refused_for_good_with_one_call(meta: Meta, igsid: str, code: int) -> None:
    with pytest.raises(GraphError) as caught:
        profile(meta, igsid)

    assert caught.value.code == code
    assert not classify(caught.value).retryable
    assert len(meta.calls()) == 1


def test_the_sender_of_a_dashboard_test_is_nobody(meta: Meta) -> None:
    with pytest.raises(GraphError) as caught:
        profile(meta, "12334")

    assert caught.value.code == 9010


@pytest.mark.parametrize("fault", ["429", "500", "transient", "rate_limit", "cut_before_accept", "garbage"])
def test_a_failed_read_may_always_be_tried_again(meta: Meta, fault: str) -> None:
    meta.fault("profile", fault)

    with pytest.raises((GraphError, GraphTransportError)) as caught:
        profile(meta)

    verdict = classify(caught.value)
    assert verdict.retryable
    assert not verdict.outcome_unknown


def test_the_deadline_is_for_both_tries_together(meta: Meta) -> None:
    meta.fault("profile", "field_refused", latency_ms=300)

    with pytest.raises(GraphTransportError) as caught:
        profile(meta, timeout_s=0.5)

    assert caught.value.kind == "timeout"


@pytest.mark.parametrize("igsid", ["me", "../x", "a/b", "1%2F2", "", "1?fields=id", "ä", "1\n"])
def test_an_id_that_is_no_persons_asks_nothing(meta: Meta, igsid: str) -> None:
    with pytest.raises(InvalidPayload):
        profile(meta, igsid)

    assert meta.calls() == []
