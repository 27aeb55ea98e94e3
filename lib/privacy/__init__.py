"""Erasure, and Meta's two privacy callbacks.

- `callback.py`: authenticates a callback. `signed_request.py`: the format of Meta's `signed_request`.
- `erasure.py`: requests, the steps of an erasure, confirmation codes. `store.py`: erasures in the database.
- `deletion_status_page.py`: the page on which a person sees the state of a request.
"""
