"""Tests of rapidrtmp.outputs.transport: MPEG-TS of what the HLS output lists."""

import re
from itertools import pairwise

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rapidrtmp.codecs.aac import AACConfig
from rapidrtmp.codecs.h264 import H264Config
from rapidrtmp.codecs.opus import OpusConfig
from rapidrtmp.interfaces import (
    IMMUTABLE,
    NO_CACHE,
    NotFound,
    NotPackaged,
    NotReady,
    Representation,
)
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Track
from rapidrtmp.mpegts.muxer import ORIGIN
from rapidrtmp.outputs.files import PLAYLIST_TYPE
from rapidrtmp.outputs.hls_maker import HLSSettings
from rapidrtmp.outputs.transport import TRANSPORT_TYPE
from tests.codecs.builders import SPS, avcc, pps
from tests.codecs.sound_builders import opus_head
from tests.hls.checker import MediaPlaylist
from tests.isobmff.fakes import VIDEO
from tests.mpegts.demuxer import Program, demux
from tests.outputs.case import WHOLE, HLSCase

INDEX = ("ts", "index.m3u8")
VIDEO_STREAM, AUDIO_STREAM = 0x1B, 0x0F


def h264(level: int) -> Track:
    """Return a video track."""
    return Track(VIDEO_TRACK_ID, H264Config.parse(avcc([SPS(level=level).nal_unit()], [pps()])))


H264, LARGER = h264(31), h264(40)
AAC = Track(AUDIO_TRACK_ID, AACConfig.parse(bytes.fromhex("1190")))
OPUS = Track(AUDIO_TRACK_ID, OpusConfig.parse(opus_head(2)))
SECOND = Track(4, AAC.config, "eng")


class TransportCase(HLSCase):
    """Fetches transport streams."""

    def fetch(self, *path: str) -> Representation:
        """Fetch a file that is there or can be made."""
        found = self.hls.representation(path)
        if isinstance(found, Representation):
            return found
        return self.successResultOf(self.settled(found))

    def settled(self, found: Deferred[Representation]) -> Deferred[Representation]:
        """Let it be made."""
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)
        return found

    def text(self) -> str:
        """Fetch the media playlist."""
        file = self.fetch(self.stream.life, "ts.m3u8")
        self.assertEqual((file.content_type, file.cache_control), (PLAYLIST_TYPE, NO_CACHE))
        return file.body.decode("ascii")

    def uris(self) -> list[str]:
        """Return the segments that are listed."""
        return [line for line in self.text().splitlines() if line and not line.startswith("#")]

    def segment(self, uri: str) -> bytes:
        """Fetch a segment."""
        file = self.fetch(*self.media_path(uri))
        self.assertEqual((file.content_type, file.cache_control), (TRANSPORT_TYPE, IMMUTABLE))
        return file.body

    def programs(self) -> list[Program]:
        """Fetch and demux all that is listed: one stream, by its counters."""
        return demux([self.segment(uri) for uri in self.uris()])

    def check_like(self, playlist: MediaPlaylist) -> None:
        """The playlist says of the same segments the same as the one of CMAF."""
        lines = self.text().splitlines()
        expected = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            f"#EXT-X-TARGETDURATION:{playlist.target_duration}",
            f"#EXT-X-MEDIA-SEQUENCE:{playlist.segments[0].sequence}",
        ]
        self.assertEqual(lines[:4], expected)
        cmaf = self.find(self.stream.life, "video1.m3u8", query=WHOLE).body.decode().splitlines()
        kept = [
            re.sub(r"/video1/(\d+)\.m4s", r"/ts/\1.ts", line)
            for line in cmaf
            if not line.startswith(("#EXT-X-VERSION", "#EXT-X-MAP", "#EXT-X-INDEPENDENT"))
        ]
        self.assertEqual([line for line in lines if not line.startswith("#EXT-X-VERSION")], kept)


class LiveTests(TransportCase):
    def test_playlists(self) -> None:
        """Numbers, durations, dates and discontinuities are those of CMAF, while it slides."""
        encoder = self.encoder(tracks=[H264, AAC])
        encoder.run(5)
        for _ in range(12):
            self.play(encoder, 3)
            self.check_like(self.playlist("video1"))
        self.assertEqual(len(self.uris()), 6)

    def test_multivariant(self) -> None:
        """One variant of everything, which leads below the life."""
        self.encoder(tracks=[H264, AAC]).run(5)
        file = self.fetch(*INDEX)
        self.assertEqual((file.content_type, file.cache_control), (PLAYLIST_TYPE, NO_CACHE))
        lines = file.body.decode("ascii").splitlines()
        self.assertEqual(lines[:2], ["#EXTM3U", "#EXT-X-VERSION:3"])
        self.assertRegex(
            lines[2],
            r'^#EXT-X-STREAM-INF:BANDWIDTH=\d+,AVERAGE-BANDWIDTH=\d+,CODECS="avc1.64001f,mp4a.40.2"'
            r",RESOLUTION=1280x720,FRAME-RATE=25.000$",
        )
        self.assertEqual(lines[3:], [f"../{self.stream.life}/ts.m3u8"])
        bandwidth = int(lines[2].split("=")[1].split(",")[0])
        for uri in self.uris():
            self.assertLess(len(self.segment(uri)) * 8 / 2, bandwidth)

    def test_media(self) -> None:
        """Segments hold all samples of both tracks, at their times, once."""
        encoder = self.encoder(tracks=[H264, AAC])
        encoder.run(11)
        programs = self.programs()
        self.assertEqual(len(programs), 5)
        pictures = [one for program in programs for one in program.packets if one.pid == 0x100]
        # 80 ms of composition offset; B-frames would have another DTS
        self.assertEqual([one.dts - ORIGIN for one in pictures], [3600 * n for n in range(250)])
        self.assertEqual([one.pts - one.dts for one in pictures], [7200] * 250)
        starts = [n for n, one in enumerate(pictures) if one.is_random_access]
        self.assertEqual(starts, [0, 50, 100, 150, 200])
        sounds = b"".join(one.data for p in programs for one in p.packets if one.pid == 0x101)
        self.assertEqual(sounds.count(b"aac"), self.samples("audio2"))

    def test_lazy(self) -> None:
        """Nothing is made before it is fetched, and everything once."""
        encoder = self.encoder(tracks=[H264, AAC])
        encoder.run(5)
        files, counters = self.hls_maker.transport_files, self.hls_maker.counters
        uris = self.uris()
        self.assertEqual(counters.transport_segments_created, 0)
        first = self.segment(uris[0])
        self.assertIs(self.segment(uris[0]), first)
        self.assertEqual((counters.transport_segments_created, files.size), (1, len(first)))
        self.clock.advance(61)
        self.assertEqual(files.size, 0)
        self.assertEqual(self.segment(uris[0]), first, "the same bytes when made again")
        encoder.run(20)
        self.assertEqual(counters.transport_segments_created, 2)
        self.assertFalse([path for path in self.storage.paths if "ts" in path.split("/")])

    def test_etag(self) -> None:
        """The playlist is rendered once a change; its tag tells whether it changed."""
        encoder = self.encoder(tracks=[H264, AAC])
        encoder.run(5)
        before = self.fetch(self.stream.life, "ts.m3u8")
        self.assertIs(self.fetch(self.stream.life, "ts.m3u8"), before)
        encoder.run(2)
        self.assertNotEqual(self.fetch(self.stream.life, "ts.m3u8").etag, before.etag)

    def test_left_the_window(self) -> None:
        """What was listed can be fetched as long as the CMAF segments can: from storage."""
        encoder = self.encoder(tracks=[H264, AAC])
        encoder.run(13)
        oldest, *_ = uris = self.uris()
        expected = self.segment(oldest)
        self.clock.advance(61)
        encoder.run(4)
        self.assertNotIn(oldest, self.uris())
        self.assertEqual(self.segment(oldest), expected)
        encoder.run(30)
        self.uris()
        for uri in uris:
            with self.assertRaises(NotFound):
                self.hls.representation(self.media_path(uri))

    def test_trimmed(self) -> None:
        """A shorter window is listed at once; who has the longer playlist can play all of it."""
        self.hls_maker.settings = HLSSettings(max_segments=10)
        encoder = self.encoder(tracks=[H264, AAC])
        encoder.run(26)
        seen = self.uris()
        self.hls.window.trim(6)
        self.assertEqual(self.uris(), seen[6:])
        for uri in seen:
            encoder.run(2)
            self.assertLess(len(self.uris()), 6)
            self.segment(uri)
        encoder.run(10)
        self.uris()
        for uri in seen:
            with self.assertRaises(NotFound):
                self.hls.representation(self.media_path(uri))

    def test_without_playlist(self) -> None:
        """A segment is found by whoever heard of it elsewhere, while it is listed."""
        self.encoder(tracks=[H264, AAC]).run(5)
        sequence = self.playlist("video1").segments[0].sequence
        self.assertTrue(self.fetch(self.stream.life, "ts", f"{sequence}.ts").body)


class ChangeTests(TransportCase):
    def test_reconnect(self) -> None:
        """A discontinuity stands where it stands in CMAF; numbers, counters and clock go on."""
        encoder = self.encoder(tracks=[H264, AAC])
        encoder.run(5)
        encoder.publication.close("gone")
        self.tick(10)
        encoder = self.encoder(tracks=[LARGER, AAC])
        encoder.run(5)
        self.check_like(self.playlist("video1"))
        self.assertEqual(self.text().count("#EXT-X-DISCONTINUITY\n"), 1)
        programs = self.programs()
        times = [one.dts for p in programs for one in p.packets if one.pid == 0x100]
        self.assertTrue(all(before < after for before, after in pairwise(times)))
        sets = [p.packets[0].data for p in programs]
        for one, config in zip((sets[0], sets[-1]), (H264.config, LARGER.config), strict=True):
            assert isinstance(config, H264Config)
            self.assertIn(config.sps[0], one)
        encoder.run(20)
        window = self.hls.listed().windows[0]
        self.assertEqual(list(window.tracks), [window.segmenter.init_uri], "what left is forgotten")

    def test_codec_changes(self) -> None:
        """Where a codec that fits comes after one that does not, the list begins with it."""
        encoder = self.encoder(tracks=[VIDEO, OPUS])
        encoder.run(5)
        encoder.publication.close("gone")
        encoder = self.encoder(tracks=[H264, OPUS])
        encoder.run(1)
        with self.assertRaises(NotReady):
            self.hls.representation((self.stream.life, "ts.m3u8"))
        encoder.run(4)
        listed = self.playlist("video1").segments
        self.assertEqual(len(self.uris()), 2)
        self.assertTrue(self.uris()[0].endswith(f"/ts/{listed[-2].sequence}.ts"))
        self.assertTrue(self.programs()[0].packets[0].is_random_access)

    def test_audio_comes_later(self) -> None:
        """A track that joins is in the segments from then on, after a discontinuity."""
        encoder = self.encoder(tracks=[H264])
        encoder.run(5)
        self.text()
        encoder.tracks = [H264, AAC]
        encoder.publication.set_tracks(encoder.tracks)
        encoder.audio_frames = encoder.frames * 1875 // 1000
        self.play(encoder, 6, "video1")
        streams = [[kind for kind, _ in p.streams.values()] for p in self.programs()]
        self.assertEqual(streams[0], [VIDEO_STREAM])
        self.assertEqual(streams[-1], [VIDEO_STREAM, AUDIO_STREAM])
        self.check_like(self.playlist("video1"))

    def test_silent_video(self) -> None:
        """While video is away the segments are sound; the numbers go on."""
        encoder = self.encoder(tracks=[H264, AAC])
        encoder.run(5)
        last = self.uris()[-1]
        for _ in range(20):
            encoder.run(1, kinds=["audio"])
            self.manager.tick()
        self.assertTrue(self.programs()[-1].packets)
        self.assertGreater(self.uris()[-1], last)

    def test_default_audio(self) -> None:
        """Of several audio tracks the first that can be carried is taken."""
        encoder = self.encoder(tracks=[H264, AAC, SECOND])
        encoder.run(5)
        self.assertEqual(
            {descriptors for p in self.programs() for _, descriptors in p.streams.values()}, {b""}
        )

    def test_ended(self) -> None:
        """At the end the playlist says so, and stays for a while."""
        encoder = self.encoder(tracks=[H264, AAC])
        encoder.run(5)
        encoder.publication.close("gone")
        self.tick(70)
        self.assertTrue(self.hls.representation(("index.m3u8",)))
        self.assertTrue(self.text().endswith("#EXT-X-ENDLIST\n"))
        self.assertTrue(self.programs()[-1].packets)
        uri = self.uris()[0]
        self.clock.advance(200)
        for path in (INDEX, (self.stream.life, "ts.m3u8")):
            with self.assertRaises(NotFound):
                self.hls.representation(path)
        found = self.hls.representation(self.media_path(uri))
        assert isinstance(found, Deferred)
        self.failureResultOf(self.settled(found), NotFound)


class RefusalTests(TransportCase):
    def test_no_place(self) -> None:
        """A stream of nothing that fits is told so, in plain words."""
        self.encoder(tracks=[OPUS]).run(5)
        for path in (INDEX, (self.stream.life, "ts.m3u8")):
            with self.assertRaises(NotPackaged) as caught:
                self.hls.representation(path)
            self.assertIn("(opus)", str(caught.exception))

    def test_left_out(self) -> None:
        """What does not fit is left out, and a comment says so."""
        self.encoder(tracks=[H264, OPUS]).run(5)
        self.assertIn(b"\n# without opus: ", self.fetch(*INDEX).body)
        self.assertIn(b'CODECS="avc1.64001f"', self.fetch(*INDEX).body)
        self.assertEqual([len(p.streams) for p in self.programs()], [1, 1])
        self.setUp()
        self.encoder(tracks=[VIDEO, AAC]).run(5)
        self.assertEqual(
            [[kind for kind, _ in p.streams.values()] for p in self.programs()],
            [[AUDIO_STREAM]] * 2,
        )

    def test_not_yet(self) -> None:
        """Who comes before the first segment waits with the viewers of CMAF."""
        encoder = self.encoder(tracks=[H264, AAC])
        waiting = [self.hold(*INDEX), self.hold(self.stream.life, "ts.m3u8")]
        encoder.run(1)
        for found in waiting:
            self.assertNoResult(found)
        encoder.run(4)
        for found in waiting:
            self.assertTrue(self.successResultOf(found).body)
        self.setUp()
        self.encoder(tracks=[H264, AAC])
        found = self.hold(*INDEX)
        self.clock.advance(9)
        self.failureResultOf(found, NotReady)

    def test_unknown(self) -> None:
        """What is not a name of ours, or of no segment, is not there."""
        self.encoder(tracks=[H264, AAC]).run(5)
        life = self.stream.life
        for path in (
            ("ts",),
            ("ts", "0.ts"),
            ("ts.m3u8",),
            ("0" * 16, "ts.m3u8"),
            ("0" * 16, "ts", "1.ts"),
            (life, "ts", "0.ts"),
            (life, "ts", "9" * 16 + ".ts"),
            (life, "ts", "9" * 17 + ".ts"),
            (life, "ts", "x.ts"),
            (life, "ts", "1.m4s"),
            (life, "ts", "ts.m3u8"),
            (life, "ts", "1.ts", "ts"),
        ):
            with self.assertRaises(NotFound, msg=path):
                self.hls.representation(path)

    def test_damaged(self) -> None:
        """A segment that storage gives back damaged is not there, and the log says why."""
        encoder = self.encoder(tracks=[H264, AAC])
        encoder.run(13)
        oldest = self.uris()[0]
        encoder.run(4)
        number = oldest.split("/")[-1].removesuffix(".ts")
        path = f"key/{self.stream.life}/video1/{number}.m4s"
        body = self.storage.body(path)
        self.successResultOf(self.storage.put(path, (body[:-1],), "", ""))
        found = self.hls.representation(self.media_path(oldest))
        assert isinstance(found, Deferred)
        failure: Failure = self.failureResultOf(self.settled(found), NotFound)
        self.assertIn("damaged", failure.getErrorMessage())
