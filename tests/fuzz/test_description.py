"""docs/openapi.yaml is valid, whole, and true to the code as far as that can be told without a request."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import jsonschema
import openapi_spec_validator
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from dev import openapi
from dev.functions import find_functions, find_public_paths
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
    public = find_public_paths(ROOT)
    assert set(DESCRIPTION["paths"]) == set(public)
    assert {each.function.path for each in public.values()} == {"/" + file.removesuffix(".py") for file in deployed}


def test_each_route_has_the_methods_of_its_function() -> None:
    for path, public in find_public_paths(ROOT).items():
        app: Any = public.function.load()
        handlers = app.routes.get("") or app.routes[path.rpartition("/")[2]]
        served = {method.lower() for method in handlers}
        assert {method for method in DESCRIPTION["paths"][path] if method in METHODS} == served, path


def test_each_route_of_a_function_has_its_rewrite() -> None:
    public = find_public_paths(ROOT)
    for function in find_functions(ROOT).values():
        routes: Mapping[str, object] = function.load().routes  # type: ignore[attr-defined]
        paths = {path for path, each in public.items() if each.function.path == function.path}
        assert paths == {f"{function.path}/{route}" if route else function.path for route in routes}


def test_a_route_is_found_by_the_parameter_of_its_rewrite_too() -> None:
    """If the platform passed the function's own path on, and not the public one."""
    public = find_public_paths(ROOT)["/api/cron/sweep"]
    transport = httpx.ASGITransport(public.function.load())

    async def answer(url: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://functions.example") as client:
            return await client.get(url)

    assert asyncio.run(answer(f"/api/cron?{public.query}")).status_code in (401, 503)
    assert asyncio.run(answer("/api/cron")).json()["error"]["code"] == "not_found"


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
