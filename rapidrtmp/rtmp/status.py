"""Status codes of NetConnection and NetStream, and the information object that carries them.

The code decides what the peer does, so the exact ones matter: on the codes that end a
publish OBS stops at once instead of waiting 30 s; other clients read the description aloud.
"""

from typing import Final, Literal

from rapidrtmp.amf.values import Value

Level = Literal["status", "error"]
"""Whether a code tells of a success or a failure."""

STATUS: Final[Level] = "status"
ERROR: Final[Level] = "error"

# level "status"

CONNECT_SUCCESS = "NetConnection.Connect.Success"
"""The connect command was accepted."""
CONNECT_CLOSED = "NetConnection.Connect.Closed"
"""The connection was closed as asked."""
CONNECT_RECONNECT_REQUEST = "NetConnection.Connect.ReconnectRequest"
"""The client should connect anew, to `tcUrl` when given (Enhanced RTMP)."""
PUBLISH_START = "NetStream.Publish.Start"
"""Publishing was granted: send media. Never sent before the decision."""
UNPUBLISH_SUCCESS = "NetStream.Unpublish.Success"
"""Publishing ended as asked. Some clients take it for a failure: only an answer to their
FCUnpublish or closeStream."""
PLAY_RESET = "NetStream.Play.Reset"
"""What played before on this NetStream was dropped."""
PLAY_START = "NetStream.Play.Start"
"""Media follows."""
PLAY_STOP = "NetStream.Play.Stop"
"""Media has ended."""
PLAY_COMPLETE = "NetStream.Play.Complete"
"""A recording was played to its end."""
PLAY_PUBLISH_NOTIFY = "NetStream.Play.PublishNotify"
"""A publisher of the stream that is played has come."""
PLAY_UNPUBLISH_NOTIFY = "NetStream.Play.UnpublishNotify"
"""The publisher of the stream that is played has gone."""
PAUSE_NOTIFY = "NetStream.Pause.Notify"
"""Playing was paused as asked."""
UNPAUSE_NOTIFY = "NetStream.Unpause.Notify"
"""Playing goes on as asked."""
SEEK_NOTIFY = "NetStream.Seek.Notify"
"""Playing goes on from another position as asked."""
RECORD_START = "NetStream.Record.Start"
"""Recording has begun."""
RECORD_STOP = "NetStream.Record.Stop"
"""Recording has ended."""

# level "error"

CONNECT_REJECTED = "NetConnection.Connect.Rejected"
"""The connect command was refused; the description says why."""
CONNECT_FAILED = "NetConnection.Connect.Failed"
"""The server could not handle the connect command."""
CONNECT_INVALID_APP = "NetConnection.Connect.InvalidApp"
"""The application does not exist."""
CONNECT_APP_SHUTDOWN = "NetConnection.Connect.AppShutdown"
"""The application is being shut down."""
CALL_FAILED = "NetConnection.Call.Failed"
"""A remote call could not be carried out."""
PUBLISH_BAD_NAME = "NetStream.Publish.BadName"
"""The stream key is malformed, or is in use and may not be taken over."""
PUBLISH_DENIED = "NetStream.Publish.Denied"
"""No right to publish under this key, whether or not it is in use."""
PUBLISH_REJECTED = "NetStream.Publish.Rejected"
"""A limit, an unsupported codec, or a server that is going down."""
PLAY_STREAM_NOT_FOUND = "NetStream.Play.StreamNotFound"
"""There is no such stream to play."""
PLAY_FAILED = "NetStream.Play.Failed"
"""The stream may not or cannot be played."""
STREAM_FAILED = "NetStream.Failed"
"""A NetStream call failed for another reason."""
SEEK_FAILED = "NetStream.Seek.Failed"
"""The position asked for cannot be reached."""


def on_status(level: Level, code: str, description: str, **extra: Value) -> dict[str, Value]:
    """Return the information object of an ``onStatus``, ``_result`` or ``_error``.

    The order of the members is part of the protocol: Wirecast reads them by position and
    expects level before code before description.

    Args:
        level: `STATUS` or `ERROR`.
        code: one of this module's codes.
        description: why, in plain words for the person at the encoder.
        extra: further members, such as ``objectEncoding``, in this order.
    """
    return {"level": level, "code": code, "description": description, **extra}
