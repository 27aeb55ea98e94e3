"""One function under the platform's server, in a process that has imported nothing before.

`python bench/cold_child.py ROOT FILE`: `ROOT` is the folder of the package, `FILE` the function in it, or "" for an
empty Starlette application. It listens at `PORT`. This file imports little: what it loads is a cost of the function.

Its first line on stderr is the time, in seconds since the epoch, before the function is imported.
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(root: str, file: str) -> None:
    """Serves the function as Vercel's runtime does: uvicorn with `loop` and `http` at "auto"."""
    sys.path[0] = root  # in the place of this file's folder, as on the platform
    import uvicorn

    os.write(2, f"{time.time()}\n".encode())
    app = load(f"{root}/{file}") if file else empty()
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), lifespan="off", access_log=False, log_config=None)


def empty() -> "Any":
    """Returns the smallest Starlette application that answers."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def say(_request: object) -> Response:
        return Response(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/{path:path}", say, methods=["POST"])])


def load(file: str) -> "Any":
    """Returns the `app` of a function's file, loaded as the platform does it."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("vercel_function", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


if __name__ == "__main__":
    main(*sys.argv[1:])
