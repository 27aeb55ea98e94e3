"""The raw items as Meta sent them.

- `store.py`: reads the archive, reprocesses one event, empties raw items. `retention.py`: how long an item is kept.
"""
