"""Which stream a client means: application, stream key and parameters.

Encoders cut ``rtmp://host/a/b/key?token=t`` into app, tcUrl and stream name in different
places, so the path is joined again and its last part is the key. Nothing is repaired: a
name outside the alphabet is refused, never changed into another stream's key.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from rapidrtmp.media.key import is_stream_key

MAX_APP_LENGTH = 128
"""Characters of an application, its slashes included."""
MAX_QUERY_LENGTH = 4096
"""Characters of one query: a signed token and the parameters that OBS appends fit well."""
MAX_PARAMETERS = 64
"""Parameters of one query."""

_ENDS = "\r\n\t \"'/"  # what settings boxes and careless clients leave at either end
_PREFIXES = ("mp4:", "flv:")  # a file type, meaningless for a live stream
_DEFAULT_INSTANCE = "_definst_"  # what Flash Media Server calls an unnamed instance

_REDACTIONS = (
    # the user information of a URL
    (re.compile(r"(://)[^/@\s\"']+@"), r"\1***@"),
    # a query, to the end of the word
    (re.compile(r"(?:\?|%3f)[^\s\"'<>]+", re.IGNORECASE), "?***"),
    # a secret by its name
    (
        re.compile(
            r"\b(token|password|passwd|pass|pwd|secret|signature|sig|auth|response|challenge)"
            r"(=|%3d)[^\s\"'<>&]+",
            re.IGNORECASE,
        ),
        r"\1\2***",
    ),
    # a secret by its looks: 160 bits or more in hexadecimal
    (re.compile(r"\b[0-9A-Fa-f]{40,}\b"), "***"),
)


class BadName(ValueError):
    """The client's names do not make a valid stream name: ``NetStream.Publish.BadName``.

    The message is in plain words for the person at the encoder and quotes neither a name
    nor a query, for either may hold a token.
    """


@dataclass(frozen=True, slots=True)
class StreamName:
    """What a client publishes or plays."""

    app: str
    """The application: validated, otherwise without meaning. May be empty."""
    key: str
    """The stream key, which alone identifies the stream."""
    parameters: dict[str, str] = field(repr=False)
    """Parameters of all queries, decoded; not in the representation: they hold the token."""


def resolve(app: str, tc_url: str, name: str) -> StreamName:
    """Return the stream that a client means.

    A parameter is taken from the stream name before the app before tcUrl, and from the
    first place within each. The path of tcUrl counts only when app is empty.

    Args:
        app: ``app`` of the connect command, with or without a query.
        tc_url: ``tcUrl`` of the connect command; empty when it had none.
        name: the stream name of the publish or play command; empty for clients with one
            box for the whole URL, the key is then the last part of the app.

    Raises:
        BadName: a part has a character outside ``A-Z a-z 0-9 _ -`` or is too long, there
            is no key, or a query breaks a limit.
    """
    name_path, name_query = _split(name)
    app_path, app_query = _split(app)
    tc_path, tc_query = _split(tc_url)
    if not app_path:
        app_path = tc_path.partition("://")[2].partition("/")[2]
    name_parts = _parts(name_path)
    parts = _parts(app_path)
    if not name_parts and len(parts) < 2:
        raise BadName("the stream key is missing: the URL is rtmp://<host>/live/<stream key>")
    parts += name_parts
    key = parts.pop()
    _check("stream key", key)
    for part in parts:
        _check("application", part)
    app = "/".join(parts)
    if len(app) > MAX_APP_LENGTH:
        raise BadName(f"the application is longer than {MAX_APP_LENGTH} characters")
    parameters: dict[str, str] = {}
    for query in (name_query, app_query, tc_query):
        _read_query(query, parameters)
    return StreamName(app, key, parameters)


def application(app: str, tc_url: str) -> tuple[str, dict[str, str]]:
    """Return the first part of the application that a client connects to, and the parameters.

    As `resolve` reads them, but before the stream is known; '' and none where it would refuse.

    Args:
        app: ``app`` of the connect command.
        tc_url: ``tcUrl`` of the connect command.
    """
    try:
        name = resolve(app, tc_url, "-")
    except BadName:
        return "", {}
    return name.app.partition("/")[0], name.parameters


def redact(text: str) -> str:
    """Return `text` for a log: without URL queries, user information and token-like values."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


def _split(text: str) -> tuple[str, str]:
    path, _, query = text.strip(_ENDS).partition("?")
    return path, query


def _parts(path: str) -> list[str]:
    parts = []
    for part in path.split("/"):
        for prefix in _PREFIXES:
            if part.startswith(prefix):
                part = part[len(prefix) :]
                break
        if part and part != _DEFAULT_INSTANCE:
            parts.append(part)
    return parts


def _check(what: str, part: str) -> None:
    if is_stream_key(part):
        return
    raise BadName(f"the {what} may have 1 to 128 of the characters A-Z a-z 0-9 _ - only")


def _read_query(query: str, parameters: dict[str, str]) -> None:
    """Add the parameters of `query` that `parameters` has not yet."""
    if len(query) > MAX_QUERY_LENGTH:
        raise BadName(f"the parameters are longer than {MAX_QUERY_LENGTH} characters")
    pairs = query.split("&")
    if len(pairs) > MAX_PARAMETERS:
        raise BadName(f"there are more than {MAX_PARAMETERS} parameters")
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name:
            parameters.setdefault(unquote(name), unquote(value))
