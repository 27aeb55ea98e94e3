"""The JSON schema of the next phase's body, made from the events themselves.

`python -m dev.next_phase_schema` writes docs/next-phase.schema.json anew. Tests compare the file with this module, and
every sample with the file.
"""

import json
from pathlib import Path
from typing import Any, get_args

from dev.json_schema import schemas_of
from dev.stack.config import ROOT
from lib.events.model import AnyEvent, Event, Unknown
from lib.processing.planner import NEXT_PHASE_LEAVES_OUT

FILE: Path = ROOT / "docs" / "next-phase.schema.json"

ALWAYS_THERE = ("event_id", "kind", "account_id", "contact_id", "mid", "direction", "occurred_at")
"""Fields of every kind. `contact_id` and `mid` may be null."""

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
_NEVER_THERE = NEXT_PHASE_LEAVES_OUT | {"is_test"}


def schema() -> dict[str, Any]:
    """Returns JSON Schema 2020-12. Objects are open: a receiver has to accept fields that it does not know."""
    definitions = schemas_of({"Event": AnyEvent}, ref_template="#/$defs/{model}")
    kinds = [kind.__name__ for kind in get_args(Event) if kind is not Unknown]
    for name in ("Event", "Unknown"):
        del definitions[name]
    for name in kinds:
        definitions[name] = _kind(definitions[name])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Next phase",
        "description": "What PHASE3_URL gets: one event (docs/next-phase.md).",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in kinds],
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
    return described


def text() -> str:
    """Returns the file as it should be."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
