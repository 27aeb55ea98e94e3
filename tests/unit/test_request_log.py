"""The lines of one request: bounded in number and in length, the summary first, and what is dropped is counted."""

import asyncio
import io
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.core import log, request_log
from lib.web.app import function
from lib.web.responses import json_response
from tests.security.functions import ask

CUT_AT = 256
"""Where Vercel cuts the log of a request."""

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """The lines written so far."""
    root, stdout = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stdout", stdout)
    log.configure("INFO")
    yield lambda: [json.loads(line) for line in stdout.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    monkeypatch.undo()
    log._stdout = sys.stdout


detail, summary = log.get("lib.x"), log.summary("lib.x")


def messages(lines: list[dict[str, Any]]) -> list[str]:
    return [str(line["message"]) for line in lines]


def test_the_summary_comes_before_what_it_sums_up(lines: Lines) -> None:
    with log.of_request():
        detail.info("One")
        detail.error("Two")
        logging.getLogger("a.library").warning("Three")
        assert lines() == []
        summary.info("All")
        assert messages(lines()) == ["All"]
    assert messages(lines()) == ["All", "One", "Two", "Three"]


def test_outside_of_a_request_nothing_is_held_or_dropped(lines: Lines) -> None:
    for _ in range(1000):
        detail.info("One")
    summary.info("All")
    assert messages(lines()) == ["One"] * 1000 + ["All"]


def test_a_thousand_lines_are_few_and_the_rest_is_counted_in_the_last(lines: Lines) -> None:
    with log.of_request():
        for number in range(1000):
            detail.info("One", number=number)
        summary.info("All")
    first, *some, last = lines()
    assert first["message"] == "All"
    assert [line["number"] for line in some] == list(range(request_log.MAX_LINES))
    assert (last["message"], last["log_lines_dropped"]) == ("Log lines dropped", 1000 - request_log.MAX_LINES)
    assert last["dropped"] == {"One": last["log_lines_dropped"]}


def test_what_went_wrong_is_kept_rather_than_what_went_well(lines: Lines) -> None:
    with log.of_request():
        for number in range(1000):
            detail.info("Well", number=number)
        for number in range(5):
            detail.error("Wrong", number=number)
            detail.warning("Not well", number=number)
        summary.info("All")
    found = Counter(messages(lines()))
    assert (found["Wrong"], found["Not well"]) == (5, 5)
    assert found["Well"] == request_log.MAX_LINES - 10


def test_a_long_job_holds_nothing_back_and_its_summary_is_written_all_the_same(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "HOLD_FOR_S", -1)
    with log.of_request():
        detail.info("One")
        assert messages(lines()) == ["One"]
        for _ in range(1000):
            detail.info("One")
        for _ in range(1000):
            detail.error("Wrong")
        summary.info("All")
    found = Counter(messages(lines()))
    assert found["Wrong"] == request_log.MORE_FOR_WARNINGS
    assert messages(lines())[-2:] == ["All", "Log lines dropped"]
    assert len(lines()) < CUT_AT


def test_what_comes_after_the_answer_is_written_and_bounded_too(lines: Lines) -> None:
    with log.of_request() as mine:
        for _ in range(300):
            detail.error("Wrong")
        log.end(mine)
        for _ in range(300):
            # A server's own logger. Not uvicorn's: a server that runs in this process has configured that one.
            logging.getLogger("a.server").error("Exception in ASGI application\n")
    assert "Exception in ASGI application" in messages(lines())
    assert len(lines()) < CUT_AT


def test_two_requests_at_once_have_lines_of_their_own(lines: Lines) -> None:
    async def one(name: str) -> None:
        with log.of_request():
            for number in range(300):
                detail.info(name, number=number)
                await asyncio.sleep(0)
            await asyncio.gather(*(asyncio.create_task(late(f"{name} late")) for _ in range(3)))
            summary.info(f"{name} done")

    async def late(name: str) -> None:
        await asyncio.sleep(0)
        detail.error(name)

    async def both() -> None:
        await asyncio.gather(one("A"), one("B"))

    asyncio.run(both())
    found = Counter(messages(lines()))
    assert (found["A"], found["B"]) == (request_log.MAX_LINES - 3,) * 2
    assert (found["A late"], found["B late"], found["A done"], found["B done"]) == (3, 3, 1, 1)
    assert [line["log_lines_dropped"] for line in lines() if line["message"] == "Log lines dropped"] == [113, 113]


LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([*LEVELS, "library"]), st.integers(1, 400)), max_size=5),
    st.integers(0, 12),
    st.booleans(),
)
def test_whatever_a_request_logs_it_is_bounded_and_every_line_is_written_or_counted(
    lines: Lines, runs: list[tuple[str, int]], summaries: int, holds: bool
) -> None:
    before = len(lines())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_log, "HOLD_FOR_S", 60 if holds else -1)
        with log.of_request():
            for level, times in runs:
                for _ in range(times):
                    if level == "library":
                        logging.getLogger("a.library").warning("Line %s", "words")
                    else:
                        getattr(detail, level)(f"Line {level}")
            for _ in range(summaries):
                summary.warning("All")
    written = lines()[before:]
    assert len(written) < CUT_AT - 10
    dropped = sum(line.get("log_lines_dropped", 0) for line in written)
    assert len(written) - (1 if dropped else 0) + dropped == sum(times for _, times in runs) + summaries
    assert [line["message"] for line in written[-1:]] == ["Log lines dropped"] or not dropped
    if holds:
        assert messages(written)[: min(summaries, 10)] == ["All"] * min(summaries, 10)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = (
    SCALARS
    | st.text(min_size=1, max_size=5).map(lambda text: text * 3000)
    | st.lists(SCALARS, min_size=1, max_size=3).map(lambda values: values * 900)
    | st.dictionaries(st.text(), st.lists(SCALARS))
    | st.integers(1, 500).map(lambda size: {f"key {number}": number for number in range(size)})
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.dictionaries(st.from_regex(r"[a-z]{1,9}_id", fullmatch=True), VALUES, max_size=12), st.text())
def test_a_line_is_never_too_long_and_always_json(fields: dict[str, Any], message: str) -> None:
    record = logging.makeLogRecord({"name": "lib.x", "levelname": "INFO", "msg": message * 50, "fields": fields})
    text = log.JsonLines().format(record)
    assert len(text) <= log.MAX_LINE_BYTES
    line = json.loads(text, parse_constant=pytest.fail)
    assert {"time", "level", "message", "logger"} <= set(line)


def test_a_long_line_keeps_its_beginnings_and_the_last_frames(lines: Lines) -> None:
    def deep(depth: int) -> None:
        if depth:
            deep(depth - 1)
        raise ValueError

    try:
        deep(50)
    except ValueError:
        log.get("lib.x").exception("Request failed", path="/" + "x" * 100_000, code="unknown_error", event_id="ig_1")
    (line,) = lines()
    assert (line["message"], line["code"], line["event_id"]) == ("Request failed", "unknown_error", "ig_1")
    assert line["path"].startswith("/xxx")
    assert line["line_cut"] is True
    assert line["frames"][-1].endswith("deep")


def test_a_request_is_one_with_bounds_of_its_own(lines: Lines) -> None:
    async def busy(_request: object) -> Any:
        for number in range(1000):
            detail.info("One", number=number)
        summary.info("All")
        return json_response(200, {"written": len(lines())})

    app = function(GET=busy)
    for _ in range(2):
        before = len(lines())
        answer = ask(app, "/x" * 50_000, method="GET")
        assert json.loads(answer.body)["written"] == before + 1, "the summary is written, and the others are held"
        mine = lines()[before:]
        assert (mine[0]["message"], mine[-1]["message"]) == ("All", "Log lines dropped")
        assert len(mine) == request_log.MAX_LINES + 2
    ask(app, "/x" * 50_000, method="PUT")
    assert lines()[-1]["message"] == "Request refused"
    assert lines()[-1]["line_cut"] is True


def test_what_is_held_is_written_before_the_answer_leaves_and_if_nothing_leaves(lines: Lines) -> None:
    async def quiet(_request: object) -> Any:
        detail.info("One")
        return json_response(200, {})

    async def cut_off(_request: object) -> Any:
        detail.info("Two")
        raise asyncio.CancelledError

    async def answered(app: Any) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                seen.extend(messages(lines()))

        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        await app(scope, receive, send)

    seen: list[str] = []
    asyncio.run(answered(function(GET=quiet)))
    assert seen == ["One"]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(answered(function(GET=cut_off)))
    assert messages(lines()) == ["One", "Two"]
