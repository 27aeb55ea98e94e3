"""What must hold: at every moment, and at the end of every life, after the sweeper has had its time."""

from dataclasses import replace

from tests.lives import life as steps
from tests.lives.database import Database
from tests.lives.life import HOLDING, End, Life, Worker

ROUNDS = 4


def complaint(life: Life) -> str | None:
    """Returns what is wrong at this moment, or None."""
    if len(life.delivered) > 1:
        return f"Meta delivered the reply {len(life.delivered)} times"
    if life.left_after_brake:
        return "a reply was let go after a person had switched the replies off"
    return None


def end_of(db: Database, life: Life, rule_id: int) -> tuple[Life, str | None]:
    """Kills all workers, delivers the echoes, and lets the sweeper run. Returns the end, and what is wrong with it."""
    holds = any(worker.pc in HOLDING for worker in life.workers)
    life = replace(
        life, workers=tuple(replace(one, pc="over") for one in life.workers), is_ambiguous=life.is_ambiguous or holds
    )
    db.restore(life.rows)
    for delivery in life.delivered:
        if delivery.mid not in life.echoed:
            life = steps.echo(db, life, delivery)
    for _ in range(ROUNDS):
        life = steps.jump(db, replace(life, rows=db.read()))
        life = _attempt(db, life, rule_id)
    return life, _wrong_at_the_end(db, life)


def _attempt(db: Database, life: Life, rule_id: int) -> Life:
    """One attempt at which nothing goes wrong."""
    life = steps.record(db, life, rule_id)
    worker = life.workers[-1]
    if worker.pc == "look":
        life = steps.look(db, life, worker)
        worker = life.workers[-1]
    if worker.pc == "begin":
        life = steps.begin(db, life, worker)
        worker = life.workers[-1]
    if worker.pc == "send":
        worker = replace(worker, end=End("sent", steps.next_mid(life)))
        life = replace(life, delivered=steps.delivered_again(life))
        steps.finish(db, life, worker)
    if worker.pc != "over":
        steps.close(db, life, worker)
    return _over(life, worker)


def _over(life: Life, worker: Worker) -> Life:
    workers = tuple(replace(one, pc="over") if one.number == worker.number else one for one in life.workers)
    return replace(life, workers=workers)


def _wrong_at_the_end(db: Database, life: Life) -> str | None:
    if wrong := complaint(life):
        return wrong
    rows = db.run("select state, error_code, mid from outbox")
    if not rows:
        return None  # the brake came before the event
    [row] = rows
    state, mid = row["state"], row["mid"]
    if state in ("planned", "claimed", "sending"):
        return f"the reply waits for ever: {state} ({row['error_code']})"
    if db.run("select from events where processed_at is null"):
        return "the event is never finished"
    if life.delivered and not (state == "sent" and mid in [one.mid for one in life.delivered]):
        return f"Meta delivered the reply, its echo came, and the reply is {state} ({row['error_code']})"
    if not life.delivered and state == "sent":
        return "the reply is called sent, and Meta never had it"
    if not life.delivered and not life.is_ambiguous and not life.is_braked:
        return f"nothing ever left, and everybody knew; yet the reply is {state} ({row['error_code']})"
    return None
