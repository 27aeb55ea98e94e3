"""The description of every route, docs/openapi.yaml. Its paths are written by hand; the schemas of our own types are
made from the types: `python -m dev.openapi` writes them anew, below the line. A test holds the file against this.

Knows msgspec's schemas. Must not know what a route does.
"""

from pathlib import Path
from typing import Any

import msgspec
import yaml

from dev.stack.config import ROOT
from lib.accounts.refresh import Report
from lib.archive.retention import Expired
from lib.dead_letters.letter import FailureCallback
from lib.events.model import Event
from lib.health import Check
from lib.ingest.ingestor import Result
from lib.privacy.erasure import Receipt
from lib.privacy.signed_request import SignedPayload
from lib.privacy.store import Deauthorized, Erasure
from lib.recovery.sweeper import Swept

FILE: Path = ROOT / "docs" / "openapi.yaml"

LINE = "    # Made from the code by `python -m dev.openapi`: from here on nothing is written by hand.\n"

_TYPES = (Event, FailureCallback, SignedPayload, Result, Receipt, Deauthorized, Erasure, Check, Expired, Report, Swept)


def schemas() -> dict[str, Any]:
    """The component schemas of what travels, by name."""
    (event, *_), components = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    return {"Event": event, **{name: _readable(schema) for name, schema in components.items()}}


def text() -> str:
    """The file, as it should be: what is above the line as it is, what is below it anew."""
    by_hand, line, _ = FILE.read_text(encoding="utf-8").partition(LINE)
    made = yaml.safe_dump(schemas(), sort_keys=False, allow_unicode=True, width=108)
    return by_hand + line + "".join(f"    {one}" if one.strip() else one for one in made.splitlines(keepends=True))


def description() -> dict[str, Any]:
    """The file, read."""
    read: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return read


def _readable(schema: dict[str, Any]) -> dict[str, Any]:
    """As everybody else's tools want it: a docstring on one line, and a pattern without what only Python knows."""
    fields = {name: _readable_field(field) for name, field in schema.get("properties", {}).items()}
    made = {**schema, "description": " ".join(schema["description"].split())}
    return {**made, "properties": fields} if fields else made


def _readable_field(field: dict[str, Any]) -> dict[str, Any]:
    return {**field, "pattern": field["pattern"].replace(r"\Z", "$")} if "pattern" in field else field


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
