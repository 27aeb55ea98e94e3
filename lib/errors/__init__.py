"""What went wrong, and what to do about it.

- `exceptions.py`: the errors our own code raises.
- `classify.py`: any exception or error body → verdict. Only this package decides what an error means.
- `verdict.py`: the verdict: retryable or permanent, for how long, and what it means for an account or a send.
- `tables.py`: the errors of libraries, HTTP statuses, SQLSTATEs. `graph_codes.py`: Meta's codes.
- `retry_after.py`: delays and numbers in foreign headers.
"""
