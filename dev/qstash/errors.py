"""The error that the API answers with: a status and one sentence."""


class ApiError(Exception):
    """Answered as `{"error": message}` with `status` (Upstash, API reference, schema `Error`)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_request(message: str) -> ApiError:
    """Returns a 400."""
    return ApiError(400, message)


def not_found(what: str, name: str) -> ApiError:
    """Returns a 404 for one named thing."""
    return ApiError(404, f"{what} {name} not found")
