"""`python -m cli accounts`: adds, lists, checks, refreshes and subscribes the Instagram accounts.

- `command.py`: the command line. `new_token.py`: stores a token, with its life as far as Meta names it.
- `check.py`: asks Meta about each account. `subscription.py`: subscribes each account to webhooks.
"""
