"""Every interleaving up to a depth, breadth first. Lives that go on in the same way are followed once."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.lives.checks import complaint, end_of
from tests.lives.database import TABLES, Database
from tests.lives.life import HOLDING, Life, start_at, steps

Tick = Callable[[int, int, int], None]
"""Called now and then with the depth, and how many lives and ends were looked at."""


@dataclass(frozen=True)
class Found:
    """What an exploration found. `story` is the shortest failing life, a sentence a step, with `wrong` at its end."""

    lives: int
    ends: int
    wrong: str | None = None
    story: tuple[str, ...] = ()


def explore(db: Database, *, depth: int, tick: Tick = lambda _depth, _lives, _ends: None) -> Found:
    """Follows every life for up to `depth` steps, and each of them to its end. Stops at the first that is wrong."""
    db.run(f"truncate {', '.join(TABLES.values())}, public.reply_rules, public.accounts cascade")
    [rule] = db.run(
        "insert into reply_rules (trigger, pattern, reply_text, cooldown_s) values ('keyword', 'price', '20.', 0)"
        " returning rule_id"
    )
    rule_id = int(rule["rule_id"])
    start_at(time.time_ns() // 1_000_000)
    front = [Life(db.read())]
    seen = {front[0].key()}
    ended: set[tuple[object, ...]] = set()
    for level in range(1, depth + 1):
        following: list[Life] = []
        for life in front:
            for sentence, act in steps(life, rule_id):
                db.restore(life.rows)
                after = act(db)
                after = replace(after, rows=db.read(), story=(*life.story, sentence))
                if after.key() in seen:
                    continue
                seen.add(after.key())
                if wrong := complaint(after) or _wrong_end(db, after, rule_id, ended):
                    return Found(len(seen), len(ended), wrong, after.story)
                following.append(after)
                if len(seen) % 200 == 0:
                    tick(level, len(seen), len(ended))
        front = following
    return Found(len(seen), len(ended))


def _wrong_end(db: Database, life: Life, rule_id: int, ended: set[tuple[object, ...]]) -> str | None:
    """Returns what is wrong if everybody is killed here: the end depends on the rows and on Meta alone."""
    holds = life.is_ambiguous or any(worker.pc in HOLDING for worker in life.workers)
    key = (life.rows.canonical, life.delivered, life.echoed, life.is_braked, holds)
    if key in ended:
        return None
    ended.add(key)
    return end_of(db, life, rule_id)[1]
