"""A small RTMP publisher of the tests' own, for what real encoders cannot be made to do.

It is independent of the server's code, knows only what it needs, and blocks.
"""

import os
import socket
import struct
from collections.abc import Iterable
from typing import Any

from tests.integration.media import Tag

CHUNK_SIZE = 65536


def amf(*values: object) -> bytes:
    """Encode AMF0 values: numbers, booleans, strings, None and objects of these."""
    return b"".join(_amf(value) for value in values)


def _amf(value: object) -> bytes:
    if value is None:
        return b"\x05"
    if isinstance(value, bool):
        return b"\x01" + bytes([value])
    if isinstance(value, int | float):
        return b"\x00" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\x02" + _name(value)
    if isinstance(value, dict):
        fields = b"".join(_name(name) + _amf(each) for name, each in value.items())
        return b"\x03" + fields + b"\x00\x00\x09"
    raise TypeError(value)


def _name(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _read_value(body: bytes, at: int) -> tuple[Any, int]:
    marker = body[at]
    at += 1
    if marker == 0:
        return struct.unpack_from(">d", body, at)[0], at + 8
    if marker == 1:
        return bool(body[at]), at + 1
    if marker == 2:
        return _read_name(body, at)
    if marker in (3, 8):
        at += 4 if marker == 8 else 0
        fields: dict[str, Any] = {}
        while body[at : at + 3] != b"\x00\x00\x09":
            name, at = _read_name(body, at)
            fields[name], at = _read_value(body, at)
        return fields, at + 3
    if marker in (5, 6):
        return None, at
    raise ValueError(f"AMF0 marker {marker}")


def _read_name(body: bytes, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from(">H", body, at)
    return body[at + 2 : at + 2 + size].decode(), at + 2 + size


def read_values(body: bytes) -> list[Any]:
    """Decode the AMF0 values of a message."""
    values, at = [], 0
    while at < len(body):
        value, at = _read_value(body, at)
        values.append(value)
    return values


class Refused(Exception):
    """The server said no."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description


class RawPublisher:
    """One connection to an RTMP server."""

    def __init__(self, port: int, *, timeout: float = 60.0, address: str = "127.0.0.1") -> None:
        """Connect, from any address of the loopback network."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout, (address, 0))
        self._buffer = b""
        self._chunk_size_in = 128
        self._partial: dict[int, tuple[int, int, bytes]] = {}
        self.codes: list[str] = []
        """Every status code that came, in order."""
        self.stream_id = 0

    def publish(self, name: str, app: str = "live") -> None:
        """Go all the way to the answer to publish.

        Raises:
            Refused: the server refused.
            ConnectionError: it hung up without a word.
        """
        self.handshake()
        self.send(1, 2, 0, 0, struct.pack(">I", CHUNK_SIZE))
        url = f"rtmp://127.0.0.1/{app}"
        self.command("connect", 1, {"app": app, "type": "nonprivate", "tcUrl": url})
        self._result(1)
        self.command("releaseStream", 2, None, name)
        self.command("FCPublish", 3, None, name)
        self.command("createStream", 4, None)
        self.stream_id = int(self._result(4)[3])
        self.command("publish", 5, None, name, "live", stream_id=self.stream_id)
        while "NetStream.Publish.Start" not in self.codes:
            self.receive()

    def handshake(self) -> None:
        """Do the simple handshake."""
        hello = bytes(8) + os.urandom(1528)
        self.socket.sendall(b"\x03" + hello)
        answer = self._exactly(1 + 1536 + 1536)
        if answer[:1] != b"\x03" or answer[1537:] != hello:
            raise AssertionError("S2 is not an echo of C1")
        self.socket.sendall(answer[1:1537])

    def command(self, name: str, transaction: int, *values: object, stream_id: int = 0) -> None:
        """Send an AMF0 command."""
        self.send(20, 3, stream_id, 0, amf(name, transaction, *values))

    def send(self, type_id: int, chunk_stream: int, stream_id: int, time: int, body: bytes) -> None:
        """Send one message; the arguments are the fields of its header."""
        pieces = [self._header(type_id, chunk_stream, stream_id, time, body), body[:CHUNK_SIZE]]
        for at in range(CHUNK_SIZE, len(body), CHUNK_SIZE):
            pieces += [bytes([0xC0 | chunk_stream]), body[at : at + CHUNK_SIZE]]
        self.socket.sendall(b"".join(pieces))

    def send_tags(self, tags: Iterable[Tag], *, shift: int = 0) -> None:
        """Send FLV tags as messages, their times shifted by some ms."""
        for tag in tags:
            body = tag.body
            if tag.type_id == 18:
                body = amf("@setDataFrame") + body
            self.send(tag.type_id, 4, self.stream_id, tag.timestamp + shift, body)

    def receive(self) -> tuple[int, bytes]:
        """Read one message and give its type and body.

        Raises:
            Refused: it is an error status.
            ConnectionError: the server has closed.
        """
        while True:
            first = self._exactly(1)[0]
            kind, chunk_stream = first >> 6, first & 0x3F
            if chunk_stream < 2:
                raise ValueError("long chunk stream ids are not expected from a server")
            size, type_id, begun = self._partial.get(chunk_stream, (0, 0, b""))
            if kind < 3:
                header = self._exactly((11, 7, 3)[kind])
                if kind < 2:
                    size, type_id = int.from_bytes(header[3:6], "big"), header[6]
                if header[:3] == b"\xff\xff\xff":
                    self._exactly(4)
            begun += self._exactly(min(self._chunk_size_in, size - len(begun)))
            if len(begun) < size:
                self._partial[chunk_stream] = size, type_id, begun
                continue
            self._partial[chunk_stream] = size, type_id, b""
            self._heed(type_id, begun)
            return type_id, begun

    def closed_by_server(self) -> bool:
        """Read until the server closes. False when it does not within the time-out."""
        try:
            while True:
                self.receive()
        except Refused:
            return self.closed_by_server()
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def reset(self) -> None:
        """Close with RST rather than FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Close."""
        self.socket.close()

    def _heed(self, type_id: int, body: bytes) -> None:
        if type_id == 1:
            self._chunk_size_in = int.from_bytes(body[:4], "big")
        elif type_id == 20:
            values = read_values(body)
            status = next(
                (each for each in values[2:] if isinstance(each, dict) and "code" in each), None
            )
            if status is not None:
                self.codes.append(status["code"])
                if status.get("level") == "error":
                    raise Refused(status["code"], status.get("description", ""))

    def _result(self, transaction: int) -> list[Any]:
        while True:
            type_id, body = self.receive()
            if type_id == 20:
                values = read_values(body)
                if values[0] == "_result" and values[1] == transaction:
                    return values

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            received = self.socket.recv(65536)
            if not received:
                raise ConnectionError("the server has closed the connection")
            self._buffer += received
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    @staticmethod
    def _header(type_id: int, chunk_stream: int, stream_id: int, time: int, body: bytes) -> bytes:
        time &= 0xFFFFFFFF
        short = min(time, 0xFFFFFF)
        header = bytes([chunk_stream]) + short.to_bytes(3, "big") + len(body).to_bytes(3, "big")
        header += bytes([type_id]) + struct.pack("<I", stream_id)
        return header + (struct.pack(">I", time) if short == 0xFFFFFF else b"")
