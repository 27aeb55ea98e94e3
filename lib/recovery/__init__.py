"""What nobody finished gets another attempt.

- `sweeper.py`, `sweep_store.py`: events that were recorded and not finished.
- `reconciler.py`, `reconcile_store.py`: sends with an unknown outcome are looked up in their conversation.
- `redrive.py`: dead letters are retried or discarded; entries that only QStash has are found.
"""
