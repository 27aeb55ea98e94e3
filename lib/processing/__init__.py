"""One event takes effect, once: record → profile → effects.

- `processor.py`: the order of the steps. `attempt.py`: one attempt: event, lease, deadline.
- `planner.py`: what an event may owe. `outbox.py`: planned and claimed effects.
- `store.py`: `record_event`, `begin_send`, `finish_effect`, `finish_event`.
- `profile.py`: fetches the person's profile. `sender.py`: sends a reply, once. `rate_limit.py`: how fast.
- `completion.py`: does what is due and closes the event.
"""
