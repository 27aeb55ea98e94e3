"""POST /api/qstash/instagram-ingestion: the consumer. QStash delivers one event; the event takes effect, once."""

import lib.core.start_log  # noqa: F401  from here on, every line of the log is JSON

# isort: split

from starlette.requests import Request
from starlette.responses import Response

from lib.container import container
from lib.core.deadline import Deadline
from lib.ingest.request import read_event
from lib.qstash.delivery import authenticated
from lib.qstash.publisher import CONSUMER_PATH
from lib.web.app import function
from lib.web.responses import json_response

FINISH_WITHIN_S = 25.0
"""Less than the 30 s that QStash waits and than the function's maxDuration: we answer 500 before we are cut off."""


async def consume(request: Request) -> Response:
    """200 processed or duplicate; 489 never again; 500 or 503 once more; 401 for a wrong signature."""
    services, deadline = container(), Deadline.after(FINISH_WITHIN_S)
    delivery = await authenticated(request, services.settings, path=CONSUMER_PATH, deadline=deadline)
    try:
        event = read_event(delivery.body)
    except Exception as error:
        return delivery.failed(error)
    try:
        status = await services.processor.process(event, via="queue", deadline=deadline)
    except Exception as error:
        return delivery.failed(error, event_id=event.event_id)
    delivery.done("Event processed", outcome=status, event_id=event.event_id, kind=event.kind, via="queue")
    return json_response(200, {"status": status, "event_id": event.event_id})


app = function(POST=consume)
