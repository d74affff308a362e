"""What goes wrong on an RTMP connection by the peer's doing."""


class ProtocolError(Exception):
    """The peer broke the protocol or a limit: the connection is closed.

    `reason` is one short stable word for counters and logs, such as ``chunk_size``;
    the message says in plain words what was received and what is allowed.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
