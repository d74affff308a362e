"""Three independent RTMP implementations publish; what each sent is what is served."""

from collections.abc import Callable
from pathlib import Path

from tests.integration import framemd5, publishers
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, run, tool


class PublisherTests(IntegrationTestCase):
    def assert_served(self, publish: "Callable[[IntegrationTestCase, str, Path], Child]") -> None:
        """Publish with a program that keeps a copy; compare it with what is served."""
        server = self.serve()
        copy = self.temporary() / "sent.flv"
        viewer = self.watch(server)
        publisher = publish(self, server.rtmp_url(KEY, server.mint(KEY)), copy)
        server.wait_playlist(KEY)
        url = server.url(f"/live/{KEY}/index.m3u8")
        reader = Child(framemd5.hls_command(url), self.temporary() / "reader.log")
        self.addCleanup(reader.kill)
        publisher.succeed(60)
        output = reader.succeed(60)
        sent = framemd5.read_file(copy)
        self.assertEqual(sorted(sent), ["audio", "video"])
        self.assertGreater(len(sent["video"]), 100)
        self.assertEqual(framemd5.differences(sent, framemd5.parse(output)), [], output[:1000])
        viewer.wait_ended()
        self.assert_clean(viewer)
        server.stop()

    def test_rtmp2sink(self) -> None:
        """GStreamer's own RTMP: 128-byte chunks, type 3 headers after type 0."""
        self.assert_served(publishers.rtmp2sink)

    def test_rtmpsink(self) -> None:
        """librtmp: what OBS descends from."""
        self.assert_served(publishers.rtmpsink)

    def test_ffmpeg_decodes(self) -> None:
        """What ffmpeg publishes decodes without a complaint, picture and sound."""
        server = self.serve()
        publisher = self.publish(server, "rate_48000", server.mint(KEY))
        server.wait_playlist(KEY)
        decoder = Child(
            [
                *(tool("ffmpeg"), "-hide_banner", "-nostdin", "-loglevel", "warning", "-xerror"),
                *("-live_start_index", "0", "-i", server.url(f"/live/{KEY}/index.m3u8")),
                *("-map", "0:v", "-map", "0:a", "-f", "framemd5", "-"),
            ],
            self.temporary() / "decoder.log",
        )
        self.addCleanup(decoder.kill)
        publisher.succeed()
        output = decoder.succeed()
        decoded = framemd5.parse(output)
        self.assertEqual(len(decoded["video"]), 150)
        self.assertGreater(len(decoded["audio"]), 270)
        complaints = [line for line in output.splitlines() if "rror" in line or "nvalid" in line]
        self.assertEqual(complaints, [])
        server.stop()

    def test_ffprobe(self) -> None:
        """The multivariant playlist alone tells ffprobe tracks, size and rate."""
        server = self.serve()
        publisher = self.publish(server, "rate_44100", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        url = server.url(f"/live/{KEY}/index.m3u8")
        entries = "stream=codec_name,profile,width,height,sample_rate,channels,time_base"
        output = run([tool("ffprobe"), "-v", "error", "-show_entries", entries, url]).decode()
        expected = ("h264", "width=320", "height=180", "aac", "sample_rate=44100", "channels=2")
        for text in expected:
            self.assertIn(text, output)
        publisher.kill()
        server.stop()
