"""Events that were given up on.

- `letter.py`: QStash's failure callback, or a rejected event → a letter.
- `store.py`: letters in the database.
"""
