"""`python -m cli accounts`: adds, lists, checks, refreshes and subscribes the Instagram accounts.

- `command.py`: the command line.
- `check.py`: asks Meta about each account. `subscription.py`: subscribes each account to webhooks.
"""
