"""Our own closed set of events, and their ids.

- `model.py`: the event types and their JSON, as QStash carries them.
- `ids.py`: the idempotency key of each kind of event.
"""
