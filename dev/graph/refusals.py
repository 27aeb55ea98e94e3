"""Meta's error bodies, by reason.

Codes, subcodes and messages are from Meta's error-code pages and from answers seen in production. Meta does
not publish every HTTP status. The status is 400 where none was seen.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.responses import Response

from dev.graph.answers import json_answer


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer `{"error": …}` in Meta's shape."""

    code: int
    message: str
    subcode: int | None = None
    status: int = 400
    type: str = "OAuthException"
    user_title: str | None = None
    user_msg: str | None = None
    is_transient: bool | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        error = {
            "message": self.message,
            "type": self.type,
            "code": self.code,
            "error_subcode": self.subcode,
            "is_transient": self.is_transient,
            "error_user_title": self.user_title,
            "error_user_msg": self.user_msg,
            "fbtrace_id": f"A{secrets.token_urlsafe(16)}",
        }
        body = {"error": {name: value for name, value in error.items() if value is not None}}
        return json_answer(body, self.status, self.headers)


class RefusedError(Exception):
    """Raised while a call is handled, to answer it with `refusal`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def _business_usage(minutes: int) -> str:
    limit = {"type": "instagram", "call_count": 100, "total_cputime": 25, "total_time": 30}
    return json.dumps({"17841400000000001": [{**limit, "estimated_time_to_regain_access": minutes}]})


def invalid_parameter(message: str) -> Refusal:
    return Refusal(100, f"(#100) {message}")


def unknown_item(parameter: str, place: int, choices: Sequence[str]) -> Refusal:
    return invalid_parameter(f"Param {parameter}[{place}] must be one of {{{', '.join(choices)}}}")


def field_without_permission(name: str) -> Refusal:
    message = f"(#200) To subscribe to the {name} field, one of these permissions is needed: a_permission"
    return Refusal(200, message, status=403)


def no_such_object(node_id: str) -> Refusal:
    return Refusal(
        100,
        f"Unsupported request. Object with ID '{node_id}' does not exist, cannot be loaded due to missing "
        "permissions, or does not support this operation",
        subcode=33,
        type="GraphMethodException",
    )


INVALID_TOKEN = Refusal(190, "Invalid OAuth access token - Cannot parse access token", status=401)
ACTION_BLOCKED = Refusal(4, "Application request limit reached", subcode=2207051, status=403)
PERMISSION_MISSING = Refusal(10, "(#10) Application does not have permission for this action")
EXPIRED_TOKEN = Refusal(
    190, "Error validating access token: Session has expired on a day long past.", subcode=463, status=401
)
INVALID_PROOF = Refusal(100, "Invalid appsecret_proof provided in the API argument", type="GraphMethodException")
TOO_MANY_REQUESTS = Refusal(4, "Too many requests", status=429, headers={"Retry-After": "2"})
SERVER_ERROR = Refusal(1, "An unknown error has occurred.", status=500)
TRANSIENT = Refusal(
    2,
    "An unexpected error has occurred. Please retry your request later.",
    status=500,
    is_transient=True,
)
RATE_LIMIT = Refusal(
    4,
    "(#4) Application request limit reached",
    status=403,
    is_transient=True,
    headers={"X-App-Usage": '{"call_count":100,"total_cputime":25,"total_time":30}'},
)
RATE_LIMIT_THREAD = Refusal(
    613,
    "(#613) Calls to this api have exceeded the rate limit.",
    status=403,
    headers={"X-Business-Use-Case-Usage": _business_usage(1)},
)
NOT_REFRESHED = invalid_parameter("The access token can not be refreshed")
"""Meta documents when it refuses a refresh, and not the numbers: these are assumed."""
SPAM_SUSPECTED = Refusal(20, "Application cannot send this message now", subcode=1772107)
REFUSED_PARAMETER = invalid_parameter("Invalid parameter")
OUTSIDE_WINDOW = Refusal(
    10,
    "(#10) This message is sent outside of allowed window.",
    subcode=2534022,
)
NO_CONSENT = Refusal(230, "(#230) User consent is required to access user profile", status=403)
USER_GONE = Refusal(9010, "No matching Instagram user", type="IGApiException")
NOT_FOUND = Refusal(100, "(#100) No matching user found", subcode=2534014)
UNAVAILABLE = Refusal(
    551,
    "(#551) This person isn't available right now.",
    subcode=1545041,
    user_title="Can't send message",
    user_msg="This person isn't receiving messages from you right now.",
)
FIELD_REFUSED = Refusal(10, "(#10) Application does not have permission for this action", status=403)
ALREADY_SENT = Refusal(
    1,
    "The messages are all sent successfully, but the endpoint returns an error.",
    subcode=1357046,
    status=500,
)
ALREADY_REPLIED = Refusal(10903, "(#10903) This comment was already replied to", subcode=2534025)

BY_ID_ENDING: Mapping[str, Refusal] = {
    "000230": NO_CONSENT,
    "009010": USER_GONE,
    "2534014": NOT_FOUND,
    "2534022": OUTSIDE_WINDOW,
    "000551": UNAVAILABLE,
}
"""People who are always refused, by the end of their id."""

DASHBOARD_SENDER = "12334"
"""The sender of the App Dashboard's "Test" button. There is no such person: Meta refuses the profile with 9010."""


def of_person(igsid: str) -> Refusal | None:
    """Returns the refusal that this id always gets, or None."""
    if igsid == DASHBOARD_SENDER:
        return USER_GONE
    return next((refusal for ending, refusal in BY_ID_ENDING.items() if igsid.endswith(ending)), None)
