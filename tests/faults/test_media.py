"""Media at a whole server: cases A73 to A106 as far as they are no single room's affair."""

import itertools
import math

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import ECMAArray
from rapidrtmp.flv import enhanced
from tests.codecs.builders import ASC, SPS, avcc, pps, prefixed
from tests.codecs.video_builders import VP9Frame, vpcc
from tests.faults.case import (
    AAC,
    AVC,
    INTER_FRAME,
    KEY_FRAME,
    SOUND,
    START,
    FaultCase,
    Peer,
    audio,
    video,
)
from tests.rtmp.wire import chunks, control

REJECTED = "NetStream.Publish.Rejected"
AVC_1080 = b"\x17\0\0\0\0" + avcc([SPS(width_mbs=120, height_map_units=68).nal_unit()], [pps()])


def data(*values: object) -> bytes:
    """Write metadata."""
    return b"".join(chunks(amf0.encode("@setDataFrame", "onMetaData", *values), type_id=18))  # type: ignore[arg-type]  # any values of AMF0


class MediaTests(FaultCase):
    def test_garbage(self) -> None:
        """A73, A74, A75, A76, A80: what cannot be used costs itself and nothing else."""
        peer = self.publisher()
        output = self.output_of(peer)
        bodies = [
            *(b"", b"\x17", b"\x17\1", b"\x17\1\0\0", b"\x27\1\0\0\0"),
            *(b"\x22\0\0\0\0", b"\x24\0", b"\x2f\1", b"\x91vvc1", b"\x90XXXX\0", b"\x80"),
            *(b"\x97\xff\0\0", b"\x97\0\x05", b"\x97" + b"\0\0\x07" * 1000, b"\x96\x90"),
            *(b"\x96\x06hvc1", b"\x96\x31avc1\0", b"\x96\x11avc1\0\xff\xff\xff" + bytes(9)),
            *(b"\x27\1\0\0\0" + bytes(4), b"\x27\1\0\0\0\xff\xff\xff\xff\x41"),
            b"\x27\1\0\0\0" + b"\0\0\0\3\x41\x9a",
        ]
        time = 0
        for body in bodies:
            with self.subTest(body=body[:16]):
                before = len(output.samples)
                time += 40
                peer.send(video(body, time - 20) + video(INTER_FRAME, time))
                self.assertIn(len(output.samples) - before, (1, 2))
                self.assertEqual(output.samples[-1].dts, 90 * time)
        for body in (b"", b"\xaf", b"\xb2\1", b"\xff\0", b"\x90fLaC", b"\x95\0", b"\x9f"):
            with self.subTest(sound=body):
                before = len(output.samples)
                time += 40
                peer.send(audio(body, time) + video(INTER_FRAME, time))
                self.assertEqual(len(output.samples) - before, 1)
        self.assertEqual(output.words, [["video", "audio"]])
        self.assert_tolerated(peer)

    def test_unsupported(self) -> None:
        """A74: nothing but a codec that is not taken: it is named when the publisher goes."""
        peer = self.publisher()
        for second in range(22):
            if not peer.is_closed:
                peer.send(video(b"\x90vvc1" + bytes(20), 1000 * second))
            self.advance(1)
        self.assertIn(b"VVC (vvc1)", peer.transport.value())
        self.assert_refused(peer, REJECTED)

    def test_broken_configurations(self) -> None:
        """A77, A78, A79: broken records leave the good one in force."""
        peer = self.publisher()
        output = self.output_of(peer)
        good = AVC[5:]
        records = [good[:end] for end in range(len(good) - 2)]
        records += [
            b"\0" + good[1:],
            good[:5] + b"\xff" + good[6:],
            good[:6] + b"\xff\xff" + good[8:],
            avcc([SPS(width_mbs=2000).nal_unit()], [pps()]),
            avcc([b"\x67\x64\0\x1f" + bytes(100_000 // 8)], [pps()]),
        ]
        for number, record in enumerate(records, 1):
            peer.send(video(b"\x17\0\0\0\0" + record, 40 * number))
            peer.send(video(KEY_FRAME, 40 * number))
        for record in (b"", b"\x11", b"\xff\xff\xff", b"\x16\x80"):
            peer.send(audio(b"\xaf\0" + record, 40) + audio(SOUND, 40))
        self.assertEqual(output.words, [["video", "audio"]])
        self.assertEqual(len(output.samples), 2 + len(records) + 4)
        self.assert_tolerated(peer)

    def test_before_configuration(self) -> None:
        """A82: frames before the configuration and the first key frame are dropped."""
        peer = self.publisher()
        peer.send(video(KEY_FRAME, 0) + video(AVC, 0) + video(INTER_FRAME, 40) + audio(AAC, 0))
        peer.send(video(KEY_FRAME, 80) + audio(SOUND, 80))
        self.assertEqual(len(self.maker.outputs[-1].samples), 2)

    def test_repeated_configuration(self) -> None:
        """A97: the same configuration ten times a second is none."""
        peer = self.publisher()
        output = self.output_of(peer)
        for number in range(1, 101):
            peer.send(video(AVC, 100 * number) + audio(AAC, 100 * number))
            peer.send(video(KEY_FRAME, 100 * number))
        self.assertEqual(output.words, [["video", "audio"]])
        self.assert_tolerated(peer)

    def test_flapping(self) -> None:
        """A98: another configuration with each frame is refused in words."""
        peer = self.publisher()
        output = self.output_of(peer)
        for number in range(1, 100):
            peer.send(video((AVC, AVC_1080)[number & 1], 40 * number))
            peer.send(video(KEY_FRAME, 40 * number))
        self.assertLessEqual(output.words.count("discontinuity"), 22)
        self.assertEqual(self.factory.errors, {"config_flapping": 1})
        self.assert_refused(peer, REJECTED)

    def test_flapping_in_one_message(self) -> None:
        """A76, A98: a track that a message holds twice, each time of another size, is dropped."""
        peer = self.publisher()
        output = self.output_of(peer)
        vp09 = enhanced.fourcc("vp09")
        sizes = [VP9Frame(width=width).octets() for width in (640, 1280)]
        peer.send(video(enhanced.video_header(0, vp09, 1, 0, 1) + vpcc(), 0))
        parts = [enhanced.Part(1, vp09, sizes[number & 1]) for number in range(200)]
        peer.send(video(enhanced.build_video(enhanced.ExTag(1, parts, 1, 0, 1)), 40))
        peer.send(video(INTER_FRAME, 40))
        self.assertEqual(output.words, [["video", "audio"]])
        self.assert_tolerated(peer)

    def test_changes(self) -> None:
        """A96, A99: size, rate and channels change with one discontinuity each."""
        peer = self.publisher()
        output = self.output_of(peer)
        time = 0
        for change in (
            video(AVC_1080, 0),
            audio(b"\xaf\0" + ASC(rate=44100).octets(), 0),
            audio(b"\xaf\0" + ASC(rate=44100, configuration=1).octets(), 0),
        ):
            time += 1000
            peer.send(change + video(INTER_FRAME, time))
            peer.send(video(KEY_FRAME, time + 40) + audio(SOUND, time + 40))
            peer.send(video(INTER_FRAME, time + 80) + audio(SOUND, time + 80))
        self.assertEqual(output.words.count("discontinuity"), 3)
        self.assert_tolerated(peer)


class TimeTests(FaultCase):
    def dts(self, times: list[int]) -> list[float]:
        """Publish frames at these times in ms; return the video's times in ms as they go out."""
        peer = self.publisher()
        output = self.output_of(peer)
        self.words = output.words
        for time in times:
            peer.send(video(KEY_FRAME, time & 0xFFFFFFFF) + audio(SOUND, time & 0xFFFFFFFF))
        self.assert_tolerated(peer)
        self.words = output.words
        peer.lose()
        return [s.dts / 90 for s in output.samples if s.track.kind == "video"]

    def test_all_zero(self) -> None:
        """A89: times that stand still are a tick apart: no frame is without duration."""
        found = self.dts([0] * 100)
        self.assertEqual(len(found), 101)
        self.assertEqual(sorted(set(found)), found)
        self.assertLess(found[-1], 10)

    def test_slips(self) -> None:
        """A90: up to a second back is held; more is a discontinuity."""
        for back, breaks in ((1, 0), (40, 0), (900, 0), (2000, 1), (10_000, 1)):
            with self.subTest(back=back):
                times = [40 * n for n in range(1, 300)]
                times += [times[-1] - back + 40 * n for n in range(1, 300)]
                found = self.dts(times)
                self.assertEqual(sorted(set(found)), found)
                self.assertEqual(len(found), 599)
                self.assertEqual(self.words.count("discontinuity"), breaks)

    def test_jumps(self) -> None:
        """A91: up to five seconds are a gap; more is a discontinuity, and no long segment."""
        for jump, breaks in ((3000, 0), (10_000, 1), (3_600_000, 1), (1 << 31, 1), (-1000, 0)):
            with self.subTest(jump=jump):
                times = [40 * n for n in range(1, 100)]
                times += [times[-1] + jump + 40 * n for n in range(1, 100)]
                found = self.dts(times)
                self.assertEqual(sorted(set(found)), found)
                self.assertEqual(self.words.count("discontinuity"), breaks)
                self.assertLess(found[-1], 13_000)

    def test_wraps(self) -> None:
        """A92: 2^24, 2^31 and 2^32 ms pass without a trace."""
        for wrap in (1 << 24, 1 << 31, 1 << 32):
            with self.subTest(wrap=wrap):
                start = wrap - 2000
                peer = self.publisher()
                peer.send(video(AVC, start) + audio(AAC, start))
                for n in range(100):
                    time = (start + 40 * n) & 0xFFFFFFFF
                    peer.send(audio(SOUND, time) + video(KEY_FRAME, time))
                output = self.maker.outputs[-1]
                times = [s.dts // 90 for s in output.samples if s.track.kind == "video"]
                self.assertEqual([b - a for a, b in itertools.pairwise(times)], [40] * 99)
                self.assertEqual(output.words, [["video", "audio"]])
                peer.lose()


class SilenceTests(FaultCase):
    def ends_after(self, peer: Peer, wire: bytes) -> int:
        """Repeat something each second; return after how many seconds the server ends it."""
        for second in range(40):
            if peer.is_closed:
                return second
            peer.send(wire)
            self.advance(1)
        raise AssertionError("never ended")

    def test_no_media(self) -> None:
        """A102: nothing, only metadata, only pings: each is the end after 20 s."""
        ping = b"".join(chunks(b"\0\6abcd", csid=2, type_id=4, msid=0))
        for wire in (b"", data(ECMAArray({"width": 1280.0})), ping, video(INTER_FRAME, 0)):
            with self.subTest(wire=wire[:30]):
                peer = self.publisher()
                self.assertIn(self.ends_after(peer, wire), (20, 21))
                self.assertEqual(self.factory.errors, {"no_media": 1})
                self.factory.errors.clear()
                self.assert_refused(peer, REJECTED)

    def test_silence(self) -> None:
        """A103: after media ten seconds without are the end, whatever else is sent."""
        ping = b"".join(chunks(b"\0\6abcd", csid=2, type_id=4, msid=0))
        peer = self.publisher()
        output = self.output_of(peer)
        self.assertIn(self.ends_after(peer, ping), (10, 11, 12))
        self.assertEqual(self.factory.errors, {"publisher_idle": 1})
        self.assertNotIn("ended", output.words)
        self.assert_refused(peer, REJECTED)

    def test_pacing(self) -> None:
        """A100: ten minutes of media at once: reading pauses, nothing piles up."""
        peer = self.publisher()
        output = self.output_of(peer)
        for number in range(1, 600):
            if peer.transport.producerState == "paused":
                break
            peer.send(video(INTER_FRAME, 1000 * number))
        self.assertLess(len(output.samples), 20)
        self.advance(5)
        self.assertEqual(peer.transport.producerState, "producing")


class ExtremeTests(FaultCase):
    def test_tiny_and_huge_frames(self) -> None:
        """A101: a thousand frames a second, and key frames of 9.9 MiB."""
        peer = self.publisher()
        peer.send(control(1, 65536))
        peer.send(START)
        output = self.maker.outputs[-1]
        for number in range(1, 2001):
            peer.send(video(INTER_FRAME + bytes(15), number))
            if not number % 40:
                self.advance(0.04)
        self.assertEqual(len(output.samples), 2002)
        body = KEY_FRAME[:5] + prefixed(b"\x65\x88" + bytes(range(1, 255)) * 40_000)
        self.assertGreater(len(body), 9.6 * 1024 * 1024)
        peer.send(video(body, 2010, size=65536))
        self.assertEqual(len(output.samples[-1].payload), len(body) - 5)
        self.assert_tolerated(peer)

    def test_metadata(self) -> None:
        """A69, A104: metadata that makes no sense makes no track, and is not believed."""
        peer = self.publisher()
        output = self.output_of(peer)
        peer.send(
            data(
                ECMAArray(
                    {
                        "width": math.nan,
                        "height": -5.0,
                        "framerate": 1e9,
                        "videodatarate": "fast",
                        "audiocodecid": "Opus",
                        "encoder": "<script>alert(1)</script>",
                    }
                )
            )
        )
        peer.send(video(INTER_FRAME, 40))
        self.assertEqual(output.words, [["video", "audio"]])
        [stream] = [s for s in self.manager.streams() if s.key != "canary"]
        self.assertEqual(
            stream.metadata,
            {
                "audiocodecid": "Opus",
                "encoder": "<script>alert(1)</script>",
            },
        )
        self.assert_tolerated(peer)
