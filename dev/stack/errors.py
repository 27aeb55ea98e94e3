"""The one error of the local stack.

A taken port, a missing binary, a dead child: each is raised as this error, and the command line prints its sentence and
no traceback.
"""


class StackError(Exception):
    """The local stack can't start or go on. `str()` is a sentence that a newcomer can act on."""
