"""Tests for `rapidrtmp.outputs.thumbnail` and `rapidrtmp.outputs.pictures`."""

import gc
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.interfaces import (
    IMMUTABLE,
    IKeyFrames,
    IMemoryHolder,
    IOutputMaker,
    NotFound,
    NotReady,
    Representation,
)
from rapidrtmp.media.track import VIDEO_TRACK_ID, Sample, Track
from rapidrtmp.outputs import thumbnail
from rapidrtmp.outputs.hls_maker import HLSMaker, HLSSettings
from rapidrtmp.outputs.pictures import decoder_record, picture_size
from rapidrtmp.outputs.retention import AFTER_END
from rapidrtmp.outputs.thumbnail import (
    BLOCKED,
    FRESH,
    MAX_IMAGES,
    MAX_WAITING,
    ThumbnailMaker,
    ThumbnailOutput,
    ThumbnailSettings,
)
from rapidrtmp.outputs.thumbnail_worker import ThumbnailError
from rapidrtmp.outputs.uploads import Uploads
from rapidrtmp.stream.events import Events
from rapidrtmp.stream.lifecycle import StreamState
from tests.isobmff.fakes import AUDIO, VIDEO, VP8, FakeVideoConfig
from tests.media.samples import video
from tests.outputs.fakes import CheckingStorage
from tests.stream import fakes
from tests.stream.fakes import Encoder, StreamCase

THUMB = ("thumb.jpg",)


class FakeWorker:
    """Makes pictures when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, object, tuple[int, int]]] = []
        self._jobs: list[Deferred[bytes]] = []

    def make(
        self, codec: str, config: bytes, sample: bytes | memoryview, size: tuple[int, int]
    ) -> Deferred[bytes]:
        """Note what is asked."""
        self.asked.append((codec, config, sample, size))
        self._jobs.append(Deferred())
        return self._jobs[-1]

    @property
    def running(self) -> int:
        """How many wait for their picture."""
        return len(self._jobs)

    def finish(self, jpeg: bytes = b"JPEG") -> None:
        """Make the oldest one."""
        self._jobs.pop(0).callback(jpeg)

    def fail(self, reason: str) -> None:
        """Do not."""
        self._jobs.pop(0).errback(ThumbnailError(reason, "for some reason"))


class ThumbnailCase(StreamCase):
    """A stream manager whose streams have thumbnails."""

    settings = ThumbnailSettings(width=320, max_segments=4)
    worker: FakeWorker | None

    def makers(self) -> Sequence[IOutputMaker]:
        """Make the outputs' maker."""
        self.worker = FakeWorker()
        self.thumbnails = ThumbnailMaker(self.clock, self.settings, self.worker)  # type: ignore[arg-type]  # as much of a worker as is used
        return [self.thumbnails, self.maker]

    @property
    def key_frames(self) -> list[object]:
        """The payloads of the key frames that the outputs were handed."""
        samples = self.maker.outputs[-1].samples
        return [each.payload for each in samples if each.track.kind == "video" and each.is_sync]

    @property
    def jobs(self) -> FakeWorker:
        """The worker, which is there."""
        assert self.worker is not None
        return self.worker

    @property
    def pictures(self) -> ThumbnailOutput:
        """The output of the usual stream."""
        [output] = self.stream.http_outputs
        assert isinstance(output, ThumbnailOutput)
        return output

    def published(self, *tracks: Track) -> Encoder:
        """Publish for a while; no key frame is quite new."""
        encoder = Encoder(self.clock, self.publish(), tracks or (VIDEO, AUDIO))
        encoder.run(11)
        return encoder

    def ask(self, *path: str) -> Deferred[Representation]:
        """Ask for what has to be made."""
        found = self.pictures.representation(path)
        assert isinstance(found, Deferred)
        return found

    def get(self, *path: str) -> Representation:
        """Ask for what is there."""
        found = self.pictures.representation(path)
        assert isinstance(found, Representation)
        return found

    def playlist(self) -> list[str]:
        """Fetch the playlist of pictures."""
        return self.get(self.stream.life, "image1.m3u8").body.decode().splitlines()

    def images(self) -> list[str]:
        """Return the names of the pictures in it."""
        prefix = f"../{self.stream.life}/image1/"
        return [line.removeprefix(prefix) for line in self.playlist() if line.startswith(prefix)]


class NewestTests(ThumbnailCase):
    def test_on_demand(self) -> None:
        """A stream that nobody looks at costs no picture; who asks gets the newest key frame."""
        self.published()
        self.assertEqual(self.jobs.asked, [])
        found = self.ask(*THUMB)
        [(codec, config, sample, size)] = self.jobs.asked
        self.assertEqual((codec, size), ("h264", (320, 180)))
        self.assertEqual(config, FakeVideoConfig().record)
        self.assertIs(sample, self.key_frames[-1])
        self.assertIsNot(sample, self.key_frames[-2])
        self.jobs.finish()
        file = self.successResultOf(found)
        self.assertEqual((file.body, file.content_type), (b"JPEG", "image/jpeg"))
        self.assertEqual(file.cache_control, "public, max-age=2")
        self.assertTrue(file.etag)

    def test_private(self) -> None:
        """Where not everybody may watch, no shared cache keeps a picture."""
        self.thumbnails.settings = ThumbnailSettings(is_private=True)
        self.published()
        found = self.ask(*THUMB)
        self.jobs.finish()
        self.assertEqual(self.successResultOf(found).cache_control, "private, max-age=2")

    def test_shared(self) -> None:
        """Whoever asks meanwhile waits for the same picture, whatever key frames come."""
        encoder = self.published()
        waiting = [self.ask(*THUMB)]
        encoder.run(4)
        waiting.append(self.ask(*THUMB))
        self.assertEqual(len(self.jobs.asked), 1)
        self.jobs.finish()
        bodies = {self.successResultOf(found).body for found in waiting}
        self.assertEqual(bodies, {b"JPEG"})

    def test_fresh(self) -> None:
        """A picture serves for two seconds, and for as long as there is no newer key frame."""
        encoder = self.published()
        found = self.ask(*THUMB)
        self.jobs.finish(b"first")
        self.successResultOf(found)
        encoder.run(FRESH - 0.1)
        self.assertEqual(self.get(*THUMB).body, b"first")
        encoder.run(0.2)
        found = self.ask(*THUMB)
        self.jobs.finish(b"second")
        self.assertEqual(self.successResultOf(found).body, b"second")
        self.clock.advance(30)
        self.assertEqual(self.get(*THUMB).body, b"second")
        self.assertEqual(len(self.jobs.asked), 2)

    def test_nobody_waits(self) -> None:
        """Who leaves is forgotten; what nobody waits for any more is not made."""
        self.published()
        first, image = self.ask(*THUMB), self.ask(self.stream.life, "image1", self.images()[0])
        for found in (first, image):
            found.cancel()
            self.failureResultOf(found, CancelledError)
        self.jobs.finish()
        self.assertEqual(self.jobs.running, 0)
        self.assertEqual(self.get(*THUMB).body, b"JPEG", "what was being made is not lost")

    def test_crowd(self) -> None:
        """Many may wait for one picture, but not any number; who leaves makes room."""
        self.published()
        waiting = [self.ask(*THUMB) for _ in range(MAX_WAITING)]
        with self.assertRaises(NotReady):
            self.pictures.representation(THUMB)
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        waiting[0] = self.ask(*THUMB)
        self.jobs.finish()
        for found in waiting:
            self.successResultOf(found)
        self.assertEqual(len(self.jobs.asked), 1)

    def test_no_video(self) -> None:
        """Sound alone has no picture; nor has a stream before its first key frame."""
        publication = self.publish()
        with self.assertRaisesRegex(NotReady, "no key frame"):
            self.pictures.representation(THUMB)
        Encoder(self.clock, publication, (AUDIO,)).run(9)
        with self.assertRaisesRegex(NotFound, "no video"):
            self.pictures.representation(THUMB)
        with self.assertRaises(NotReady):
            self.playlist()

    def test_not_packaged(self) -> None:
        """Video that has no decoder record is published, and played, without a picture."""
        self.published(VP8, AUDIO)
        with self.assertRaisesRegex(NotFound, "no video"):
            self.pictures.representation(THUMB)
        self.assertEqual(self.jobs.asked, [])

    def test_not_installed(self) -> None:
        """Without PyAV the answer says what to install."""
        self.thumbnails.worker = None
        self.published()
        life = self.stream.life
        number = self.pictures._segments[-1].boundary.sequence
        for path in (THUMB, (life, "image1.m3u8"), (life, "image1", f"{number}.jpg")):
            with self.assertRaisesRegex(NotFound, r"rapidrtmp\[media\]"):
                self.pictures.representation(path)

    def test_sync_samples_alone(self) -> None:
        """A recovery point, where a decoder shows a damaged picture first, is none."""
        publication = self.publish()
        encoder = Encoder(self.clock, publication, (VIDEO,))
        encoder.run(2.5)
        sample = video(2500, key=True)
        sample.is_sync = False
        publication.write(sample)
        self.ask(*THUMB)
        self.assertIs(self.jobs.asked[0][2], self.key_frames[-1])
        self.assertIsNot(self.jobs.asked[0][2], sample.payload)

    def test_grace(self) -> None:
        """While the encoder is away, the last picture stays; when the stream ends, it goes."""
        encoder = self.published()
        encoder.publication.close("gone")
        self.assertIs(self.stream.state, StreamState.IDLE)
        found = self.ask(*THUMB)
        self.jobs.finish()
        self.successResultOf(found)
        stream, output = self.stream, self.pictures
        self.clock.advance(100)
        self.manager.tick()
        self.assertIs(stream.state, StreamState.STOPPED)
        with self.assertRaisesRegex(NotFound, "ended"):
            output.representation(THUMB)

    def test_other_configuration(self) -> None:
        """The size follows the video."""
        encoder = self.published()
        found = self.ask(*THUMB)
        self.jobs.finish()
        self.successResultOf(found)
        tall = Track(VIDEO_TRACK_ID, FakeVideoConfig(720, 1280))
        encoder.tracks = (tall, AUDIO)
        encoder.publication.set_tracks((tall, AUDIO))
        encoder.run(5)
        self.ask(*THUMB)
        self.assertEqual(self.jobs.asked[-1][3], (320, 568))


class FailureTests(ThumbnailCase):
    def test_undecodable(self) -> None:
        """A key frame without a picture is not tried again; the next one is."""
        encoder = self.published()
        found = self.ask(*THUMB)
        self.jobs.fail("undecodable")
        self.failureResultOf(found, NotReady)
        with self.assertRaises(NotReady):
            self.pictures.representation(THUMB)
        self.assertEqual(len(self.jobs.asked), 1)
        encoder.run(2)
        found = self.ask(*THUMB)
        self.jobs.finish()
        self.successResultOf(found)

    def test_undecodable_image(self) -> None:
        """A segment's picture that cannot be had is not there: nothing will change that."""
        self.published()
        path = (self.stream.life, "image1", self.images()[0])
        found = self.ask(*path)
        self.jobs.fail("undecodable")
        self.failureResultOf(found, NotReady)
        with self.assertRaises(NotFound):
            self.pictures.representation(path)

    def test_blocked(self) -> None:
        """A stream whose picture cost the process its life gets none for a while."""
        for reason in ("timeout", "crashed", "garbage"):
            encoder = self.published()
            names = self.images()
            waiting = [self.ask(*THUMB), self.ask(self.stream.life, "image1", names[0])]
            self.jobs.fail(reason)
            for found in waiting:
                self.failureResultOf(found, NotReady)
            self.assertEqual(self.jobs.running, 0)
            for path in (THUMB, (self.stream.life, "image1", names[-1])):
                with self.assertRaises(NotReady) as caught:
                    self.pictures.representation(path)
                self.assertEqual(caught.exception.retry_after, BLOCKED + 1)
            encoder.run(BLOCKED + 1)
            found = self.ask(*THUMB)
            self.jobs.finish()
            self.successResultOf(found)
            encoder.publication.close("next")
            self.clock.advance(100)
            self.manager.tick()

    def test_broken(self) -> None:
        """An exception costs one picture: it is logged once, and the next one is made."""
        encoder = self.published()
        waiting = [self.ask(*THUMB), self.ask(self.stream.life, "image1", self.images()[1])]
        self.patch(thumbnail, "decoder_record", lambda track: 1 // 0)
        self.jobs.finish()
        self.successResultOf(waiting[0])
        self.failureResultOf(waiting[1], NotReady)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        with self.assertRaisesRegex(NotFound, "internal error"):
            self.pictures.representation((self.stream.life, "image1", self.images()[1]))
        encoder.run(4)
        self.failureResultOf(self.ask(*THUMB), NotReady)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.patch(thumbnail, "decoder_record", decoder_record)
        encoder.run(4)
        found = self.ask(*THUMB)
        self.jobs.finish()
        self.successResultOf(found)

    def test_broken_worker(self) -> None:
        """What the worker raises, or fails with, harms no more."""
        encoder = self.published()
        for broken in ({"side_effect": KeyError}, {"return_value": fail(KeyError())}):
            with mock.patch.object(FakeWorker, "make", **broken):
                self.failureResultOf(self.ask(*THUMB), NotReady)
            self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
            encoder.run(2)
        found = self.ask(*THUMB)
        self.jobs.finish()
        self.successResultOf(found)

    def test_busy(self) -> None:
        """When the process has too much to do, the stream may ask again at once."""
        self.published()
        for reason in ("busy", "stopped"):
            found = self.ask(*THUMB)
            self.jobs.fail(reason)
            self.failureResultOf(found, NotReady)
        self.ask(*THUMB)
        self.assertEqual(len(self.jobs.asked), 3)


class ImageTests(ThumbnailCase):
    def test_playlist(self) -> None:
        """It lists the newest complete segments by their numbers, durations and dates."""
        self.published()
        lines = self.playlist()
        numbers = [int(name.removesuffix(".jpg")) for name in self.images()]
        newest = self.stream.segmentation.sequence - 2  # before the open one
        self.assertEqual(numbers, list(range(newest - 3, newest + 1)))
        self.assertIn(f"#EXT-X-MEDIA-SEQUENCE:{numbers[0]}", lines)
        self.assertIn(f"#EXT-X-TARGETDURATION:{self.stream.segmentation.target_duration}", lines)
        self.assertEqual(lines.count("#EXTINF:2.000000,"), 4)
        self.assertEqual(
            lines.count("#EXT-X-TILES:RESOLUTION=320x180,LAYOUT=1x1,DURATION=2.000000"), 4
        )
        self.assertNotIn("#EXT-X-ENDLIST", lines)

    def test_picture(self) -> None:
        """A segment's picture is that of its own first key frame, made once, kept for ever."""
        self.published()
        path = (self.stream.life, "image1", self.images()[1])
        waiting = [self.ask(*path), self.ask(*path)]
        self.jobs.finish()
        for found in waiting:
            self.assertEqual(self.successResultOf(found).cache_control, IMMUTABLE)
        self.assertEqual(self.get(*path).body, b"JPEG")
        self.assertEqual(len(self.jobs.asked), 1)
        # of the segment at 4 s: the list starts at 2 s
        self.assertIs(self.jobs.asked[0][2], self.key_frames[2])

    def test_one_at_a_time(self) -> None:
        """However many are wanted of one stream, one is made at a time."""
        self.published()
        waiting = [self.ask(self.stream.life, "image1", name) for name in self.images()]
        for found in waiting:
            self.assertEqual(self.jobs.running, 1)
            self.assertNoResult(found)
            self.jobs.finish()
            self.successResultOf(found)
        self.assertEqual(self.jobs.running, 0)

    def test_gap(self) -> None:
        """A segment without a key frame of its own is a gap, so that the numbers stay those."""
        encoder = Encoder(self.clock, self.publish(), (VIDEO, AUDIO))
        encoder.run(5)
        encoder.gop = 1000
        encoder.run(12)
        self.assertEqual(self.playlist().count("#EXT-X-GAP"), 4)
        with self.assertRaises(NotFound):
            self.pictures.representation((self.stream.life, "image1", self.images()[0]))

    def test_discontinuity(self) -> None:
        """A reconnection is a discontinuity here, too, and the last segment is listed."""
        encoder = self.published()
        encoder.publication.close("gone")
        names = self.images()
        self.assertEqual(int(names[-1][:-4]), self.stream.segmentation.sequence - 1)
        self.assertIn("#EXTINF:1.", "".join(self.playlist()))
        Encoder(self.clock, self.publish(), (VIDEO, AUDIO)).run(3)
        lines = self.playlist()
        self.assertEqual(lines.count("#EXT-X-DISCONTINUITY"), 1)
        self.assertEqual(int(self.images()[-1][:-4]), int(names[-1][:-4]) + 1)

    def test_end(self) -> None:
        """After the end the list is closed, and can be used for as long as that of the video."""
        encoder = self.published()
        encoder.publication.close("gone")
        output, life = self.pictures, self.stream.life
        self.clock.advance(100)
        self.manager.tick()
        file = output.representation((life, "image1.m3u8"))
        assert isinstance(file, Representation)
        self.assertTrue(file.body.endswith(b"#EXT-X-ENDLIST\n"))
        self.clock.advance(AFTER_END + 60)
        with self.assertRaises(NotReady):
            output.representation((life, "image1.m3u8"))

    def test_bounded(self) -> None:
        """Key frames are kept of as many segments as are listed, and of a few more."""
        self.thumbnails.settings = ThumbnailSettings(max_segments=500)
        encoder = self.published()
        first = (self.stream.life, "image1", self.images()[0])
        encoder.run(2 * (MAX_IMAGES + 4))
        self.assertEqual(len(self.images()), MAX_IMAGES)
        with self.assertRaises(NotFound):
            self.pictures.representation(first)

    def test_just_left(self) -> None:
        """What has just left the list can still be had."""
        encoder = self.published()
        name = self.images()[0]
        encoder.run(2)
        self.assertNotIn(name, self.images())
        self.ask(self.stream.life, "image1", name)

    def test_other_files(self) -> None:
        """All else is somebody else's."""
        self.published()
        life = self.stream.life
        for path in (("index.m3u8",), (life, "video1.m3u8"), ("0" * 16, "image1.m3u8"), ()):
            with self.assertRaises(NotFound):
                self.pictures.representation(path)


class SharedTests(ThumbnailCase):
    """Key frames that are in the segments of an HLS output."""

    def setUp(self) -> None:
        """Let no key frame be like another."""
        super().setUp()

        def numbered(ms: float, **how: Any) -> Sample:
            sample = video(ms, **how)
            return replace(sample, payload=bytes(sample.payload) + b"%d" % ms)

        self.patch(fakes, "video", numbered)

    def makers(self) -> Sequence[IOutputMaker]:
        """Make the pictures' output and the real segments'."""
        self.storage = CheckingStorage(self.clock)
        self.hls = HLSMaker(
            self.storage,
            self.clock,
            HLSSettings(max_segments=4),
            Uploads(self.storage, self.clock, 1 << 20),
            Events(self.clock),
        )
        return [*super().makers(), self.hls]

    @property
    def pictures(self) -> ThumbnailOutput:
        """The output of the usual stream."""
        return next(each for each in self.stream.outputs if isinstance(each, ThumbnailOutput))

    def published(self, *tracks: Track) -> Encoder:
        """Publish for a while, and note where."""
        encoder = super().published(*tracks)
        self.first = self.maker.outputs[-1].boundaries[0].sequence
        return encoder

    def check(self, name: str) -> None:
        """Have a picture made, which must be of its segment's own key frame, to the bit."""
        found = self.ask(self.stream.life, "image1", name)
        made_of = self.jobs.asked[-1][2]
        self.jobs.finish()
        self.successResultOf(found)
        self.assertEqual(made_of, self.key_frames[int(name.removesuffix(".jpg")) - self.first])

    def test_same_bytes(self) -> None:
        """Every picture that is listed is made of its segment's key frame."""
        self.published()
        for name in self.images():
            self.check(name)

    def test_no_copy(self) -> None:
        """Only the newest two segments' key frames are kept: the others are in the segments."""
        encoder = self.published()
        encoder.run(20)
        samples = self.maker.outputs[-1].samples
        mine = {id(each) for each in samples if each.is_sync and each.track.kind == "video"}
        samples.clear()
        gc.collect()
        kept = [one for one in gc.get_objects() if isinstance(one, Sample) and id(one) in mine]
        self.assertEqual(len(kept), 2)

    def test_memory(self) -> None:
        """What is kept is told: two key frames, and the pictures that were made."""
        self.published()
        verifyObject(IMemoryHolder, self.pictures)
        frames = sum(len(self.sample(index).payload) for index in (-2, -1))
        self.assertEqual(self.pictures.memory(), {"thumbnails": frames})
        self.check(self.images()[0])
        self.assertEqual(self.pictures.memory(), {"thumbnails": frames + len(b"JPEG")})

    def test_left(self) -> None:
        """The picture of a segment that has left the window is read out of storage."""
        encoder = self.published()
        names = self.images()
        encoder.run(4)
        left = [name for name in names if name not in self.images()]
        self.assertEqual(len(left), 2)
        for name in left:
            self.check(name)

    def test_unread(self) -> None:
        """Where its segment cannot be read, a picture is refused, and the next one is made."""
        encoder = self.published()
        name = self.images()[0]
        encoder.run(4)
        with mock.patch.object(self.storage, "get", lambda path: fail(OSError("broken"))):
            found = self.ask(self.stream.life, "image1", name)
        self.failureResultOf(found, NotReady)
        self.check(self.images()[0])
        self.check(name)

    def test_other_frame(self) -> None:
        """What does not begin a complete segment is not found in it, and so stays kept."""
        self.published()
        sample = next(each for each in self.maker.outputs[-1].samples if each.is_sync)
        hls = next(each for each in self.stream.outputs if IKeyFrames.providedBy(each))
        verifyObject(IKeyFrames, hls)
        self.assertIsNotNone(IKeyFrames(hls).key_frame(self.first + 1, self.sample(1)))
        for sequence in (self.first - 1, self.first, self.first + 2, self.first + 100):
            self.assertIsNone(IKeyFrames(hls).key_frame(sequence, self.sample(1)))
        self.assertIsNone(
            IKeyFrames(hls).key_frame(self.first, replace(sample, payload=b"x" * 10000))
        )

    def sample(self, index: int) -> Sample:
        """Return a key frame of the first segments."""
        samples = self.maker.outputs[-1].samples
        return [each for each in samples if each.is_sync and each.track.kind == "video"][index]


@dataclass(frozen=True)
class WideConfig(FakeVideoConfig):
    """Says that its pixels are not square."""

    aspect: tuple[int, int] = (1, 1)

    def sample_entry(self) -> bytes:
        """Return avc1 with avcC and pasp."""
        return super().sample_entry() + struct.pack(">I4sII", 16, b"pasp", *self.aspect)


class SizeTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """As wide as is wished, never wider than the video, both sides even, in proportion."""
        cases = (
            ((1920, 1080), (1, 1), (320, 180)),
            ((1080, 1920), (1, 1), (320, 568)),
            ((640, 480), (1, 1), (320, 240)),
            ((161, 91), (1, 1), (160, 90)),
            ((720, 576), (64, 45), (320, 180)),
            ((4, 16384), (1, 1), (4, 16)),
            ((16384, 4), (1, 1), (320, 80)),
            ((1, 1), (1, 1), (2, 2)),
        )
        for (width, height), aspect, expected in cases:
            track = Track(VIDEO_TRACK_ID, WideConfig(width, height, aspect=aspect))
            self.assertEqual(picture_size(track, 320), expected, (width, height))
            self.assertEqual(decoder_record(track), FakeVideoConfig().record)
