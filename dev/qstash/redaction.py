"""The parts of a message that the API does not show: `Upstash-Redact-Fields`. Deliveries carry the original values.

Source: Upstash, publish, `Upstash-Redact-Fields`.
"""

import hashlib
import re
from dataclasses import dataclass

_ONE_HEADER = re.compile(r"header\[([^\]]+)\]", re.IGNORECASE)


@dataclass(frozen=True)
class Redaction:
    """`header_names` are lower case."""

    body: bool = False
    all_headers: bool = False
    header_names: frozenset[str] = frozenset()

    def shown_headers(self, headers: dict[str, list[str]]) -> dict[str, list[str]]:
        """Returns the headers as the API may show them."""
        return {
            name: [hidden(value.encode()) for value in values] if self._hides(name) else values
            for name, values in headers.items()
        }

    def _hides(self, name: str) -> bool:
        return self.all_headers or name.lower() in self.header_names


def hidden(value: bytes) -> str:
    """Returns `REDACTED:` and the SHA-256 of the hidden value."""
    return f"REDACTED:{hashlib.sha256(value).hexdigest()}"


def parse_redaction(text: str) -> Redaction:
    """Reads `body, header[Authorization]`. Raises `ValueError` for an unknown field.

    The documentation writes `headers` for all headers, the Python SDK `header`. Both are read.
    """
    body = all_headers = False
    names: set[str] = set()
    for field in filter(None, (part.strip() for part in text.split(","))):
        header = _ONE_HEADER.fullmatch(field)
        if header:
            names.add(header[1].strip().lower())
        elif field.lower() == "body":
            body = True
        elif field.lower() in ("header", "headers"):
            all_headers = True
        else:
            raise ValueError(f"{field[:40]!r} is not body, headers or header[name]")
    return Redaction(body, all_headers, frozenset(names))
