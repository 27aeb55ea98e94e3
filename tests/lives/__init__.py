"""The life of one reply, through every interleaving up to a depth, on the real SQL functions.

- `database.py`: the few rows of one life: read, put back, moved in time.
- `life.py`: the state, and every step it can take. `checks.py`: what must hold at the end of every life.
- `explore.py`: breadth first, so the first failing story is short. `command.py`: `python -m dev lives`.

Two workers, the sweeper, QStash's failure callback, an echo, a replay and a person's brake take steps. A worker may be
killed, an answer or a call of its may be lost, a call may arrive late, the clock may jump past the lease, and Meta may
accept, refuse, refuse and deliver all the same, or close the connection. Left out: two steps at the same moment (each
SQL function is one transaction, and other tests run them side by side), limits, and attachments.
"""
