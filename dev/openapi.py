"""The description of every route, docs/openapi.yaml.

Its paths are written by hand. Its schemas are made from our models: `python -m dev.openapi` writes them anew, below
the line. A test compares the file with this module.
"""

from pathlib import Path
from typing import Any

import yaml

from dev.json_schema import schemas_of
from dev.stack.config import ROOT
from lib.accounts.refresh import Report
from lib.archive.retention import Expired
from lib.dead_letters.letter import FailureCallback
from lib.events.model import AnyEvent
from lib.health import Check
from lib.ingest.request import IngestRequest
from lib.ingest.response import IngestResponse
from lib.privacy.erasure import Receipt
from lib.privacy.signed_request import SignedPayload
from lib.privacy.store import Deauthorized, Erasure
from lib.recovery.sweeper import Swept

FILE: Path = ROOT / "docs" / "openapi.yaml"

LINE = "    # Made from the code by `python -m dev.openapi`: from here on nothing is written by hand.\n"

_TYPES = {
    "Event": AnyEvent,
    "IngestRequest": IngestRequest,
    "IngestResponse": IngestResponse,
    "FailureCallback": FailureCallback,
    "SignedPayload": SignedPayload,
    "Receipt": Receipt,
    "Deauthorized": Deauthorized,
    "Erasure": Erasure,
    "Check": Check,
    "Expired": Expired,
    "Report": Report,
    "Swept": Swept,
}


def schemas() -> dict[str, Any]:
    """Returns the component schemas by name."""
    return schemas_of(_TYPES, ref_template="#/components/schemas/{model}")


def text() -> str:
    """Returns the file as it should be: the part above the line as it is, the part below it anew."""
    by_hand, line, _ = FILE.read_text(encoding="utf-8").partition(LINE)
    made = yaml.safe_dump(schemas(), sort_keys=False, allow_unicode=True, width=108)
    return (
        by_hand + line + "".join(f"    {line_}" if line_.strip() else line_ for line_ in made.splitlines(keepends=True))
    )


def description() -> dict[str, Any]:
    """Returns the file, read."""
    read: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return read


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
