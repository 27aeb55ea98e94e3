"""One life: its state, and every step that it can take from there. A step is a sentence and what it does."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeAlias

from tests.lives.database import ACCOUNT, EVENT_ID, JUMP_S, LEASE_S, MID, PERSON, Database, Snapshot

TEXT = "20."
MOST_ATTEMPTS, MOST_JUMPS = 3, 2
HOLDING = ("lost", "given up", "send", "finish")
"""What a worker knows here it takes with it when it is killed."""

Pc: TypeAlias = Literal["look", "begin", "lost", "given up", "send", "finish", "close", "over"]
"""Where a worker is: it looks for the reply before a repetition, asks for the permit, lost the permit's answer, holds
the permit, knows Meta's answer, closes the event; or it is over, because it ended or was killed.
"""


@dataclass(frozen=True)
class End:
    """How Meta answered, in the words of `finish_effect`."""

    state: str
    mid: str | None = None
    never_left: bool = False


@dataclass(frozen=True)
class Worker:
    """One attempt at the event. `effect` is the reply that it has claimed."""

    number: int
    pc: Pc
    effect: str | None = None
    end: End | None = None

    @property
    def token(self) -> str:
        """The lease of this attempt."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, str(self.number)))

    @property
    def name(self) -> str:
        """What a story calls the worker."""
        return f"worker {self.number}"


@dataclass(frozen=True)
class Delivery:
    """A message that Meta delivered, when the clock had jumped `jumps` times."""

    mid: str
    jumps: int


@dataclass(frozen=True)
class Life:
    """Everything: the rows, the workers, Meta and the clock. `late` are permits whose caller may have given up."""

    rows: Snapshot
    workers: tuple[Worker, ...] = ()
    delivered: tuple["Delivery", ...] = ()
    echoed: tuple[str, ...] = ()
    late: tuple[tuple[str, str], ...] = ()
    jumps: int = 0
    is_braked: bool = False
    left_after_brake: bool = False
    is_ambiguous: bool = False
    """A worker died while it held the permit, or Meta did not answer: nobody can know then."""
    once: frozenset[str] = field(default_factory=frozenset)
    story: tuple[str, ...] = field(default=(), compare=False)

    def key(self) -> tuple[object, ...]:
        """Equal for lives that go on in the same way."""
        return (self.rows.canonical, *(getattr(self, name) for name in _COMPARED))


_COMPARED = ("workers", "delivered", "echoed", "late", "jumps", "is_braked", "left_after_brake", "is_ambiguous", "once")

Act: TypeAlias = Callable[[Database], Life]
Step: TypeAlias = tuple[str, Act]
"""The sentence, and what to do once the rows of the life are in the database. The act returns the life without rows."""

NO_ROWS = Snapshot("", "")


def steps(life: Life, rule_id: int) -> Iterator[Step]:
    """Yields every step that the life can take."""
    alive = [worker for worker in life.workers if worker.pc != "over"]
    if len(alive) < 2 and len(life.workers) < MOST_ATTEMPTS:
        yield f"worker {len(life.workers) + 1} records the event", lambda db: record(db, life, rule_id)
    for worker in alive:
        yield from _of_worker(life, worker)
    for effect, token in life.late:
        yield (
            "the call for a permit arrives late",
            partial(_late, life=life, effect=effect, token=token),
        )
    for delivery in life.delivered:
        if delivery.mid not in life.echoed:
            yield "the echo comes", partial(echo, life=life, delivery=delivery)
    if life.jumps < MOST_JUMPS:
        yield "the clock jumps past the lease, and the sweeper runs", lambda db: jump(db, life)
    if "callback" not in life.once and life.workers:
        yield "QStash gives the event up", lambda db: _callback(db, life)
    if "replay" not in life.once and life.workers:
        yield "the archive is replayed", lambda db: _replay(db, life)
    if not life.is_braked:
        yield "a person switches the replies off", lambda db: replace(life, is_braked=True)


def event() -> dict[str, Any]:
    """The message that sets off the reply."""
    return {
        "kind": "message", "event_id": EVENT_ID, "account_id": ACCOUNT, "contact_id": PERSON, "mid": MID,
        "occurred_at": _NOW_MS, "received_at": _NOW_MS, "text": "price", "raw": {"message": {"mid": MID}},
    }  # fmt: skip


def record(db: Database, life: Life, rule_id: int) -> Life:
    """A worker gets the event: from QStash, from QStash again, or from the sweeper."""
    worker = Worker(len(life.workers) + 1, "over")
    effects = [{"kind": "dm", "payload": {"text": TEXT}, "rule_id": rule_id}]
    options = {"lease_token": worker.token, "lease_s": LEASE_S}
    answer = db.call("record_event", event(), "queue", [] if life.is_braked else effects, options)
    for claimed in answer.get("effects", []):
        pc: Pc = "look" if claimed.get("may_have_left") else "begin"
        worker = replace(worker, pc=pc, effect=claimed["effect_id"])
    if answer["outcome"] in ("new", "resumed") and worker.effect is None:
        worker = replace(worker, pc="close")
    return replace(life, workers=(*life.workers, worker))


def _of_worker(life: Life, worker: Worker) -> Iterator[Step]:
    name = worker.name
    holds = worker.pc in HOLDING
    yield f"{name} is killed", lambda db: _moved(life, worker, pc="over", is_ambiguous=life.is_ambiguous or holds)
    match worker.pc:
        case "look":
            yield f"{name} looks into the conversation", lambda db: look(db, life, worker)
            yield (
                f"{name} cannot read the conversation, and plans the reply again",
                lambda db: finish(db, life, replace(worker, end=End("planned", never_left=True))),
            )
        case "begin":
            yield f"{name} asks for the permit", lambda db: begin(db, life, worker)
            yield f"{name} asks for the permit, and the answer is lost", lambda db: _begin_and_lose(db, life, worker)
            yield (
                f"{name} asks for the permit, and the call is under way for long",
                lambda db: _moved(life, worker, pc="lost", late=(*life.late, (str(worker.effect), worker.token))),
            )
        case "lost" | "given up":
            if worker.pc == "lost":
                yield f"{name} asks for the permit again", lambda db: begin(db, life, worker)
            yield (
                f"{name} gives up, and plans the reply again",
                lambda db: finish(db, life, replace(worker, end=End("planned", never_left=True))),
            )
        case "send":
            yield from _of_meta(life, worker)
        case "finish":
            yield f"{name} writes down: {worker.end}", lambda db: finish(db, life, worker)
            yield f"{name} writes it down twice, for the answer was lost", lambda db: _twice(db, life, worker)
        case "close":
            yield f"{name} closes the event", lambda db: close(db, life, worker)
        case "over":
            pass


def _of_meta(life: Life, worker: Worker) -> Iterator[Step]:
    mid, took = next_mid(life), {"delivered": delivered_again(life)}
    for says, end, more in (
        ("Meta takes the reply", End("sent", mid), took),
        ("Meta takes the reply, and answers with a rate limit", End("planned"), took),
        ("Meta takes the reply, and refuses it", End("failed"), took),
        ("Meta takes the reply, and closes the connection", End("unknown"), {**took, "is_ambiguous": True}),
        ("Meta closes the connection, and nobody knows", End("unknown"), {"is_ambiguous": True}),
        ("Meta answers with a rate limit", End("planned"), {}),
        ("the connection to Meta never stands", End("planned", never_left=True), {}),
    ):
        after = _moved(life, worker, pc="finish", end=end, **more)
        yield says, partial(_as_it_is, life=after)


def next_mid(life: Life) -> str:
    """The id of the next message that Meta delivers."""
    return f"m_{len(life.delivered) + 1}"


def delivered_again(life: Life) -> tuple[Delivery, ...]:
    """What Meta has delivered, after one more."""
    return (*life.delivered, Delivery(next_mid(life), life.jumps))


def _as_it_is(_db: Database, life: Life) -> Life:
    return life


def _moved(life: Life, worker: Worker, *, pc: Pc, end: End | None = None, **more: Any) -> Life:
    changed = replace(worker, pc=pc, end=end)
    workers = tuple(changed if one.number == worker.number else one for one in life.workers)
    return replace(life, workers=workers, **more)


def look(db: Database, life: Life, worker: Worker) -> Life:
    """The conversation shows what was delivered."""
    shown = [
        {"mid": one.mid, "text": TEXT, "at": datetime.fromtimestamp(_sent_ms(life, one) / 1000, UTC).isoformat()}
        for one in life.delivered
    ]
    db.call("settle_unknown", ACCOUNT, PERSON, shown)
    return _moved(life, worker, pc="begin")


def begin(db: Database, life: Life, worker: Worker) -> Life:
    """Asks for the permit in time."""
    permit = _ask(db, life, str(worker.effect), worker.token, "clock_timestamp() + interval '5 seconds'")
    if not permit["go"]:
        return _moved(life, worker, pc="close")
    return _moved(life, worker, pc="send", left_after_brake=life.left_after_brake or life.is_braked)


def _begin_and_lose(db: Database, life: Life, worker: Worker) -> Life:
    begin(db, life, worker)
    return _moved(life, worker, pc="lost")


def _late(db: Database, life: Life, effect: str, token: str) -> Life:
    _ask(db, life, effect, token, "clock_timestamp() - interval '1 second'")
    return replace(life, late=tuple(one for one in life.late if one != (effect, token)))


def _ask(db: Database, life: Life, effect: str, token: str, not_after: str) -> dict[str, Any]:
    [row] = db.run(
        "select begin_send(%s, %s, jsonb_build_object('text', %s::text), %s,"
        f" jsonb_build_object('not_after', {not_after}, 'mode', %s::text)) as permit",
        effect, token, TEXT, LEASE_S, "off" if life.is_braked else "on",
    )  # fmt: skip
    permit: dict[str, Any] = row["permit"]
    return permit


def finish(db: Database, life: Life, worker: Worker) -> Life:
    """Writes down how the attempt ended."""
    _write_down(db, worker)
    return _moved(life, worker, pc="close")


def _twice(db: Database, life: Life, worker: Worker) -> Life:
    _write_down(db, worker)
    return finish(db, life, worker)


def _write_down(db: Database, worker: Worker) -> None:
    end = worker.end or End("planned")
    db.call("finish_effect", worker.effect, worker.token, end.state, end.mid, "code", 60.0, end.never_left)


def close(db: Database, life: Life, worker: Worker) -> Life:
    """Closes the event, if nothing is owed."""
    db.call("finish_event", EVENT_ID, ACCOUNT, worker.token)
    return _moved(life, worker, pc="over")


def _sent_ms(life: Life, delivery: Delivery) -> int:
    """When a message was sent, by the clock of now."""
    return int((time.time() - JUMP_S * (life.jumps - delivery.jumps)) * 1000)


def echo(db: Database, life: Life, delivery: Delivery) -> Life:
    """The webhook with the message that we sent."""
    mid, at_ms = delivery.mid, _sent_ms(life, delivery)
    db.call(
        "record_event",
        {
            "kind": "echo", "event_id": f"ig_msg_{mid}", "account_id": ACCOUNT, "contact_id": PERSON, "mid": mid,
            "direction": "outbound", "occurred_at": at_ms, "received_at": at_ms, "text": TEXT,
            "raw": {"message": {"mid": mid, "is_echo": True}},
        },
        "queue",
    )  # fmt: skip
    return replace(life, echoed=(*life.echoed, mid))


def jump(db: Database, life: Life) -> Life:
    """The time of every lease and every wait is over, and the sweeper looks.

    A worker ends long before its lease does: it begins nothing after a jump. What it knows may still arrive.
    """
    db.restore(life.rows, older_s=JUMP_S)
    db.call("expire_sends")
    workers = tuple(replace(one, pc=_AFTER_A_JUMP.get(one.pc, one.pc)) for one in life.workers)
    is_ambiguous = life.is_ambiguous or any(one.pc == "send" for one in life.workers)
    return replace(life, jumps=life.jumps + 1, workers=workers, is_ambiguous=is_ambiguous)


_AFTER_A_JUMP: dict[Pc, Pc] = {"look": "over", "begin": "over", "send": "over", "lost": "given up"}


def _callback(db: Database, life: Life) -> Life:
    letter = {"source_message_id": "msg_1", "event_id": EVENT_ID, "account_id": ACCOUNT, "event": event()}
    db.call("store_dead_letter", {**letter, "kind": "message", "status": 500, "first_tried_at": _NOW_MS})
    return replace(life, once=life.once | {"callback"})


def _replay(db: Database, life: Life) -> Life:
    db.call("replay_event", EVENT_ID, {name: value for name, value in event().items() if name != "raw"})
    return replace(life, once=life.once | {"replay"})


def start_at(now_ms: int) -> None:
    """Fixes the time of the message for all lives of this process."""
    global _NOW_MS  # noqa: PLW0603  the message is the same in every life
    _NOW_MS = now_ms


_NOW_MS = 0
