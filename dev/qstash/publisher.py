"""Accepts messages: checks them, finds duplicates, makes one message for each endpoint, hands them to the engine.

Schedules publish here as well.
"""

import time
from dataclasses import dataclass

from dev.qstash import ids
from dev.qstash.callbacks import callback_options
from dev.qstash.config import Config
from dev.qstash.deduplication import WINDOW_S, Deduplication, deduplication_key
from dev.qstash.destinations import check_url, looks_like_url
from dev.qstash.engine import Engine
from dev.qstash.errors import ApiError, bad_request
from dev.qstash.flow import FlowControl
from dev.qstash.message import Json, Message
from dev.qstash.options import HeaderPairs, Options, parse_options
from dev.qstash.queues import checked_queue_name
from dev.qstash.url_groups import Endpoint, UrlGroups


@dataclass(frozen=True)
class Receipt:
    """What the publisher gets for one message."""

    message_id: str
    url: str
    deduplicated: bool

    def show(self, *, with_url: bool) -> Json:
        """Returns the API's answer. The SDK reads a missing `deduplicated` as false."""
        shown: Json = {"messageId": self.message_id}
        if with_url:
            shown["url"] = self.url
        if self.deduplicated:
            shown["deduplicated"] = True
        return shown


@dataclass(frozen=True)
class Accepted:
    """The receipts: one for a URL, one for each endpoint of a group."""

    receipts: tuple[Receipt, ...]
    is_group: bool

    @property
    def status(self) -> int:
        """202 for a duplicate, 200 for a new message (Upstash, features/deduplication)."""
        return 202 if self.receipts and all(receipt.deduplicated for receipt in self.receipts) else 200

    def show(self) -> Json | list[Json]:
        """Returns an object for a URL, and an array for a group, as the SDK reads them."""
        shown = [receipt.show(with_url=self.is_group) for receipt in self.receipts]
        return shown if self.is_group else shown[0]


@dataclass(frozen=True)
class Submission:
    """One request to publish. `source` are canonical header pairs."""

    destination: str
    source: HeaderPairs
    body: bytes
    caller_ip: str
    queue_name: str | None = None
    schedule_id: str | None = None


class Publisher:
    """Takes messages in."""

    def __init__(self, config: Config, engine: Engine, flow: FlowControl, url_groups: UrlGroups) -> None:
        self._config = config
        self._engine = engine
        self._flow = flow
        self._url_groups = url_groups
        self.deduplication = Deduplication(config.scaled_s(WINDOW_S))

    def check(self, submission: Submission) -> tuple[Options, list[Endpoint], bool]:
        """Returns options, endpoints, and whether they are a group's. Raises `ApiError`. Changes nothing."""
        if len(submission.body) > self._config.max_body_bytes:
            raise ApiError(413, f"message body exceeds the limit of {self._config.max_body_bytes} bytes")
        endpoints, is_group = self._resolve(submission.destination)
        options = parse_options(submission.source)
        for source in (options.callback_source, options.failure_callback_source):
            callback_options(options, source)
        if submission.queue_name is not None:
            checked_queue_name(submission.queue_name)
        return options, endpoints, is_group

    def publish(self, submission: Submission) -> Accepted:
        """Accepts a submission or raises `ApiError`."""
        options, endpoints, is_group = self.check(submission)
        receipts = tuple(self._accept(submission, options, endpoint, is_group) for endpoint in endpoints)
        return Accepted(receipts, is_group)

    def _resolve(self, destination: str) -> tuple[list[Endpoint], bool]:
        endpoints = None if looks_like_url(destination) else self._url_groups.endpoints(destination)
        if endpoints is not None:
            return endpoints, True
        try:
            return [Endpoint(check_url(destination))], False
        except ValueError as error:
            raise bad_request(f"invalid destination url: {error}") from None

    def _accept(self, submission: Submission, options: Options, endpoint: Endpoint, is_group: bool) -> Receipt:
        key = deduplication_key(options, submission.destination, endpoint.url, submission.body)
        if key is not None:
            known = self.deduplication.existing(key, time.monotonic())
            if known is not None:
                return Receipt(known, endpoint.url, deduplicated=True)
        now_s = time.time()
        delay_s = options.delay_s
        if options.not_before_s is not None:  # takes precedence over the delay
            delay_s = max(0.0, options.not_before_s - now_s)
        message = Message(
            message_id=ids.message_id(),
            url=endpoint.url,
            body=submission.body,
            options=options,
            created_at_ms=int(now_s * 1000),
            not_before_ms=int((now_s + self._config.asked_delay_s(delay_s)) * 1000),
            caller_ip=submission.caller_ip,
            topic_name=submission.destination if is_group else None,
            endpoint_name=endpoint.name,
            queue_name=submission.queue_name,
            schedule_id=submission.schedule_id,
        )
        if key is not None:
            self.deduplication.remember(key, message.message_id, time.monotonic())
        self._hand_over(message, options, delay_s)
        return Receipt(message.message_id, message.url, deduplicated=False)

    def _hand_over(self, message: Message, options: Options, delay_s: float) -> None:
        if options.flow_key is not None and options.limits is not None:
            self._flow.gate(options.flow_key, options.limits)
        self._engine.accept(message, delay_s)
