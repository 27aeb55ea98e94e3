"""What the API answers when it will not do something: a status and one sentence.

Knows HTTP statuses only; who raises and who renders is not its business.
"""


class ApiError(Exception):
    """Answered as `{"error": message}` with `status` (Upstash, API reference, schema `Error`)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, message)


def not_found(what: str, name: str) -> ApiError:
    """404 for one named thing."""
    return ApiError(404, f"{what} {name} not found")
