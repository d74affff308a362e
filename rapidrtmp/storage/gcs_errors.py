"""What goes wrong at Google Cloud Storage, as an OSError of one clear line."""

import errno

import requests
import urllib3
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

CLIENT_ERRORS = (
    GoogleAPIError,
    GoogleAuthError,
    InvalidResponse,
    DataCorruption,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
)
"""All that the client raises when it is used rightly."""

MAX_REASON_LENGTH = 200
"""Characters of somebody else's words in a message: enough for a permission and its holder."""

_HTTP = {
    401: (errno.EACCES, "the credentials are refused"),
    403: (errno.EACCES, "access is denied"),
    404: (errno.ENOENT, "there is no such bucket"),
    408: (errno.ETIMEDOUT, "the request took too long"),
    429: (errno.EBUSY, "too many requests"),
    503: (errno.EBUSY, "the service is unavailable"),
    504: (errno.ETIMEDOUT, "the service took too long"),
}


def os_error(error: Exception, bucket: str) -> OSError:
    """Say in one line what happened.

    Args:
        error: one of `CLIENT_ERRORS`.
        bucket: name of the bucket.
    """
    number, words = _describe(error)
    return OSError(number, f"bucket {bucket}: {words}")


def is_missing_bucket(error: GoogleAPICallError) -> bool:
    """Tell whether a 404 means the bucket, not the object."""
    return "bucket does not exist" in _reason(error)


def _describe(error: Exception) -> tuple[int, str]:
    match error:
        case GoogleAPICallError():
            number, words = _HTTP.get(error.code or 0, (errno.EIO, "the request failed"))
            reason = _reason(error)
            return number, f"{words} (HTTP {error.code}{reason and ': '}{reason})"
        case DataCorruption():
            return errno.EIO, "an object arrived damaged"
        case DefaultCredentialsError():
            return errno.EACCES, f"no usable credentials: {_line(error)}"
        case RefreshError():
            return errno.EACCES, f"the credentials are refused: {_line(error)}"
    return _describe_connection(error)


def _describe_connection(error: BaseException) -> tuple[int, str]:
    """Find what the operating system said below the layers of the client."""
    below: BaseException | None = error
    words = _line(error)
    number = errno.EIO
    while below is not None:
        match below:
            case requests.Timeout() | urllib3.exceptions.ReadTimeoutError() | TimeoutError():
                return errno.ETIMEDOUT, "no answer in time"
            case ConnectionError():
                number, words = below.errno or errno.ECONNRESET, below.strerror or _line(below)
            case OSError() if not isinstance(below, requests.RequestException):
                # Here errno is that of TLS or of name resolution.
                number, words = errno.EIO, below.strerror or _line(below)
        below = below.__cause__ or below.__context__
    return number, f"cannot be reached: {words}"


def _reason(error: GoogleAPICallError) -> str:
    """Give the server's own words, which name the permission that is missing."""
    response = error.response
    if not isinstance(response, requests.Response):
        return ""
    try:
        return _line(response.json()["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return ""


def _line(words: object) -> str:
    """Cut a text to its first line."""
    if isinstance(words, BaseException) and words.args:
        words = words.args[0]
    first = (str(words).splitlines() or [""])[0][:MAX_REASON_LENGTH]
    return "".join(filter(str.isprintable, first))
