"""Dead letters: retries them, discards them, and finds the entries that only QStash has."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from lib.core import log
from lib.core.deadline import Deadline
from lib.dead_letters.letter import is_redacted, letter_of_entry
from lib.dead_letters.store import Closed, DeadLetter, DeadLetterStore, LetterFilter
from lib.errors.classify import classify
from lib.errors.exceptions import InvalidPayload
from lib.events.model import Event
from lib.events.model import event_of as read_event
from lib.ingest.ingestor import Ingestor
from lib.qstash.dlq import DeadLetterQueue

if TYPE_CHECKING:
    from qstash.dlq import DlqMessage

NEVER_AGAIN = 489
"""Our consumer's answer to what can never take effect. QStash would get the same answer again."""

_log = log.get(__name__)


class LetterEnd(StrEnum):
    """How the retry or the discarding of one letter ended."""

    QUEUED = "queued"
    PROCESSED = "processed"
    ALREADY_PROCESSED = "already processed"
    ALREADY_CLOSED = "already closed"
    DISCARDED = "discarded"
    NO_EVENT = "no event"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LetterOutcome:
    """How one letter ended. `code` is the code of the error of a failed one.

    `entry_remains` says that QStash's entry of the letter could not be deleted.
    """

    end: LetterEnd
    code: str | None = None
    entry_remains: bool = False


@dataclass(frozen=True, slots=True)
class DlqReview:
    """The entries of QStash's dead letter queue.

    Entries without a letter are `stored` as letters now. If QStash hides their body, QStash delivers them again:
    `redelivered`; or they are `redacted`, because our consumer refused them for good, and a person has to look.
    `waiting` have an open letter. `deleted` were of closed letters or of erased people. `done`: no page was left.
    """

    stored: tuple[str, ...] = ()
    waiting: int = 0
    deleted: int = 0
    redelivered: tuple[str, ...] = ()
    redacted: tuple[str, ...] = ()
    done: bool = True


class Redriver:
    """Works off dead letters. Each step may be repeated, or run twice at the same time: an event takes effect once."""

    def __init__(self, letters: DeadLetterStore, *, ingestor: Ingestor, dlq: DeadLetterQueue) -> None:
        self._letters = letters
        self._ingestor = ingestor
        self._dlq = dlq

    async def retry(self, letter: DeadLetter, *, deadline: Deadline) -> LetterOutcome:
        """Sends the event of `letter` again. Raises the database's errors. `letter` must have been read with content.

        The order makes a retry that is cut off repeatable: the event, then the letter, then the entry at QStash. That
        QStash has taken the event says nothing about how it ends. So the letter stays open until then.
        """
        expected = expected_end(letter)
        if expected is LetterEnd.ALREADY_PROCESSED:
            return await self._close(letter, "replayed", expected)
        event = event_of(letter)
        if expected is not LetterEnd.QUEUED or event is None:
            return LetterOutcome(expected)
        [result] = await self._ingestor.ingest([event], deadline=deadline, again=attempt_id(letter))
        if result.status in ("failed", "rejected"):
            return LetterOutcome(LetterEnd.FAILED, result.error.code if result.error else None)
        if result.via == "queue":
            await self._letters.mark_retried(letter.source_message_id)
            return LetterOutcome(LetterEnd.QUEUED, entry_remains=not await self._delete_entry(letter))
        return LetterOutcome(LetterEnd.PROCESSED, entry_remains=not await self._delete_entry(letter))

    async def discard(self, letter: DeadLetter) -> LetterOutcome:
        """Closes `letter` for good, and deletes its entry at QStash. Raises the database's errors."""
        if letter.state != "open":
            return LetterOutcome(LetterEnd.ALREADY_CLOSED)
        return await self._close(letter, "discarded", LetterEnd.DISCARDED)

    async def find_lost(self, *, deadline: Deadline | None = None) -> DlqReview:
        """Takes in every entry at QStash whose failure callback never reached us, the newest first.

        After the deadline no further page is read. Raises the errors of the SDK and of the database; the entries that
        are reviewed stay so.
        """
        review = DlqReview()
        cursor: str | None = None
        while True:
            if deadline is not None and deadline.left_s() <= 0:
                return replace(review, done=False)
            entries, cursor = await self._dlq.page(cursor)
            letters = await self._letters_of(entries)
            for entry in entries:
                review = await self._review(entry, letters.get(entry.message_id), review)
            if cursor is None:
                return review

    async def _letters_of(self, entries: "list[DlqMessage]") -> dict[str, DeadLetter]:
        """Returns the letters of `entries`, by QStash's message id."""
        ids = tuple(entry.message_id for entry in entries)
        letters = await self._letters.page(LetterFilter(ids=ids), limit=len(ids)) if ids else []
        return {letter.source_message_id: letter for letter in letters}

    async def _review(self, entry: "DlqMessage", letter: DeadLetter | None, review: DlqReview) -> DlqReview:
        if letter is not None and letter.state == "open":
            return replace(review, waiting=review.waiting + 1)
        if letter is None and is_redacted(entry):
            return await self._review_redacted(entry, review)
        if letter is None and await self._letters.store(letter_of_entry(entry)):
            return replace(review, stored=(*review.stored, entry.message_id))
        # The letter is closed, or the database refused it because its person was erased.
        await self._dlq.delete(entry.dlq_id)
        return replace(review, deleted=review.deleted + 1)

    async def _review_redacted(self, entry: "DlqMessage", review: DlqReview) -> DlqReview:
        if entry.response_status == NEVER_AGAIN:
            _log.error("An entry of QStash's dead letter queue cannot be read", dlq_id=entry.dlq_id)
            return replace(review, redacted=(*review.redacted, entry.dlq_id))
        await self._dlq.retry(entry.dlq_id)
        return replace(review, redelivered=(*review.redelivered, entry.dlq_id))

    async def _close(self, letter: DeadLetter, state: Closed, end: LetterEnd) -> LetterOutcome:
        closed = await self._letters.close(letter.source_message_id, state)
        entry_remains = not await self._delete_entry(letter)
        return LetterOutcome(end if closed else LetterEnd.ALREADY_CLOSED, entry_remains=entry_remains)

    async def _delete_entry(self, letter: DeadLetter) -> bool:
        """Returns whether QStash has no entry of `letter` any more."""
        if letter.dlq_id is None:
            return True
        try:
            await self._dlq.delete(letter.dlq_id)
        except Exception as error:
            # The letter is closed, which is what counts. A later find_lost deletes the entry.
            _log.warning(
                "The entry stays in QStash's dead letter queue", dlq_id=letter.dlq_id, code=classify(error).code
            )
            return False
        return True


def expected_end(letter: DeadLetter) -> LetterEnd:
    """Returns how a retry of `letter` ends if nothing fails."""
    if letter.state != "open":
        return LetterEnd.ALREADY_CLOSED
    if letter.is_processed:
        return LetterEnd.ALREADY_PROCESSED
    return LetterEnd.NO_EVENT if event_of(letter) is None else LetterEnd.QUEUED


def event_of(letter: DeadLetter) -> Event | None:
    """Returns the event of `letter`. None if the body was not one of our events, or no longer parses as one."""
    try:
        return read_event(letter.event)
    except InvalidPayload:
        return None


def attempt_id(letter: DeadLetter) -> str:
    """Returns what makes the deduplication id of a retry a new one.

    QStash takes two retries of one letter for one message. A retry that fails comes back as a letter of another id.
    """
    # A letter of direct processing has the id `direct:<event id>`; the event id is in the deduplication id already.
    return f"replay_{letter.source_message_id.partition(':')[0]}"
