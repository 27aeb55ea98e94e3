"""Runs the application under uvicorn, and stops it quietly and at once."""

import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from dev.qstash.app import create_app
from dev.qstash.config import Config


class Server(uvicorn.Server):
    """uvicorn, except that a signal ends it with exit code 0 and nothing on the terminal."""

    def __init__(self, config: Config) -> None:
        self.app = create_app(config)
        super().__init__(
            uvicorn.Config(
                self.app,
                host=config.host,
                port=config.port,
                log_level="error",
                access_log=False,
                lifespan="on",
                timeout_graceful_shutdown=1,
                # Publishers hold connections for long. QStash does not close them after five seconds, as uvicorn would.
                timeout_keep_alive=75,
                backlog=2048,
            )
        )

    def stop(self) -> None:
        """Ends hanging requests and the server. May be called from any thread."""
        self.app.state.stopping.set()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  uvicorn's signature
        """Stops the server. A second signal changes nothing."""
        self.stop()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handles signals without raising them again at the end, as uvicorn does: a requested stop is no failure."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen on the address now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
