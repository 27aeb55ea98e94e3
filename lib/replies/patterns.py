"""Which of many patterns match a text. Ten thousand patterns take about a millisecond (`bench/reply_rules.py`).

A stranger writes the text and a user writes the pattern, so no pair of them may take forever. With `re` a pair may:
`(a+)+$` against thirty a's and a b. So the regular expressions are RE2's (github.com/google/re2). Its time grows only
with the text, and it searches for many expressions at once. It has no look-around and no back-references.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Match: TypeAlias = Literal["exact", "contains", "regex"]

LONGEST_TEXT = 2200
"""The characters of a text that count. The longest comment has so many; a message has 1000."""

WIDEST = 2000
"""The most instructions of RE2's program for one expression. `x.{0,100}y.{0,100}z` has 1807, a word has ten."""

WIDEST_OF_ALL = 4000
"""The most instructions of all wide expressions together. The longest text then takes some ten milliseconds."""

NOT_VALID = "the pattern is no valid regular expression"
TOO_WIDE = "the pattern takes too long to search for: it has too many repetitions"
TOO_WIDE_TOGETHER = "the patterns of this trigger take too long to search for together; this one is left out"

_WIDE = re.compile(r"[?*+{]")
_FEW_REPETITIONS = 8
_GRAM = 3
_SET_SIZE = 1000
"""Expressions that are searched at once. RE2 grants no memory for more."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """`key` names the pattern when it matches. A blank `pattern` matches every text."""

    key: int
    match: Match
    pattern: str


class Patterns:
    """Patterns, ready to be searched for. `refused` says why an expression is left out, by its key.

    The patterns come with the most important first: if all together take too long, the last are left out.
    """

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._always: list[int] = []
        self._exact: dict[str, list[int]] = {}
        contained: list[tuple[int, str]] = []
        expressions: list[tuple[int, str]] = []
        for each in patterns:
            plain = normal(each.pattern)
            if not plain:
                self._always.append(each.key)
            elif each.match == "exact":
                self._exact.setdefault(plain, []).append(each.key)
            elif each.match == "contains":
                contained.append((each.key, plain))
            else:
                expressions.append((each.key, each.pattern))
        self._contained = _Contained(contained)
        self._expressions: list[_Expressions] = []
        self.refused: dict[int, str] = {}
        if expressions:
            self.refused = _too_wide(expressions)
            self._expressions, invalid = _sets([each for each in expressions if each[0] not in self.refused])
            self.refused |= dict.fromkeys(invalid, NOT_VALID)

    def matching(self, text: str) -> list[int]:
        """Returns the keys of the patterns that match `text`, in no order. Case never matters.

        The width of blanks does not matter either, except to an expression: it gets the text as it is.
        """
        text = text[:LONGEST_TEXT]
        plain = normal(text)
        keys = [*self._always, *self._exact.get(plain, ()), *self._contained.within(plain)]
        if self._expressions:
            encoded = text.encode("utf-8", "replace")
            for expressions in self._expressions:
                keys += expressions.matching(encoded)
        return keys


def normal(text: str) -> str:
    """Returns `text` without case and with single blanks."""
    return " ".join(text.casefold().split())


class _Contained:
    """Needles by their first characters. A needle is searched for only if its first characters are in the text."""

    def __init__(self, needles: Iterable[tuple[int, str]]) -> None:
        self._by_gram: dict[str, list[tuple[int, str]]] = {}
        for key, needle in needles:
            self._by_gram.setdefault(needle[:_GRAM], []).append((key, needle))
        self._lengths = {len(gram) for gram in self._by_gram}

    def within(self, text: str) -> Iterator[int]:
        grams = {text[start : start + length] for length in self._lengths for start in range(len(text))}
        for gram in grams & self._by_gram.keys():
            for key, needle in self._by_gram[gram]:
                if needle in text:
                    yield key


class _Expressions:
    """Regular expressions that RE2 searches for in one pass."""

    def __init__(self, keys: Sequence[int], compiled: Any) -> None:
        self._keys = keys
        self._compiled = compiled

    def matching(self, encoded: bytes) -> list[int]:
        # The last expression is ours and matches everything (see `_compiled`).
        found = self._compiled.Match(encoded) or ()
        return [self._keys[index] for index in found if index < len(self._keys)]


def _too_wide(expressions: Sequence[tuple[int, str]]) -> dict[int, str]:
    """Returns why wide expressions are left out, by key.

    RE2 needs a step for each character of the text and each instruction that is active. Only repetitions keep many
    instructions active at once, so an expression with few of them is not measured.
    """
    refused: dict[int, str] = {}
    left = WIDEST_OF_ALL
    for key, expression in expressions:
        if "{" not in expression and len(_WIDE.findall(expression)) <= _FEW_REPETITIONS:
            continue
        size = _size(expression)
        if size > WIDEST:
            refused[key] = TOO_WIDE
        elif size > left:
            refused[key] = TOO_WIDE_TOGETHER
        else:
            left -= size
    return refused


def _size(expression: str) -> int:
    """Returns the instructions of RE2's program for `expression`, or 0 if the expression is not valid."""
    import re2  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        return int(re2.compile(expression, _options()).programsize)
    except re2.error:
        return 0


def _options() -> Any:
    import re2  # noqa: PLC0415

    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    options.log_errors = False
    return options


def _sets(expressions: Sequence[tuple[int, str]]) -> tuple[list[_Expressions], list[int]]:
    sets: list[_Expressions] = []
    refused: list[int] = []
    parts = [expressions[start : start + _SET_SIZE] for start in range(0, len(expressions), _SET_SIZE)]
    while parts:
        part = parts.pop()
        compiled = _compiled([expression for _, expression in part])
        if compiled is not None:
            sets.append(_Expressions([key for key, _ in part], compiled))
        elif len(part) == 1:
            refused.append(part[0][0])
        else:
            # One expression is invalid, or the set is too large. Halves find the one, or fit.
            parts += [part[: len(part) // 2], part[len(part) // 2 :]]
    return sets, refused


def _compiled(expressions: Sequence[str]) -> Any | None:
    """Returns RE2's set of `expressions`, or None if one expression is invalid or the set is too large."""
    import re2  # noqa: PLC0415  takes 13 ms, and few rules need it

    together = re2.Set.SearchSet(_options())
    try:
        for expression in expressions:
            together.Add(expression.encode("utf-8", "replace"))
        # The empty expression matches everything. If it does not, the set lacks memory, which RE2 does not report.
        together.Add("")
        together.Compile()
    except re2.error:
        return None
    return together if together.Match("") is not None else None
