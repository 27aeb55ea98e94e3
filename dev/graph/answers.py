"""JSON as Meta writes it."""

import json
from collections.abc import Mapping

from starlette.responses import Response


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Returns `body` with everything beyond ASCII escaped, as Meta does. So it may contain half an emoji."""
    content = json.dumps(body, separators=(",", ":"))
    return Response(content, status, headers, media_type="application/json; charset=UTF-8")
