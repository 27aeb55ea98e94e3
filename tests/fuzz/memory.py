"""Serves damaged webhooks to the webhook function in a process of its own, and says how much of them stays in memory:
`python -m tests.fuzz.memory WARM_UP MEASURED`, with the settings of the stack in the environment.

The last line on stderr is JSON: bytes, and where most of them were allocated. Not under pytest, which remembers much.
"""

import gc
import json
import sys
import tracemalloc
from random import Random

from dev.stack import keys
from lib.webhooks.signature import sign_hub
from tests.fuzz.inside import Inside
from tests.fuzz.mutations import WEBHOOKS, damaged
from tests.support.world import WEBHOOK


def main(warm_up: int, measured: int) -> None:
    """Serves `warm_up` bodies, then `measured` more, every fourth of them wrongly signed."""
    inside, random = Inside(), Random(0)

    def serve(count: int) -> None:
        for number in range(count):
            signed_rightly = number % 4 > 0
            body = damaged(random.choice(WEBHOOKS), random)
            signature = sign_hub(body, keys.APP_SECRET if signed_rightly else "another-secret")
            answer = inside.send("POST", WEBHOOK, [(b"x-hub-signature-256", signature.encode())], body)
            assert answer.status_code in ((200, 400) if signed_rightly else (401,)), answer.text
        gc.collect()

    tracemalloc.start()
    serve(warm_up)
    first = tracemalloc.take_snapshot()
    before, _ = tracemalloc.get_traced_memory()
    serve(measured)
    after, _ = tracemalloc.get_traced_memory()
    most = tracemalloc.take_snapshot().compare_to(first, "lineno")[:10]
    inside.close()
    sys.stderr.write("\n" + json.dumps({"stayed_bytes": after - before, "most": [str(line) for line in most]}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
