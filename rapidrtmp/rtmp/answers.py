"""What a server answers to calls, and tells of itself (RTMP 1.0, 7.2)."""

from collections.abc import Callable

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import Value
from rapidrtmp.rtmp import command, control, message, status
from rapidrtmp.rtmp.capabilities import Capabilities
from rapidrtmp.rtmp.command import Command
from rapidrtmp.rtmp.media_encoder import CHUNK_SIZE

WINDOW_SIZE = 2_500_000
"""Bytes: our Window Acknowledgement Size and Set Peer Bandwidth."""

Send = Callable[[int, int, bytes], None]
"""Sends a message: type id, message stream id, body."""

_SERVER: dict[str, Value] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0}


class Answers:
    """Writes the messages of one connection.

    Args:
        send: takes them.
    """

    def __init__(self, send: Send) -> None:
        self._send = send

    def stream_begin(self, message_stream_id: int) -> None:
        """Tell that a message stream has become functional."""
        self._send(message.USER_CONTROL, 0, control.stream_begin(message_stream_id))

    def stream_eof(self, message_stream_id: int) -> None:
        """Tell that nothing more comes on a message stream for now."""
        self._send(message.USER_CONTROL, 0, control.stream_eof(message_stream_id))

    def connected(self, transaction_id: float, capabilities: Capabilities) -> None:
        """Answer a connect that was granted, in the order that clients expect.

        Args:
            transaction_id: of the connect.
            capabilities: what the client is to be told of ours.
        """
        limit = control.peer_bandwidth(WINDOW_SIZE, control.LIMIT_DYNAMIC)
        self._send(message.WINDOW_ACKNOWLEDGEMENT_SIZE, 0, control.u32(WINDOW_SIZE))
        self._send(message.SET_PEER_BANDWIDTH, 0, limit)
        self.stream_begin(0)
        self._send(message.SET_CHUNK_SIZE, 0, control.u32(CHUNK_SIZE))
        # objectEncoding 0: clients that offer AMF3 fall back to AMF0
        information = status.on_status(
            status.STATUS, status.CONNECT_SUCCESS, "Connection succeeded.", objectEncoding=0.0
        )
        # clients look for capabilities in either object
        members = capabilities.members()
        self.success(transaction_id, _SERVER | members, information | members)

    def result(self, call: Command, value: Value) -> None:
        """Answer a call, if it wants an answer."""
        if call.transaction_id != 0:
            self.success(call.transaction_id, None, value)

    def success(self, transaction_id: float, properties: Value, value: Value) -> None:
        """Send a result, wanted or not."""
        body = command.encode(command.RESULT, transaction_id, properties, value)
        self._send(message.COMMAND_AMF0, 0, body)

    def error(self, transaction_id: float, code: str, description: str) -> None:
        """Answer a call of NetConnection that fails."""
        refusal = status.on_status(status.ERROR, code, description)
        body = command.encode(command.ERROR, transaction_id, None, refusal)
        self._send(message.COMMAND_AMF0, 0, body)

    def notice(self, message_stream_id: int, name: str, information: dict[str, Value]) -> None:
        """Call a method of the client that has no answer."""
        body = command.encode(name, 0.0, None, information)
        self._send(message.COMMAND_AMF0, message_stream_id, body)

    def status(self, message_stream_id: int, code: str, description: str) -> None:
        """Tell a NetStream of a success."""
        information = status.on_status(status.STATUS, code, description)
        self.notice(message_stream_id, command.ON_STATUS, information)

    def failure(self, message_stream_id: int, code: str, description: str) -> None:
        """Tell a NetStream of a failure."""
        information = status.on_status(status.ERROR, code, description)
        self.notice(message_stream_id, command.ON_STATUS, information)

    def data(self, message_stream_id: int, *values: Value) -> None:
        """Send a data message."""
        self._send(message.DATA_AMF0, message_stream_id, amf0.encode(*values))
