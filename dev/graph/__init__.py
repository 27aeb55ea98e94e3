"""A stand-in for Instagram's Graph API: the same paths, answers and errors, and the echo that a real send causes.

It is a server, so that the same client code runs against it. It must not import `lib`: the stand-in would repeat a
mistake of `lib` instead of showing it. `nodes` holds the endpoints, `sends` the rules of the Send API, `refusals`
Meta's errors, `faults` what goes wrong on purpose, `admin` the switches under `/__dev/`.
"""

from dev.graph.app import create_app
from dev.graph.config import GraphConfig

__all__ = ["GraphConfig", "create_app"]
