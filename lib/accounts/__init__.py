"""Our Instagram accounts and their access tokens.

- `access.py`: which token is used for an account. `tokens.py`: encryption of stored tokens.
- `store.py`: accounts and tokens in the database. `refresh.py`: refreshes tokens before they expire.
- `ids.py`: learns both ids of an account that has no stored token.
"""
