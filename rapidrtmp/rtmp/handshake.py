"""The RTMP handshake: a server's side, simple and digest, and a client's, simple (RTMP 1.0, 5.2).

The digest form is not in the specification: Flash-era players ask for it by a version in
C1 and an HMAC-SHA256 hidden in its random bytes, at a place that C1 itself names.
"""

import hmac
import os
from collections.abc import Callable

from rapidrtmp.rtmp.errors import ProtocolError

VERSION = 3
"""The only version of plain RTMP; 6 is RTMPE."""
HANDSHAKE_SIZE = 1536
"""Bytes of C1, C2, S1 and S2."""

_DIGEST_SIZE = 32
_DIGEST_BASES = (772, 8)  # where schema 0 and schema 1 keep the digest's offset
_PLAYER_KEY = b"Genuine Adobe Flash Player 001"
_SERVER_KEY = b"Genuine Adobe Flash Media Server 001"
_SERVER_KEY_SUFFIX = bytes.fromhex(
    "f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae"
)
_SERVER_VERSION = bytes((3, 0, 1, 1))  # of a digest S1; players look for a digest from 3 on

_TLS = "a TLS handshake; this port speaks plain RTMP: publish to rtmp://, not rtmps://"
_HTTP = "an HTTP request; this port speaks RTMP: the web page is on the HTTP port"
_FOREIGN = {
    b"\x16\x03": _TLS,
    b"GET ": _HTTP,
    b"POST": _HTTP,
    b"PUT ": _HTTP,
    b"HEAD": _HTTP,
    b"OPTI": _HTTP,
    b"DELE": _HTTP,
    b"PATC": _HTTP,
    b"TRAC": _HTTP,
    b"CONN": _HTTP,
    b"PRI ": _HTTP,
}
"""How clients of other protocols open a connection."""


class ServerHandshake:
    """Answers C0 C1 by S0 S1 S2, then waits for C2.

    It buffers C0, C1 and C2 at most. C2 is not compared with S1: clients differ in what
    they put there.

    Args:
        random: returns so many random bytes.
    """

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self.output: list[bytes] = []
        """Bytes to send; the caller takes them away."""
        self.remainder = b""
        """What followed C2 in the same read: the first chunks."""
        self._random = random
        self._received = bytearray()
        self._answered = False

    def receive(self, data: bytes) -> bool:
        """Take bytes of the client and tell whether the handshake is complete.

        Must not be called again after it returned True.

        Raises:
            ProtocolError: ``bad_version``, or ``wrong_protocol`` for TLS and HTTP.
        """
        received = self._received
        missing = 1 + 2 * HANDSHAKE_SIZE - len(received)
        received += data[:missing]
        if received and received[0] != VERSION:
            self._refuse(bytes(received[:4]))
        if not self._answered and len(received) > HANDSHAKE_SIZE:
            self._answered = True
            self.output.append(self._answer(bytes(received[1 : 1 + HANDSHAKE_SIZE])))
        self.remainder = data[missing:]
        return len(data) >= missing

    def _refuse(self, start: bytes) -> None:
        """Raise, unless `start` is too short to know what the client speaks."""
        for prefix, found in _FOREIGN.items():
            if start.startswith(prefix):
                raise ProtocolError("wrong_protocol", f"received {found}")
            if prefix.startswith(start):
                return
        raise ProtocolError(
            "bad_version", f"received RTMP version {start[0]}, only {VERSION} is supported"
        )

    def _answer(self, c1: bytes) -> bytes:
        base_and_digest = _find_digest(c1, _PLAYER_KEY) if any(c1[4:8]) else None
        if base_and_digest is None:
            # zero version: FFmpeg as a player looks for a digest in S1 otherwise. S2 must
            # echo C1 byte for byte, some clients check it.
            s1 = bytes(8) + self._random(HANDSHAKE_SIZE - 8)
            return bytes((VERSION,)) + s1 + c1
        base, digest = base_and_digest
        s1 = bytes(4) + _SERVER_VERSION + self._random(HANDSHAKE_SIZE - 8)
        s1 = _insert_digest(s1, base, _SERVER_KEY)
        s2 = self._random(HANDSHAKE_SIZE - _DIGEST_SIZE)
        key = _hmac(_SERVER_KEY + _SERVER_KEY_SUFFIX, digest)
        return bytes((VERSION,)) + s1 + s2 + _hmac(key, s2)


class ClientHandshake:
    """Sends C0 C1, answers S0 S1 by C2, then waits for S2.

    The simple form, which every server takes; S2 is not compared with C1.

    Args:
        random: returns so many random bytes.
    """

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        # zero version: there is no digest to look for
        c1 = bytes(8) + random(HANDSHAKE_SIZE - 8)
        self.output = [bytes((VERSION,)) + c1]
        """Bytes to send; the caller takes them away."""
        self.remainder = b""
        """What followed S2 in the same read: the first chunks."""
        self._received = bytearray()
        self._answered = False

    def receive(self, data: bytes) -> bool:
        """Take bytes of the server and tell whether the handshake is complete.

        Must not be called again after it returned True.

        Raises:
            ProtocolError: ``bad_version``.
        """
        received = self._received
        missing = 1 + 2 * HANDSHAKE_SIZE - len(received)
        received += data[:missing]
        if received and received[0] != VERSION:
            raise ProtocolError(
                "bad_version", f"the server answers by {received[0]}: it does not speak RTMP"
            )
        if not self._answered and len(received) > HANDSHAKE_SIZE:
            self._answered = True
            self.output.append(bytes(received[1 : 1 + HANDSHAKE_SIZE]))
        self.remainder = data[missing:]
        return len(data) >= missing


def _find_digest(message: bytes, key: bytes) -> tuple[int, bytes] | None:
    """Return the schema's base and the digest of a C1 or S1, or None when there is none."""
    for base in _DIGEST_BASES:
        start = _digest_start(message, base)
        digest = message[start : start + _DIGEST_SIZE]
        if digest == _hmac(key, message[:start] + message[start + _DIGEST_SIZE :]):
            return base, digest
    return None


def _insert_digest(message: bytes, base: int, key: bytes) -> bytes:
    """Return a C1 or S1 with its digest put in at the place that `base` names."""
    start = _digest_start(message, base)
    head, tail = message[:start], message[start + _DIGEST_SIZE :]
    return head + _hmac(key, head + tail) + tail


def _digest_start(message: bytes, base: int) -> int:
    return sum(message[base : base + 4]) % 728 + base + 4


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
