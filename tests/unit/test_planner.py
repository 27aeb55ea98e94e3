"""What an event owes if the database agrees: stable ids, the whole message, and the next phase's payload."""

from typing import Any

import pytest

from lib.core.settings import Settings, load
from lib.events.model import Event
from lib.processing.planner import next_phase_payload, plan_effects
from lib.replies.message import Attachment
from lib.replies.rules import Rule, RuleBook
from lib.webhooks.parser import parse_webhook
from tests.support.builders import comment, echo, item, message, reaction, webhook
from tests.support.settings import COMPLETE

RULES = RuleBook(
    [
        Rule(
            rule_id=1,
            trigger="keyword",
            reply_text="20.",
            pattern="price",
            account_id="17841400000000000",
            cooldown_s=60,
        ),
        Rule(
            rule_id=2,
            trigger="first_message",
            attachment=Attachment(type="image", url="https://x.example/hi.png"),
            priority=5,
        ),
        Rule(rule_id=3, trigger="comment", reply_text="Look into your messages"),
    ]
)


def settings(**env: str) -> Settings:
    return load({**COMPLETE, **env})


def event(one: dict[str, Any], *, under: str = "messaging", account: str = "17841400000000000") -> Event:
    (found,) = parse_webhook(webhook(one, under=under, account=account), received_at=1_795_000_000_000)
    return found


def test_the_best_reply_comes_first_and_the_next_phase_last() -> None:
    effects = plan_effects(event(message("price")), RULES, settings(PHASE3_URL="https://next.example/in")).effects
    assert [(effect.kind, effect.rule_id) for effect in effects] == [("dm", 2), ("dm", 1), ("next_phase", None)]


def test_a_delivery_that_is_repeated_plans_the_same_effects() -> None:
    one = message("price")
    first, second = (
        plan_effects(event(one), RULES, settings(PHASE3_URL="https://next.example/in")).effects for _ in range(2)
    )
    assert first == second


def test_an_effect_carries_the_whole_message_and_what_the_database_has_to_decide() -> None:
    greeting, answer = plan_effects(event(message("price")), RULES, settings()).effects
    assert greeting.payload == {"attachments": [{"type": "image", "payload": {"url": "https://x.example/hi.png"}}]}
    assert (greeting.first_message, greeting.rule_account_id, greeting.cooldown_s) == (True, None, 10)  # the setting's
    assert answer.payload == {"text": "20."}
    assert (answer.first_message, answer.rule_account_id, answer.cooldown_s) == (False, "17841400000000000", 60)


def test_a_comment_is_answered_by_a_private_reply() -> None:
    (effect,) = plan_effects(event(comment("hi", comment_id="178501"), under="changes"), RULES, settings()).effects
    assert (effect.kind, effect.rule_id) == ("private_reply", 3)


def test_replies_can_be_off_without_the_next_phase() -> None:
    (effect,) = plan_effects(
        event(message("price")), RULES, settings(REPLIES_MODE="off", PHASE3_URL="https://next.example/in")
    ).effects
    assert effect.kind == "next_phase"


@pytest.mark.parametrize("one", [event(echo("price")), event(reaction("m_1"))], ids=lambda one: one.kind)
def test_events_that_are_not_answered_go_to_the_next_phase_too(one: Event) -> None:
    (effect,) = plan_effects(one, RULES, settings(PHASE3_URL="https://next.example/in")).effects
    assert effect.kind == "next_phase"


@pytest.mark.parametrize(
    "one",
    [event(item(something_new={"a": 1})), event(message("price", mid="random_mid"), account="0")],
    ids=["unknown", "test"],
)
def test_what_nobody_understands_and_the_dashboards_test_do_not(one: Event) -> None:
    assert plan_effects(one, RULES, settings(PHASE3_URL="https://next.example/in")).effects == []


def test_the_next_phase_gets_the_event_without_metas_own_item() -> None:
    one = event(message("price", mid="m_1", at_ms=1_795_000_000_123))
    assert next_phase_payload(one) == {
        "event_id": "ig_msg_m_1",
        "kind": "message",
        "account_id": "17841400000000000",
        "contact_id": "6001234567890123",
        "mid": "m_1",
        "direction": "inbound",
        "occurred_at": 1_795_000_000_123,
        "text": "price",
    }
