"""Our own sample webhooks in `dev/samples/`, in the order of their story."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.stack.config import ROOT

SAMPLES = ROOT / "dev" / "samples"
INDEX_NAME = "INDEX.json"


@dataclass(frozen=True)
class Sample:
    """One file. `kinds` are the kinds of its events, in order. `about` is a sentence for people."""

    name: str
    kinds: tuple[str, ...]
    about: str

    @property
    def path(self) -> Path:
        """The file of its body."""
        return SAMPLES / f"{self.name}.json"


def samples() -> list[Sample]:
    """Returns all samples, as the index lists them."""
    listed: list[dict[str, Any]] = json.loads((SAMPLES / INDEX_NAME).read_text(encoding="utf-8"))
    return [Sample(Path(entry["file"]).stem, tuple(entry["kinds"]), entry["about"]) for entry in listed]
