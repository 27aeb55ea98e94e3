"""Erasure, and Meta's two privacy callbacks.

- `callback.py`: a signed form in. `signed_request.py`: Meta's `signed_request`.
- `erasure.py`: what a request comes to. `store.py`: erasures in the database.
- `deletion_status_page.py`: the page on which a person sees how far a request is.
"""
