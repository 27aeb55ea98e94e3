"""Meta's bytes → events. No function here does I/O.

- `signature.py`: `X-Hub-Signature-256` and the handshake. `request.py`: bytes → JSON with a usable envelope.
- `payload.py`: Meta's wire format and its tolerant readers. `walk.py`: a body → its items. `parser.py`: items → events.
- `messaging.py`, `changes.py`: one item → one event. `participants.py`: who is who in an item.
- `reparse.py`: an archived item → the event that today's parser makes of it.
"""
