"""A small RTMP player on our own client's session: it takes several tracks, and every codec."""

import hashlib
import socket
import time
from collections.abc import Callable
from io import BytesIO

import av

from rapidrtmp.flv import file
from rapidrtmp.outputs.rtmp_push import CAPABILITIES
from rapidrtmp.rtmp.client import ClientSession, ClientState
from rapidrtmp.rtmp.target import Target
from tests.integration.media import Tag


class RawPlayer:
    """One connection to an RTMP server, which is told that all is taken. It blocks."""

    def __init__(self, port: int, key: str, timeout: float = 45.0) -> None:
        """Connect, and play when this returns."""
        self.tags: list[Tag] = []
        """All media that came, with its metadata."""
        self._deadline = time.monotonic() + timeout
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        target = Target.parse(f"rtmp://127.0.0.1:{port}/live/{key}")
        self._session = ClientSession(target, publishes=False, capabilities=CAPABILITIES)
        self._session.on_media = lambda *message: self.tags.append(Tag(*message))
        self.read(lambda: self._session.state is ClientState.PLAYING)

    def read(self, is_enough: Callable[[], bool]) -> None:
        """Read until it is enough."""
        while not is_enough():
            self._socket.sendall(b"".join(self._session.data_to_send()))
            if time.monotonic() > self._deadline:
                raise AssertionError(f"too little in time: {len(self.tags)} messages")
            data = self._socket.recv(65536)
            if not data or self._session.state is ClientState.CLOSED:
                raise AssertionError(f"closed after {len(self.tags)} messages")
            self._session.receive_data(data, time.monotonic())

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    @property
    def flv(self) -> bytes:
        """What came, as a file."""
        tags = [b"".join(file.tag(tag.type_id, tag.timestamp, (tag.body,))) for tag in self.tags]
        return file.header(has_audio=True, has_video=True) + b"".join(tags)


def digests(flv: bytes) -> dict[str, list[str]]:
    """Return the digests of the packets that FFmpeg finds in a file, by their decoder."""
    found: dict[str, list[str]] = {}
    with av.open(BytesIO(flv), "r", format="flv") as container:
        for packet in container.demux():
            if packet.size:
                name = packet.stream.codec_context.name
                found.setdefault(name, []).append(hashlib.md5(bytes(packet)).hexdigest())
    return found
