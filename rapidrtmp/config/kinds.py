"""The kinds of value that a setting can have: text to value, value to text, what is allowed."""

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins

from rapidrtmp.media.key import is_stream_key
from rapidrtmp.observability.levels import LEVELS, LogLevels


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of a setting becomes its value."""

    name: str
    """One word for the reference page: 'duration', 'integer', ..."""
    allowed: str
    """What is allowed, in words that fit behind 'must be'."""
    parse: Callable[[str], Any]
    """Gives the value; raises ValueError for anything that is not allowed."""
    show: Callable[[Any], str] = str
    """Gives text that `parse` reads back as the same value, unless it is secret."""
    secret: bool = False
    """Whether the value may be shown nowhere."""


# Units of Go's time.ParseDuration, in nanoseconds: integers, so that "300ms" is exactly 0.3 s.
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5 micro sign
    "μs": 1_000,  # U+03BC Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
# Digits are ASCII only; 18 of them on each side are more than any allowed maximum.
_DURATION_PART = re.compile(
    r"(?P<whole>[0-9]{0,18})(?:\.(?P<fraction>[0-9]{0,18}))?(?P<unit>ns|us|µs|μs|ms|s|m|h)"
)


def parse_duration(text: str) -> float:
    """Read a duration as Go's ``time.ParseDuration`` does: ``2s``, ``500ms``, ``1h30m``, ``1.5h``.

    Returns:
        Seconds.

    Raises:
        ValueError: no unit, an unknown unit, a negative value, or no duration at all.
    """
    body = text.removeprefix("+")
    if body == "0":
        return 0.0
    total = 0
    position = 0
    while position < len(body) or not body:
        part = _DURATION_PART.match(body, position)
        if part is None or not (part["whole"] or part["fraction"]):
            raise ValueError("not a duration")
        nanoseconds = _NANOSECONDS[part["unit"]]
        fraction = part["fraction"] or ""
        total += int(part["whole"] or 0) * nanoseconds
        total += int(fraction or 0) * nanoseconds // 10 ** len(fraction)
        position = part.end()
    return total / 1_000_000_000


def show_duration(seconds: float) -> str:
    """Write a duration with the fewest units: 5400.0 becomes ``1h30m``."""
    # By its shortest decimal form, not by multiplying a float, which would round.
    left = int(Decimal(repr(seconds)) * 1_000_000_000)
    text = ""
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        count, left = divmod(left, _NANOSECONDS[unit])
        if count:
            text += f"{count}{unit}"
    return text or "0s"


def duration(minimum: float, maximum: float, zero: str = "") -> Kind:
    """Make the kind of a duration between two bounds.

    Args:
        minimum: the shortest allowed, in seconds.
        maximum: the longest allowed, in seconds.
        zero: what a duration of 0 means, where it is allowed below `minimum`.
    """
    bounds = f"from {show_duration(minimum)} to {show_duration(maximum)}"
    allowed = f"a duration {bounds} with its unit, such as 2s, 500ms or 1h30m"

    def parse(text: str) -> float:
        seconds = parse_duration(text)
        if not (minimum <= seconds <= maximum or (zero and seconds == 0)):
            raise ValueError("out of bounds")
        return seconds

    return Kind("duration", f"{allowed} (0 = {zero})" if zero else allowed, parse, show_duration)


def integer(minimum: int, maximum: int, zero: str = "") -> Kind:
    """Make the kind of a whole number between two bounds.

    Args:
        minimum: the least allowed.
        maximum: the greatest allowed.
        zero: what 0 means, where it is allowed below `minimum`.
    """
    allowed = f"a whole number from {minimum} to {maximum}"

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise ValueError("not a whole number")
        if not (minimum <= int(text) <= maximum or (zero and int(text) == 0)):
            raise ValueError("out of bounds")
        return int(text)

    return Kind("integer", f"{allowed} (0 = {zero})" if zero else allowed, parse)


_SIZE_UNITS = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}


def show_size(size: int) -> str:
    """Write a size in the largest unit that leaves it a whole number: ``10MiB``."""
    if not size:
        return "0"
    return next(
        f"{size // factor}{unit}" for unit, factor in _SIZE_UNITS.items() if size % factor == 0
    )


def size(minimum: int, maximum: int, zero: str = "") -> Kind:
    """Make the kind of a size between two bounds.

    Args:
        minimum: the least allowed, in bytes.
        maximum: the greatest allowed, in bytes.
        zero: what 0 means, where it is allowed below `minimum`.
    """
    bounds = f"from {show_size(minimum)} to {show_size(maximum)}"
    allowed = f"a size {bounds}, in bytes or with KiB, MiB or GiB"

    def parse(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,18})(GiB|MiB|KiB|B)?", text)
        if match is None:
            raise ValueError("not a size")
        value = int(match[1]) * _SIZE_UNITS[match[2] or "B"]
        if not (minimum <= value <= maximum or (zero and value == 0)):
            raise ValueError("out of bounds")
        return value

    return Kind("size", f"{allowed} (0 = {zero})" if zero else allowed, parse, show_size)


def _parse_boolean(text: str) -> bool:
    word = text.lower()
    if word in ("true", "yes", "1"):
        return True
    if word in ("false", "no", "0"):
        return False
    raise ValueError("not a boolean")


BOOLEAN = Kind(
    "boolean",
    "true or false (also yes, no, 1, 0)",
    _parse_boolean,
    lambda value: str(value).lower(),
)


def choice(*words: str) -> Kind:
    """Make the kind of one word out of a few."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError("not one of the words")
        return text

    return Kind("choice", " or ".join(words), parse)


def _parse_text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters")
    return text


TEXT = Kind("text", "text without control characters", _parse_text)
DIRECTORY = Kind("directory", "the path of a directory", lambda text: Path(_parse_text(text)))
# Absolute at once: a reload may come after twistd changed the directory.
FILE = Kind("file", "the path of a file", lambda text: str(Path(_parse_text(text)).absolute()))


def _parse_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]{1,64}", text):
        raise ValueError("not a name")
    return text


NAME = Kind("name", "a name of a-z, 0-9, '_' and '-'", _parse_name)


def _parse_app(text: str) -> str:
    if not is_stream_key(text):
        raise ValueError("not an application")
    return "" if text == "none" else text


APP = Kind(
    "application",
    "one part of a URL, of A-Z, a-z, 0-9, '_' and '-', or none",
    _parse_app,
    lambda app: app or "none",
)


def _parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(part) for part in re.split(r"[,\s]+", text.strip(", \t\r\n")))


NETWORKS = Kind(
    "networks",
    "IP addresses or networks such as 127.0.0.1, 10.0.0.0/8 or fd00::/8, separated by commas",
    _parse_networks,
    lambda networks: ",".join(map(str, networks)),
)


def _parse_log_levels(text: str) -> LogLevels:
    default, namespaces = "info", {}
    for number, entry in enumerate(text.split(",")):
        namespace, equals, level = entry.strip().rpartition("=")
        if level not in LEVELS or namespace in namespaces:
            raise ValueError("not a level")
        if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", namespace):
            namespaces[namespace] = level
        elif not equals and not number:
            default = level
        else:
            raise ValueError("not a namespace")
    return LogLevels(default, tuple(namespaces.items()))


LOG_LEVELS = Kind(
    "log levels",
    "one of " + ", ".join(LEVELS) + ", and behind it, separated by commas, levels of single "
    "namespaces: info,rapidrtmp.protocol=debug",
    _parse_log_levels,
    str,
)


def _parse_rtmp_url(text: str) -> str:
    url = urlsplit(_parse_text(text))
    if url.scheme not in ("rtmp", "rtmps") or not url.hostname or " " in text:
        raise ValueError("not an RTMP URL")
    if url.query or url.fragment or url.username is not None or url.port == 0:
        raise ValueError("more than a scheme, a host and a port")
    if url.path not in ("", "/"):
        raise ValueError("the application name is added to it")
    return text.rstrip("/")


def _parse_http_url(text: str) -> str:
    url = urlsplit(_parse_text(text))
    if url.scheme not in ("http", "https") or not url.hostname or " " in text:
        raise ValueError("not an HTTP URL")
    if url.fragment or url.username is not None or url.port == 0:
        raise ValueError("more than a URL to call")
    return text


def _parse_base_url(text: str) -> str:
    if "?" in text:
        raise ValueError("paths are added to it")
    return _parse_http_url(text).rstrip("/")


HTTP_URL = Kind("URL", "an http:// or https:// URL without a user and a #", _parse_http_url)
BASE_URL = Kind("URL", "an http:// or https:// URL without a user, ? and #", _parse_base_url)
RTMP_URL = Kind("URL", "an rtmp:// or rtmps:// URL of a host and a port", _parse_rtmp_url)

_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]+)")
_ENDPOINT_PORT = re.compile(r"(?:tcp6?|ssl):(?:port=)?(?P<port>[0-9]+)(?::|\Z)")
# Connections that wait to be accepted: a room full of players comes at once, and whom the
# system turns away comes back a second later. Twisted's own figure is 50.
_BACKLOG = ":backlog=1024"
# Twisted's own types that are not plug-ins.
_ENDPOINT_TYPES = frozenset({"tcp", "ssl", "unix"})


def _endpoint_types() -> frozenset[str]:
    plugins = getPlugins(IStreamServerEndpointStringParser)
    # A server that listens on its standard input makes no sense.
    return (_ENDPOINT_TYPES | {plugin.prefix for plugin in plugins}) - {"stdio"}


def _check_port(digits: str) -> int:
    if int(digits) > 65535:
        raise ValueError("no such port")
    return int(digits)


def _every_address(port: int) -> list[str]:
    """Give the endpoints that together listen on every IPv4 and IPv6 address.

    Where the system makes IPv6 sockets dual stack, as Linux does unless told otherwise,
    one is enough (and port 0 is then one port).
    """
    ipv4, ipv6 = f"tcp:{port}{_BACKLOG}", f"tcp6:{port}:interface=\\:\\:{_BACKLOG}"
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
            only = probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return [ipv4]
    return [ipv6, ipv4] if only else [ipv6]


def endpoint_descriptions(address: str) -> list[str]:
    """Turn the address of a listener into Twisted endpoint descriptions.

    ``:8080`` is every IPv4 and IPv6 address; ``127.0.0.1:8080``, ``[::1]:8080`` and
    ``host:8080`` are one address; anything that begins with the name of a Twisted server
    endpoint (``tcp:``, ``unix:``, ``ssl:``, ``systemd:``, ...) is a description already.

    Raises:
        ValueError: it is none of these.
    """
    if address.partition(":")[0] in _endpoint_types():
        endpoint_port = _ENDPOINT_PORT.match(address)
        if endpoint_port:
            _check_port(endpoint_port["port"])
        return [address]
    match = _HOST_PORT.fullmatch(address)
    if match is None:
        raise ValueError("neither host:port nor an endpoint description")
    port = _check_port(match["port"])
    if match["v6"] is not None:
        try:
            socket.inet_pton(socket.AF_INET6, match["v6"].partition("%")[0])
        except OSError:
            raise ValueError("not an IPv6 address") from None
        return [f"tcp6:{port}:interface={match['v6'].replace(':', chr(92) + ':')}{_BACKLOG}"]
    if not match["host"]:
        return _every_address(port)
    if not re.fullmatch(r"[A-Za-z0-9._-]+", match["host"]):
        raise ValueError("not a host name")
    return [f"tcp:{port}:interface={match['host']}{_BACKLOG}"]


def _parse_address(text: str) -> str:
    for description in endpoint_descriptions(text):
        try:
            # Only parsed: an endpoint touches its reactor when it listens.
            serverFromString(None, description)  # type: ignore[no-untyped-call]  # not annotated
        except Exception as error:  # whatever a parser, possibly a plug-in, raises
            raise ValueError(f"{type(error).__name__}: {error}") from error
    return text


ADDRESS = Kind(
    "address",
    "an address such as :8080, 127.0.0.1:8080 or [::1]:8080, "
    "or a Twisted endpoint description such as tcp:8080:interface=127.0.0.1",
    _parse_address,
)
