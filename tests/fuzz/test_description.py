"""docs/openapi.yaml is valid, whole, and true to the code as far as that can be told without a request."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.routing import Route

from dev import openapi
from dev.functions import find_functions
from dev.stack.config import ROOT
from tests.fuzz.mutations import EVENTS

DESCRIPTION = openapi.description()
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def test_it_is_valid_openapi() -> None:
    openapi_spec_validator.validate(DESCRIPTION, cls=OpenAPIV31SpecValidator)


def test_its_schemas_are_those_of_the_code() -> None:
    assert openapi.FILE.read_text("utf-8") == openapi.text(), "run python -m dev.openapi"


def test_it_has_the_routes_of_api_and_vercel_json_and_no_other() -> None:
    deployed = json.loads((ROOT / "vercel.json").read_text("utf-8"))["functions"]
    assert set(DESCRIPTION["paths"]) == set(find_functions(ROOT))
    assert set(DESCRIPTION["paths"]) == {"/" + file.removesuffix(".py") for file in deployed}


def test_each_route_has_the_methods_of_its_function() -> None:
    for path, function in find_functions(ROOT).items():
        app = function.load()
        assert isinstance(app, Starlette)
        served = {method.lower() for route in app.routes if isinstance(route, Route) for method in route.methods or ()}
        # What answers to GET answers to HEAD.
        assert {method for method in DESCRIPTION["paths"][path] if method in METHODS} == served - {"head"}, path


def test_every_sample_is_an_event_of_the_schema() -> None:
    for event in EVENTS:
        _valid(json.loads(event), {"$ref": "#/components/schemas/Event"})


def _examples(node: Any) -> Iterator[tuple[Any, Any]]:
    """Each example with its schema."""
    if isinstance(node, dict):
        if "schema" in node and "example" in node:
            yield node["example"], node["schema"]
        for named in node.get("examples", {}).values() if "schema" in node else ():
            yield DESCRIPTION["components"]["examples"][named["$ref"].rpartition("/")[2]]["value"], node["schema"]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _examples(child)


EXAMPLES = list(_examples(DESCRIPTION))


@pytest.mark.parametrize(("example", "schema"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_is_what_its_schema_says(example: Any, schema: Any) -> None:
    _valid(example, schema)


def test_every_200_shows_an_example() -> None:
    bare = [
        f"{method} {path} {status}"
        for path, item in DESCRIPTION["paths"].items()
        for method, operation in item.items()
        for status, answer in operation["responses"].items()
        if status == "200" and not _shows_one(answer)
    ]
    assert bare == []


def _shows_one(answer: dict[str, Any]) -> bool:
    if "$ref" in answer:
        answer = DESCRIPTION["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return any("example" in media or "examples" in media for media in answer["content"].values())


def _valid(value: Any, schema: Any) -> None:
    jsonschema.validate(
        value, {"components": DESCRIPTION["components"], "allOf": [schema]}, cls=jsonschema.Draft202012Validator
    )
