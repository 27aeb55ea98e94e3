"""The local stack: a real Postgres and PostgREST, the QStash and Graph stand-ins, and the functions.

Must not be imported by anything that is deployed.
"""

from dev.stack.config import StackConfig
from dev.stack.errors import StackError
from dev.stack.ports import Ports
from dev.stack.stack import Stack

__all__ = ["Ports", "Stack", "StackConfig", "StackError"]
