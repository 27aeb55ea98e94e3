"""The base of every value that comes from JSON or becomes JSON.

Values that only pass between our own functions are frozen dataclasses: nobody has to validate them.
"""

import os
from collections.abc import Collection

from pydantic import BaseModel, ConfigDict, ValidationError

from lib.errors.exceptions import InvalidPayload

# pydantic reads the metadata of every installed package to find its plugins, when the first model is built: some
# milliseconds of a cold start (pydantic, "Plugins").
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

_TAG_ERRORS = {"union_tag_not_found": "Field required", "union_tag_invalid": "Unknown kind"}
_TYPE_ERRORS = {
    "dict_type": "Input should be an object",
    "list_type": "Input should be an array",
    "model_attributes_type": "Input should be an object",
    "model_type": "Input should be an object",
}
"""Complaints in the words of JSON, where pydantic's own are about Python."""


class Model(BaseModel):
    """Immutable and strict: `"1"` is no number. Unknown fields are left out."""

    # A cold start builds the validator of a model only when it is first used.
    # An error message never shows the input: it may be a person's words or a secret.
    model_config = ConfigDict(frozen=True, strict=True, defer_build=True, hide_input_in_errors=True)


def invalid_payload(error: ValidationError, *, tags: Collection[str] = ()) -> InvalidPayload:
    """Returns the first complaint of `error` with the path of its field, and nothing of the input.

    `tags` are the kinds of a discriminated union: pydantic puts the kind into the path, where no field is.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path, tag_seen = "$", False
    for step in first["loc"]:
        if not tag_seen and step in tags:
            tag_seen = True
        else:
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
    if first["type"] in _TAG_ERRORS:
        return InvalidPayload(f"{path}.kind", _TAG_ERRORS[first["type"]])
    message = _TYPE_ERRORS.get(first["type"], first["msg"])
    return InvalidPayload(path, message.replace("'", "`"))  # pydantic quotes the expected values
