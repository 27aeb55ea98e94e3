"""One connection: it writes one request at a time, and reads the answer.

The bytes of an answer are read by httptools, which is the parser of Node.js.
"""

import asyncio
from dataclasses import dataclass
from select import POLLIN, poll
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from lib.http.errors import AnswerTimedOut, BadAnswer, MetClosed, NoAnswer, NotConnected

MAX_HEAD_BYTES = 65_536
_LAST_INFORMATIONAL = 199


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request. The names of the `headers` are as the server wrote them."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Connection(asyncio.Protocol):
    """A connection that the event loop has opened. The loop reads while it is idle, too, and so knows of its end.

    The public methods without a docstring are called by asyncio and by httptools.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self.idle_since_s = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None
        self._answers = 0
        self._max_bytes = 0
        # Of the answer that is being read:
        self._received = 0
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    async def ask(self, request: bytes, *, timeout_s: float | None, max_bytes: int) -> Answer:
        """Returns the answer to `request`, which holds head and body.

        `timeout_s` bounds the time until the last byte of the answer, and `max_bytes` its body. Raises `NoAnswer`.
        The connection is closed after an error, and if the caller is cancelled.
        """
        if self.is_closed or self._transport is None:
            raise NotConnected("closed at once")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Answer] = loop.create_future()
        self._waiter, self._max_bytes, self._received = waiter, max_bytes, 0
        self._expect_head()
        timer = None if timeout_s is None else loop.call_later(timeout_s, self._fail, AnswerTimedOut())
        try:
            self._transport.write(request)
            return await waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def is_usable(self) -> bool:
        """Returns whether the connection can take another request.

        The platform freezes an instance between requests. What came meanwhile waits in the socket, and the event loop
        has not seen it. An idle connection with something to read was closed, or cannot be trusted.
        """
        if self.is_closed or self._transport is None:
            return False
        look = poll()
        look.register(self._transport.get_extra_info("socket").fileno(), POLLIN)
        return not look.poll(0)

    def close(self) -> None:
        """Closes the connection, whatever is on its way."""
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no class of asyncio

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.close()  # nobody has asked
            return
        self._received += len(data)
        if self._received > self._max_bytes + MAX_HEAD_BYTES:
            self._fail(BadAnswer("the answer is too long"))
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._fail(BadAnswer("the server changed the protocol"))
        except HttpParserError:
            self._fail(BadAnswer("the answer is no HTTP/1.1"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if self._received == 0:
            self._fail(MetClosed() if self._answers else BadAnswer("closed without an answer"))
        elif exc is None and self._status and self._ends_with_connection():
            self._end()
        else:
            self._fail(BadAnswer("the answer was cut off"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status <= _LAST_INFORMATIONAL:
            self._expect_head()
            return
        if not self._parser.should_keep_alive() or self._is_still_writing():
            self.close()
        self._end()

    def _is_still_writing(self) -> bool:
        """Returns whether the server has answered before it had the whole request."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def _expect_head(self) -> None:
        self._status, self._headers, self._body = 0, [], []

    def _ends_with_connection(self) -> bool:
        return {name.lower() for name, _ in self._headers}.isdisjoint((b"content-length", b"transfer-encoding"))

    def _end(self) -> None:
        self._answers += 1
        if self._waiter is None or self._waiter.done():
            self.close()  # a second answer to one request
            return
        self._waiter.set_result(Answer(self._status, self._headers, b"".join(self._body)))
        self._expect_head()

    def _fail(self, error: NoAnswer) -> None:
        self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
