"""How the management API says no."""

from collections.abc import Mapping

from twisted.web import http
from werkzeug.exceptions import HTTPException, MethodNotAllowed

NO_ROUTE = "there is nothing at this address"


class APIError(Exception):
    """What an API call is answered with instead of its result."""

    def __init__(
        self, code: int, description: str, headers: Mapping[bytes, bytes] | None = None
    ) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.headers = headers


def no_route(error: HTTPException) -> APIError:
    """Return what is answered to a request that fits no route."""
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        words = f"this address answers {allowed} only"
        return APIError(http.NOT_ALLOWED, words, {b"Allow": allowed.encode("ascii")})
    if error.code == http.BAD_REQUEST:
        return APIError(http.BAD_REQUEST, "the HTTP request is malformed")
    return APIError(http.NOT_FOUND, NO_ROUTE)
