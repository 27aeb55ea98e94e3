"""The webhook bodies of dev/samples, and the captured ones where their folder is there."""

import json
from pathlib import Path
from typing import Any

from lib.core.safe_json import decode_json
from lib.webhooks.parser import parse_webhook
from lib.webhooks.payload import EVENT_KEYS, ITEM_KEYS
from tests.support.items import RECEIVED_AT
from tests.support.strategies import changes, json_values, messaging_items

ROOT = Path(__file__).resolve().parents[2]


OWN = ROOT / "dev" / "samples"


CAPTURED = ROOT.parent / "shared" / "samples"


def _index(folder: Path) -> list[dict[str, Any]]:
    path = folder / "INDEX.json"
    if not path.is_file():
        return []
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return entries


def _events(folder: Path, name: str) -> list[Any]:
    return list(parse_webhook(decode_json((folder / name).read_bytes()), received_at=RECEIVED_AT))


def _has(one: Any, *names: str) -> bool:
    return isinstance(one, dict) and any(name in one for name in names)


ITEMS = (messaging_items() | json_values()).filter(lambda one: not _has(one, "field"))


CHANGES = (changes() | json_values()).filter(lambda one: _has(one, "field") or not _has(one, *ITEM_KEYS, *EVENT_KEYS))
