"""Dead letters, worked off: an event goes through the pipeline again, or is given up; lost ones are found.

Knows what can be replayed, and in which order a letter, its event and its entry at QStash are dealt with. Must not
know how letters are chosen or shown.
"""

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

_log = log.get(__name__)


class End(StrEnum):
    """What became of a letter."""

    QUEUED = "queued"
    PROCESSED = "processed"
    ALREADY_PROCESSED = "already processed"
    ALREADY_CLOSED = "already closed"
    DISCARDED = "discarded"
    NO_EVENT = "no event"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one letter; `code` is that of the error where it failed. `left_behind`: its entry at QStash could
    not be deleted.
    """

    end: End
    code: str | None = None
    left_behind: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What lay in QStash's dead letter queue: entries we had no letter of (`stored` now, or `redacted`: QStash does not
    show what they are), those that wait as letters, and those that were over and are `deleted` now.
    """

    stored: tuple[str, ...] = ()
    waiting: int = 0
    deleted: int = 0
    redacted: tuple[str, ...] = ()


class Redriver:
    """One instance a command. Everything may be done twice, or by two at once: an event takes effect once."""

    def __init__(self, letters: DeadLetterStore, *, ingestor: Ingestor, dlq: DeadLetterQueue) -> None:
        self._letters = letters
        self._ingestor = ingestor
        self._dlq = dlq

    async def retry(self, letter: DeadLetter, *, deadline: Deadline) -> Outcome:
        """Sends the event of `letter` (with its content) again, then closes the letter, then its entry at QStash: cut
        off in between, it is done again. Raises what the database client raises.
        """
        expected = prospect(letter)
        if expected is End.ALREADY_PROCESSED:
            return await self._close(letter, "replayed", expected)
        event = event_of(letter)
        if expected is not End.QUEUED or event is None:
            return Outcome(expected)
        [result] = await self._ingestor.ingest([event], deadline=deadline, again=attempt_of(letter))
        if result.status in ("failed", "rejected"):
            return Outcome(End.FAILED, result.error.code if result.error else None)
        return await self._close(letter, "replayed", End.QUEUED if result.via == "queue" else End.PROCESSED)

    async def discard(self, letter: DeadLetter) -> Outcome:
        """Closes `letter` for good, and its entry at QStash. Raises what the database client raises."""
        if letter.state != "open":
            return Outcome(End.ALREADY_CLOSED)
        return await self._close(letter, "discarded", End.DISCARDED)

    async def find_lost(self) -> Found:
        """Makes letters of QStash's entries whose failure callback never got here. Raises what the SDK and the database
        client raise: what was done before stands.
        """
        found = Found()
        cursor: str | None = None
        while True:
            entries, cursor = await self._dlq.page(cursor)
            known = await self._known(entries)
            for entry in entries:
                found = await self._look_at(entry, known.get(entry.message_id), found)
            if cursor is None:
                return found

    async def _known(self, entries: "list[DlqMessage]") -> dict[str, DeadLetter]:
        ids = tuple(entry.message_id for entry in entries)
        letters = await self._letters.page(LetterFilter(ids=ids), limit=len(ids)) if ids else []
        return {letter.source_message_id: letter for letter in letters}

    async def _look_at(self, entry: "DlqMessage", letter: DeadLetter | None, found: Found) -> Found:
        if letter is not None and letter.state == "open":
            return replace(found, waiting=found.waiting + 1)
        if letter is None and is_redacted(entry):
            return replace(found, redacted=(*found.redacted, entry.dlq_id))
        if letter is None and await self._letters.store(letter_of_entry(entry)):
            return replace(found, stored=(*found.stored, entry.message_id))
        # Its letter is closed, or it is of somebody who was erased.
        await self._dlq.delete(entry.dlq_id)
        return replace(found, deleted=found.deleted + 1)

    async def _close(self, letter: DeadLetter, state: Closed, end: End) -> Outcome:
        closed = await self._letters.close(letter.source_message_id, state)
        left_behind = not await self._delete_entry(letter)
        return Outcome(end if closed else End.ALREADY_CLOSED, left_behind=left_behind)

    async def _delete_entry(self, letter: DeadLetter) -> bool:
        if letter.dlq_id is None:
            return True
        try:
            await self._dlq.delete(letter.dlq_id)
        except Exception as error:
            # The letter is closed, and that is what counts; find_lost deletes the entry another time.
            _log.warning(
                "The entry stays in QStash's dead letter queue", dlq_id=letter.dlq_id, code=classify(error).code
            )
            return False
        return True


def prospect(letter: DeadLetter) -> End:
    """What a replay of `letter` would come to, if nothing is in its way."""
    if letter.state != "open":
        return End.ALREADY_CLOSED
    if letter.is_processed:
        return End.ALREADY_PROCESSED
    return End.NO_EVENT if event_of(letter) is None else End.QUEUED


def event_of(letter: DeadLetter) -> Event | None:
    """The event of `letter`; None where it was a foreign message, or is none any more to the code of today."""
    try:
        return read_event(letter.event)
    except InvalidPayload:
        return None


def attempt_of(letter: DeadLetter) -> str:
    """What makes the deduplication id of a replay a fresh one: two replays of one letter are one to QStash, and a
    replay that fails comes back as another letter. A letter of the direct road has no message of QStash's in its id.
    """
    return f"replay_{letter.source_message_id.partition(':')[0]}"
