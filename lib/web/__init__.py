"""The HTTP rim that all routes share.

- `app.py`: handlers → the ASGI app of one function, and the one answer to an exception.
- `responses.py`: JSON answers, error bodies, reading a body. `auth.py`: bearer secrets.
"""
