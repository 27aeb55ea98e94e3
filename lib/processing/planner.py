"""What an event may owe: the replies of the rules it sets off, and the next phase.

Whether the message is the first, or the window is open, is decided in the record transaction: only there can it be
decided once.
"""

from dataclasses import dataclass
from typing import Any

from lib.core.settings import Settings
from lib.events.model import Comment, Event, Unknown, as_json
from lib.processing.outbox import PlannedEffect
from lib.replies.rules import Rule, RuleBook, may_be_answered

NEXT_PHASE_LEAVES_OUT = frozenset({"raw", "received_at"})
"""Fields of an event that the next phase does not get: Meta's own item stays in the archive."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`effects`: the best reply first, the next phase last. `rules_version` is None if no rule matters."""

    effects: list[PlannedEffect]
    rules_version: int | None


def plan_effects(event: Event, rules: RuleBook, settings: Settings) -> Plan:
    """Returns everything that `event` may owe."""
    answerable = settings.replies_mode != "off" and may_be_answered(event)
    effects = [_reply(event, rule, settings) for rule in rules.matching(event)] if answerable else []
    if settings.next_phase_url and has_next_phase(event):
        effects.append(PlannedEffect(kind="next_phase", payload=next_phase_payload(event)))
    return Plan(effects, rules.version if answerable else None)


def has_next_phase(event: Event) -> bool:
    """Returns whether the event goes on to the next phase: every event that we understand, but no dashboard test.

    Echoes go on too: the receiver filters by `kind`.
    """
    return not isinstance(event, Unknown) and not event.is_test


def next_phase_payload(event: Event) -> dict[str, Any]:
    """Returns the body for the next phase: the event without `raw`, always with ids and kind (docs/next-phase.md)."""
    payload = as_json(event)
    kept = {name: value for name, value in payload.items() if name not in NEXT_PHASE_LEAVES_OUT}
    return {
        "event_id": event.event_id,
        "kind": event.kind,
        "account_id": event.account_id,
        "contact_id": event.contact_id,
        "mid": payload.get("mid"),
        "direction": event.direction,
        **kept,
    }


def _reply(event: Event, rule: Rule, settings: Settings) -> PlannedEffect:
    return PlannedEffect(
        kind="private_reply" if isinstance(event, Comment) else "dm",
        payload=rule.message(),
        rule_id=rule.rule_id,
        rule_account_id=rule.account_id,
        cooldown_s=settings.reply_cooldown_s if rule.cooldown_s is None else rule.cooldown_s,
        first_message=rule.trigger == "first_message",
    )
