"""Instagram's Graph API.

- `client.py`: profile, send, conversation, token, subscription: one method a call.
- `webhook_fields.py`: the webhook fields that we ask for, and those that an account has.
- `conversation.py`: the messages that a conversation shows.
- `transport.py`: one HTTP call. `usage.py`: `X-App-Usage`, how much of Meta's limits is used.
"""
