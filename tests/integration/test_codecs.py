"""Every codec from FFmpeg 8 to HLS, by real sockets; what is served decodes."""

from itertools import chain
from urllib.parse import urljoin

from rapidrtmp.flv import enhanced
from tests.hls.checker import parse_multivariant_playlist
from tests.integration import codec_table, enhanced_publisher
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.codec_table import flv_of
from tests.integration.enhanced_publisher import Spec
from tests.integration.media import Tag
from tests.integration.process import wait_for
from tests.integration.raw_publisher import amf
from tests.integration.server import Server
from tests.integration.viewer import Viewer
from tests.isobmff.checker import ParsedSample, check_track


class CodecTests(IntegrationTestCase):
    def test_table(self) -> None:
        """Each row of the documentation's table comes about as it stands there."""
        server = self.serve()
        rows = codec_table.documented()
        expected = {(each.video, each.audio) for each in codec_table.COMBINATIONS}
        self.assertEqual(set(rows), expected)
        for published in chain.from_iterable(codec_table.rows(self, server)):
            combination, variant = published.combination, published.variant
            self.assertRegex(",".join(variant.codecs), f"^{combination.pattern}$")
            self.assertEqual(variant.resolution, (160, 90))
            assert variant.frame_rate is not None
            self.assertApproximates(variant.frame_rate, 25.0, 0.1)
            self.assertEqual(variant.video_range, combination.video_range)
            stream = server.stream(combination.key)
            self.assertEqual((stream["videoCodec"], stream["audioCodec"]), combination.codecs)
            self.assertEqual(stream["framesReceived"], sum(published.sent))
            self.assertEqual(stream["framesDropped"], 0)
            row = codec_table.cells(self, published)
            self.assertEqual(row, tuple(rows[combination.video, combination.audio][:-1]))
        server.stop()

    def test_not_supported(self) -> None:
        """What cannot be packaged is named where people look for the reason."""
        server = self.serve(INGEST_MAX_AHEAD="10s")
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={server.mint(KEY)}")
        start = enhanced.video_header(enhanced.SEQUENCE_START, enhanced.fourcc("vvc1"), 1)
        publisher.send(9, 4, publisher.stream_id, 0, start)
        publisher.send_tags(flv_of([Spec("aac")], 8))
        found = wait_for(lambda: self.diagnoses(server).get("unsupported_codec"), "a diagnosis")
        self.assertEqual(found, "not supported, its frames are dropped: VVC (vvc1)")
        stream = server.stream(KEY)
        self.assertEqual((stream.get("videoCodec"), stream.get("audioCodec")), (None, "aac"))
        publisher.close()
        server.stop()

    def diagnoses(self, server: Server) -> dict[str, str]:
        """Ask the API for what is wrong, in words."""
        answer = server.get(f"/api/v1/streams/{KEY}/statistics")
        if answer.status != 200:
            return {}
        return {each["id"]: each["problem"] for each in answer.json["diagnosis"]}


class TrackTests(IntegrationTestCase):
    def test_ladder(self) -> None:
        """Two sizes and two tracks of sound, as FFmpeg sends them: cut at the same key frames."""
        server = self.serve(HLS_SEGMENT_DURATION="2s")
        viewer = self.watch(server)
        tracks = (
            Spec("libx264", size=(320, 180), rate=50),
            Spec("libx264"),
            Spec("aac"),
            Spec("aac", pitch=880.0),
        )
        url = server.rtmp_url(KEY, server.mint(KEY))
        child = enhanced_publisher.publish(self, url, *tracks, seconds=7)
        sent = enhanced_publisher.sent(child.succeed(60))
        viewer.wait_ended()
        self.assert_clean(viewer)
        playlist = parse_multivariant_playlist(server.wait_playlist(KEY).body)
        sizes = [variant.resolution for variant in playlist.variants]
        self.assertEqual(sizes, [(320, 180), (160, 90)])
        self.assertEqual([audio.name for audio in playlist.audio], ["Audio", "Audio 2"])
        self.assertEqual([audio.default for audio in playlist.audio], [True, False])
        received = [self.segments(viewer, index) for index in range(4)]
        self.assertEqual([sum(map(len, segments)) for segments in received], sent)
        for segments in received[:2]:
            self.assertEqual([segment[0].is_sync for segment in segments], [True] * 4)
        first, second = ([segment[0].pts for segment in track] for track in received[:2])
        self.assertEqual(first, second)
        server.stop()

    def test_languages(self) -> None:
        """Metadata names further tracks and their languages; each codec has a group."""
        server = self.serve()
        viewer = self.watch(server)
        tags = flv_of([Spec("libx264"), Spec("aac"), Spec("aac"), Spec("libopus")], 4)
        names = {
            "1": {"language": "deu", "label": "Kommentar"},
            "2": {"language": "eng", "label": "Stadium"},
        }
        metadata = Tag(18, 0, amf("onMetaData", {"audioTrackIdInfoMap": names}))
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={server.mint(KEY)}")
        publisher.send_tags([metadata, *(tag for tag in tags if tag.type_id != 18)])
        publisher.close()
        viewer.wait_ended()
        self.assert_clean(viewer)
        playlist = parse_multivariant_playlist(server.wait_playlist(KEY).body)
        self.assertEqual(
            [(audio.group, audio.name, audio.language) for audio in playlist.audio],
            [
                ("audio-aac", "Audio", ""),
                ("audio-aac", "Kommentar", "deu"),
                ("audio-opus", "Stadium", "eng"),
            ],
        )
        self.assertEqual(
            [(variant.audio, variant.codecs[1:]) for variant in playlist.variants],
            [("audio-aac", ("mp4a.40.2",)), ("audio-opus", ("Opus",))],
        )
        server.stop()

    def segments(self, viewer: Viewer, index: int) -> list[list[ParsedSample]]:
        """Return the samples of each segment of a rendition."""
        rendition = viewer.renditions[index]
        return [
            check_track(
                viewer.files[urljoin(rendition.path, segment.map_uri)],
                [viewer.files[urljoin(rendition.path, segment.uri)]],
            )
            for _, segment in sorted(rendition.segments.items())
        ]
