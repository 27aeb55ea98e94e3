"""Log lines: one JSON object each, whatever is logged, and nothing secret by accident."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from lib.core import log

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """The lines written so far."""
    root, stdout = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stdout", stdout)
    log.configure("INFO")
    yield lambda: [json.loads(line) for line in stdout.getvalue().split("\n") if line]
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object_with_its_fields(lines: Lines) -> None:
    log.get("lib.x").info("Event processed", event_id="ig_msg_1", ms=1.5, account_id=None)
    (line,) = lines()
    assert line.pop("time")
    assert line == {
        "level": "info", "message": "Event processed", "logger": "lib.x", "event_id": "ig_msg_1", "ms": 1.5,
    }  # fmt: skip


def test_a_value_cannot_break_out_of_its_line(lines: Lines) -> None:
    log.get("lib.x").warning("Request refused", path='/a\n{"level": "error"}\r\u2028')
    (line,) = lines()
    assert line["path"] == '/a\n{"level": "error"}\r\u2028'


@pytest.mark.parametrize("name", ["access_token", "INTERNAL_API_SECRET", "text", "raw", "body", "payload", "signature"])
def test_a_field_that_should_never_be_logged_is_redacted(lines: Lines, name: str) -> None:
    log.get("lib.x").info("Slip", **{name: "s3cr3t"})
    (line,) = lines()
    assert line[name] == "[redacted]"


def test_an_exception_shows_where_and_what_but_not_its_words(lines: Lines) -> None:
    try:
        raise ValueError("the person's own words")
    except ValueError:
        log.get("lib.x").exception("Request failed")
    (line,) = lines()
    assert line["exception"] == "ValueError"
    assert "test_an_exception_shows_where" in str(line["frames"])
    assert "own words" not in json.dumps(line)


def test_a_library_says_its_first_line_without_the_values(lines: Lines) -> None:
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <exception=E('own words')>")
    logging.getLogger("some.client").warning("Retrying %s\n", "https://x.example/?access_token=s3cr3t")
    assert [line["message"] for line in lines()] == ["Task exception was never retrieved", "Retrying %s"]


def test_what_is_below_the_level_is_not_written(lines: Lines) -> None:
    logging.getLogger("lib.x").debug("detail")
    logging.getLogger("httpx").info("HTTP Request: GET https://graph.instagram.com/?access_token=s3cr3t")
    assert lines() == []
