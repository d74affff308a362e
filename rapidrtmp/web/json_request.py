"""Reads JSON requests strictly (RFC 8259): the result is a value or BadRequest."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from rapidrtmp.media.key import is_stream_key

MAX_SECONDS = 2**31 - 1
"""A longer time that is asked for is cut here, before it meets any arithmetic."""


class BadRequest(ValueError):
    """The request is not what it should be. The message says so to its sender."""

    def __init__(self, description: str, field: str = "") -> None:
        super().__init__(description)
        self.field = field
        """Name of the field or query parameter at fault; '' where there is none."""


def decode_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object. A byte order mark is ignored.

    Raises:
        BadRequest: it is none, or holds what JSON or this server does not allow:
            NaN, a name twice, nesting or integers without end.
    """
    if not body:
        raise BadRequest("the request has no body; send a JSON object")
    try:
        value = json.loads(
            body.decode("utf-8-sig"), parse_constant=_constant, object_pairs_hook=_unique
        )
    except BadRequest:
        raise
    except UnicodeDecodeError:
        raise BadRequest("the request's body is not UTF-8") from None
    except RecursionError:
        raise BadRequest("the request's JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadRequest(f"the request's body is not valid JSON: {error.msg} at {place}") from None
    except ValueError:  # an integer of thousands of digits
        raise BadRequest("the request's JSON holds a number that is too large") from None
    if not isinstance(value, dict):
        raise BadRequest("the request's body must be a JSON object")
    return value


def refuse_others(fields: Mapping[str, Any], *known: str) -> None:
    """Refuse fields that are not known: a misspelt one must not be overlooked.

    Raises:
        BadRequest: there is one.
    """
    for name in fields:
        if name not in known:
            raise BadRequest(f"there is no field {name!r} here", name)


def stream_key(fields: Mapping[str, Any]) -> str:
    """Return the required field streamKey.

    Raises:
        BadRequest: it is missing or not a well-formed key.
    """
    key = fields.get("streamKey")
    if key is None or key == "":
        raise BadRequest("streamKey is required", "streamKey")
    if not isinstance(key, str):
        raise BadRequest("streamKey must be a string", "streamKey")
    if not is_stream_key(key):
        raise BadRequest(
            "streamKey must be 1 to 128 characters of A-Z, a-z, 0-9, '-' and '_'", "streamKey"
        )
    return key


def expires_in(fields: Mapping[str, Any]) -> int | None:
    """Return the optional field expiresIn in seconds; None for the default.

    Raises:
        BadRequest: it is not a whole number.
    """
    seconds = fields.get("expiresIn")
    if seconds is None:
        return None
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise BadRequest("expiresIn must be a whole number of seconds", "expiresIn")
    return min(seconds, MAX_SECONDS) if seconds > 0 else None


def parameter(args: Mapping[bytes, Sequence[bytes]], name: str) -> str | None:
    """Return a query parameter; None when it is not given.

    Args:
        args: the query, as Twisted reads it.
        name: of the parameter.

    Raises:
        BadRequest: it is given twice.
    """
    values = args.get(name.encode("ascii"), ())
    if len(values) > 1:
        raise BadRequest(f"{name} is given more than once", name)
    return values[0].decode("utf-8", "replace") if values else None


def _constant(name: str) -> NoReturn:
    raise BadRequest(f"the request's JSON holds {name}, which is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadRequest("the request's JSON has a name twice in one object")
    return fields
