"""POST /api/qstash/instagram-failure: QStash gave up on a message; it is kept, for people and for a retry."""

import lib.core.start_log  # noqa: F401  from here on, every line of the log is JSON

# isort: split

from starlette.requests import Request
from starlette.responses import Response

from lib.container import container
from lib.core.deadline import Deadline
from lib.dead_letters.letter import read_failure, what_failed
from lib.qstash.delivery import authenticated
from lib.qstash.publisher import FAILURE_PATH
from lib.web.app import function
from lib.web.responses import json_response

FINISH_WITHIN_S = 25.0


async def keep(request: Request) -> Response:
    """200 once the dead letter is stored, or was stored before; 489 only for a body that is no callback; else again."""
    services, deadline = container(), Deadline.after(FINISH_WITHIN_S)
    delivery = await authenticated(request, services.settings, path=FAILURE_PATH, deadline=deadline)
    try:
        letter = read_failure(delivery.body)
    except Exception as error:
        return delivery.failed(error)
    try:
        async with deadline.enforced():
            is_new = await services.dead_letters.store(letter)
            sweep_in_s = await services.sweep_store.claim()
    except Exception as error:
        # The letter is all that is left of its event. So no fault ends it.
        return delivery.failed(error, may_stop=False)
    if sweep_in_s is not None:
        await services.publisher.ask_for_sweep(sweep_in_s)
    status = "stored" if is_new else "duplicate"
    delivery.done("Dead letter stored", outcome=status, level="error", **what_failed(letter))
    return json_response(200, {"status": status})


app = function(POST=keep)
