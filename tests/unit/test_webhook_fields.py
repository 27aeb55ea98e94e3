"""Meta's answers about subscriptions, in every form; and the field that a refusal names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors.exceptions import GraphError
from lib.graph.webhook_fields import MOST_FIELDS, fields_in
from tests.support.strategies import json_values

NAMES = ["messages", "comments"]


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ({"data": [{"id": "1", "subscribed_fields": NAMES}]}, NAMES),
        ({"data": [{"subscribed_fields": ["messages"]}, {"subscribed_fields": ["comments", "messages"]}]}, NAMES),
        ({"data": [{"subscribed_fields": [{"name": "messages", "version": "v26.0"}, {"name": "comments"}]}]}, NAMES),
        ({"data": [{"subscribed_fields": "messages, comments"}]}, NAMES),
        ({"data": {"id": "1", "subscribed_fields": NAMES}}, NAMES),
        ({"data": [{"subscribed_fields": ["MESSAGES", " comments "]}]}, NAMES),
        ({"data": [{"subscribed_fields": ["messages", None, 7, [], {"name": 1}, {}, "a b", "x" * 65]}]}, ["messages"]),
        ({"data": [{"subscribed_fields": None}, {"id": "1"}, "messages", None, 3]}, []),
        ({"data": [{"subscribed_fields": {"name": "messages"}}]}, ["messages"]),
        ({"data": []}, []),
        ({"data": None}, []),
        ({"data": "messages"}, []),
        ({}, []),
    ],
)
def test_the_fields_are_read_from_whatever_meta_answers(answer: dict[str, Any], fields: list[str]) -> None:
    assert fields_in(answer) == fields


@given(st.dictionaries(st.sampled_from(["data", "id"]), json_values()), json_values())
def test_any_answer_at_all_is_read_without_a_fault(answer: dict[str, Any], subscribed: Any) -> None:
    for each in (answer, {"data": [{"subscribed_fields": subscribed}]}):
        found = fields_in(each)
        assert len(found) == len(set(found)) <= MOST_FIELDS


def refused_item(code: object, message: object, status: int = 400) -> int | str | None:
    body = {"error": {"code": code, "message": message}}
    return GraphError.from_response(status, {}, body, is_send=False).refused_item


@pytest.mark.parametrize(
    ("code", "message", "item"),
    [
        (100, "(#100) Param subscribed_fields[1] must be one of {messages, comments}", 1),
        (100, 'Param subscribed_fields[0] must be one of {MESSAGES} - got "message_echoes".', 0),
        ("100", "Param subscribed_fields[12] must be one of {…}", 12),
        (
            200,
            "(#200) To subscribe to the messages field, one of these permissions is needed: pages_messaging",
            "messages",
        ),
        (100, "Param subscribed_fields must be a list", None),
        (100, "(#100) Invalid parameter", None),
        (190, "Param subscribed_fields[1] must be one of {messages}", None),
        (100, "To subscribe to the messages field, one of these permissions is needed: pages_messaging", None),
        (200, "(#200) Permissions error", None),
        (100, "x" * 5000 + "Param subscribed_fields[1] must be one of {}", None),
        (100, None, None),
        (100, ["Param subscribed_fields[1]"], None),
        (None, "Param subscribed_fields[1]", None),
    ],
)
def test_the_item_that_meta_blames_is_read_from_its_message(code: Any, message: Any, item: Any) -> None:
    assert refused_item(code, message) == item


@given(json_values(), json_values())
def test_any_refusal_at_all_is_read_without_a_fault(code: Any, message: Any) -> None:
    assert refused_item(code, message) is None or isinstance(refused_item(code, message), int | str)


def test_the_error_keeps_none_of_metas_words() -> None:
    message = 'Param subscribed_fields[1] must be one of {messages} - got "very-secret".'
    error = GraphError.from_response(400, {}, {"error": {"code": 100, "message": message}}, is_send=False)
    assert "very-secret" not in f"{error} {error!r} {vars(error)}"
