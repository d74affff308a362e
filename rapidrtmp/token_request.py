"""``rapidrtmp token``: asks a running server for a publish token."""

import json
import re
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from rapidrtmp.config import Settings
from rapidrtmp.config.kinds import endpoint_descriptions

TIMEOUT = 10.0
"""Seconds for the server's answer."""
MAX_ANSWER = 1 << 16
"""Bytes of an answer that are read."""
EVERYWHERE = "0.0.0.0"  # noqa: S104  (what a server may listen on; here it is only compared)


class TokenError(Exception):
    """There is no token. The message says why, in one line."""


def server_url(http_addr: str) -> str:
    """Give the URL of the server that listens at an address, for a client beside it.

    Raises:
        TokenError: the address tells no host and port.
    """
    description = endpoint_descriptions(http_addr)[0]
    match = re.match(r"tcp6?:(?:port=)?(\d+)(?::interface=((?:\\.|[^:\\])*))?", description)
    if match is None or match[1] == "0":
        raise TokenError(f"HTTP_ADDR={http_addr} tells no port; say where with --server URL")
    host = (match[2] or EVERYWHERE).replace("\\", "")
    # What listens everywhere listens on the loopback interface, too; by '::' mostly on both.
    host = {EVERYWHERE: "127.0.0.1", "::": "localhost"}.get(host, host)
    return f"http://[{host}]:{match[1]}" if ":" in host else f"http://{host}:{match[1]}"


def api_key(settings: Settings) -> str:
    """Give the first configured key that may ask for tokens; '' when there is none."""
    able = (key.value for key in settings.api_keys if key.scopes & {"publish", "admin"})
    return next(able, "")


def request_token(server: str, key: str, bearer: str, expires_in: int | None) -> dict[str, Any]:
    """Ask for a token, and wait for the answer.

    Args:
        server: its URL, without a path.
        key: the stream key.
        bearer: API key to send; '' for none.
        expires_in: seconds that the token is to be valid; None for the server's default.

    Returns:
        The API's answer: publishUrl, expiresAt, obs and more.

    Raises:
        TokenError: the server cannot be reached, or does not give one.
    """
    url = urlsplit(server)
    # Straight to the server, whatever proxies the environment names, and nowhere else.
    make = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = make(url.hostname or "", url.port, timeout=TIMEOUT)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    wanted = {"streamKey": key} | ({"expiresIn": expires_in} if expires_in else {})
    try:
        path = f"{url.path.rstrip('/')}/api/v1/publish"
        connection.request("POST", path, json.dumps(wanted), headers)
        response = connection.getresponse()
        status, body = response.status, response.read(MAX_ANSWER)
    except (OSError, HTTPException) as error:
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise TokenError(f"no answer from {server}: {words}; is the server running?") from error
    finally:
        connection.close()
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise TokenError(f"{server} answered {status}, not as RapidRTMP does")
    if status not in (200, 201):
        raise TokenError(f"refused ({status}): {answer.get('error', 'without a reason')}")
    return answer


def announcement(answer: dict[str, Any]) -> str:
    """Write what to copy: the URL, and the two boxes of OBS.

    Raises:
        TokenError: the answer is not that of the API.
    """
    try:
        obs = answer["obs"]
        lines = [
            f"publishUrl  {answer['publishUrl']}",
            f"expiresAt   {answer['expiresAt']}",
            "",
            "OBS: Settings, Stream, Service 'Custom...'",
            f"Server      {obs['server']}",
            f"Stream Key  {obs['streamKey']}",
        ]
    except (KeyError, TypeError) as error:
        raise TokenError("the server's answer holds no token") from error
    return "\n".join(lines) + "\n"
