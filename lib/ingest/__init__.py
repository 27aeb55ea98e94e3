"""Events made durable: through QStash, or by processing them directly.

- `forwarder.py`: webhook → internal endpoint, or around it. `http_client.py`: the request between the two.
- `ingestor.py`: publish, or process. `request.py`: what the endpoint takes. `response.py`: what it answers.
- `webhook_response.py`: what Meta is answered.
"""
