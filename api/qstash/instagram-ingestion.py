"""POST /api/qstash/instagram-ingestion: the consumer. QStash delivers one event; it takes effect, once.

Wiring only: authenticate, decode, process, answer. Must not know what processing does.
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.deadline import Deadline
from lib.delivery import authenticated
from lib.ingest_request import read_event
from lib.instance import instance
from lib.queue import CONSUMER_PATH
from lib.responses import json_response
from lib.routing import function

FINISH_WITHIN_S = 25.0
"""Inside the 30 s QStash waits, inside the function's maxDuration: we answer 500 before we are cut off."""


async def consume(request: Request) -> Response:
    """200 processed or duplicate; 489 never again; 500 or 503 once more; 401 for a bad signature."""
    here, deadline = instance(), Deadline.after(FINISH_WITHIN_S)
    delivery = await authenticated(request, here.settings, path=CONSUMER_PATH, deadline=deadline)
    try:
        event = read_event(delivery.body)
    except Exception as error:
        return delivery.failed(error)
    try:
        outcome = await here.processor.process(event, via="queue", deadline=deadline)
    except Exception as error:
        return delivery.failed(error, event_id=event.event_id)
    delivery.done("Event processed", verdict=outcome, event_id=event.event_id, kind=event.kind, via="queue")
    return json_response(200, {"status": outcome, "event_id": event.event_id})


app = function(post=consume)
