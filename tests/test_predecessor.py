"""The twenty defects of the server that had this name before: none of them is here.

Each test does at a whole server what showed the defect.
"""

import json
from collections.abc import Sequence
from unittest import mock

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import config
from rapidrtmp.config import SettingError
from rapidrtmp.interfaces import IMMUTABLE
from rapidrtmp.media.track import Sample
from tests.codecs.builders import SPS, avcc, pps, prefixed
from tests.codecs.video_builders import H265SPS, h265_pps, h265_vps, hvcc
from tests.faults.case import AAC, AVC, INTER_FRAME, KEY_FRAME, SOUND, audio, video
from tests.whole import AUDIO, STRANGER, VIDEO, WholeCase

DENIED = "NetStream.Publish.Denied"
BAD_NAME = "NetStream.Publish.BadName"
REJECTED = "NetStream.Publish.Rejected"
START = "NetStream.Publish.Start"

METRICS = """active_streams total_streams streams_started_total streams_stopped_total
stream_duration_seconds_count frames_received_total frames_dropped_total frame_size_bytes_count
keyframes_total segments_created_total segment_duration_seconds_count segment_size_bytes_count
active_viewers total_viewers viewer_sessions_total http_requests_total
http_request_duration_seconds_count rtmp_connections_total rtmp_disconnects_total rtmp_errors_total
rtmp_bytes_received_total bytes_stored segments_stored""".split()
"""The names that it promised."""


class FakeTests(WholeCase):
    """What was declared and not there."""

    def test_01_media(self) -> None:
        """The init section was a text, segments were FLV bodies, their addresses answered 400."""
        self.run_media(self.live(), 7)
        payloads = [sample.payload for sample in self.samples(VIDEO)]
        self.assertEqual(set(payloads), {KEY_FRAME[5:], INTER_FRAME[5:]})
        self.assertGreaterEqual(len(payloads), 3 * 50)

    def test_02_one_process_for_all(self) -> None:
        """A process per segment behind one lock: streams and playlists waited for each other.

        The reactor of this test cannot start a process. Storage that does not answer holds up
        neither another stream nor a playlist.
        """
        first, second = self.live("first"), self.live("second")
        with mock.patch.object(self.house.storage, "put", lambda *_: Deferred[None]()):
            self.run_media(first, 7)
            self.run_media(second, 7)
            for key in ("first", "second"):
                self.assertEqual(self.ask(f"/live/{key}/index.m3u8").code, 200)
                self.assertEqual(len(self.samples(VIDEO, key)) % 50, 0)

    def test_03_sound_and_times(self) -> None:
        """There was no sound, and all times were made up: rates and offsets of B-frames."""
        peer = self.live()
        self.run_media(peer, 2)
        times, offsets = [2040, 2079, 2140, 2160, 2200], [80, 40, 0, 120, 40]
        for time, offset in zip(times, offsets, strict=True):
            frame = INTER_FRAME[:2] + offset.to_bytes(3, "big") + INTER_FRAME[5:]
            peer.send(video(frame, time))
        self.run_media(peer, 6, start=2.2, gop=2.0)
        pictures = self.samples(VIDEO)
        origin = pictures[0].dts
        told = [(sample.dts - origin, sample.pts - sample.dts) for sample in pictures[51:56]]
        self.assertEqual(told, [(90 * t, 90 * o) for t, o in zip(times, offsets, strict=True)])
        self.assertEqual({sample.payload for sample in self.samples(AUDIO)}, {SOUND[2:]})

    def test_04_metrics_and_limits(self) -> None:
        """21 of 23 metrics, the viewers, tracks and all limits were declared and never wired."""
        self.start(max_concurrent_streams=2, hls_segment_duration=1.0)
        peer, bad = self.live(), self.live("ended")
        self.run_media(bad, 2)
        self.post("/api/v1/streams/ended/stop")
        bad.lose()
        self.publish("key?token=wrong")
        peer.send(video(b"\x17\1", 0))  # too short
        self.run_media(peer, 8, gop=1.0)
        self.ask(self.path("video1.m3u8"))
        told = json.loads(self.ask("/api/v1/streams/key").body)
        self.assertEqual((told["viewers"], told["videoCodec"]), (1, "h264"))
        self.assertEqual(told["resolution"], "1280x720")
        self.assertGreater(told["bitrate"], 0)
        self.assertEqual(self.playlist().target_duration, 1)
        values: dict[str, float] = {}
        self.connect().send(b"\xff" * 100)
        for family in text_string_to_metric_families(self.ask("/metrics").body.decode()):
            for sample in family.samples:
                values[sample.name] = values.get(sample.name, 0) + sample.value
        silent = [name for name in METRICS if not values.get(f"rapidrtmp_{name}")]
        self.assertEqual(silent, [])
        self.live("other")
        self.assertEqual(self.publish(f"third?token={self.mint('third')}").codes, [REJECTED])

    def test_05_ready(self) -> None:
        """/ready looked whether pointers were nil; nothing could make it say no."""
        self.assertEqual(self.ask("/ready").code, 200)
        with mock.patch.object(self.house.storage, "put", lambda *_: fail(OSError("no disk"))):
            self.reactor.advance(60)
            checks = json.loads(self.ask("/ready").body)["checks"]
        self.assertNotEqual(checks["storage"], "ok")
        self.service.rtmp.ports.clear()
        answer = self.ask("/ready")
        self.assertEqual(answer.code, 503)
        self.assertNotEqual(json.loads(answer.body)["checks"]["rtmp"], "ok")


class MediaTests(WholeCase):
    """Protocol and media."""

    def test_06_large_frames(self) -> None:
        """Frames over 64 KiB (4 KiB of sound) were cut, and then lost."""
        peer = self.live()
        large = b"\x17\1\0\0\0" + prefixed(b"\x65\x88" + bytes(range(256)) * 6000)
        sound = b"\xaf\1" + b"\x21" * 8000
        peer.send(video(large, 2000) + audio(sound, 2000))
        self.run_media(peer, 6, start=2.0)
        self.assertIn(large[5:], [sample.payload for sample in self.samples(VIDEO)])
        self.assertIn(sound[2:], [sample.payload for sample in self.samples(AUDIO)])

    def test_07_configurations(self) -> None:
        """Lengths of NAL units were taken for 4 bytes, changes overlooked, HEVC refused."""
        for length_size in (1, 2, 4):
            key = f"avc-{length_size}"
            peer = self.publish(f"{key}?token={self.mint(key)}")
            record = avcc([SPS().nal_unit()], [pps(0), pps(1)], length_size)
            peer.send(video(b"\x17\0\0\0\0" + record, 0) + audio(AAC, 0))
            frame = b"\x17\1\0\0\0" + prefixed(b"\x65\x88\x84\x21", size=length_size)
            for number in range(9):
                peer.send(video(frame, 1000 * number) + audio(SOUND, 1000 * number))
                self.reactor.advance(1)
            self.assertEqual(self.samples(VIDEO, key)[-1].payload, KEY_FRAME[5:])
        peer = self.live("change")
        end = self.run_media(peer, 6)
        taller = avcc([SPS(width_mbs=120, height_map_units=68).nal_unit()], [pps()])
        peer.send(video(b"\x17\0\0\0\0" + taller, 6000))
        self.run_media(peer, 6, start=end)
        maps = {segment.map_uri for segment in self.playlist(VIDEO, "change").segments}
        self.assertEqual(len(maps), 2)
        peer = self.publish(f"hevc?token={self.mint('hevc')}")
        units = ((32, [h265_vps()]), (33, [H265SPS().nal_unit()]), (34, [h265_pps()]))
        record = hvcc(*units)
        peer.send(video(b"\x90hvc1" + record, 0) + audio(AAC, 0))
        peer.send(video(b"\x91hvc1\0\0\0" + prefixed(b"\x26\1\x84\x21"), 0) + audio(SOUND, 0))
        stream = self.house.manager.get("hevc")
        assert stream is not None
        self.assertEqual([track.codec for track in stream.tracks], ["h265", "aac"])

    def test_08_cuts(self) -> None:
        """Segments were cut by the clock, claimed to be independent, and told made-up lengths."""
        self.run_media(self.live(), 17, gop=3.0)
        playlist = self.playlist()
        self.assertEqual({round(segment.duration, 3) for segment in playlist.segments}, {3.0})
        self.assertEqual(playlist.target_duration, 3)
        samples = self.samples(VIDEO)
        syncs = [number for number, sample in enumerate(samples) if sample.is_sync]
        self.assertEqual(syncs, [75 * number for number in range(len(playlist.segments))])

    def test_09_no_key_frame(self) -> None:
        """Without a key frame, or a picture, nothing was ever made, and memory filled up."""
        peer = self.publish(f"sound?token={self.mint('sound')}")
        peer.send(audio(AAC, 0))
        self.run_media(peer, 30, kinds=("audio",))
        self.assertGreater(len(self.samples("audio2", "sound")), 100)
        peer = self.publish(f"blind?token={self.mint('blind')}")
        peer.send(video(AVC, 0))
        self.run_media(peer, 25, gop=0, kinds=("video",))
        self.assertEqual(peer.codes[-1], REJECTED)

    def test_10_republish(self) -> None:
        """Numbers restarted at 0 over cached addresses, without a discontinuity or an end."""
        peer = self.live()
        self.run_media(peer, 30)
        before = self.playlist()
        gone = self.path(f"{VIDEO}/{before.media_sequence - 1}.m4s")
        self.assertEqual(self.ask(gone).code, 200)  # who has the former playlist still gets it
        peer.lose()
        self.reactor.advance(5)
        self.run_media(self.live(), 8)
        after = self.playlist()
        self.assertGreater(after.media_sequence, before.media_sequence)
        self.assertEqual(sum(segment.is_discontinuity for segment in after.segments), 1)
        address = self.path("video1.m3u8")
        self.post("/api/v1/streams/key/stop")
        self.assertIn(b"#EXT-X-ENDLIST", self.ask(address).body)
        self.reactor.advance(31)
        self.run_media(self.live(), 8)
        self.assertNotEqual(self.path("video1.m3u8"), address)


class LifecycleTests(WholeCase):
    """Lives and their ends."""

    def test_11_stop(self) -> None:
        """Stop left the encoder connected; its late end then stopped the next one's stream."""
        peer = self.live()
        self.run_media(peer, 7)
        self.assertEqual(self.post("/api/v1/streams/key/stop").code, 200)
        self.assertTrue(peer.is_closed)
        self.reactor.advance(31)
        successor = self.live()
        peer.lose()
        self.run_media(successor, 7)
        self.assertFalse(successor.is_closed)
        self.assertGreater(len(self.samples(VIDEO)), 100)

    def test_12_late_frames(self) -> None:
        """A frame that came while the stream was stopped went to a closed channel: a crash."""
        peer = self.live()
        self.run_media(peer, 3)
        stream = self.house.manager.get("key")
        assert stream is not None and stream.publication is not None
        publication = stream.publication
        [track, _] = stream.tracks
        self.post("/api/v1/streams/key/stop")
        received = stream.statistics.frames_received
        with capturedLogs() as logs:
            peer.protocol.dataReceived(video(KEY_FRAME, 4000))
            publication.write(Sample(track, 360_000, 0, True, True, KEY_FRAME[5:]))
        self.assertEqual(logs, [])
        self.assertEqual(stream.statistics.frames_received, received)

    def test_13_nothing_stays(self) -> None:
        """Streams stayed in memory, and their last segments on disk, for ever."""
        peer = self.live()
        self.run_media(peer, 7)
        self.assertNotEqual(self.successResultOf(self.house.storage.list()), [])
        peer.lose()
        self.reactor.pump([1.0] * 1000)
        self.assertEqual(self.house.manager.streams(), [])
        self.assertEqual(self.successResultOf(self.house.storage.list()), [])

    def test_14_half_open(self) -> None:
        """A dropped encoder kept its key until TCP gave up, and tokens were good for once."""
        token = self.mint()
        silent = self.publish(f"key?token={token}")
        silent.send(video(AVC, 0) + video(KEY_FRAME, 0))
        self.assertEqual(self.publish(f"key?token={token}").codes, [START])  # takes over at once
        self.assertTrue(silent.is_closed)
        silent = self.publish(f"key?token={token}")
        silent.send(video(AVC, 0) + video(KEY_FRAME, 0))
        self.reactor.pump([1.0] * 11)
        self.assertTrue(silent.is_closed)


class SecurityTests(WholeCase):
    """Who may do what."""

    def test_15_open_to_all(self) -> None:
        """Anybody could publish, mint tokens and stop streams; a token's check could be raced."""
        self.live()
        self.assertEqual(self.publish("key").codes, [DENIED])
        for method, path in (
            ("POST", "/api/v1/publish"),
            ("GET", "/api/v1/streams"),
            ("POST", "/api/v1/streams/key/stop"),
        ):
            answer = self.ask(path, method, body=b'{"streamKey":"key"}', peer=STRANGER)
            self.assertEqual(answer.code, 403)
        token = self.mint("raced")
        peers = [self.connect() for _ in range(3)]
        for peer in peers:
            peer.call("publish", 3.0, None, f"raced?token={token}", "live", msid=1)
        self.assertEqual([peer.is_closed for peer in peers], [True, True, False])

    def test_16_key_as_path(self) -> None:
        """A key with ../ wrote outside of the storage, and was read from there."""
        token = self.mint()
        for name in ("../key", "a/../../key", "..", "..%2fkey", "/../key", "key/.."):
            for app in ("live", "../live"):
                peer = self.publish(f"{name}?token={token}", app, host=f"192.0.2.{len(name)}")
                self.assertEqual(peer.codes[-1], BAD_NAME, (app, name))
        self.assertEqual(self.house.manager.streams(), [])
        for path in ("/live/../segment_0.ts", "/live/..%2fkey/index.m3u8", "/live/%2e%2e/x"):
            self.assertEqual(self.ask(path).code, 404, path)

    def test_17_cors_and_limits(self) -> None:
        """CORS on three routes, no preflight, X-Forwarded-For from anyone, no limits at all."""
        self.start(rtmp_max_connections_per_ip=3, max_token_requests_per_ip=3)
        for path in ("/live/key/index.m3u8", "/live/key/x/video1/1.m4s", "/health", "/api/ping"):
            self.assertEqual(self.ask(path).headers["access-control-allow-origin"], "*", path)
            self.assertEqual(self.ask(path, "OPTIONS").code, 204, path)
        claim = ("X-Forwarded-For", "127.0.0.1")
        answer = self.ask("/api/v1/streams", "GET", claim, peer=STRANGER)
        self.assertEqual(answer.code, 403)
        self.assertEqual([self.connect().is_closed for _ in range(5)], [False] * 3 + [True] * 2)
        codes = [self.post("/api/v1/publish", b'{"streamKey":"a"}').code for _ in range(5)]
        self.assertEqual(codes, [200] * 3 + [429] * 2)
        self.assertEqual(self.post("/api/v1/publish", b" " * 100_000).code, 413)


class OperationTests(WholeCase):
    """What operators meet."""

    def test_18_slow_storage(self) -> None:
        """Uploads ran under the segment's lock without a timeout; each viewer downloaded anew."""
        self.start(cdn_base_url="https://cdn.example.com/live")
        puts: list[tuple[str, str, str]] = []

        def put(path: str, data: Sequence[bytes], kind: str, cache: str) -> Deferred[None]:
            puts.append((path.rpartition(".")[2], kind, cache))
            return Deferred()

        peer = self.live()
        with mock.patch.object(self.house.storage, "put", put):
            self.run_media(peer, 7)
        self.assertFalse(peer.is_closed)
        self.assertIn(puts[0], [("mp4", "video/mp4", IMMUTABLE), ("m4s", "video/mp4", IMMUTABLE)])
        self.start(cdn_base_url="https://cdn.example.com/live")
        self.run_media(self.live(), 7)
        with mock.patch.object(self.house.storage, "get") as get:
            playlist = self.playlist()
            self.assertRegex(playlist.segments[0].uri, "^https://cdn[.]example[.]com/live/key/")
            number = playlist.media_sequence
            self.assertEqual(self.ask(self.path(f"{VIDEO}/{number}.m4s")).code, 200)
        get.assert_not_called()

    def test_19_logs(self) -> None:
        """A line for every key frame and broken NAL unit; tokens and names with them in the log."""
        token = self.mint()
        with capturedLogs() as logs:
            peer = self.publish(f"key?token={token}")
            peer.send(video(AVC, 0) + audio(AAC, 0))
            for number in range(500):
                peer.send(video(KEY_FRAME, 40 * number) + audio(SOUND, 40 * number))
                peer.send(video(b"\x27\1\0\0\0\0\0\xff\xff", 40 * number + 20))
                self.reactor.advance(0.04)
            self.publish(f"key?token={token[:-1]}")
        lines = [formatEvent(event) or "" for event in logs]
        self.assertLess(len(lines), 25, lines)
        self.assertNotIn(token[:-1], "\n".join(lines))


class SettingTests(SynchronousTestCase):
    def test_20_bad_settings(self) -> None:
        """Values that could not be read were silently replaced by the defaults."""
        for name, value in (
            ("HLS_SEGMENT_DURATION", "2"),
            ("HLS_MAX_SEGMENTS", "ten"),
            ("MAX_CONCURRENT_STREAMS", "-1"),
            ("AUTH_REQUIRED", "maybe"),
            ("HTTP_ADDR", ":99999"),
        ):
            with self.assertRaises(SettingError) as caught:
                config.load({name: value})
            self.assertIn(name, str(caught.exception))
