"""Where we call is what we are set up with: no URL and no id that comes in leads anywhere else."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from hypothesis import given
from hypothesis import strategies as st

from lib.container import Container
from lib.core.deadline import Deadline
from lib.core.settings import Settings, load
from lib.database import Database
from lib.dead_letters.store import DeadLetterStore, LetterFilter
from lib.errors.exceptions import InvalidPayload
from lib.events.model import Message, as_json
from lib.graph.client import GraphClient
from lib.graph.transport import Credentials
from lib.ingest.request import read_event
from lib.ingest.response import IngestResult
from lib.qstash.publisher import conversation_key
from tests.security.functions import SETTINGS
from tests.support.builders import ACCOUNT, CONTACT, comment, item, message, new_mid, postback, webhook
from tests.support.world import World

STEERING = (
    "../me",
    "..",
    ".",
    "me",
    "1/messages?x=",
    "1?fields=email",
    "1#",
    "1%2f..",
    "1\n",
    "//evil.example",
    "@evil.example",
    "",
)


def settings(**changes: str) -> Settings:
    return load({**SETTINGS, **changes})


# URLs in payloads.


@contextmanager
def trap() -> Iterator[tuple[str, list[str]]]:
    """A place that nobody should come to: its URL, and who came."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        open_for_business = True

        def listen() -> None:
            while open_for_business:
                try:
                    connection, (host, _port) = listener.accept()
                except TimeoutError:
                    continue
                came.append(host)
                connection.close()

        thread = Thread(target=listen)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", came
        finally:
            open_for_business = False
            thread.join()


def visit(url: str, came: list[str]) -> None:
    """Shows that the trap is one."""
    port = urlsplit(url).port
    with socket.create_connection(("127.0.0.1", port or 0)):
        deadline = time.monotonic() + 5
        while not came:
            assert time.monotonic() < deadline, "a visitor was not seen"
            time.sleep(0.01)


def everything_with_a_link(url: str) -> list[dict[str, Any]]:
    """Items with `url` in each place that Meta, or somebody who plays Meta, could put one."""
    links = {"url": url, "story_media_url": url, "attachment_url": url, "preview_url": url, "href": url}
    kinds = (
        "image",
        "video",
        "audio",
        "file",
        "share",
        "story_mention",
        "ig_reel",
        "ig_story",
        "fallback",
        "template",
        "new",
    )
    attached = [{"type": kind, "payload": {**links, "title": url}, **links} for kind in kinds]
    return [
        message(url, attachments=attached, reply_to={"mid": new_mid(), "story": {"id": "1", "url": url}}),
        message(
            "price", referral={"ref": url, "source": url, "ads_context_data": {"photo_url": url, "video_url": url}}
        ),
        postback(url),
        item(optin={"type": "notification_messages", "ref": url, "notification_messages_token": url}),
        item(referral={"ref": url, "referer_uri": url, "source": "ADS", "type": "OPEN_THREAD"}),
        item(message_edit={"mid": new_mid(), "text": url, "num_edit": 1}),
        item(reaction={"mid": new_mid(), "action": "react", "emoji": url}),
        item(something_new={**links, "callback": url, "paging": {"next": url}}),
    ]


def test_no_link_in_a_webhook_is_followed(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="Hello {username}, see https://example.com")
    with trap() as (url, came):
        body = webhook(*everything_with_a_link(url))
        change = comment(url)
        change["value"] |= {"media": {"id": "1", "media_url": url, "permalink": url}, "url": url}
        body["entry"] += webhook(change, under="changes")["entry"]
        body |= {"callback_url": url, "paging": {"next": url}}
        body["entry"][0] |= {"url": url, "paging": {"next": url}}
        world.deliver(body)
        # Nine items, and what the entry has beside them.
        assert world.count("events") == 10
        assert len(world.sent()) == 1
        stored = world.rows("select attachments::text as links from messages where attachments <> '[]'")
        assert url in stored[0]["links"]
        assert came == []
        visit(url, came)


# Answers that lead elsewhere.


@contextmanager
def redirecting(to: str) -> Iterator[str]:
    """A server that answers everything with "over there, with all you have"; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(307)
            self.send_header("Location", to + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815  http.server's names

        def log_message(self, *_args: object) -> None:
            """Nothing to say."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def an_event(**changes: Any) -> Message:
    values = {"event_id": "ig_msg_1", "mid": "1", "account_id": ACCOUNT, "contact_id": CONTACT, "text": "hello"}
    return Message(**{"kind": "message", **values, "occurred_at": 1, "received_at": 1, "raw": {}, **changes})


async def call_everybody(here: Container) -> list[BaseException | object]:
    """A call to each of those who hold something of ours to be called with: what came of each."""
    deadline = Deadline.after(5)
    creds = Credentials(ACCOUNT, here.settings.instagram_access_token, "instagram", "an-app-secret")
    calls = (
        here.forwarder.forward([an_event()], deadline=deadline),
        here.publisher.publish_events([an_event()]),
        here.publisher.publish_next_phase({"event_id": "ig_msg_1"}),
        here.publisher.ping(),
        here.database.rpc("ingestion_status", {}),
        here.graph.me(creds, 5),
        here.graph.refresh_token(creds, 5),
        here.graph.send(creds, recipient={"id": CONTACT}, message={"text": "hi"}, timeout_s=5),
    )
    try:
        return list(await asyncio.gather(*calls, return_exceptions=True))
    finally:
        await here.close()


def test_no_redirect_takes_a_secret_or_a_message_elsewhere() -> None:
    with trap() as (url, came), redirecting(url) as base_url:
        names = ("PUBLIC_URL", "QSTASH_URL", "SUPABASE_URL", "GRAPH_INSTAGRAM_URL", "PHASE3_URL")
        outcomes = asyncio.run(call_everybody(Container(settings(**dict.fromkeys(names, base_url)))))
        assert came == []
        visit(url, came)
    [result] = cast("list[IngestResult]", outcomes[0])
    assert (result.event_id, result.status, result.via) == ("ig_msg_1", "failed", "direct")
    assert all(isinstance(outcome, Exception) for outcome in outcomes[1:]), outcomes


# Ids in URLs.


def requests_of(account_id: str, igsid: str) -> list[httpx.URL]:
    """The URLs that the calls about a person lead to."""
    seen: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url)
        return httpx.Response(200, json={"message_id": "m", "data": []})

    async def call() -> None:
        creds = Credentials(account_id, "token", "instagram")
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            graph = GraphClient(
                http, version="v26.0", instagram_url="https://g.example", facebook_url="https://f.example"
            )
            for about in (
                graph.profile(creds, igsid, timeout_s=5),
                graph.send(creds, recipient={"id": igsid}, message={"text": "hi"}, timeout_s=5),
                graph.conversation_messages(creds, igsid, timeout_s=5),
            ):
                try:
                    await about
                except InvalidPayload:
                    continue

    asyncio.run(call())
    return seen


@given(st.sampled_from(STEERING) | st.text(), st.sampled_from(STEERING) | st.text())
def test_an_id_is_one_segment_of_a_path_or_no_call_is_made(account_id: str, igsid: str) -> None:
    for url in requests_of(account_id, igsid):
        assert (url.scheme, url.host, url.fragment) == ("https", "g.example", "")
        path = url.raw_path.partition(b"?")[0].decode()
        assert path in (f"/v26.0/{igsid}", f"/v26.0/{account_id}/messages", f"/v26.0/{account_id}/conversations")
        assert path != "/v26.0/me"
        assert ".." not in path
        assert set(url.params) <= {"fields", "platform", "user_id"}
        assert url.params.get("user_id", igsid) == igsid


def test_a_person_and_an_account_of_ours_are_called_by_their_ids() -> None:
    assert [url.path for url in requests_of(ACCOUNT, CONTACT)] == [
        f"/v26.0/{CONTACT}",
        f"/v26.0/{ACCOUNT}/messages",
        f"/v26.0/{ACCOUNT}/conversations",
    ]


@given(st.text(min_size=1, max_size=512), st.text(min_size=1, max_size=512) | st.none())
def test_a_conversation_is_a_flow_control_key_whatever_its_ids(account_id: str, contact_id: str | None) -> None:
    key = conversation_key(an_event(account_id=account_id, contact_id=contact_id))
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,255}", key)


@given(st.text(max_size=600))
def test_an_event_id_is_a_header_value_or_refused(event_id: str) -> None:
    event = {**as_json(an_event()), "event_id": event_id}
    try:
        taken = read_event(json.dumps(event).encode()).event_id
    except InvalidPayload:
        return
    assert taken == event_id
    assert re.fullmatch(r"[!-~]{1,512}", taken)


INJECTIONS = (
    "*",
    "%",
    "eq.1",
    "x),or(1.eq.1",
    "' or ''='",
    "1; drop table messages; --",
    "a,b",
    "{a,b}",
    "null",
    "\u202e",
)


def test_what_is_asked_of_the_database_is_a_value_and_never_a_filter(world: World) -> None:
    async def found() -> list[int]:
        database = Database(load(world.stack.env))
        letters = DeadLetterStore(database)
        await letters.store({"source_message_id": "msg_1", "error_code": "code", "event_id": "ig_msg_1"})
        wanted = [LetterFilter(), LetterFilter(code="code"), LetterFilter(ids=("ig_msg_1",))]
        for value in INJECTIONS:
            wanted += [LetterFilter(code=value), LetterFilter(ids=(value,)), LetterFilter(account=value)]
        counts = [await letters.count(one) for one in wanted]
        await database.close()
        return counts

    assert asyncio.run(found()) == [1, 1, 1] + [0] * 3 * len(INJECTIONS)
    assert world.count("dead_letters") == 1
