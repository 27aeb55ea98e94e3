"""JSON as Meta writes it. Knows bytes and headers; nothing of what is said."""

import json
from collections.abc import Mapping

from starlette.responses import Response


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`body` with everything beyond ASCII escaped, as Meta does: so half an emoji can be in it too."""
    content = json.dumps(body, separators=(",", ":"))
    return Response(content, status, headers, media_type="application/json; charset=UTF-8")
