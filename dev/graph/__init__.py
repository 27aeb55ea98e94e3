"""A stand-in for Instagram's Graph API: the same paths, answers and errors, and the echo a real send causes.

It is a server, so that the same client code runs against it. It must not import `lib`: a mistake there
could then not hide itself here.
"""

from dev.graph.app import create_app
from dev.graph.config import GraphConfig

__all__ = ["GraphConfig", "create_app"]
