"""Messages as FFmpeg writes them, whole and damaged, of every codec and of several tracks."""

from collections.abc import Sequence
from io import BytesIO

import av
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.isobmff.fragment import media_segment
from rapidrtmp.isobmff.movie import init_segment
from rapidrtmp.media.track import Sample, Track
from tests.flv.real_files import FRAMES, messages, record

REAL: list[tuple[tuple[str, ...], list[str]]] = [
    (("libx264", "aac"), ["h264", "aac"]),
    (("libx265", "libopus"), ["h265", "opus"]),
    (("libsvtav1", "flac"), ["av1", "flac"]),
    (("libvpx-vp9", "ac3"), ["vp9", "ac3"]),
    (("libx264", "eac3"), ["h264", "eac3"]),
    (("libmp3lame",), ["mp3"]),
    (
        ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "aac", "libopus", "flac", "ac3"),
        ["h264", "h265", "av1", "vp9", "aac", "opus", "flac", "ac3"],
    ),
]
"""Encoders, and what our tracks are called."""


def samples_of(demuxer: Demuxer, flv: bytes) -> dict[int, list[Sample]]:
    """Return what is in a file, by track."""
    found: dict[int, list[Sample]] = {}
    for type_id, timestamp, body in messages(flv):
        for sample in demuxer.receive(type_id, timestamp, body):
            found.setdefault(sample.track.track_id, []).append(sample)
    return found


def decoded_frames(track: Track, samples: Sequence[Sample]) -> int:
    """Return how many frames FFmpeg decodes of samples in ISO BMFF."""
    start = samples[0].dts
    for sample in samples:
        sample.dts -= start
    end = samples[-1].dts + track.nominal_duration
    movie = init_segment(track) + media_segment(track, 1, samples, end)
    with av.open(BytesIO(movie), "r") as container:
        return sum(len(packet.decode()) for packet in container.demux())


class RealTests(SynchronousTestCase):
    def test_frames(self) -> None:
        """All frames come out, with the codec's name, and decode."""
        for encoders, codecs in REAL:
            demuxer = Demuxer(REGISTRY)
            found = samples_of(demuxer, record(*encoders))
            self.assertEqual(demuxer.dropped, {}, encoders)
            self.assertEqual([track.codec for track in demuxer.tracks], codecs)
            self.assertEqual(
                [track.track_id for track in demuxer.tracks],
                [
                    *range(1, 1 + 2 * sum(track.kind == "video" for track in demuxer.tracks), 2),
                    *range(2, 2 + 2 * sum(track.kind == "audio" for track in demuxer.tracks), 2),
                ],
            )
            for track in demuxer.tracks:
                samples = found[track.track_id]
                if track.kind == "video":
                    self.assertEqual(len(samples), FRAMES)
                    self.assertTrue(samples[0].is_sync)
                    self.assertEqual(
                        {sample.dts % 3600 for sample in samples}, {samples[0].dts % 3600}
                    )
                self.assertEqual(decoded_frames(track, samples), len(samples), track.codec)

    def test_truncated(self) -> None:
        """A message that is cut at any byte of its head, or in its middle, never raises."""
        for encoders, _ in REAL:
            media = [one for one in messages(record(*encoders)) if one[0] in (8, 9)]
            firsts = {(type_id, body[:6]): body for type_id, _, body in reversed(media)}
            for (type_id, _), body in firsts.items():
                demuxer = Demuxer(REGISTRY)
                for size in (*range(min(len(body), 160)), len(body) // 2, len(body) - 1):
                    samples_before = demuxer.tracks
                    for sample in demuxer.receive(type_id, 0, body[:size]):
                        self.assertIn(sample.track, demuxer.tracks)
                    self.assertLessEqual(len(samples_before), len(demuxer.tracks))

    def test_damaged_stream(self) -> None:
        """Every tenth message with a flipped byte costs frames, not the stream."""
        for encoders, codecs in REAL:
            demuxer = Demuxer(REGISTRY)
            kept = 0
            for number, (type_id, timestamp, body) in enumerate(messages(record(*encoders))):
                if number > 2 * len(encoders) + 2 and number % 10 == 0 and body:
                    at = number * 7 % len(body)
                    body = body[:at] + bytes((body[at] ^ 0xFF,)) + body[at + 1 :]
                kept += len(demuxer.receive(type_id, timestamp, body))
            self.assertGreater(kept, FRAMES // 2, encoders)
            self.assertTrue({track.codec for track in demuxer.tracks} >= set(codecs), encoders)
