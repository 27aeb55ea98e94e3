"""Effects: what an event may owe, and what of that this attempt has claimed."""

from typing import Any, Literal, TypeAlias

from lib.core.model import Model
from lib.errors.classify import FailedSendEnd

EffectKind: TypeAlias = Literal["dm", "private_reply", "next_phase"]
EffectEnd: TypeAlias = FailedSendEnd | Literal["skipped"]
"""How an attempt at an effect ended. `planned`: it certainly did not happen, and is tried again."""


class PlannedEffect(Model):
    """An effect that the record transaction may plan; `ingestion.plan_effects` lists what the transaction decides."""

    kind: EffectKind
    payload: dict[str, Any]
    rule_id: int | None = None
    rule_account_id: str | None = None
    cooldown_s: int = 0
    first_message: bool = False


class ClaimedEffect(Model):
    """An effect on which this attempt holds the lease.

    `may_have_left`: Meta refused the send before, or did not answer. It may have been delivered all the same.
    """

    effect_id: str
    kind: EffectKind
    payload: dict[str, Any]
    rule_id: int | None = None
    may_have_left: bool = False
