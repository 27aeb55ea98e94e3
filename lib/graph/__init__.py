"""Instagram's Graph API.

- `client.py`: profile, send, conversation, token: one method a call.
- `conversation.py`: the messages that a conversation shows.
- `transport.py`: one HTTP call. `usage.py`: `X-App-Usage`, how much of Meta's limits is used.
"""
