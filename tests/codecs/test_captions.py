"""Captions in the samples of each codec."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.av1 import AV1Config
from rapidrtmp.codecs.h264 import H264Config
from rapidrtmp.codecs.h265 import H265Config
from rapidrtmp.codecs.sei import MAX_SEI, CaptionFinder
from tests.media.test_captions import control, packet, user_data

TRIPLETS = control("CC1") + packet((1, b"x" * 5))
H264 = CaptionFinder(0, 0x1F, 6, range(1, 6), 1)


def unit(header: bytes, body: bytes = b"") -> bytes:
    """Return a NAL unit behind its length."""
    return (len(header) + len(body)).to_bytes(4, "big") + header + body


def sei(*messages: tuple[int, bytes]) -> bytes:
    """Return SEI messages with trailing bits, and emulation prevention."""
    body = b""
    for kind, payload in messages:
        body += bytes((kind,)) + b"\xff" * (len(payload) // 255) + bytes((len(payload) % 255,))
        body += payload
    for value in range(4):
        body = body.replace(bytes((0, 0, value)), bytes((0, 0, 3, value)))
    return body + b"\x80"


USER_DATA = (4, user_data(TRIPLETS))
UNREGISTERED = (5, b"uuid of 16 bytes" + b"x264 - core 164 " * 40)


class CaptionTests(SynchronousTestCase):
    def test_h264(self) -> None:
        """Behind other messages and NAL units, but in front of the first slice."""
        aud = unit(b"\x09", b"\xf0")
        slice_ = unit(b"\x65", b"slice")
        find = H264.find
        for payload in (
            unit(b"\x06", sei(USER_DATA)) + slice_,
            aud + unit(b"\x06", sei(UNREGISTERED, USER_DATA)) + slice_,
            aud + unit(b"\x06", sei(UNREGISTERED)) + unit(b"\x06", sei(USER_DATA)) + slice_,
        ):
            self.assertEqual(find(payload), TRIPLETS)
            self.assertEqual(find(memoryview(payload)), TRIPLETS)
        for payload in (
            b"",
            slice_,
            slice_ + unit(b"\x06", sei(USER_DATA)),
            unit(b"\x06", sei(UNREGISTERED)) + slice_,
            unit(b"\x06", bytes(MAX_SEI)) + slice_,
            unit(b"\x06", sei((4, b"\xb5\x00\x31DTG1"))) + slice_,
        ):
            self.assertEqual(find(payload), b"")
        self.assertEqual(H264Config.captions(None, unit(b"\x06", sei(USER_DATA))), TRIPLETS)  # type: ignore[arg-type]  # it looks at the sample alone

    def test_h265(self) -> None:
        """In a prefix SEI; a suffix SEI comes too late."""
        slice_ = unit(b"\x26\x01", b"slice")
        body = sei(USER_DATA)
        for payload, expected in (
            (unit(b"\x4e\x01", body) + slice_, TRIPLETS),
            (slice_ + unit(b"\x50\x01", body), b""),
            (slice_, b""),
        ):
            self.assertEqual(H265Config.captions(None, payload), expected)  # type: ignore[arg-type]  # as above

    def test_av1(self) -> None:
        """In a metadata OBU of type ITUT_T35."""
        frame = b"\x32\x03\x10\x00\x00"
        for kind, expected in ((4, TRIPLETS), (1, b"")):
            content = bytes((kind,)) + user_data(TRIPLETS)
            payload = b"\x2a" + bytes((len(content),)) + content + frame
            self.assertEqual(AV1Config.captions(None, payload), expected)  # type: ignore[arg-type]  # as above
        self.assertEqual(AV1Config.captions(None, frame), b"")  # type: ignore[arg-type]  # as above

    @given(st.binary(max_size=200), st.binary(max_size=60))
    def test_arbitrary(self, octets: bytes, body: bytes) -> None:
        """Whatever a sample holds, nothing is raised."""
        for payload in (octets, unit(b"\x06", body) + octets, unit(b"\x4e\x01", body)):
            for config in (H264Config, H265Config, AV1Config):
                config.captions(None, payload)  # type: ignore[arg-type]  # as above
