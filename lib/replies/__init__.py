"""Which rule answers an event, and with what. No function here does I/O.

- `rules.py`: which rules an event sets off. `patterns.py`: which of many patterns a text meets.
- `message.py`: the message of a rule. `text_limit.py`: cuts a text to Instagram's limit.
"""
