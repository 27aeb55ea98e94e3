"""Why a request had no answer."""


class NoAnswer(Exception):
    """A request had no answer, or an unreadable one. Without a subclass: the request may have been read."""


class NeverLeft(NoAnswer):
    """There was no connection, so nothing of the request has left."""


class NotConnected(NeverLeft):
    """The server cannot be reached."""


class ConnectTimedOut(NeverLeft):
    """The server did not take the connection in time."""


class NoFreeConnection(NeverLeft):
    """All connections were in use for too long."""


class AnswerTimedOut(NoAnswer):
    """The request has left, and its answer was not there in time."""


class MetClosed(NoAnswer):
    """The request went out on a kept connection that the server had closed: no byte of an answer came."""


class BadAnswer(NoAnswer):
    """What came is no HTTP/1.1, was cut off, or is longer than allowed."""
