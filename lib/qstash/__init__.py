"""QStash, the queue.

- `publisher.py`: events out. `deduplication.py`: what QStash takes for the same message.
- `delivery.py`: a delivery in, and the status that stops or repeats it (489, 500, 503).
- `signature.py`: the JWT on a delivery. `dlq.py`: QStash's own dead letter queue.
"""
