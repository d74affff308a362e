"""What ffmpeg publishes is what is read back from HLS: payloads, times and durations."""

from tests.hls.checker import parse_multivariant_playlist
from tests.integration import framemd5, media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child


class LosslessTests(IntegrationTestCase):
    def assert_lossless(self, name: str, codecs: tuple[str, ...], **settings: str) -> None:
        """Publish a sample, read it as a live stream up to its end and compare."""
        server = self.serve(**settings)
        source = media.as_flv(media.sample(name))
        viewer = self.watch(server)
        publisher = self.publish(server, name, server.mint(KEY))
        multivariant = parse_multivariant_playlist(server.wait_playlist(KEY).body)
        reader = Child(
            framemd5.hls_command(server.url(f"/live/{KEY}/index.m3u8")),
            self.temporary() / "reader.log",
        )
        self.addCleanup(reader.kill)
        publisher.succeed(60)
        output = reader.succeed(60)
        published, served = framemd5.read_file(source), framemd5.parse(output)
        self.assertTrue(published)
        self.assertEqual(framemd5.differences(published, served), [], output[:1500])
        viewer.wait_ended()
        self.assert_clean(viewer)
        found = {
            codec.split(".")[0] for variant in multivariant.variants for codec in variant.codecs
        }
        self.assertEqual(found, {codec.split(".")[0] for codec in codecs})
        for codec in codecs:
            self.assertTrue(
                any(each.startswith(codec) for v in multivariant.variants for each in v.codecs),
                f"{codec} is not in {multivariant}",
            )
        server.stop()

    def test_no_b_frames(self) -> None:
        """DTS equals PTS."""
        self.assert_lossless("plain", ("avc1.42", "mp4a.40.2"))

    def test_open_gop(self) -> None:
        """B-frames that reach over I-frames, which are no IDR."""
        self.assert_lossless("open_gop", ("avc1.", "mp4a.40.2"))

    def test_audio_only(self) -> None:
        """No video at all."""
        self.assert_lossless("audio_only", ("mp4a.40.2",))

    def test_video_only(self) -> None:
        """No audio at all; B-frames."""
        self.assert_lossless("video_only", ("avc1.",))

    def test_44100(self) -> None:
        """Frames of 23.22 ms: FLV's milliseconds must not build up an error."""
        self.assert_lossless("rate_44100", ("avc1.", "mp4a.40.2"))

    def test_48000(self) -> None:
        """Frames of 21.33 ms, B-frames, two seconds between the key frames."""
        self.assert_lossless("rate_48000", ("avc1.", "mp4a.40.2"))

    def test_high_efficiency(self) -> None:
        """HE-AAC by its configuration; see media.high_efficiency()."""
        self.assert_lossless("high_efficiency", ("avc1.", "mp4a.40.5"))

    def test_big_keyframes(self) -> None:
        """4K with key frames over a megabyte."""
        sizes = [
            len(tag.body)
            for tag in media.flv_tags(media.as_flv(media.sample("big_keyframes")))
            if tag.is_keyframe
        ]
        self.assertGreater(min(sizes), 1_000_000)
        self.assert_lossless("big_keyframes", ("avc1.", "mp4a.40.2"))

    def test_long_gop(self) -> None:
        """Ten seconds between the key frames."""
        self.assert_lossless("long_gop", ("avc1.", "mp4a.40.2"))
