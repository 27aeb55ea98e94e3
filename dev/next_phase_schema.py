"""The JSON schema of what the next phase gets, made from the events themselves: `python -m dev.next_phase_schema`
writes docs/next-phase.schema.json anew. A test holds the file against this, and every sample against the file.

Knows msgspec's schemas and `plan.next_phase_payload`. Must not know who receives it.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from dev.stack.config import ROOT
from lib.events.model import Event
from lib.processing.planner import NEXT_PHASE_FIELDS

FILE: Path = ROOT / "docs" / "next-phase.schema.json"

ALWAYS_THERE = ("event_id", "kind", "account_id", "contact_id", "mid", "direction", "occurred_at")
"""Whatever the kind; `contact_id` and `mid` may be null."""

_ABOUT = {
    "event_id": "Idempotency key: the same event always has the same, another event another.",
    "kind": "What happened. More kinds may come: ignore those you do not know.",
    "account_id": "Our Instagram professional account.",
    "contact_id": "The person (IGSID, scoped to the account); null where Meta names nobody.",
    "mid": "The message it is about; null where it is about none.",
    "direction": "inbound: the person's doing. outbound: the account's.",
    "occurred_at": "When it happened, in milliseconds since the epoch.",
    "standby": "Another app owns the conversation.",
    "is_self": "The account's doing with itself.",
}
_NEVER_THERE = NEXT_PHASE_FIELDS | {"is_test"}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12. Objects are open: a receiver has to bear fields it does not know."""
    made: dict[str, Any] = msgspec.json.schema(Event)
    definitions = {name: value for name, value in made["$defs"].items() if name != "Unknown"}
    kinds = [one["$ref"].rpartition("/")[2] for one in made["anyOf"]]
    for name in kinds:
        if name in definitions:
            definitions[name] = _kind(definitions[name])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Next phase",
        "description": "What PHASE3_URL gets: one event (docs/next-phase.md).",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in kinds if name in definitions],
        "$defs": definitions,
    }


def _kind(event: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"mid": {"type": "null"}}
    fields |= {name: value for name, value in event["properties"].items() if name not in _NEVER_THERE}
    order = [*ALWAYS_THERE, *(name for name in fields if name not in ALWAYS_THERE)]
    required = [name for name in order if name in ALWAYS_THERE or name in event["required"]]
    return {
        "description": event["description"],
        "type": "object",
        "properties": {name: _field(name, fields[name], is_required=name in required) for name in order},
        "required": required,
    }


def _field(name: str, field: dict[str, Any], *, is_required: bool) -> dict[str, Any]:
    described = {"description": _ABOUT[name], **field} if name in _ABOUT else dict(field)
    if is_required:
        described.pop("default", None)
    if "pattern" in described:
        # Python's end of the text is another letter in everybody else's expressions.
        described["pattern"] = described["pattern"].replace(r"\Z", "$")
    return described


def text() -> str:
    """The file, as it should be."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
