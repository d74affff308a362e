"""Tests of playing by RTMP."""

from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

from zope.interface.verify import verifyObject

from rapidrtmp.amf import amf0
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.interfaces import IMemoryHolder
from rapidrtmp.media.timed import EventMessage, ScriptMessage
from rapidrtmp.media.track import Track
from rapidrtmp.protocol import fanout
from rapidrtmp.protocol.fanout import PlaySettings
from rapidrtmp.protocol.player import START_PATIENCE, Unplayable, playable
from rapidrtmp.protocol.server import RTMPServerFactory, server_capabilities
from rapidrtmp.rtmp.capabilities import MULTITRACK, Capabilities
from rapidrtmp.stream.manager import StreamSettings
from tests.isobmff.fakes import AUDIO, VIDEO, VP8, FakeAudioConfig, FakeVideoConfig
from tests.media.samples import audio, video
from tests.protocol.play_case import PlayCase

OPUS = Track(2, FakeAudioConfig(codec="opus"))
HEVC = Track(1, FakeVideoConfig(codec="h265"))


class StartTests(PlayCase):
    def test_order(self) -> None:
        """Metadata and sequence headers, with the first frame's time, come before the GOP."""
        self.encoder().run(3.0)
        client = self.player()
        kinds = [message.type_id for message in client.messages]
        first = kinds.index(18)
        self.assertEqual(kinds[:first], [5, 6, 4, 1, 20, 20, 4, 20, 20])
        access, metadata = (m for m in client.messages if m.type_id == 18)
        self.assertEqual(amf0.decode(access.payload), ["|RtmpSampleAccess", True, True])
        values = amf0.decode(metadata.payload)
        self.assertEqual((values[0], metadata.timestamp), ("onMetaData", 0))
        self.assertEqual(kinds[first : first + 4], [18, 18, 9, 8])
        self.assertEqual(client.headers, [(9, client.keys[0]), (8, client.keys[0])])
        self.assertEqual(client.frames[0], (9, client.keys[0]))

    def test_fast_start(self) -> None:
        """A newcomer has the GOP at once, and exactly what comes from then on."""
        encoder = self.encoder()
        early = self.player()
        encoder.run(3.4)
        late = self.player()
        self.assertEqual(late.keys, [2000])
        self.assertEqual(late.frames[-1], early.frames[-1])
        encoder.run(2.0)
        self.assertEqual(late.keys, [2000, 4000])
        self.assertEqual(late.frames, early.frames[early.frames.index((9, 2000)) :])
        self.assertEqual(early.frames[0], (9, 0))
        self.assertEqual(len(early.frames), len(set(early.frames)))

    def test_nobody_meanwhile(self) -> None:
        """Whether anybody played while the GOP came makes no difference to who comes then."""
        encoder, other = self.encoder(), self.encoder("other")
        watched = self.client()
        watched.play("other?token=good")
        for _ in range(2):
            for each in (encoder, other):
                each.run(0.8)
            client = self.player()
            for each in (encoder, other):
                each.run(0.4)
            self.assertEqual(client.frames, watched.frames)
            client.lose()
        for each in (encoder, other):
            each.run(2.0)
        late = self.player()
        self.assertEqual(late.keys, [4000])
        self.assertEqual(late.frames, watched.frames[watched.frames.index((9, 4000)) :])

    def test_data_messages(self) -> None:
        """What the publisher says goes to players as it came, at its time, with the GOP."""
        encoder = self.encoder()
        early = self.player()
        encoder.run(3.0)
        body = amf0.encode("onTextData", {"text": "hi"})
        script = ScriptMessage("onTextData", [{"text": "hi"}], body)
        encoder.publication.write_script(2900, script)
        self.stream.insert(EventMessage("urn:x", b"no form for it"))
        encoder.run(0.2)
        for client in (early, self.player()):
            said = [m for m in client.messages if m.type_id == 18 and m.payload == body]
            self.assertEqual([m.timestamp for m in said], [2900])

    def test_without_cache(self) -> None:
        """Where no GOP is kept, pictures start at the next key frame."""
        self.fanouts.settings = PlaySettings(gop_cache_bytes=0)
        encoder = self.encoder()
        encoder.run(1.0)
        client = self.player()
        self.assertEqual(client.frames, [])
        encoder.run(1.4)
        self.assertEqual(client.keys, [2000])
        pictures = [time for type_id, time in client.frames if type_id == 9]
        self.assertEqual(pictures[0], 2000)

    def test_sound_alone(self) -> None:
        """A stream without pictures plays from its newest frame."""
        encoder = self.encoder(tracks=(AUDIO,))
        encoder.run(3.0)
        client = self.player()
        encoder.run(1.0)
        self.assertEqual(client.headers[0][0], 8)
        self.assertGreater(len(client.frames), 40)

    def test_left_out_of_hls(self) -> None:
        """Where sound leads the segments, as the pictures are VP8, players start at these."""
        encoder = self.encoder(tracks=(VP8, AUDIO))
        encoder.run(3.0)
        client = self.player(videoFourCcInfoMap={"vp08": 1.0})
        pictures = [m for m in client.media if m.type_id == 9]
        self.assertEqual([m.payload[:5] for m in pictures[:2]], [b"\x90vp08", b"\x91vp08"])
        self.assertEqual({m.timestamp for m in pictures[:2]}, {2000})
        self.assertEqual(min(m.timestamp for m in client.media), 2000)
        early = self.client()
        early.play()
        self.assertEqual(early.codes, ["NetStream.Play.Failed"])
        self.assertIn("the video is vp8 (vp08), which this player did not", early.description)

    def test_other_message_stream(self) -> None:
        """A player on another message stream gets its own."""
        encoder = self.encoder()
        encoder.run(1.0)
        client = self.client()
        client.send("createStream", None)
        client.play(msid=2)
        self.assertEqual({m.message_stream_id for m in client.media}, {2})
        usual = self.player()
        encoder.run(1.0)
        self.assertEqual(client.frames, usual.frames)

    def test_written_once(self) -> None:
        """Players share the bytes of a frame."""
        encoder = self.encoder()
        encoder.run(1.0)
        clients = [self.player() for _ in range(3)]
        written: list[list[bytes]] = [[], [], []]
        for client, mine in zip(clients, written, strict=True):
            client.transport.write = mine.append  # type: ignore[assignment, method-assign]  # keeps identity
        encoder.run(0.2)
        self.assertGreater(len(written[0]), 5)
        for shared in zip(*written, strict=True):
            self.assertEqual(len({id(data) for data in shared}), 1)

    def test_before_media(self) -> None:
        """Who plays while the publisher has sent nothing yet sees the stream from its start."""
        encoder = self.encoder()
        client = self.player()
        encoder.run(2.0)
        self.assertEqual(client.frames[0], (9, 0))


class AccessTests(PlayCase):
    def test_viewers(self) -> None:
        """A player is a viewer until it leaves, and an event."""
        self.encoder().run(1.0)
        client = self.player()
        self.assertEqual(self.stream.viewers, 1)
        self.assertEqual(self.events.count("play"), 1)
        self.clock.advance(1000)
        self.assertEqual(self.stream.viewers, 1)
        self.assertEqual(self.fanouts.players_by_protocol, {"rtmp": 1, "flv": 0})
        client.lose()
        self.assertEqual(self.stream.viewers, 0)
        self.assertEqual(self.fanouts.players_by_protocol, {"rtmp": 0, "flv": 0})
        self.assertEqual(self.stream.viewer_count.total, 1)

    def test_refused(self) -> None:
        """Who may not, or has nothing to play, is told so and sent away."""
        self.encoder().run(1.0)
        for name, code, words in (
            ("key?token=bad", "NetStream.Play.Failed", "wrong token"),
            ("other?token=bad", "NetStream.Play.Failed", "wrong token"),
            ("other?token=good", "NetStream.Play.StreamNotFound", "no stream other"),
            ("a b", "NetStream.Play.StreamNotFound", "key"),
        ):
            with self.subTest(name):
                client = self.client()
                client.play(name)
                self.assertEqual(client.codes, [code])
                self.assertIn(words, client.description)
                self.assertTrue(client.transport.half_closed)
                client.lose()
        self.assertEqual(self.stream.viewers, 0)
        self.assertEqual(self.factory.errors, {})

    def test_guessing_bars(self) -> None:
        """Wrong rights to play count as those to publish do."""
        for _ in range(10):
            client = self.client()
            client.play("key?token=bad")
            client.lose()
        self.assertTrue(self.factory.refusals.blocked_for("192.0.2.1"))

    def test_viewer_limit(self) -> None:
        """There are no more players than viewers may be."""
        self.manager.apply(StreamSettings(max_viewers=1))
        self.encoder().run(1.0)
        self.stream.viewer_count.limit = 1
        first = self.player()
        second = self.client()
        second.play()
        self.assertEqual(second.codes, ["NetStream.Play.Failed"])
        self.assertEqual(second.description, "viewer limit reached")
        first.lose()
        self.player()

    def test_left_before_the_decision(self) -> None:
        """Who has gone when it is let in takes no place."""
        self.encoder().run(1.0)
        self.authenticator.held = held = type(self.maker.outputs[0].closed)()
        client = self.client()
        client.play()
        client.lose()
        held.callback(None)
        self.assertEqual(self.stream.viewers, 0)
        self.assertEqual(self.fanouts.players, set())

    def test_on_demand(self) -> None:
        """A stream that is offered begins for who may play; the player waits for its tracks."""
        asked: list[str] = []
        self.manager.offer("key", lambda: asked.append("key"))
        stranger = self.client()
        stranger.play("key?token=bad")
        self.assertEqual((stranger.codes, asked), (["NetStream.Play.Failed"], []))
        early = self.client()
        early.play()
        self.assertEqual((early.codes, asked), ([], ["key"]))
        self.clock.advance(START_PATIENCE / 2)
        client = self.client()
        client.play()
        self.clock.advance(START_PATIENCE / 2)
        self.assertEqual(early.codes, ["NetStream.Play.Failed"])
        self.assertEqual(early.description, "the stream did not begin in 10 s")
        self.encoder().run(3.0)
        self.assertEqual(client.codes, ["NetStream.Play.Reset", "NetStream.Play.Start"])
        self.assertEqual(client.keys, [0, 2000])

    def test_on_demand_leaves(self) -> None:
        """Who has gone when it begins takes no place; a codec is refused when it is known."""
        self.manager.offer("key", lambda: None)
        gone, other = self.client(), self.client()
        for client in (gone, other):
            client.play()
        gone.lose()
        self.encoder(tracks=(OPUS,)).run(4.0)
        self.assertEqual(other.codes, ["NetStream.Play.Failed"])
        self.assertIn("opus", other.description)
        self.assertEqual((self.stream.viewers, len(self.stream.starting)), (0, 0))

    def test_unannounced_codec(self) -> None:
        """Who did not announce a codec is refused in plain words."""
        self.encoder(tracks=(OPUS,)).run(4.0)
        client = self.client()
        client.play()
        self.assertEqual(client.codes, ["NetStream.Play.Failed"])
        self.assertIn("the audio is opus (Opus), which this player did not", client.description)
        self.assertEqual(self.stream.viewers, 0)
        enhanced = self.player(fourCcList=["Opus"])
        self.assertEqual(enhanced.media[0].payload[:5], b"\x90Opus")


class CapabilitiesTests(PlayCase):
    def make_factory(self) -> RTMPServerFactory:
        """Tell what the built-in codecs allow."""
        factory = super().make_factory()
        factory.capabilities = server_capabilities(REGISTRY)
        return factory

    def test_answered(self) -> None:
        """Who announces Enhanced RTMP is told what is really taken; others hear nothing of it."""
        video = {"av01", "avc1", "hvc1", "vp08", "vp09"}
        audio = {".mp3", "Opus", "ac-3", "ec-3", "fLaC", "mp4a"}
        expected = {
            "fourCcList": sorted(video | audio),
            "videoFourCcInfoMap": dict.fromkeys(video, 4.0),
            "audioFourCcInfoMap": dict.fromkeys(audio, 4.0),
            "capsEx": 15.0,
            "videoFunction": 6.0,
        }
        for told, announced in (({"capsEx": 1.0}, expected), ({"videoFunction": 1.0}, {})):
            client = self.client(**told)
            results = [amf0.decode(m.payload) for m in client.messages if m.type_id == 20]
            for members in results[0][2:]:
                assert isinstance(members, dict)
                self.assertEqual({k: v for k, v in members.items() if k in expected}, announced)


class PlayableTests(PlayCase):
    def test_choice(self) -> None:
        """What is sent depends on what was announced."""
        more_video = Track(3, FakeVideoConfig(codec="h265"))
        more_audio = Track(4, FakeAudioConfig())
        legacy = Capabilities()
        hevc = Capabilities(frozenset(("hvc1",)))
        masks = Capabilities(video={"*": 1}, audio={"mp4a": 4})
        all_tracks = Capabilities(frozenset("*"), caps_ex=MULTITRACK)
        for name, tracks, capabilities, chosen in (
            ("legacy", (VIDEO, AUDIO), legacy, (VIDEO, AUDIO)),
            ("first only", (VIDEO, AUDIO, more_video, more_audio), legacy, (VIDEO, AUDIO)),
            ("hevc refused", (HEVC, AUDIO), legacy, None),
            ("hevc", (HEVC, AUDIO), hevc, (HEVC, AUDIO)),
            ("vp8 refused", (AUDIO, VP8), hevc, None),
            ("vp8", (AUDIO, VP8), Capabilities(video={"vp08": 1}), (AUDIO, VP8)),
            ("opus refused", (VIDEO, OPUS), legacy, None),
            ("opus to a client like FFmpeg", (HEVC, OPUS), hevc, (HEVC, OPUS)),
            ("opus not in a list of audio", (VIDEO, OPUS), masks, None),
            ("any video", (HEVC, AUDIO), masks, (HEVC, AUDIO)),
            (
                "multitrack",
                (VIDEO, AUDIO, more_video, more_audio),
                all_tracks,
                (VIDEO, AUDIO, more_video, more_audio),
            ),
            ("no first track", (more_video,), legacy, None),
        ):
            with self.subTest(name):
                if chosen is None:
                    self.assertRaises(Unplayable, playable, tracks, capabilities)
                else:
                    self.assertEqual(playable(tracks, capabilities), list(chosen))


class SlowTests(PlayCase):
    def test_pause_queues(self) -> None:
        """A transport that is full for a while costs nothing."""
        encoder = self.encoder()
        slow, other = self.player(), self.player()
        encoder.run(2.0)
        slow.transport.stop_reading()
        encoder.run(4.0)
        self.assertGreater(self.fanouts.queued_bytes["rtmp"], 0)
        self.assertLess(len(slow.frames), len(other.frames))
        slow.transport.read_on()
        self.assertEqual(slow.frames, other.frames)
        self.assertEqual(self.fanouts.queued_bytes["rtmp"], 0)
        encoder.run(1.0)
        self.assertEqual(slow.frames, other.frames)
        self.assertEqual(self.fanouts.frames_dropped["rtmp"], 0)

    def test_memory(self) -> None:
        """What is kept is told: the newest GOP, and what the slowest player waits for besides."""
        encoder = self.encoder()
        slow = self.player()
        self.player()
        encoder.run(1.0)
        holder = fanout.fanout_of(self.stream)
        assert holder is not None
        verifyObject(IMemoryHolder, holder)
        self.assertGreater(holder.memory()["gop"], 0)
        self.assertEqual(holder.memory()["players"], 0)
        slow.transport.stop_reading()
        encoder.run(2.0)
        waiting = self.fanouts.queued_bytes["rtmp"]
        self.assertGreater(waiting, holder.memory()["gop"])
        self.assertEqual(sum(holder.memory().values()), waiting)

    def test_data_message_of_another_time(self) -> None:
        """One about what comes, or was, drops nothing of a player that is full for a moment."""
        script = ScriptMessage("onCuePoint", [], amf0.encode("onCuePoint"))
        encoder = self.encoder()
        slow, other = self.player(), self.player()
        encoder.run(6.1)
        slow.transport.stop_reading()
        assert slow.transport.producer is not None
        slow.transport.producer.pauseProducing()
        for ms in (1300, 11_300):
            encoder.publication.write_script(ms, script)
            encoder.run(0.3)
        slow.transport.read_on()
        self.assertEqual(slow.frames, other.frames)
        said = [m.timestamp for m in slow.messages if m.payload == script.body]
        self.assertEqual(said, [1300, 11_300])
        self.assertEqual(self.fanouts.frames_dropped["rtmp"], 0)

    def test_drop(self) -> None:
        """Past half the bound it goes on at a key frame; others lose nothing."""
        encoder = self.encoder()
        slow, other = self.player(), self.player()
        encoder.run(1.0)
        slow.transport.stop_reading()
        before = len(slow.frames)
        encoder.run(7.0)
        slow.transport.read_on()
        encoder.run(1.0)
        sent = slow.frames[before + 1 :]  # one filled the transport
        self.assertEqual(sent[0][0], 9)
        self.assertIn(sent[0][1], slow.keys)
        self.assertEqual(sent, other.frames[other.frames.index(sent[0]) :])
        lost = len(other.frames) - len(slow.frames)
        self.assertGreater(lost, 50)
        self.assertEqual(self.fanouts.frames_dropped["rtmp"], lost)
        self.assertEqual(len(slow.headers), 2)

    def test_drop_in_long_gop(self) -> None:
        """Where a GOP is longer than the queue, pictures wait for the next key frame."""
        encoder = self.encoder(gop=8.0)
        slow, other = self.player(), self.player()
        encoder.run(1.0)
        slow.transport.stop_reading()
        encoder.run(6.0)
        slow.transport.read_on()
        encoder.run(3.0)
        self.assertEqual(slow.keys, [0, 8000])
        pictures = [time for type_id, time in slow.frames if type_id == 9]
        gap = max(b - a for a, b in pairwise(pictures))
        self.assertGreater(gap, 6000)
        lost = len(other.frames) - len(slow.frames)
        self.assertEqual(self.fanouts.frames_dropped["rtmp"], lost)

    def test_cut(self) -> None:
        """Who reads nothing for the whole bound is disconnected; others go on."""
        encoder = self.encoder()
        slow, other = self.player(), self.player()
        encoder.run(1.0)
        slow.transport.stop_reading()
        encoder.run(10.0)
        self.assertFalse(slow.transport.disconnected)
        encoder.run(0.5)
        self.assertTrue(slow.transport.disconnected)
        self.assertEqual(self.fanouts.cut, {"rtmp": 1, "flv": 0})
        self.assertEqual(self.factory.errors, {"player_slow": 1})
        self.assertEqual(self.stream.viewers, 1)
        self.assertEqual(other.keys, [0, 2000, 4000, 6000, 8000, 10000])

    def test_bytes(self) -> None:
        """The bound in bytes cuts, too."""
        self.fanouts.settings = PlaySettings(queue_bytes=20_000, queue_seconds=1000.0)
        encoder = self.encoder()
        slow = self.player()
        encoder.run(1.0)
        slow.transport.stop_reading()
        encoder.run(2.0)
        self.assertTrue(slow.transport.disconnected)

    def test_full_while_it_starts(self) -> None:
        """A GOP that does not fit the transport comes whole when it is read."""
        encoder = self.encoder(gop=8.0)
        encoder.run(7.0)
        slow = self.client()
        slow.transport.stop_reading()
        slow.transport.unsent = 60 * 1024
        slow.play()
        encoder.run(0.5)
        self.assertLess(len(slow.frames), 400)
        slow.transport.read_on()
        other = self.player()
        self.assertEqual(slow.frames, other.frames)
        self.assertEqual(self.fanouts.frames_dropped["rtmp"], 0)


class LatencyTests(PlayCase):
    """Frames that are collected, as with many players."""

    latency = 0.05

    def setUp(self) -> None:
        """Begin a stream that two play."""
        super().setUp()
        self.patch(fanout, "MIN_COLLECTED", 2)
        self.fanouts.clock = cast(Any, self.clock)
        self.fanouts.settings = PlaySettings(latency=self.latency)
        self.publication = self.encoder(tracks=(VIDEO, AUDIO))
        self.publication.run(1.0)
        self.first, self.second = self.player(), self.player()
        self.sent: list[bytes] = []
        write = self.first.transport.write

        def watched(data: bytes) -> None:
            self.sent.append(data)
            write(data)

        self.first.transport.write = watched  # type: ignore[method-assign]  # to count
        self.clock.advance(self.latency)
        self.picture(999)
        self.clock.advance(self.latency)
        self.sent.clear()

    def sound(self, ms: float) -> None:
        """Send a frame of sound."""
        self.publication.publication.write(audio(ms))

    def picture(self, ms: float, *, key: bool = False) -> None:
        """Send a picture."""
        self.publication.publication.write(video(ms, key=key))

    def test_together(self) -> None:
        """What comes until the time is over goes out in order, in one piece that all share."""
        self.sound(1000)
        self.clock.advance(self.latency / 2)
        self.sound(1021)
        self.picture(1040)
        self.assertEqual(self.sent, [])
        self.clock.advance(self.latency / 2)
        self.assertEqual(len(self.sent), 1)
        self.assertEqual(self.first.frames[-3:], [(8, 1000), (8, 1021), (9, 1040)])
        self.assertEqual(self.second.frames, self.first.frames)
        self.clock.advance(self.latency)
        self.assertEqual(len(self.sent), 1)
        self.picture(1080)
        self.clock.advance(self.latency)
        self.assertEqual(len(self.sent), 2)

    def test_not_too_much(self) -> None:
        """A burst goes out in pieces: transports must be able to say that they are full."""
        large = bytes(fanout.MAX_COLLECTED // 2)
        self.publication.publication.write(replace(audio(1000), payload=large))
        self.assertEqual(self.sent, [])
        self.publication.publication.write(replace(audio(1021), payload=large))
        self.assertEqual(len(self.sent), 1)
        self.sound(1042)
        self.clock.advance(self.latency)
        self.assertEqual(len(self.sent), 2)

    def test_newcomer(self) -> None:
        """Who comes while frames wait gets them once, and so do the others."""
        self.sound(1000)
        late = self.player()
        self.assertEqual(late.frames[-1], (8, 1000))
        self.assertEqual(self.first.frames[-1], (8, 1000))
        self.picture(1040)
        self.clock.advance(self.latency)
        self.assertEqual(late.frames, self.first.frames)
        self.assertEqual(len(late.frames), len(set(late.frames)))

    def test_control(self) -> None:
        """What a player asks for counts at once, for what waits, too; others miss nothing."""
        self.sound(1000)
        self.first.send("receiveAudio", None, False, msid=1)
        before = len(self.first.frames)
        self.picture(1040)
        self.clock.advance(self.latency)
        self.assertEqual(self.first.frames[before:], [(9, 1040)])
        self.sound(1042)
        self.second.send("pause", None, True, 1042.0, msid=1)
        before = len(self.second.frames)
        self.clock.advance(self.latency)
        self.sound(1063)
        self.picture(1080)
        self.clock.advance(self.latency)
        self.assertEqual(len(self.second.frames), before)
        self.sound(1084)
        self.second.send("pause", None, False, 1084.0, msid=1)
        self.picture(1120)
        self.clock.advance(self.latency)
        rest = [(8, 1042), (8, 1063), (9, 1080), (8, 1084), (9, 1120)]
        self.assertEqual(self.second.frames[before:], rest)
        self.assertEqual(self.first.frames[-2:], [(9, 1080), (9, 1120)])

    def test_full(self) -> None:
        """A transport that is full in the midst gets each frame once, in order, when it is read."""
        self.second.transport.stop_reading()
        for ms in (1000, 1063, 1126):
            self.sound(ms)
            self.picture(ms + 40)
            self.clock.advance(self.latency)
        before = len(self.second.frames)
        self.assertLess(before, len(self.first.frames))
        self.sound(1189)
        self.second.transport.read_on()
        self.picture(1229)
        self.clock.advance(self.latency)
        self.assertEqual(self.second.frames, self.first.frames)
        self.assertEqual(self.fanouts.frames_dropped["rtmp"], 0)

    def test_end(self) -> None:
        """Nothing that waited is lost when the encoder goes, or the stream ends."""
        self.sound(1000)
        self.publication.publication.close("gone")
        self.assertEqual(self.first.frames[-1], (8, 1000))
        self.assertEqual(self.second.frames, self.first.frames)

    def test_left(self) -> None:
        """Who left gets nothing of what waited."""
        self.sound(1000)
        self.first.lose()
        self.picture(1040)
        self.clock.advance(self.latency)
        self.assertEqual(self.sent, [])
        self.assertEqual(self.second.frames[-2:], [(8, 1000), (9, 1040)])

    def test_few(self) -> None:
        """Nothing waits where next to nothing is saved, nor where nothing may."""
        self.fanouts.settings = PlaySettings(latency=0.0)
        self.sound(1000)
        self.assertEqual(len(self.sent), 1)
        self.fanouts.settings = PlaySettings(latency=self.latency)
        self.second.lose()
        self.picture(1040)
        self.assertEqual(len(self.sent), 2)


class ControlTests(PlayCase):
    def test_pause(self) -> None:
        """A pause stops media; going on begins where a decoder can."""
        encoder = self.encoder()
        client = self.player()
        encoder.run(1.0)
        client.send("pause", None, True, 1000.0, msid=1)
        before = len(client.frames)
        encoder.run(0.4)
        self.assertEqual(len(client.frames), before)
        client.send("pause", None, False, 1000.0, msid=1)
        encoder.run(0.4)
        whole = self.player()
        self.assertEqual(client.frames, whole.frames, "the rest of the GOP was still there")
        client.send("pause", None, True, 1000.0, msid=1)
        encoder.run(3.0)
        before = len(client.frames)
        client.send("pause", None, False, 1000.0, msid=1)
        self.assertEqual(client.frames[before], (9, 4000))
        codes = client.codes[2:]
        self.assertEqual(codes, ["NetStream.Pause.Notify", "NetStream.Unpause.Notify"] * 2)

    def test_receive(self) -> None:
        """A player gets only the kinds that it wants; pictures begin with a key frame."""
        encoder = self.encoder()
        client = self.player()
        encoder.run(1.0)
        client.send("receiveVideo", None, False, msid=1)
        before = len(client.frames)
        encoder.run(0.5)
        self.assertEqual({type_id for type_id, _ in client.frames[before:]}, {8})
        client.send("receiveVideo", None, True, msid=1)
        encoder.run(1.0)
        pictures = [time for type_id, time in client.frames[before:] if type_id == 9]
        self.assertEqual(pictures[0], 2000)
        client.send("receiveAudio", None, False, msid=1)
        before = len(client.frames)
        encoder.run(0.5)
        self.assertEqual({type_id for type_id, _ in client.frames[before:]}, {9})

    def test_receive_while_paused(self) -> None:
        """Pictures that are wanted again in a pause begin with a key frame, too.

        Those that were wanted all the time go on where they were.
        """
        for until, first in ((0.4, 4000), (2.0, 4000), (0.0, 4000)):
            encoder = self.encoder()
            client, other = self.player(), self.player()
            encoder.run(1.0)
            client.send("receiveVideo", None, False, msid=1)
            encoder.run(1.5)  # the key frame at 2 s is not wanted
            for each in (client, other):
                each.send("pause", None, True, 2500.0, msid=1)
            client.send("receiveVideo", None, True, msid=1)
            encoder.run(until)
            before, others = len(client.frames), len(other.frames)
            for each in (client, other):
                each.send("pause", None, False, 2500.0, msid=1)
            encoder.run(3.0)
            pictures = [time for type_id, time in client.frames[before:] if type_id == 9]
            self.assertEqual(pictures[0], first)
            if until < 1:
                self.assertLess(other.frames[others][1], 2600)
            encoder.publication.close("next")
            self.manager.stop("key")
            self.clock.advance(60)

    def test_receive_before_pause(self) -> None:
        """A pause does not bring pictures early that still wait for their key frame."""
        encoder = self.encoder()
        client = self.player()
        encoder.run(2.5)
        client.send("receiveVideo", None, False, msid=1)
        encoder.run(0.2)
        client.send("receiveVideo", None, True, msid=1)
        before = len(client.frames)
        encoder.run(0.2)
        client.send("pause", None, True, 2900.0, msid=1)
        client.send("pause", None, False, 2900.0, msid=1)
        encoder.run(2.0)
        pictures = [time for type_id, time in client.frames[before:] if type_id == 9]
        self.assertEqual(pictures[0], 4000)
        client.send("pause", None, True, 4900.0, msid=1)
        encoder.run(0.2)
        before = len(client.frames)
        client.send("pause", None, False, 4900.0, msid=1)
        pictures = [time for type_id, time in client.frames[before:] if type_id == 9]
        self.assertLess(pictures[0], 5000)

    def test_stop(self) -> None:
        """Who stops is no viewer any more, and must ask for something soon."""
        encoder = self.encoder()
        encoder.run(1.0)
        client = self.player()
        client.send("deleteStream", None, 1.0)
        before = len(client.frames)
        encoder.run(1.0)
        self.assertEqual(len(client.frames), before)
        self.assertEqual(self.stream.viewers, 0)
        self.clock.advance(11)
        self.assertTrue(client.transport.disconnected)

    def test_play_again(self) -> None:
        """Another play on the connection ends the one before."""
        self.encoder().run(1.0)
        self.encoder("other").run(1.0)
        client = self.player()
        client.play("other?token=good")
        self.assertEqual(client.codes[2:], ["NetStream.Play.Reset", "NetStream.Play.Start"])
        other = self.manager.get("other")
        assert other is not None
        self.assertEqual((self.stream.viewers, other.viewers), (0, 1))


class EndTests(PlayCase):
    def test_reconnect(self) -> None:
        """Players stay when the publisher comes back, and get headers for what it sends now."""
        encoder = self.encoder()
        client = self.player()
        encoder.run(3.0)
        encoder.publication.close("gone")
        self.clock.advance(5)
        changed = Track(1, FakeVideoConfig(width=640))
        again = self.encoder(tracks=(changed, AUDIO))
        again.run(1.0)
        self.assertEqual(client.codes, ["NetStream.Play.Reset", "NetStream.Play.Start"])
        self.assertEqual([kind for kind, _ in client.headers], [9, 8, 9, 8])
        pictures = [time for kind, time in client.frames if kind == 9]
        self.assertEqual(pictures, sorted(set(pictures)))
        self.assertEqual(len(client.keys), 3)
        self.assertEqual(client.headers[2][1], client.keys[-1])
        self.assertEqual(self.stream.viewers, 1)

    def test_joins_while_nobody_publishes(self) -> None:
        """Who comes in the grace is let in, and sees the publisher's return."""
        encoder = self.encoder()
        encoder.run(3.0)
        encoder.publication.close("gone")
        client = self.player()
        self.assertEqual(client.keys, [2000])
        self.encoder().run(1.0)
        self.assertEqual(len(client.keys), 2)

    def test_end(self) -> None:
        """The end of the stream is told, and the connection may go on."""
        encoder = self.encoder()
        client = self.player()
        encoder.run(1.0)
        client.transport.stop_reading()
        encoder.run(1.0)
        encoder.publication.close("gone")
        client.transport.is_read = True
        self.clock.advance(61)
        codes = client.codes[2:]
        self.assertEqual(codes, ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"])
        last = client.messages[-1]
        self.assertEqual((last.type_id, last.payload), (4, bytes.fromhex("000100000001")))
        self.assertEqual(client.frames[-1][1] // 100, 19)
        self.assertEqual(self.fanouts.players, set())
        self.assertFalse(client.transport.half_closed)

    def test_becomes_unplayable(self) -> None:
        """A player that cannot take what the stream has become is told why."""
        encoder = self.encoder()
        client = self.player()
        encoder.run(1.0)
        encoder.publication.close("gone")
        opus = Track(2, FakeAudioConfig(codec="opus", record=b""))
        self.encoder(tracks=(opus,)).run(4.0)
        self.assertEqual(client.codes[2:], ["NetStream.Play.Failed"])
        self.assertIn("opus", client.description)
        self.assertEqual(self.stream.viewers, 0)

    def test_crash(self) -> None:
        """What one player raises ends that one: others miss nothing, and the encoder goes on."""
        encoder = self.encoder()
        encoder.run(1.0)
        broken, other = self.player(), self.player()

        def crash(data: bytes) -> None:
            raise ZeroDivisionError

        broken.transport.write = crash  # type: ignore[method-assign]  # to fail
        encoder.run(1.0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.factory.errors, {"internal": 1})
        self.assertEqual(self.stream.viewers, 1)
        late = self.player()
        late.transport.writeSequence = crash  # type: ignore[method-assign]  # to fail
        encoder.publication.close("gone")
        self.manager.stop("key")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(other.frames[0], (9, 0))
        self.assertEqual(other.frames[-1][1] // 100, 19)
        self.assertIn("NetStream.Play.UnpublishNotify", other.codes)

    def test_shutdown(self) -> None:
        """Players are told that it is over; those that know how are asked to connect anew."""
        self.encoder().run(1.0)
        plain, new = self.player(), self.player(capsEx=1.0)
        self.manager.draining = True
        drained = self.factory.drain("the server is shutting down")
        stop = ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"]
        self.assertEqual(plain.codes[2:], stop)
        self.assertEqual(new.codes[2:], ["NetConnection.Connect.ReconnectRequest", *stop])
        plain.lose()
        new.lose()
        self.assertIsNone(self.successResultOf(drained))

    def test_publisher_is_asked_to_reconnect(self) -> None:
        """A publisher that knows how is asked, too, when the server goes down."""
        client = self.client(capsEx=1.0)
        client.send("publish", None, "mine?token=good", "live", msid=1)
        self.assertEqual(client.codes, ["NetStream.Publish.Start"])
        closing = self.manager.close()
        self.assertIn("NetConnection.Connect.ReconnectRequest", client.codes)
        self.assertIsNone(self.successResultOf(closing))
