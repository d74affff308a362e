"""The form in which codecs are carried in transport streams: Annex B, ADTS, and as they are."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.codecs.aac import AACConfig
from rapidrtmp.codecs.ac3 import AC3Config, EAC3Config
from rapidrtmp.codecs.av1 import AV1Config
from rapidrtmp.codecs.flac import FLACConfig
from rapidrtmp.codecs.h264 import H264Config
from rapidrtmp.codecs.h265 import H265Config
from rapidrtmp.codecs.mp3 import MP3Config
from rapidrtmp.codecs.opus import OpusConfig
from rapidrtmp.codecs.vp9 import VP9Config
from rapidrtmp.media.codec import ElementaryStream, TransportConfig
from tests.codecs.builders import ASC, RATES, SPS, Layout, avcc, pps, prefixed
from tests.codecs.sound_builders import MP3Frame, ac3_frame, eac3_frame
from tests.codecs.video_builders import H265SPS, h265_pps, h265_vps, hvcc

START = b"\0\0\0\1"
SETS = (SPS().nal_unit(), pps())
H264 = H264Config.parse(avcc(SETS[:1], SETS[1:]))
H265_SETS = (h265_vps(), H265SPS().nal_unit(), h265_pps())
MASTERING = b"\x4e\x01\x89\x01\0\x80"
H265 = H265Config.parse(
    hvcc(
        *((0x80 | kind, [unit]) for kind, unit in zip((32, 33, 34), H265_SETS, strict=True)),
        (39, [MASTERING]),
    )
)


def annex_b(*nal_units: bytes) -> bytes:
    """Return NAL units with start codes."""
    return b"".join(START + unit for unit in nal_units)


class VideoTests(SynchronousTestCase):
    def test_h264(self) -> None:
        """One delimiter, at a start the sets once, and the NAL units as they came."""
        idr, slice_, sei, aud = b"\x65idr", b"\x41slice", b"\x06\x05sei", b"\x09\x10"
        other = pps(1)
        stream = H264.elementary_stream()
        self.assertEqual(stream[:3], (0x1B, 0xE0, b""))
        delimiter = b"\x09\xf0"
        for name, is_start, sent, expected in (
            ("IDR", True, (sei, idr), (delimiter, *SETS, sei, idr)),
            ("with its sets", True, (aud, *SETS, idr, idr), (delimiter, *SETS, idr, idr)),
            ("with another set", True, (other, idr), (delimiter, *SETS, other, idr)),
            ("slice", False, (aud, slice_), (delimiter, slice_)),
            ("slice with a set", False, (SETS[1], slice_), (delimiter, SETS[1], slice_)),
            ("start at a slice", True, (slice_,), (delimiter, *SETS, slice_)),
        ):
            for sample in (prefixed(*sent), memoryview(prefixed(*sent))):
                self.assertEqual(stream.byte_stream(sample, is_start), annex_b(*expected), name)
        self.assertEqual(stream.byte_stream(b"", True), b"")
        self.assertEqual(stream.byte_stream(b"\0\0\0\x09\x41", False), b"")

    def test_h265(self) -> None:
        """As for H.264; what the record says once of all pictures is repeated with the sets."""
        idr, slice_, aud = b"\x26\x01idr", b"\x02\x01slice", b"\x46\x01\x10"
        stream = H265.elementary_stream()
        self.assertEqual(stream[:3], (0x24, 0xE0, b"HEVC"))
        delimiter = b"\x46\x01\x50"
        self.assertEqual(
            stream.byte_stream(prefixed(aud, idr), True),
            annex_b(delimiter, *H265_SETS, MASTERING, idr),
        )
        self.assertEqual(
            stream.byte_stream(memoryview(prefixed(slice_)), False), annex_b(delimiter, slice_)
        )
        self.assertEqual(stream.byte_stream(b"\0\0\0\x09\x02", True), b"")

    @given(st.binary(max_size=60), st.booleans())
    def test_anything(self, sample: bytes, is_start: bool) -> None:
        """No sample makes it raise."""
        for config in (H264, H265):
            made = config.elementary_stream().byte_stream(sample, is_start)
            self.assertTrue(not made or made.startswith(START))


class AACTests(SynchronousTestCase):
    def stream(self, config: AACConfig) -> ElementaryStream:
        """Return what must be there."""
        stream = config.elementary_stream()
        assert stream is not None
        return stream

    def test_header(self) -> None:
        """Profile, rate, channels and size of every configuration that ADTS can tell."""
        for index, rate in enumerate(RATES):
            for configuration in range(1, 8):
                for object_type in (1, 2, 3, 4):
                    asc = ASC(rate=rate, configuration=configuration, object_type=object_type)
                    stream = self.stream(AACConfig.parse(asc.octets()))
                    self.assertEqual(stream[:3], (0x0F, 0xC0, b""))
                    frame = stream.byte_stream(memoryview(b"frame"), True)
                    bits = (
                        f"{0xFFF:012b}0001{object_type - 1:02b}{index:04b}0{configuration:03b}0000"
                        f"{12:013b}{0x7FF:011b}00"
                    )
                    self.assertEqual(frame, int(bits, 2).to_bytes(7, "big") + b"frame")

    def test_high_efficiency(self) -> None:
        """The header is the core's: decoders find SBR and PS by themselves."""
        for asc in (
            ASC(rate=24000, configuration=1, explicit=(29, 48000)),
            ASC(rate=24000, configuration=1, compatible=(29, 48000)),
        ):
            frame = self.stream(AACConfig.parse(asc.octets())).byte_stream(b"x", True)
            self.assertEqual(frame.hex(), "fff15840011ffc78")

    def test_no_place(self) -> None:
        """What has no index in the header has no place in a transport stream."""
        for asc in (
            ASC(short_frames=True),
            ASC(rate=37800),
            ASC(configuration=12),
            ASC(configuration=0, layout=Layout()),
        ):
            self.assertIsNone(AACConfig.parse(asc.octets()).elementary_stream())

    def test_size(self) -> None:
        """A frame of a size that 13 bits cannot tell is left out."""
        stream = self.stream(AACConfig.parse(ASC().octets()))
        self.assertEqual(len(stream.byte_stream(bytes(8184), True)), 8191)
        self.assertEqual(stream.byte_stream(bytes(8185), True), b"")


class OtherTests(SynchronousTestCase):
    def test_as_they_are(self) -> None:
        """MP3, AC-3 and E-AC-3 frames are carried unchanged, under the numbers players know."""
        mpeg_1, mpeg_2 = MP3Frame().octets(), MP3Frame(version=2).octets()
        ac3, eac3 = ac3_frame(30), eac3_frame()
        for config, frame, told in (
            (MP3Config.from_frame(mpeg_1), mpeg_1, (3, 0xC0, b"")),
            (MP3Config.from_frame(mpeg_2), mpeg_2, (4, 0xC0, b"")),
            (AC3Config.from_frame(ac3), ac3, (0x81, 0xBD, b"AC-3")),
            (EAC3Config.from_frame(eac3), eac3, (0x87, 0xBD, b"EAC3")),
        ):
            stream = config.elementary_stream()
            self.assertEqual(stream[:3], told)
            self.assertEqual(stream.byte_stream(memoryview(frame), True), frame)
            self.assertTrue(verifyObject(TransportConfig, config))

    def test_without_a_place(self) -> None:
        """AV1, VP9, Opus and FLAC have no place that players know."""
        for config_class in (AV1Config, VP9Config, OpusConfig, FLACConfig):
            self.assertFalse(TransportConfig.implementedBy(config_class))
