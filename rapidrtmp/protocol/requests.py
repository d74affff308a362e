"""What clients of RTMP ask for, and what a refusal is called."""

from twisted.python.failure import Failure

from rapidrtmp.interfaces import AccessDenied, AccessRequest, NotFound, NotReady, Refusal
from rapidrtmp.protocol.player import Unplayable
from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.authmod import SignIn
from rapidrtmp.rtmp.events import PlayRequested, PublishRequested
from rapidrtmp.rtmp.url import redact

CODES = {
    Refusal.DENIED: status.PUBLISH_DENIED,
    Refusal.BAD_NAME: status.PUBLISH_BAD_NAME,
    Refusal.BUSY: status.PUBLISH_BAD_NAME,
    Refusal.REJECTED: status.PUBLISH_REJECTED,
}
"""Of a publish: the codes that OBS and GStreamer react to."""

_GUESSES = (Refusal.DENIED, Refusal.BAD_NAME)


def access_request(
    request: PublishRequested | PlayRequested,
    peer: str,
    session_id: str,
    sign_in: SignIn | None = None,
) -> AccessRequest:
    """Put a request into words that belong to no protocol.

    Args:
        request: what came.
        peer: IP address of the client.
        session_id: names its connection.
        sign_in: how it proves a password; None when it does not.
    """
    user = {} if sign_in is None else {"user": sign_in.user}
    return AccessRequest(
        action="publish" if isinstance(request, PublishRequested) else "play",
        key=request.key,
        app=request.app,
        peer=peer,
        session_id=session_id,
        credentials={**user, **request.parameters},
        client=redact(request.client),
        proves=None if sign_in is None else sign_in.proves,
    )


def is_guess(failure: Failure) -> bool:
    """Tell whether a refusal may be somebody's guessing.

    Too many of them bar an address for a while.
    """
    error = failure.value
    return isinstance(error, AccessDenied) and error.refusal in _GUESSES


def told(failure: Failure, request: PublishRequested | PlayRequested) -> tuple[str, str] | None:
    """Return what a client that is not let in is told: code and description.

    None for a failure that nobody expected.
    """
    error = failure.value
    if isinstance(request, PublishRequested):
        if isinstance(error, AccessDenied):
            return CODES[error.refusal], error.description
        return None
    if isinstance(error, AccessDenied):
        is_unknown = error.refusal is Refusal.BAD_NAME
        code = status.PLAY_STREAM_NOT_FOUND if is_unknown else status.PLAY_FAILED
        return code, error.description
    if isinstance(error, NotFound):
        return status.PLAY_STREAM_NOT_FOUND, str(error)
    if isinstance(error, NotReady):
        return status.PLAY_FAILED, error.description
    return (status.PLAY_FAILED, str(error)) if isinstance(error, Unplayable) else None
