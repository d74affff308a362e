"""A stream's way to another server, sample by sample."""

from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.media.timed import EventMessage, ScriptMessage
from rapidrtmp.media.track import Sample, Track
from rapidrtmp.outputs import rtmp_push
from rapidrtmp.outputs.rtmp_push import LINGER, STALL, RTMPPush
from rapidrtmp.rtmp.capabilities import CAN_FORWARD, MULTITRACK, RECONNECT, Capabilities
from tests.isobmff.fakes import AUDIO, VIDEO, VP8, FakeVideoConfig
from tests.media.samples import audio, milliseconds, video
from tests.relay.case import RelayCase, state

SECOND_VIDEO = Track(3, FakeVideoConfig())


class PushTests(RelayCase):
    def setUp(self) -> None:
        """Add a target to a stream that is not there yet."""
        super().setUp()
        self.relay = self.push()
        link = self.relay.link
        assert isinstance(link, RTMPPush)
        self.link = link

    def times(self, type_id: int, server: int = -1) -> list[int]:
        """Times of the frames that a server got, its headers left out."""
        media = self.net.servers[server].media(type_id)
        return [time for time, body in media if body[1] == 1]

    def begin(self) -> None:
        """Hand the tracks to the push alone."""
        self.link.tracks_changed((VIDEO, AUDIO))

    def give(self, *samples: Sample) -> None:
        """Hand samples to the push alone, and carry what follows."""
        for sample in samples:
            self.link.sample_received(sample)
        self.net.run()

    def test_data_messages(self) -> None:
        """What the publisher says goes on to the target, at its time."""
        encoder = self.encoder(time=100.0)
        script = ScriptMessage("onTextData", ["hi"], b"amf0 of it")
        encoder.publication.write_script(100_000, script)  # nothing is connected yet
        encoder.run(3.0)
        self.net.run()
        encoder.publication.write_script(102_500, script)
        self.stream.insert(EventMessage("urn:x", b"no form for it"))
        self.net.run()
        said = [(time, body) for type_id, time, body in self.net.server.received if type_id == 18]
        self.assertEqual(said[1:], [(2500, b"amf0 of it")])

    def test_stream(self) -> None:
        """All of a stream arrives: metadata, configurations, every frame, times from 0."""
        encoder = self.encoder(time=100.0)
        encoder.run(3.0)
        self.net.run()
        server = self.net.server
        kinds = [type_id for type_id, _, _ in server.received[:4]]
        self.assertEqual(kinds, [18, 9, 8, 9])
        self.assertIn(b"onMetaData", server.received[0][2])
        sent = [s for s in self.output.samples if s.track.kind == "video"]
        first = milliseconds(sent[0])
        self.assertEqual(self.times(9), [round(milliseconds(s) - first) for s in sent])
        self.assertEqual(self.times(9)[0], 0)
        self.assertEqual(state(self.relay), "live")
        sizes = sum(len(s.payload) for s in self.output.samples)
        self.assertLessEqual(sizes - self.link.bytes, 2 * len(b"aac"))
        demuxer = Demuxer(REGISTRY)
        frames = 0
        for message in server.received:
            frames += len(demuxer.receive(*message))
        self.assertGreater(frames, 75)

    def test_held_while_connecting(self) -> None:
        """What comes while the connection is made is sent once it is."""
        self.net.at_once = False
        self.begin()
        frames = [video(40 * n, key=not n % 25) for n in range(60)]
        self.give(video(0), *frames)  # the first one is in the middle of something
        self.net.answer()
        self.net.run()
        self.assertEqual(self.times(9), [40 * n for n in range(60)])
        self.give(video(2400))
        self.assertEqual(self.times(9)[-1], 2400)

    def test_failed_attempt(self) -> None:
        """What was held for an attempt that failed is not sent to the next one."""
        self.net.at_once = False
        self.begin()
        self.give(video(0, key=True), video(40))
        self.net.fail(OSError("no way"))
        self.give(video(1000, key=True), video(1040))
        self.clock.advance(3.0)
        self.give(video(1080), video(2000, key=True), video(2040))
        self.net.answer()
        self.net.run()
        self.assertEqual(self.times(9), [0, 40])

    def test_slow_target(self) -> None:
        """A target that does not keep up loses frames up to a key frame; memory is bounded."""
        self.patch(rtmp_push, "MAX_WAITING_SAMPLES", 10)
        self.begin()
        self.give(video(0, key=True))
        connection = self.net.server.protocol
        connection.pauseProducing()
        self.give(*[video(40 * n) for n in range(1, 30)])
        self.assertEqual(self.link.dropped, 11)
        self.give(video(2000, key=True), audio(2010), video(2040))
        self.assertEqual(self.times(9), [0])
        connection.resumeProducing()
        self.net.run()
        self.assertEqual(self.times(9), [0, 2000, 2040])
        self.assertEqual(self.times(8), [2010])

    def test_bytes_are_bounded(self) -> None:
        """Few but large frames are bounded, too."""
        self.patch(rtmp_push, "MAX_WAITING", 100)
        self.net.at_once = False
        self.begin()
        self.give(video(0, key=True))
        big = Sample(VIDEO, 3600, 0, False, False, bytes(101))
        self.give(big)
        self.assertEqual(self.link.dropped, 2)

    def test_stalled(self) -> None:
        """A target that takes nothing at all is left, and tried again."""
        self.begin()
        self.give(video(0, key=True))
        self.net.server.protocol.pauseProducing()
        for second in range(int(STALL) + 1):
            self.give(video(1000 * second))
            self.clock.advance(1)
        self.assertIn("took nothing", self.relay.redial.error)
        self.assertEqual(self.relay.redial.retries, 1)

    def test_publisher_gone(self) -> None:
        """It is left some seconds after the last media, and found again with the next."""
        encoder = self.encoder()
        encoder.run(3.0)
        encoder.publication.close("gone")
        self.clock.pump([1.0] * int(LINGER - 1))
        self.net.run()
        self.assertEqual(state(self.relay), "live")
        self.clock.pump([1.0] * 2)
        self.net.run()
        self.assertEqual(state(self.relay), "idle")
        self.assertTrue(self.net.server.is_lost)
        self.encoder().run(3.0)
        self.net.run()
        self.assertEqual((state(self.relay), len(self.net.servers)), ("live", 2))
        self.assertEqual(self.times(9)[0], 0)

    def test_publisher_back_in_time(self) -> None:
        """An encoder that reconnects at once goes on where it was on the same connection."""
        encoder = self.encoder()
        encoder.run(3.0)
        self.net.run()
        encoder.publication.close("gone")
        self.clock.advance(1.0)
        self.encoder().run(3.0)
        self.net.run()
        self.assertEqual(len(self.net.servers), 1)
        times = self.times(9)
        self.assertEqual(times, sorted(times))
        self.assertGreater(len(times), 140)
        metadata = self.net.server.media(18)
        self.assertEqual(len(metadata), 2)

    def test_end(self) -> None:
        """The end of the stream is the end of the publish; a new life begins anew."""
        self.encoder().run(3.0)
        self.net.run()
        self.successResultOf(self.manager.stop("key"))
        self.net.run()
        self.assertEqual(state(self.relay), "idle")
        self.assertTrue(self.net.server.is_lost)
        self.clock.advance(60)
        self.encoder().run(3.0)
        self.net.run()
        self.assertEqual(state(self.relay), "live")

    def test_codec_not_taken(self) -> None:
        """A target that does not take HEVC is told of; with H.264 it is tried again."""
        hevc = Track(1, FakeVideoConfig(codec="h265"))
        self.link.tracks_changed((hevc, AUDIO))
        self.net.run()
        self.assertEqual(state(self.relay), "failed")
        self.assertEqual(self.relay.redial.error, "the target does not take h265")
        self.begin()
        self.net.run()
        self.assertEqual(state(self.relay), "live")
        self.link.tracks_changed((hevc, AUDIO))
        self.net.run()
        self.assertEqual(state(self.relay), "failed")

    def test_codec_taken(self) -> None:
        """A target that announces HEVC is connected to."""
        self.net.capabilities = Capabilities(video={"hvc1": CAN_FORWARD}, caps_ex=RECONNECT)
        self.link.tracks_changed((Track(1, FakeVideoConfig(codec="h265")), AUDIO))
        self.net.run()
        self.assertEqual(state(self.relay), "live")

    def test_further_tracks(self) -> None:
        """Only who announces it gets more than one track of a kind."""
        for caps_ex, bodies in ((RECONNECT, 1), (RECONNECT | MULTITRACK, 2)):
            with self.subTest(caps_ex):
                self.link.ended()
                self.net.run()
                self.net.capabilities = Capabilities(video={"avc1": CAN_FORWARD}, caps_ex=caps_ex)
                self.link.tracks_changed((VIDEO, SECOND_VIDEO))
                self.net.run()
                self.give(video(0, key=True), video(0, key=True, track=SECOND_VIDEO))
                frames = [body for _, body in self.net.server.media(9) if b"slice" in body]
                self.assertEqual(len(frames), bodies)

    def test_refused_track(self) -> None:
        """A further track in a codec that the target does not take keeps no other away."""
        self.net.capabilities = Capabilities(video={"hvc1": CAN_FORWARD}, caps_ex=MULTITRACK)
        self.link.tracks_changed((VIDEO, SECOND_VIDEO))
        self.net.run()
        self.assertEqual(state(self.relay), "live")
        self.give(video(0, key=True), video(0, key=True, track=SECOND_VIDEO), video(40))
        self.assertEqual(len(self.net.server.media(9)), 3)

    def test_without_first_track(self) -> None:
        """Tracks that have no place at the target harm nobody; what else there is starts anew."""
        for at_once in (True, False):
            with self.subTest(at_once):
                self.link.ended()
                self.net.run()
                self.net.at_once = at_once
                self.link.tracks_changed((SECOND_VIDEO, AUDIO))
                self.give(video(0, key=True, track=SECOND_VIDEO), video(20, track=SECOND_VIDEO))
                if not at_once:
                    self.net.answer()
                self.give(audio(21), video(40, track=SECOND_VIDEO), audio(42))
                self.assertEqual(self.net.server.media(9), [])
                self.assertEqual(self.times(8), [0, 21])

    def test_no_track_at_all(self) -> None:
        """A stream of which the target takes nothing is refused in plain words."""
        self.link.tracks_changed((SECOND_VIDEO,))
        self.give(video(0, key=True, track=SECOND_VIDEO))
        self.assertEqual(state(self.relay), "failed")
        self.assertIn("no first track", self.link.redial.error)

    def test_impossible_sample(self) -> None:
        """A frame that no message can hold harms nobody."""
        self.begin()
        self.give(video(0, key=True))
        self.give(Sample(VIDEO, 3600, 90 * 10_000_000, False, False, b"x"), video(80))
        self.assertEqual(self.link.dropped, 1)
        self.assertEqual(self.times(9), [0, 80])

    def test_impossible_first(self) -> None:
        """Nor does one that it would have begun with."""
        self.begin()
        self.give(Sample(VIDEO, 0, 90 * 10_000_000, True, True, b"x"), video(40, key=True))
        self.assertEqual(self.link.dropped, 1)
        self.assertEqual(self.times(9), [0])

    def test_first_audio(self) -> None:
        """Audio from before the first key frame is left out: times never go below 0."""
        self.begin()
        self.give(video(1000, key=True), audio(900), audio(1010))
        self.assertEqual(self.times(8), [10])

    def test_sound_leads(self) -> None:
        """Where sound leads the segments, as the pictures are VP8, a target starts at these."""
        self.net.capabilities = Capabilities(video={"vp08": CAN_FORWARD}, caps_ex=RECONNECT)
        self.link.tracks_changed((AUDIO, VP8))
        self.give(audio(900), video(980, track=VP8), audio(990))
        self.give(video(1000, key=True, track=VP8), audio(1010))
        bodies = [body for _, body in self.net.server.media(9)]
        self.assertEqual([body[:5] for body in bodies], [b"\x90vp08", b"\x91vp08"])
        self.assertEqual(self.times(8), [10])

    def test_sound_alone(self) -> None:
        """Without video every frame is a beginning."""
        self.link.tracks_changed((AUDIO,))
        self.net.run()
        self.give(audio(500), audio(521))
        self.assertEqual(self.times(8), [0, 21])

    def test_close(self) -> None:
        """At a shutdown it waits for the connection to be closed."""
        self.begin()
        self.net.run()
        closed = self.link.close()
        self.assertNoResult(closed)
        self.net.run()
        self.successResultOf(closed)
