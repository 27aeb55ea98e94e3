"""Which faults there are, and when each of them comes: the same for the same seed and the same time.

Pure. Must not know how a fault is brought about (`faults`), nor what is sent meanwhile (`traffic`).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Lane: TypeAlias = Literal["servers", "qstash", "graph"]
"""Faults of one lane come one after the other; those of different lanes overlap."""


@dataclass(frozen=True)
class Kind:
    """A fault by name. `longest_s` 0: it is over as soon as it has come. `wish` is what the stand-in is told."""

    name: str
    longest_s: float
    wish: Mapping[str, Any] = field(default_factory=dict)


KINDS: Mapping[Lane, Sequence[Kind]] = {
    "servers": (
        Kind("instance killed mid-request", 0),
        Kind("two instances killed mid-request", 0),
        Kind("all functions killed", 3),
        Kind("all functions frozen", 3),
        Kind("Postgres stopped", 8),
        Kind("Postgres killed", 4),
        Kind("PostgREST killed", 6),
        Kind("PostgREST frozen", 6),
        Kind("schema cache stale", 5),
        Kind("answers cut after commit", 0, {"answers": 6}),
        Kind("a gateway's page for the database", 4, {"times": 30, "status": 403, "content_type": "text/html"}),
        Kind("a JWT from the future", 0, {"times": 4, "status": 401, "body": '{"code":"PGRST303","message":"no"}'}),
        Kind("the database refuses our role", 4),
        Kind("a rule that cannot be read", 4),
    ),
    "qstash": (
        Kind("QStash stopped", 10, {"publish": "refuse"}),
        Kind("QStash frozen", 5),
        Kind("QStash slow", 8, {"latency_ms": 900}),
        Kind("QStash hangs", 6, {"publish": "hang"}),
        Kind("QStash answers 429", 8, {"publish": "rate_limit"}),
        Kind("QStash daily limit", 6, {"publish": "daily_limit"}),
        Kind("QStash refuses our token", 8, {"publish": "error", "status": 401}),
        Kind("QStash answers 500", 8, {"publish": "error", "status": 500}),
        Kind("QStash answers nonsense", 5, {"publish": "garbage"}),
        Kind("QStash takes half of a batch", 8, {"publish": "partial"}),
        Kind("QStash's answers are lost", 8, {"publish": "lost"}),
        Kind("QStash delivers three times", 10, {"delivery": {"duplicate": 2}}),
        Kind("QStash reorders", 10, {"delivery": {"shuffle": True, "duplicate": 1}}),
        Kind("QStash delivers late", 10, {"delivery": {"delay_ms": 1500, "shuffle": True}}),
        Kind("our answers to QStash are lost", 8, {"delivery": {"drop_answer": 1}}),
    ),
    "graph": (
        Kind("Graph frozen", 4),
        Kind("Graph slow", 8, {"endpoint": "*", "fault": "latency", "latency_ms": 1500}),
        Kind("Graph answers 429", 6, {"endpoint": "*", "fault": "429"}),
        Kind("Graph answers 500", 6, {"endpoint": "*", "fault": "500"}),
        Kind("Graph sends, then answers 500", 6, {"endpoint": "send", "fault": "500_after_accept"}),
        Kind("Graph passing error", 6, {"endpoint": "*", "fault": "transient"}),
        Kind("Graph sends, then answers 429", 6, {"endpoint": "send", "fault": "429", "accepts": True}),
        Kind(
            "Graph sends, then blocks the action", 6, {"endpoint": "send", "fault": "action_blocked", "accepts": True}
        ),
        Kind("Graph sends, then refuses", 6, {"endpoint": "send", "fault": "invalid_parameter", "accepts": True}),
        Kind("Graph lacks a permission", 6, {"endpoint": "send", "fault": "permission_missing"}),
        Kind("Graph refuses the token", 6, {"endpoint": "send", "fault": "expired_token"}),
        Kind("Graph closes kept connections", 8, {"endpoint": "*", "fault": "close_kept"}),
        Kind("Graph app limit", 5, {"endpoint": "send", "fault": "rate_limit"}),
        Kind("Graph thread limit", 5, {"endpoint": "send", "fault": "rate_limit_thread"}),
        Kind("Graph cuts before it sends", 6, {"endpoint": "*", "fault": "cut_before_accept"}),
        Kind("Graph cuts after it sent", 6, {"endpoint": "*", "fault": "cut_after_accept"}),
        Kind("Graph never answers, sends nothing", 6, {"endpoint": "*", "fault": "timeout_dropped", "times": 6}),
        Kind("Graph sends, never answers", 6, {"endpoint": "*", "fault": "timeout_accepted", "times": 6}),
        Kind("Graph answers nonsense", 6, {"endpoint": "*", "fault": "garbage"}),
        Kind("Graph says already sent", 6, {"endpoint": "send", "fault": "already_sent"}),
        Kind("Graph refuses profile fields", 6, {"endpoint": "profile", "fault": "field_refused"}),
        Kind("echoes before the answer", 8, {"echo": "early"}),
        Kind("echoes late", 8, {"echo": "late"}),
    ),
}

SLOT_S = 8.0
"""How much time a fault has for itself, mending included. A short run goes faster, so that each still comes once."""

CALM_S = 1.0
"""Before the first fault."""


@dataclass(frozen=True)
class Fault:
    """One fault: `at_s` from the start of the run, for `for_s`; `dice` settles what chance there is in it."""

    at_s: float
    for_s: float
    lane: Lane
    kind: Kind
    dice: int


def schedule(seed: int, lasts_s: float) -> list[Fault]:
    """Every fault of a run of `lasts_s`, in the order of time. Each kind comes once before any comes again."""
    lanes: list[Lane] = ["servers", "qstash", "graph"]
    return sorted((fault for lane in lanes for fault in _lane(lane, seed, lasts_s)), key=lambda fault: fault.at_s)


def _lane(lane: Lane, seed: int, lasts_s: float) -> list[Fault]:
    dice = random.Random(f"{seed}/{lane}")
    time_s = max(lasts_s - CALM_S, 0.0)
    count = max(len(KINDS[lane]), int(time_s / SLOT_S))
    slot_s = time_s / count
    return [
        _fault(lane, kind, CALM_S + slot_s * place, slot_s, dice)
        for place, kind in enumerate(_shuffled(KINDS[lane], count, dice))
    ]


def _shuffled(kinds: Sequence[Kind], count: int, dice: random.Random) -> list[Kind]:
    dealt: list[Kind] = []
    while len(dealt) < count:
        dealt += dice.sample(kinds, len(kinds))
    return dealt[:count]


def _fault(lane: Lane, kind: Kind, slot_at_s: float, slot_s: float, dice: random.Random) -> Fault:
    for_s = min(kind.longest_s, slot_s * dice.uniform(0.4, 0.8))
    at_s = slot_at_s + (slot_s * 0.9 - for_s) * dice.random()
    return Fault(round(at_s, 3), round(for_s, 3), lane, kind, dice.randrange(2**32))
