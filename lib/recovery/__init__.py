"""What nobody finished.

- `sweeper.py`, `sweep_store.py`: events that were recorded and not finished get another attempt.
- `reconciler.py`, `reconcile_store.py`: sends with an unknown outcome are looked up in their conversation.
- `redrive.py`: dead letters are sent again, or discarded; letters that only QStash has are found.
"""
