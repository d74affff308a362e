"""What a request to the management API holds: its JSON object, its query."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

from typing import Any

from twisted.web import http

from rapidrtmp.media.key import is_stream_key
from rapidrtmp.web.api_errors import APIError
from rapidrtmp.web.json_request import BadRequest, decode_object, parameter
from rapidrtmp.web.request import Request

JSON_TYPE = b"application/json"


def json_fields(request: Request) -> dict[str, Any]:
    """Return the JSON object that was sent.

    Raises:
        APIError: the body is declared as something else.
        BadRequest: it is none.
    """
    # Asked for as bytes: as text, Twisted takes it for UTF-8 and raises when it is not.
    content_type = request.getHeader(b"Content-Type") or JSON_TYPE
    if content_type.partition(b";")[0].strip().lower() != JSON_TYPE:
        raise APIError(
            http.UNSUPPORTED_MEDIA_TYPE,
            "send JSON with the header Content-Type: application/json "
            "(curl: -H 'Content-Type: application/json')",
        )
    return decode_object(request.content.read())


def key_parameter(request: Request) -> str | None:
    """Return the stream key in the query; None when there is none.

    Raises:
        BadRequest: it cannot be one.
    """
    key = parameter(request.args, "streamKey")
    if key is not None and not is_stream_key(key):
        raise BadRequest("streamKey is not a stream key", "streamKey")
    return key
