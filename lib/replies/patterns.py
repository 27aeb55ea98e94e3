"""Which of many patterns a text meets, found without asking one after the other: ten thousand take about a
millisecond (`bench/reply_rules.py`).

Pure. Must not know what the patterns are for.

A stranger writes the text and a user the pattern, so matching may not take forever on an unlucky pair: `re` would
(`(a+)+$` against thirty a's and a b). Regular expressions are therefore RE2's (github.com/google/re2): its time grows
with the text alone, and it looks for many at once. It has no look-around and no back-references.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

Match: TypeAlias = Literal["exact", "contains", "regex"]

LONGEST_TEXT = 2200
"""Characters looked at. The longest comment has as many, a message 1000."""

_GRAM = 3
_SET_SIZE = 1000
"""Expressions looked for at once. More need more memory for each character than RE2 grants them."""


class Pattern(msgspec.Struct, frozen=True):
    """`key` is what is found when a text meets it. A blank `pattern` is met by every text."""

    key: int
    match: Match
    pattern: str


class Patterns:
    """Patterns, ready to be looked for. `refused` has the keys of the expressions that are none."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._always: list[int] = []
        self._exact: dict[str, list[int]] = {}
        contained: list[tuple[int, str]] = []
        expressions: list[tuple[int, str]] = []
        for one in patterns:
            plain = normal(one.pattern)
            if not plain:
                self._always.append(one.key)
            elif one.match == "exact":
                self._exact.setdefault(plain, []).append(one.key)
            elif one.match == "contains":
                contained.append((one.key, plain))
            else:
                expressions.append((one.key, one.pattern))
        self._contained = _Contained(contained)
        self._expressions, self.refused = _sets(expressions) if expressions else ([], [])

    def met_by(self, words: str) -> list[int]:
        """The keys of the patterns that `words` meets, in no order. Case and the width of blanks do not matter,
        but for an expression, which is given the words as they are (and ignores case).
        """
        words = words[:LONGEST_TEXT]
        text = normal(words)
        found = [*self._always, *self._exact.get(text, ()), *self._contained.within(text)]
        if self._expressions:
            encoded = words.encode("utf-8", "replace")
            for expressions in self._expressions:
                found += expressions.met_by(encoded)
        return found


def normal(text: str) -> str:
    """`text` without what does not matter: case, and how blank its blanks are."""
    return " ".join(text.casefold().split())


class _Contained:
    """Needles, by how they begin: only those are looked for whose beginning is somewhere in the text."""

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
    """Regular expressions that RE2 looks for in one pass."""

    def __init__(self, keys: Sequence[int], compiled: Any) -> None:
        self._keys = keys
        self._compiled = compiled

    def met_by(self, encoded: bytes) -> list[int]:
        # The last one is ours, and met by everything (see `_compiled`).
        found = self._compiled.Match(encoded) or ()
        return [self._keys[index] for index in found if index < len(self._keys)]


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
            # One of them is none, or together they are too much: in halves they are found, or fit.
            parts += [part[: len(part) // 2], part[len(part) // 2 :]]
    return sets, refused


def _compiled(expressions: Sequence[str]) -> Any | None:
    """RE2's set of `expressions`, None where it takes one of them not at all or all of them not at once."""
    import re2  # type: ignore[import-untyped]  # noqa: PLC0415  13 ms, and few have a rule that needs it

    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    options.log_errors = False
    together = re2.Set.SearchSet(options)
    try:
        for expression in expressions:
            together.Add(expression.encode("utf-8", "replace"))
        # Met by everything: where it is not, the set has no memory to work in, which RE2 does not tell.
        together.Add("")
        together.Compile()
    except re2.error:
        return None
    return together if together.Match("") is not None else None
