"""Odd HTTP: methods, content types, lengths, headers of any bytes. The route answers, or the server, and goes on."""

import contextlib
import json
import socket
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev import openapi
from dev.stack import keys
from tests.fuzz.callers import BODIES, DELIVERIES, LOCKED, OTHERS, Who, shown
from tests.fuzz.effort import thorough
from tests.fuzz.inside import Inside
from tests.fuzz.mutations import EVENTS, OF
from tests.fuzz.rig import MAX_DURATION_S, Rig
from tests.support.builders import message, webhook
from tests.support.world import CONSUMER, HEALTH, INGEST, WEBHOOK

PATHS = openapi.description()["paths"]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
LIMIT_BYTES = 4_500_000

READ_HEADERS = (
    *("authorization", "x-hub-signature-256", "upstash-signature", "upstash-message-id", "upstash-retried"),
    *("x-ingest-budget-ms", "accept", "content-type", "content-length", "cookie", "x-forwarded-for"),
)
"""What some route reads, or a framework might."""

ANY_BYTES = st.binary(max_size=40) | st.sampled_from(
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer \xff",
        b"sha256=",
        b"sha256=" + b"\xc3" * 64,
        b"a.b.c",
        b"\x00",
        b"-1",
        b"9" * 400,
    ]
)


def raw(rig: Rig, sent: bytes) -> bytes:
    """What the server answers to these bytes, until it hangs up. Raises `TimeoutError` where it keeps silent."""
    at = urlsplit(rig.url)
    with socket.create_connection((at.hostname, at.port), timeout=max(MAX_DURATION_S.values())) as connection:
        received = b""
        try:
            connection.sendall(sent)
            with contextlib.suppress(OSError):  # ENOTCONN: it hung up already; its answer can still be read
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65_536):
                received += piece
        except ConnectionError:
            pass  # it hung up on what it does not want to read
        return received


def status_in(received: bytes) -> int | None:
    """The status; None where the server hung up without a word."""
    return int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/1.1 ") else None


def request(path: str, body: bytes, headers: list[tuple[bytes, bytes]], method: bytes = b"POST") -> bytes:
    """A request, written by hand."""
    lines = [method + b" " + path.encode() + b" HTTP/1.1", b"Host: functions", b"Connection: close"]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def right(rig: Rig, path: str, body: bytes, who: Who = "right") -> list[tuple[bytes, bytes]]:
    """The header that lets in, as bytes."""
    given = shown(who, url=rig.url, path=path, body=body)
    return [(name.lower().encode(), value.encode()) for name, value in given.items()]


@pytest.mark.parametrize("path", PATHS)
def test_another_method_is_405_and_says_which_ones_there_are(rig: Rig, path: str) -> None:
    served = {method.upper() for method in PATHS[path]}
    for method in METHODS:
        if method not in served:
            answer = rig.send(method, path, content=b"{}" if method != "TRACE" else b"")
            assert answer.status_code == 405, method
            assert set(answer.headers["allow"].split(", ")) == served


@pytest.mark.parametrize("path", [WEBHOOK, INGEST, CONSUMER])
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "", ";;=", "a" * 4000],
    ids=range(6),
)
def test_the_content_type_does_not_matter(rig: Rig, path: str, content_type: str) -> None:
    assert rig.post(path, OF[path][0], "right", {"Content-Type": content_type}).status_code == 200


@pytest.mark.parametrize("path", [WEBHOOK, INGEST, CONSUMER])
def test_a_body_in_chunks_is_a_body(rig: Rig, path: str) -> None:
    def pieces() -> Iterator[bytes]:
        for at in range(0, len(body), 7):
            yield body[at : at + 7]

    body = OF[path][0]
    answer = rig.send("POST", path, content=pieces(), headers=shown("right", url=rig.url, path=path, body=body))
    assert answer.status_code == 200


@pytest.mark.parametrize("path", BODIES)
def test_a_body_over_the_limit_is_413_and_leaves_nothing(rig: Rig, path: str) -> None:
    before = rig.footprint()
    assert rig.post(path, b" " * (LIMIT_BYTES + 1), "right").status_code == 413
    assert rig.footprint() == before


def test_the_largest_body_is_taken(rig: Rig) -> None:
    body = json.dumps(webhook(message("x"))).encode()
    answer = rig.post(WEBHOOK, body + b" " * (LIMIT_BYTES - len(body)), "right")
    assert (answer.status_code, answer.json()["queued"]) == (200, 1)


@pytest.mark.parametrize("path", [path for path in LOCKED if path in BODIES])
@pytest.mark.parametrize("who", [who for who in OTHERS if who != "nobody"])
def test_a_right_credential_after_a_wrong_one_lets_nobody_in(rig: Rig, path: str, who: Who) -> None:
    body, before = OF[path][0], rig.footprint()
    wrong, good = right(rig, path, body, who), right(rig, path, body)
    answer = raw(rig, request(path, body, [*wrong, *good, (b"Content-Length", b"%d" % len(body))]))
    assert status_in(answer) == 401
    assert rig.footprint() == before


@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_breaks_off_is_never_taken_for_whole(rig: Rig, path: str) -> None:
    body, before = OF[path][0], rig.footprint()
    headers = right(rig, path, body)
    for length in (len(body) + 1, LIMIT_BYTES, 10**30, -1):
        answer = raw(rig, request(path, body, [*headers, (b"Content-Length", b"%d" % length)]))
        assert (status_in(answer) or 400) in (400, 401, 413), length
    answer = raw(rig, request(path, b"ffffffff\r\n" + body, [*headers, (b"Transfer-Encoding", b"chunked")]))
    assert (status_in(answer) or 400) in (400, 401)
    assert rig.footprint() == before


@pytest.mark.parametrize("path", PATHS)
def test_a_server_that_is_sent_any_bytes_as_headers_goes_on(rig: Rig, path: str) -> None:
    method = b"POST" if "post" in PATHS[path] else b"GET"

    @thorough
    @given(
        st.lists(
            st.tuples(st.sampled_from(READ_HEADERS).map(str.encode) | st.binary(max_size=10), ANY_BYTES), max_size=4
        )
    )
    def check(headers: list[tuple[bytes, bytes]]) -> None:
        status = status_in(raw(rig, request(path, b"", headers, method)))
        rig.note(path, status or 400)
        assert (status or 400) < 500

    check()
    assert rig.send("GET", HEALTH).status_code == 200


def test_a_header_as_long_as_can_be_is_refused_or_ignored(rig: Rig) -> None:
    body = EVENTS[0]
    for name in READ_HEADERS:
        headers = [*right(rig, INGEST, body), (name.encode(), b"9" * 200_000)]
        assert (status_in(raw(rig, request(INGEST, body, headers))) or 400) < 500
    assert rig.send("GET", HEALTH).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_function_bears_any_bytes_as_headers_and_query(inside: Inside, path: str) -> None:
    """What a server would refuse to hand on, a platform's may hand on."""
    keyless = [name for name in READ_HEADERS if name not in ("content-length",)]

    @thorough
    @given(
        st.lists(st.tuples(st.sampled_from(keyless).map(str.encode), ANY_BYTES), max_size=4),
        st.sampled_from(["hub.mode=subscribe&hub.verify_token=", "code=", "code=%00&code=", "&&=&"]),
        st.text(max_size=20).map(quote) | st.sampled_from(["%ff", "%", "%ud800", keys.VERIFY_TOKEN]),
        st.sampled_from([method.upper() for method in PATHS[path] if method in ("get", "post")]),
    )
    def check(headers: list[tuple[bytes, bytes]], query: str, value: str, method: str) -> None:
        answer = inside.send(method, path, headers, b"{}" if method == "POST" else b"", query + value)
        assert answer.status_code < 500
        assert answer.status_code != 200 or path == HEALTH

    check()


@pytest.mark.parametrize("path", [INGEST, *DELIVERIES])
def test_any_bytes_in_a_header_that_lets_nobody_in_change_nothing(rig: Rig, inside: Inside, path: str) -> None:
    names = st.sampled_from([b"x-ingest-budget-ms", b"upstash-message-id", b"upstash-retried", b"accept", b"cookie"])
    body = EVENTS[0] if path != DELIVERIES[1] else OF[path][0]

    @thorough
    @given(st.lists(st.tuples(names, ANY_BYTES.filter(lambda value: not value.isdigit())), max_size=4))
    def check(headers: list[tuple[bytes, bytes]]) -> None:
        assert inside.send("POST", path, [*right(rig, path, body), *headers], body).status_code == 200

    check()
