"""What an event owes if the database agrees: the replies its rules ask for, and the next phase.

Pure: event, rules and settings in, planned effects out. Must not know whether this is the first message, or
the window open: that is decided where it can be decided once, in the record transaction.
"""

from typing import Any

import msgspec

from lib.core.settings import Settings
from lib.events.model import Comment, Event, Unknown
from lib.processing.outbox import PlannedEffect
from lib.replies.rules import Rule, RuleBook

NEXT_PHASE_FIELDS = frozenset({"raw", "received_at"})
"""Fields of an event that do not travel to the next phase: Meta's own item stays in the archive."""


def plan_effects(event: Event, rules: RuleBook, settings: Settings) -> list[PlannedEffect]:
    """Everything `event` may owe, the best reply first. Ids are stable: the same event, the same ids."""
    effects: list[PlannedEffect] = []
    if settings.replies_mode != "off":
        effects += [_reply(event, rule) for rule in rules.matching(event)]
    if settings.phase3_url and has_next_phase(event):
        effects.append(
            PlannedEffect(effect_id=f"next:{event.event_id}", kind="next_phase", payload=next_phase_payload(event))
        )
    return effects


def has_next_phase(event: Event) -> bool:
    """Every event we understand goes on, echoes included: the receiver filters by `kind`. Tests do not."""
    return not isinstance(event, Unknown) and not event.is_test


def next_phase_payload(event: Event) -> dict[str, Any]:
    """What the next phase gets: the event itself without `raw`, ids and kind always there (docs/next-phase.md)."""
    payload: dict[str, Any] = msgspec.to_builtins(event)
    kept = {name: value for name, value in payload.items() if name not in NEXT_PHASE_FIELDS}
    return {
        "event_id": event.event_id,
        "kind": event.kind,
        "account_id": event.account_id,
        "contact_id": event.contact_id,
        "mid": payload.get("mid"),
        "direction": event.direction,
        **kept,
    }


def _reply(event: Event, rule: Rule) -> PlannedEffect:
    return PlannedEffect(
        effect_id=f"dm:{event.event_id}:{rule.rule_id}",
        kind="private_reply" if isinstance(event, Comment) else "dm",
        payload=rule.message(),
        rule_id=rule.rule_id,
        rule_account_id=rule.account_id,
        cooldown_s=rule.cooldown_s,
        first_message=rule.trigger == "first_message",
    )
