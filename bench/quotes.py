"""Figures in the documents: they are quoted from bench/report.md, and `make bench` renews them.

A quote stands between two comments: `<!-- bench: SECTION table -->` or `<!-- bench: SECTION remark 1 -->`, and
`<!-- end of bench -->`.
"""

import re
from pathlib import Path

from dev.stack.config import ROOT

REPORT = Path(__file__).with_name("report.md")
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_QUOTE = re.compile(r"(<!-- bench: (\w+) (table|remark (\d+)) -->\n).*?(<!-- end of bench -->)", re.DOTALL)


def sections(report: str) -> dict[str, str]:
    """Returns the sections of a report, by the comments that name them."""
    parts: dict[str, str] = {}
    for piece in report.split("<!-- ")[1:]:
        name, _, text = piece.partition(" -->\n")
        parts[name] = text.rstrip("\n") + "\n"
    return parts


def renewed(document: str, parts: dict[str, str]) -> str:
    """Returns `document` with each quote as the report has it now. Raises `KeyError` or `IndexError` without it."""

    def quote(found: re.Match[str]) -> str:
        begin, section, kind, number, end = found.groups()
        return f"{begin}\n{_quoted(parts[section], kind, int(number or 0))}\n\n{end}"

    return _QUOTE.sub(quote, document)


def renew(parts: dict[str, str]) -> None:
    """Writes each document anew whose quotes are old."""
    for file in DOCUMENTS:
        text = file.read_text("utf-8")
        if (new := renewed(text, parts)) != text:
            file.write_text(new, "utf-8")


def _quoted(section: str, kind: str, number: int) -> str:
    _title, _about, table, *remarks = section.strip().split("\n\n")
    return table if kind == "table" else remarks[number - 1]
