"""Tests for `rapidrtmp.judge.codec_string`: what CODECS may say, against the codecs' own words."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fuzz.seeds import AUDIO, VIDEO
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.isobmff.box import box, full_box
from rapidrtmp.judge.boxes import Box, Fault, read_boxes
from rapidrtmp.judge.codec_string import AUDIO_HEAD, VISUAL_HEAD, Strings, codec_strings
from rapidrtmp.media.codec import ConfigError, VideoConfig
from tests.codecs.builders import ASC


def entry(octets: bytes) -> Box:
    """Read a sample entry."""
    (found,) = read_boxes(octets)
    return found


def visual(type_: bytes, name: bytes, record: bytes) -> Strings:
    """Give the strings of a video sample entry."""
    return codec_strings(entry(box(type_, bytes(VISUAL_HEAD), box(name, record))), "vide")


def sound(type_: bytes, name: bytes, record: bytes) -> Strings:
    """Give the strings of a sound sample entry."""
    return codec_strings(entry(box(type_, bytes(AUDIO_HEAD), box(name, record))), "soun")


def esds(object_type: int, specific: bytes) -> bytes:
    """Make the content of esds, with sizes in one byte."""
    decoder = bytes((object_type, 0x15)) + bytes(11) + bytes((5, len(specific))) + specific
    content = bytes(3) + bytes((4, len(decoder))) + decoder + b"\x06\x01\x02"
    return bytes(4) + bytes((3, len(content))) + content


class CodecStringTests(SynchronousTestCase):
    def test_registry(self) -> None:
        """What each codec of the server says of itself fits its own sample entry."""
        seen = 0
        for fourcc, record, frame in (*VIDEO, *AUDIO):
            for table in (REGISTRY.video, REGISTRY.audio, REGISTRY.audio_frames):
                if fourcc not in table:
                    continue
                try:
                    config = table[fourcc](record)
                except ConfigError:
                    continue
                if config.kind == "video" and not VideoConfig(config).is_complete:
                    config = VideoConfig(config).access_unit(frame, True).config
                if not config.has_sample_entry:
                    continue
                kind = "vide" if config.kind == "video" else "soun"
                strings = codec_strings(entry(config.sample_entry()), kind)
                self.assertTrue(strings.fits(config.rfc6381()), (config.rfc6381(), strings))
                seen += 1
        self.assertGreaterEqual(seen, len(VIDEO) - 1 + len(AUDIO))

    def test_table(self) -> None:
        """Strings by the standards' own examples, and near misses."""
        hevc = bytes((1, 1)) + b"\x60\0\0\0" + b"\xb0\0\0\0\0\0" + bytes((93,))
        av1 = bytes((0x81, 0x04, 0x0C, 0))
        main10 = bytes((0x81, 0x0D, 0xCC, 0))
        vp9 = bytes(4) + bytes((2, 10, 0xA3, 9, 16, 9, 0, 0))
        mp3 = esds(0x6B, b"")
        aac, he, implicit = (esds(0x40, octets) for octets in (b"\x11\x90", b"\x2b\x92\x08\0", b""))
        implicit = esds(0x40, b"\x13\x10\x56\xe5\x9d\x48\x80")
        for strings, right, wrong in (
            (visual(b"avc1", b"avcC", b"\1\x64\0\x1f"), "avc1.64001F", "avc1.640020"),
            (visual(b"avc3", b"avcC", b"\1\x64\0\x1f"), "avc3.64001f", "avc1.64001f"),
            (visual(b"hvc1", b"hvcC", hevc), "hvc1.1.6.L93.B0", "hvc1.1.6.L93"),
            (visual(b"hvc1", b"hvcC", hevc), "hvc1.1.6.L93.B0.0.0", "hvc1.1.6.H93.B0"),
            (visual(b"av01", b"av1C", av1), "av01.0.04M.08", "av01.0.04M.10"),
            (visual(b"av01", b"av1C", main10), "av01.0.13H.10.0.110.09.16.09.0", "av01.0.13M.10"),
            (visual(b"av01", b"av1C", av1), "av01.0.04M.08.0.110.01.01.01.0", "av01.0.4M.08"),
            (visual(b"vp09", b"vpcC", vp9), "vp09.02.10.10", "vp09.02.10.08"),
            (visual(b"vp09", b"vpcC", vp9), "vp09.02.10.10.01.09.16.09.01", "vp09.02.10.10.01"),
            (sound(b"mp4a", b"esds", aac), "mp4a.40.2", "mp4a.40.5"),
            (sound(b"mp4a", b"esds", he), "mp4a.40.5", "mp4a.40.2"),
            (sound(b"mp4a", b"esds", implicit), "mp4a.40.5", "mp4a.40.29x"),
            (sound(b"mp4a", b"esds", mp3), "mp4a.40.34", "mp4a.40.2"),
            (sound(b"Opus", b"dOps", b"\0\2"), "opus", "Vorbis"),
            (sound(b"ac-3", b"dac3", bytes(3)), "ac-3", "ec-3"),
            (sound(b"ec-3", b"dec3", bytes(5)), "ec-3", "ac-3"),
            (codec_strings(entry(box(b"wvtt")), "text"), "wvtt", "stpp"),
        ):
            self.assertTrue(strings.fits(right), (strings, right))
            self.assertFalse(strings.fits(wrong), (strings, wrong))

    def test_faults(self) -> None:
        """A configuration that is missing or cut is told as one."""
        for octets, kind in (
            (box(b"avc1", bytes(VISUAL_HEAD)), "vide"),
            (box(b"avc1", bytes(5)), "vide"),
            (box(b"avc1", bytes(VISUAL_HEAD), box(b"avcC", b"\2abc")), "vide"),
            (box(b"av01", bytes(VISUAL_HEAD), box(b"av1C", b"\x80abc")), "vide"),
            (box(b"mp4a", bytes(AUDIO_HEAD), full_box(b"esds", 0, 0, b"\3\x80")), "soun"),
            (box(b"mp4a", bytes(AUDIO_HEAD), full_box(b"esds", 0, 0)), "soun"),
            (box(b"Opus", bytes(AUDIO_HEAD), box(b"dOps", b"\1\2")), "soun"),
            (box(b"fLaC", bytes(AUDIO_HEAD), full_box(b"dfLa", 0, 0, bytes(8))), "soun"),
        ):
            self.assertRaises(Fault, codec_strings, entry(octets), kind)

    @settings(max_examples=300)
    @given(st.binary(max_size=60))
    def test_any_bytes(self, record: bytes) -> None:
        """Whatever is in a configuration is read, or a fault."""
        video = (b"avc1", b"avcC"), (b"hvc1", b"hvcC"), (b"av01", b"av1C"), (b"vp09", b"vpcC")
        audio = (b"mp4a", b"esds"), (b"Opus", b"dOps"), (b"fLaC", b"dfLa"), (b"ec-3", b"dec3")
        calls = itertools.chain(
            ((visual, *names) for names in video), ((sound, *names) for names in audio)
        )
        for read, type_, name in calls:
            try:
                strings = read(type_, name, record)
            except Fault:
                continue
            self.assertTrue(strings.fits(strings.exact), strings)

    def test_aac_of_the_builder(self) -> None:
        """The builder's AAC is what it says."""
        self.assertEqual(sound(b"mp4a", b"esds", esds(0x40, ASC().octets())).exact, "mp4a.40.2")
