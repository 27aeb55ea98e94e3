"""What the functions call, in a process of its own: it answers at once, and costs little: `python -m bench.upstream`.

It answers as the internal endpoint, as QStash's batch and as `record_event` would, for whatever is in the request. It
looks at nothing else: both sides of a comparison get the same answers from it.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import cast

import uvloop

from dev.stack.ports import HOST

RECORDED = {
    "outcome": "new",
    "account_id": "17841400000000000",
    "contact_id": "6000000000000000",
    "account_state": "active",
    "knows_both_ids": True,
    "profile_due": False,
    "effects": [],
}


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no class of asyncio

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end].lower()
            size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if len(self._unread) < end + 4 + size:
                return
            body, self._unread = self._unread[end + 4 : end + 4 + size], self._unread[end + 4 + size :]
            answer = json.dumps(_answer(head.split(b" ", 2)[1], body)).encode()
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s"
                % (len(answer), answer)
            )


def _answer(target: bytes, body: bytes) -> object:
    if target.endswith(b"/record_event"):
        return RECORDED
    if target.endswith(b"/batch"):
        return [{"messageId": f"msg_{number}"} for number in range(len(json.loads(body)))]
    results = [
        {"event_id": event["event_id"], "status": "queued", "via": "queue", "message_id": "msg_1"}
        for event in json.loads(body)["events"]
    ]
    return {"results": results}


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Yields the URL of such a process."""
    command = [sys.executable, "-m", "bench.upstream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://{HOST}:{process.stdout.readline().strip()}"
        finally:
            process.kill()


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
