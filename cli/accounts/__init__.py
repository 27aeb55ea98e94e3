"""`python -m cli accounts`: adds, lists, checks and refreshes the Instagram accounts and their tokens.

- `command.py`: the command line. `check.py`: asks Meta about each account.
"""
