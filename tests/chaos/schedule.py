"""Which faults there are, and when each of them comes: the same for the same seed and the same time.

Pure. Must not know how a fault is brought about (`faults`), nor what is sent meanwhile (`traffic`).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from dev.qstash.backoff import DEFAULT_RETRIES, default_delay_s

Lane: TypeAlias = Literal["servers", "supabase", "settings", "qstash", "graph", "outage"]
"""Faults of one lane come one after the other; those of different lanes overlap."""


@dataclass(frozen=True)
class Kind:
    """A fault by name. `longest_s` 0: it is over as soon as it has come. `wish` is what the stand-in is told."""

    name: str
    longest_s: float
    wish: Mapping[str, Any] = field(default_factory=dict)


HTML = "text/html"
PAGE = "<html><head><title>Sorry</title></head><body>nginx</body></html>"
FUTURE_JWT = '{"code":"PGRST303","message":"JWT issued at future","details":null,"hint":null}'
WRONG_KEY = '{"message":"Invalid API key","hint":"Double check your Supabase `anon` or `service_role` API key."}'


def _lie(fault: str, echo: str) -> Mapping[str, Any]:
    return {"endpoint": "send", "fault": fault, "accepts": True, "echo": echo}


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
    ),
    "supabase": (
        Kind("answers cut after commit", 0, {"answers": 6}),
        *(
            Kind(f"a page with {status} for the database", 4, {"status": status, "body": PAGE, "content_type": HTML})
            for status in (400, 401, 403, 404, 502)
        ),
        Kind("a JWT from the future", 2, {"status": 401, "body": FUTURE_JWT, "times": 6}),
        Kind("the key of the database is wrong", 5, {"status": 401, "body": WRONG_KEY}),
        Kind("the database refuses our role", 4),
    ),
    "settings": (
        Kind("rules that cannot be read", 6),
        Kind("the key of the stored tokens is wrong", 6),
        Kind("an old instance has a dead token", 8),
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
        *(
            Kind(f"Graph sends, then answers {refusal}, its echo {echo}", 6, _lie(fault, echo))
            for refusal, fault, echo in (
                ("429", "429", "late"),
                ("613", "rate_limit_thread", "on"),
                ("4/2207051", "action_blocked", "early"),
                ("20/1772107", "spam_suspected", "late"),
                ("100", "invalid_parameter", "on"),
                ("551", "unavailable", "early"),
            )
        ),
        Kind("Graph says already sent", 6, {"endpoint": "send", "fault": "already_sent"}),
        Kind("Graph lacks a permission", 6, {"endpoint": "send", "fault": "permission_missing"}),
        Kind("Graph refuses the token", 6, {"endpoint": "send", "fault": "expired_token"}),
        Kind("Graph closes kept connections at a request", 6, {"endpoint": "*", "fault": "close_kept"}),
        Kind("Graph closes connections after an answer", 6, {"endpoint": "*", "fault": "close_after_answer"}),
        Kind("Graph app limit", 5, {"endpoint": "send", "fault": "rate_limit"}),
        Kind("Graph thread limit", 5, {"endpoint": "send", "fault": "rate_limit_thread"}),
        Kind("Graph cuts before it sends", 6, {"endpoint": "*", "fault": "cut_before_accept"}),
        Kind("Graph cuts after it sent", 6, {"endpoint": "*", "fault": "cut_after_accept"}),
        Kind("Graph never answers, sends nothing", 6, {"endpoint": "*", "fault": "timeout_dropped", "times": 6}),
        Kind("Graph sends, never answers", 6, {"endpoint": "*", "fault": "timeout_accepted", "times": 6}),
        Kind("Graph answers nonsense", 6, {"endpoint": "*", "fault": "garbage"}),
        Kind("Graph refuses profile fields", 6, {"endpoint": "profile", "fault": "field_refused"}),
        Kind("echoes before the answer", 8, {"echo": "early"}),
        Kind("echoes late", 8, {"echo": "late"}),
    ),
}

OUTAGES: Sequence[Kind] = (
    Kind("the database is away for longer than all retries", 0, {"status": 502, "body": PAGE, "content_type": HTML}),
    Kind("the functions are away for longer than all retries", 0),
    Kind("Graph is away for longer than all retries", 0, {"endpoint": "*", "fault": "transient"}),
)
"""The last fault of a run is one of these, when the other lanes are over. The events that QStash gives up on meanwhile
are in its dead letter queue only: the failure callback fails as often as the message did.
"""

ALL_RETRIES_S = 2.2 * sum(default_delay_s(retry) for retry in range(1, DEFAULT_RETRIES + 1))
"""A message and its failure callback: 33 minutes each, and some time for the attempts themselves."""

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


def schedule(seed: int, lasts_s: float, outage_s: float = 0.0) -> list[Fault]:
    """Every fault of a run, in the order of time: `lasts_s` of shorter ones, then an outage of `outage_s`.

    Each kind comes once before any of its lane comes again. Without `outage_s` there is no outage.
    """
    faults = sorted((fault for lane in KINDS for fault in _lane(lane, seed, lasts_s)), key=lambda fault: fault.at_s)
    return [*faults, _outage(seed, lasts_s, outage_s)] if outage_s else faults


def _outage(seed: int, at_s: float, for_s: float) -> Fault:
    dice = random.Random(f"{seed}/outage")
    return Fault(round(at_s, 3), round(for_s, 3), "outage", dice.choice(OUTAGES), dice.randrange(2**32))


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
