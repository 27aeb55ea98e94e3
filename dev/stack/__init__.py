"""The local stack: a real Postgres and PostgREST, the QStash and Graph stand-ins, and the functions.

`stack` starts and stops everything, `components` says how each part is run, `component` is one child process.
`gateway` stands before PostgREST as Supabase's gateway does. Nothing here is deployed.
"""

from dev.stack.config import StackConfig
from dev.stack.errors import StackError
from dev.stack.ports import Ports
from dev.stack.stack import Stack

__all__ = ["Ports", "Stack", "StackConfig", "StackError"]
