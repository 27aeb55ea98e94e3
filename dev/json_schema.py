"""JSON schemas of our models, as pydantic makes them, without what only pydantic needs."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter


def schemas_of(types: Mapping[str, Any], *, ref_template: str) -> dict[str, Any]:
    """Returns the JSON schema (2020-12) of each of `types`, and of every model inside them, by name."""
    inputs: Sequence[Any] = [(name, "validation", TypeAdapter(shape)) for name, shape in types.items()]
    by_name, definitions = TypeAdapter.json_schemas(inputs, ref_template=ref_template)
    named = {name: schema for (name, _), schema in by_name.items() if "$ref" not in schema}
    made = named | dict(definitions.get("$defs", {}))
    return {name: _readable(schema) for name, schema in sorted(made.items())}


def _readable(node: Any, *, is_map_of_fields: bool = False) -> Any:
    """Returns `node` without titles, which only repeat the names, and with each description on one line."""
    if isinstance(node, list):
        return [_readable(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {name: value for name, value in node.items() if is_map_of_fields or name != "title"}
    return {
        name: " ".join(value.split())
        if name == "description" and isinstance(value, str)
        else _readable(value, is_map_of_fields=name == "properties" and not is_map_of_fields)
        for name, value in kept.items()
    }
