"""Effects: what an event may owe, and what of it this worker has claimed.

Values only. Must not know how they are stored (`store`) or carried out (`effects`).
"""

from typing import Any, Literal, TypeAlias

import msgspec

EffectKind: TypeAlias = Literal["dm", "private_reply", "next_phase"]
EffectEnd: TypeAlias = Literal["sent", "failed", "unknown", "skipped", "planned"]
"""How an attempt ended. `planned`: it certainly did not happen, and is to be tried again."""


class PlannedEffect(msgspec.Struct, frozen=True, omit_defaults=True):
    """An effect the record transaction may plan; `ingestion.plan_effects` says what it still decides."""

    effect_id: str
    kind: EffectKind
    payload: dict[str, Any]
    rule_id: int | None = None
    rule_account_id: str | None = None
    cooldown_s: int = 0
    first_message: bool = False


class ClaimedEffect(msgspec.Struct, frozen=True):
    """An effect this worker holds the lease of."""

    effect_id: str
    kind: EffectKind
    payload: dict[str, Any]
    rule_id: int | None = None
