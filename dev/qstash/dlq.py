"""The dead letter queue: messages that failed for good, newest first, up to a bound.

Source: Upstash, features/dlq and API reference, "DLQ".
"""

from collections import OrderedDict
from dataclasses import dataclass

from dev.qstash import ids
from dev.qstash.errors import not_found
from dev.qstash.filters import Filter
from dev.qstash.message import Answer, Json, Message, multi, show_message, shown_body


@dataclass(frozen=True)
class DeadLetter:
    """A failed message with the last answer it got."""

    dlq_id: str
    message: Message
    answer: Answer
    at_ms: int


class DeadLetters:
    """The last `kept` dead letters."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._letters: OrderedDict[str, DeadLetter] = OrderedDict()
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._letters)

    def add(self, message: Message, answer: Answer, at_ms: int) -> DeadLetter:
        """Keeps one letter, and drops the oldest if there are too many."""
        self._sequence += 1
        letter = DeadLetter(ids.dlq_id(at_ms, self._sequence), message, answer, at_ms)
        self._letters[letter.dlq_id] = letter
        while len(self._letters) > self._kept:
            self._letters.popitem(last=False)
        return letter

    def get(self, dlq_id: str) -> DeadLetter:
        """Raises `ApiError` 404."""
        if dlq_id not in self._letters:
            raise not_found("dlq message", dlq_id)
        return self._letters[dlq_id]

    def remove(self, dlq_id: str) -> bool:
        """Removes a letter. Returns whether it was there."""
        return self._letters.pop(dlq_id, None) is not None

    def page(self, *, wanted: Filter, cursor: str | None, count: int) -> tuple[list[DeadLetter], str | None]:
        """Returns up to `count` letters older than the letter `cursor`, and the next cursor, or None at the end."""
        before = _order(cursor) if cursor else None
        letters: list[DeadLetter] = []
        for letter in reversed(self._letters.values()):
            if before is not None and _order(letter.dlq_id) >= before:
                continue
            if not wanted.matches(letter.message, letter.at_ms, letter.answer.status):
                continue
            if len(letters) == count:
                return letters, letters[-1].dlq_id
            letters.append(letter)
        return letters, None

    def reset(self) -> None:
        """Forgets everything."""
        self._letters.clear()


def show_letter(letter: DeadLetter) -> Json:
    """Returns the schema `DLQMessage`. If no answer came, its status is 0 and its body says why."""
    answer = letter.answer
    body = answer.body if answer.status else (answer.error or "").encode()
    return {
        **show_message(letter.message),
        "dlqId": letter.dlq_id,
        "responseStatus": answer.status,
        "responseHeader": multi(answer.headers),
        **shown_body(body, text_key="responseBody", base64_key="responseBodyBase64"),
    }


def _order(dlq_id: str) -> int:
    sequence = dlq_id.rpartition("-")[2]
    return int(sequence) if sequence.isascii() and sequence.isdigit() else 0
