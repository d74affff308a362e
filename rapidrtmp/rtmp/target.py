"""Where a client of another server connects to: ``rtmp://host[:port]/app[/more]/key?query``."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

PORTS: Final = {"rtmp": 1935, "rtmps": 443}
"""The schemes that are understood, and their ports."""
MAX_LENGTH: Final = 4096
"""Characters of a URL: signed stream keys have some hundred."""


class BadTarget(ValueError):
    """A URL names nothing to connect to. The message quotes nothing of it: it holds a key."""


@dataclass(frozen=True, slots=True)
class Target:
    """A stream on another server."""

    scheme: str
    host: str
    port: int
    app: str
    name: str = field(repr=False)
    """The stream key and, behind ``?``, the query: both are secrets."""

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Take a URL apart. The last part of its path is the stream key, nothing is decoded.

        Raises:
            BadTarget: it is no such URL, or holds a user and password.
        """
        if len(url) > MAX_LENGTH:
            raise BadTarget(f"the URL is longer than {MAX_LENGTH} characters")
        if not url.isprintable() or " " in url:
            raise BadTarget("the URL holds white space or control characters")
        try:
            parts = urlsplit(url, allow_fragments=False)
            port = parts.port
        except ValueError:
            raise BadTarget("the URL has no valid host and port") from None
        if parts.scheme not in PORTS:
            raise BadTarget("the URL must begin with rtmp:// or rtmps://")
        if parts.username is not None or parts.password is not None:
            raise BadTarget("a user and password in the URL are not supported")
        if not parts.hostname or port == 0:
            raise BadTarget("the URL has no valid host and port")
        app, _, key = parts.path.strip("/").rpartition("/")
        if not app or not key:
            raise BadTarget("the URL needs an application and a stream key: rtmp://host/app/key")
        query = f"?{parts.query}" if parts.query else ""
        port = PORTS[parts.scheme] if port is None else port
        return cls(parts.scheme, parts.hostname, port, app, key + query)

    @property
    def key(self) -> str:
        """The stream key without the query. A secret."""
        return self.name.partition("?")[0]

    @property
    def tc_url(self) -> str:
        """The URL of the application, as the connect command has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}/{self.app}"
