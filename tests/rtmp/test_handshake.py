"""Tests of `rapidrtmp.rtmp.handshake`."""

import random
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest as hmac_digest
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.handshake import HANDSHAKE_SIZE, ServerHandshake

PLAYER_KEY = b"Genuine Adobe Flash Player 001"
SERVER_KEY = b"Genuine Adobe Flash Media Server 001"
FULL_SERVER_KEY = SERVER_KEY + bytes.fromhex(
    "f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae"
)
FLASH_VERSION = bytes((9, 0, 124, 2))
CHUNKS = b"\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x10\x00"
"""A Set Chunk Size message, as it follows C2 in the same segment."""


def random_bytes(size: int) -> bytes:
    """Return always the same bytes, none of them zero."""
    return bytes(random.Random(size).choices(range(1, 256), k=size))


def digest_place(message: bytes, base: int) -> int:
    """Return where the digest of a schema starts."""
    return sum(message[base : base + 4]) % 728 + base + 4


def digest_of(key: bytes, message: bytes, place: int) -> bytes:
    """Return the digest of all but the 32 bytes at `place`."""
    return hmac_digest(key, message[:place] + message[place + 32 :], sha256)


def simple_c1(time: bytes = b"\x00\x00\x00\x00", version: bytes = b"\x00\x00\x00\x00") -> bytes:
    """Return a C1 without a digest."""
    return time + version + random_bytes(HANDSHAKE_SIZE - 8)


def digest_c1(base: int, version: bytes = FLASH_VERSION) -> bytes:
    """Return a C1 as Flash Player sends it."""
    message = simple_c1(b"\x00\x00\x12\x34", version)
    place = digest_place(message, base)
    return message[:place] + digest_of(PLAYER_KEY, message, place) + message[place + 32 :]


@dataclass
class Outcome:
    """What a handshake did with all of a client's bytes."""

    done: bool
    answer: bytes
    remainder: bytes


def shake(data: bytes, splits: list[int] | None = None) -> Outcome:
    """Feed `data` cut at `splits`; what comes after C2's read is the remainder, too."""
    handshake = ServerHandshake(random_bytes)
    done = False
    late = b""
    for start, end in pairwise([0, *sorted(splits or []), len(data)]):
        if done:
            late += data[start:end]
        else:
            done = handshake.receive(data[start:end])
    return Outcome(done, b"".join(handshake.output), handshake.remainder + late)


def parts(answer: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut an answer into S0, S1 and S2."""
    return answer[:1], answer[1 : 1 + HANDSHAKE_SIZE], answer[1 + HANDSHAKE_SIZE :]


C2S = {"zeros": bytes(HANDSHAKE_SIZE), "random": random_bytes(HANDSHAKE_SIZE)}

SIMPLE = {
    "zero time": simple_c1(),
    "A11 time not zero": simple_c1(time=b"\x12\x34\x56\x78"),
    "A11 Flash version without a digest": simple_c1(b"\x12\x34\x56\x78", FLASH_VERSION),
    "zeros": bytes(HANDSHAKE_SIZE),
    "A9 broken digest, schema 0": digest_c1(772)[:-1] + b"\x00",
    "A9 broken digest, schema 1": digest_c1(8)[:-1] + b"\x00",
    "digest but version zero": digest_c1(772, version=bytes(4)),
}


class SimpleHandshakeTests(SynchronousTestCase):
    def test_answer(self) -> None:
        """A3 to A11: S1 has version zero, S2 is C1 byte for byte, whatever C2 is."""
        for name, c1 in SIMPLE.items():
            for c2 in C2S.values():
                outcome = shake(b"\x03" + c1 + c2 + CHUNKS)
                s0, s1, s2 = parts(outcome.answer)
                self.assertEqual(s0, b"\x03", name)
                self.assertEqual(s1, bytes(8) + random_bytes(HANDSHAKE_SIZE - 8), name)
                self.assertEqual(s2, c1, name)
                self.assertTrue(outcome.done, name)
                self.assertEqual(outcome.remainder, CHUNKS, name)

    def test_answer_before_c2(self) -> None:
        """S0, S1 and S2 leave with the last byte of C1, not before and not twice."""
        handshake = ServerHandshake()
        c1 = simple_c1()
        self.assertFalse(handshake.receive(b"\x03" + c1[:-1]))
        self.assertEqual(handshake.output, [])
        self.assertFalse(handshake.receive(c1[-1:]))
        [answer] = handshake.output
        self.assertEqual(len(answer), 1 + 2 * HANDSHAKE_SIZE)
        handshake.output.clear()
        self.assertFalse(handshake.receive(bytes(HANDSHAKE_SIZE - 1)))
        self.assertTrue(handshake.receive(b"\x00"))
        self.assertEqual(handshake.output, [])
        self.assertEqual(handshake.remainder, b"")

    def test_random(self) -> None:
        """Each connection gets other random bytes."""
        handshakes = ServerHandshake(), ServerHandshake()
        for handshake in handshakes:
            handshake.receive(b"\x03" + simple_c1())
        self.assertNotEqual(handshakes[0].output, handshakes[1].output)

    def test_nothing(self) -> None:
        """An empty read changes nothing."""
        self.assertEqual(shake(b""), Outcome(False, b"", b""))


class DigestHandshakeTests(SynchronousTestCase):
    def test_answer(self) -> None:
        """A9: S1 has its digest in the client's schema, S2 proves the server's key."""
        for base in (772, 8):
            c1 = digest_c1(base)
            outcome = shake(b"\x03" + c1 + bytes(HANDSHAKE_SIZE) + CHUNKS)
            s0, s1, s2 = parts(outcome.answer)
            self.assertEqual(s0, b"\x03")
            self.assertEqual(len(s1), HANDSHAKE_SIZE)
            self.assertGreaterEqual(s1[4], 3)
            place = digest_place(s1, base)
            self.assertEqual(s1[place : place + 32], digest_of(SERVER_KEY, s1, place))
            c1_place = digest_place(c1, base)
            c1_digest = c1[c1_place : c1_place + 32]
            key = hmac_digest(FULL_SERVER_KEY, c1_digest, sha256)
            self.assertEqual(s2[-32:], hmac_digest(key, s2[:-32], sha256))
            self.assertEqual(len(s2), HANDSHAKE_SIZE)
            self.assertTrue(outcome.done)
            self.assertEqual(outcome.remainder, CHUNKS)

    def test_digest_at_either_end(self) -> None:
        """The digest is found at the first and the last place of each schema."""
        for base in (772, 8):
            for offset in (bytes(4), bytes((255, 255, 217, 0))):
                message = simple_c1(version=FLASH_VERSION)
                message = message[:base] + offset + message[base + 4 :]
                place = digest_place(message, base)
                self.assertEqual(place, base + 4 + sum(offset))
                c1 = message[:place] + digest_of(PLAYER_KEY, message, place) + message[place + 32 :]
                _, s1, _ = parts(shake(b"\x03" + c1).answer)
                self.assertNotEqual(s1[4:8], bytes(4))


class SplitTests(SynchronousTestCase):
    def test_bytewise(self) -> None:
        """A7: a byte a segment and all in one segment give the same."""
        for c1 in (simple_c1(), digest_c1(772), digest_c1(8)):
            data = b"\x03" + c1 + random_bytes(HANDSHAKE_SIZE) + CHUNKS
            self.assertEqual(shake(data, list(range(1, len(data)))), shake(data))

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from([simple_c1(), digest_c1(772), digest_c1(8)]),
        st.binary(max_size=100),
        st.lists(st.integers(0, 1 + 2 * HANDSHAKE_SIZE + 100), max_size=8),
    )
    def test_any_split(self, c1: bytes, chunks: bytes, splits: list[int]) -> None:
        """However the input is cut, answer and remainder are the same."""
        data = b"\x03" + c1 + bytes(HANDSHAKE_SIZE) + chunks
        outcome = shake(data, [min(split, len(data)) for split in splits])
        self.assertEqual(outcome, shake(data))
        self.assertEqual(outcome.remainder, chunks)


HTTP_METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "CONNECT")

REFUSED: list[tuple[str, bytes, str, str]] = [
    ("A3 zero", b"\x00", "bad_version", "version 0,"),
    ("A3 RTMPE", b"\x06" + bytes(1536), "bad_version", "version 6,"),
    ("A3 space", b"\x20", "bad_version", "version 32,"),
    ("A3 0xff", b"\xff" * 2000, "bad_version", "version 255,"),
    ("SRS proxy prefix", b"\xf3\x00\x04", "bad_version", "version 243,"),
    ("0x16, not TLS", b"\x16\x04", "bad_version", "version 22,"),
    ("G, not GET", b"GEX", "bad_version", "version 71,"),
    ("A4 TLS", bytes.fromhex("160301020001000101fc0303"), "wrong_protocol", "rtmps://"),
    *(
        (f"A5 {method}", f"{method} / HTTP/1.1\r\n".encode(), "wrong_protocol", "HTTP port")
        for method in HTTP_METHODS
    ),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "wrong_protocol", "HTTP port"),
]


class RefusalTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """A3, A4, A5: whole or byte by byte, with nothing sent back."""
        for name, data, reason, message in REFUSED:
            for step in (1, len(data)):
                handshake = ServerHandshake()
                with self.assertRaises(ProtocolError, msg=name) as caught:
                    for start in range(0, len(data), step):
                        self.assertFalse(handshake.receive(data[start : start + step]))
                self.assertEqual(caught.exception.reason, reason, name)
                self.assertIn(message, str(caught.exception), name)
                self.assertEqual(handshake.output, [], name)

    def test_not_yet_known(self) -> None:
        """While a start may still become another protocol, nothing is decided or sent."""
        for start in (b"\x16", b"GET", b"O"):
            self.assertEqual(shake(start), Outcome(False, b"", b""))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=40), st.sampled_from([b"", b"\x03", b"\x16\x03", b"GET "]))
    def test_arbitrary_bytes(self, data: bytes, start: bytes) -> None:
        """Any bytes are a handshake or a ProtocolError."""
        try:
            outcome = shake((start + data) * 100)
        except ProtocolError as error:
            self.assertIn(error.reason, ("bad_version", "wrong_protocol"))
        else:
            self.assertEqual(outcome.done, len(start + data) * 100 >= 1 + 2 * HANDSHAKE_SIZE)


class MemoryTests(SynchronousTestCase):
    def test_buffer_is_bounded(self) -> None:
        """A10: a mebibyte of junk in one read is handed on, not kept."""
        handshake = ServerHandshake()
        junk = b"\xaa" * (1 << 20)
        self.assertTrue(handshake.receive(b"\x03" + simple_c1() + bytes(HANDSHAKE_SIZE) + junk))
        self.assertEqual(handshake.remainder, junk)
        self.assertEqual(len(handshake._received), 1 + 2 * HANDSHAKE_SIZE)

    def test_exactly_complete(self) -> None:
        """The handshake is complete with C2's last byte."""
        data = b"\x03" + simple_c1() + bytes(HANDSHAKE_SIZE)
        self.assertFalse(shake(data[:-1]).done)
        self.assertTrue(shake(data).done)
