"""QStash's own dead letter queue, as its API shows it: what QStash gave up on, whether or not anybody heard of it."""

from typing import Any

import httpx

from dev.stack import Stack, keys
from lib.qstash.publisher import CONSUMER_PATH


def entries_to_consumer(stack: Stack) -> list[dict[str, Any]]:
    """Returns the entries of our events, newest first. A failure callback that QStash gave up on is none of them."""
    found: list[dict[str, Any]] = []
    cursor = ""
    headers = {"Authorization": f"Bearer {keys.QSTASH_TOKEN}"}
    with httpx.Client(base_url=stack.qstash_url, headers=headers, timeout=30, trust_env=False) as http:
        while True:
            page = http.get("/v2/dlq", params={"cursor": cursor} if cursor else {}).raise_for_status().json()
            found += [entry for entry in page["messages"] if entry["url"] == stack.functions_url + CONSUMER_PATH]
            cursor = page.get("cursor") or ""
            if not cursor:
                return found
