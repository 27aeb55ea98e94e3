"""What is deployed beside `api/`: the whole pipeline, one package a question.

Read first: the payload models (`webhooks/payload.py`, `events/model.py`), the retryable-or-permanent classifier
(`errors/classify.py`), the Supabase persistence (`database.py` and each package's `store.py`).
"""
