"""What QStash takes for the same message: never another form of an event, and never another account's event."""

from typing import Any

import pytest

from tests.support.builders import ACCOUNT, CONTACT, comment, item, message, webhook
from tests.support.receiver import receiver
from tests.support.world import World

SECOND = "17841400000000002"
OWN = [{}, {"INSTAGRAM_ACCOUNT_ID": ACCOUNT}]


def statuses(world: World, *events: dict[str, Any], base_url: str = "") -> list[str]:
    answer = world.post_events({"events": list(events)}, base_url=base_url)
    assert answer.status_code == 200, answer.text
    return [result["status"] for result in answer.json()["results"]]


def event(account: str = ACCOUNT, **more: Any) -> dict[str, Any]:
    told = item(account=account, message={"mid": "m_1", "text": "hi"})
    return {
        "kind": "message",
        "event_id": "ig_msg_m_1",
        "mid": "m_1",
        "text": "hi",
        "account_id": account,
        "contact_id": CONTACT,
        "occurred_at": told["timestamp"],
        "received_at": told["timestamp"],
        "raw": told,
        **more,
    }


@pytest.mark.parametrize("env", OWN, ids=["no account", "account"])
def test_the_same_form_is_deduplicated_and_every_other_form_goes_through(world: World, env: dict[str, str]) -> None:
    forms = [
        event(),
        event(standby=True),
        event(contact_id=None),
        event(kind="echo", direction="outbound"),
        event(account_id=SECOND),
    ]
    with world.stack.functions(env) as base_url:
        for form in forms:
            assert statuses(world, form, base_url=base_url) == ["queued"]
        for form in forms[:4]:
            assert statuses(world, form, base_url=base_url) == ["deduplicated"]
        world.settle()


@pytest.mark.parametrize("env", OWN, ids=["no account", "account"])
@pytest.mark.parametrize("at_once", [True, False])
def test_one_comment_told_to_two_accounts_is_stored_for_each(world: World, env: dict[str, str], at_once: bool) -> None:
    told = comment("hello @you both", comment_id="1785")
    one, two = (webhook(told, account=account, under="changes") for account in (ACCOUNT, SECOND))
    both = [{**one, "entry": one["entry"] + two["entry"]}] if at_once else [one, two]
    with receiver() as there, world.stack.functions({"PHASE3_URL": there.url, **env}) as base_url:
        for body in both * 2:
            world.deliver(body, base_url=base_url)
        handed_on = sorted(body["account_id"] for body in there.bodies)
    assert [row["account_id"] for row in world.rows("select account_id from comments order by 1")] == [ACCOUNT, SECOND]
    assert [row["account_id"] for row in world.rows("select account_id from events order by 1")] == [ACCOUNT, SECOND]
    assert handed_on == [ACCOUNT, SECOND]


def test_a_redelivery_that_another_instance_takes_costs_one_more_message_and_changes_nothing(world: World) -> None:
    body = webhook(message("hi", mid="m_1"))
    world.deliver(body)
    with world.stack.functions({}) as elsewhere:
        results = world.post_events(event(), base_url=elsewhere).json()["results"]
        assert [result["status"] for result in results] == ["queued"]
        assert statuses(world, event(), base_url=elsewhere) == ["deduplicated"]
        world.settle()
    assert world.count("events") == 1
    assert world.count("messages") == 1


def test_an_id_that_qstash_would_refuse_is_queued_under_another(world: World) -> None:
    with receiver() as there, world.stack.functions({"PHASE3_URL": there.url}) as base_url:
        answer = world.deliver(webhook(message("hi", mid="mid.$cAA:1:2")), base_url=base_url)
        assert answer.json()["queued"] == 1
        assert [body["event_id"] for body in there.bodies] == ["ig_msg_mid.$cAA:1:2"]
    assert world.row("select event_id, via from events") == {"event_id": "ig_msg_mid.$cAA:1:2", "via": "queue"}
