"""Events that were given up on.

- `letter.py`: QStash's failure callback, an entry of its queue, or a rejected event → a letter.
- `store.py`: letters in the database.
"""
