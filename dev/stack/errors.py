"""The one error of the local stack: a sentence a newcomer can act on.

Knows no component. Everything that can go wrong on a laptop (a taken port, a missing binary, a child that
died) is raised as this, so that the command line prints the sentence and no traceback.
"""


class StackError(Exception):
    """The local stack can't start or go on; `str()` is the whole explanation, fit to be printed as it is."""
