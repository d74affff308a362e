"""Handshake and chunk layer at a whole server: cases A1 to A44 as far as memory shows them."""

import random
from itertools import pairwise

from rapidrtmp.amf import amf0
from tests.faults.case import (
    AAC,
    AVC,
    CONNECT,
    CREATE,
    INTER_FRAME,
    KEY_FRAME,
    SOUND,
    START,
    FaultCase,
    audio,
    publish_call,
    video,
)
from tests.rtmp.wire import C0_C1, HANDSHAKE, basic, call, chunks, control


class HandshakeTests(FaultCase):
    def test_cut_short(self) -> None:
        """A6: whoever leaves in the handshake is nothing to tell and leaves nothing."""
        before = len(self.clock.getDelayedCalls())
        for size in (0, 1, 2, 1000, 1537, 2000, 3072):
            peer = self.peer()
            peer.send(HANDSHAKE[:size])
            peer.lose()
        self.assertEqual(self.factory.errors, {})
        self.assertEqual(len(self.clock.getDelayedCalls()), before)

    def test_slow_loris(self) -> None:
        """A1, A2: ten seconds in all, whether nothing comes or a byte a second."""
        for octets in (b"", HANDSHAKE):
            peer = self.peer()
            for second in range(10):
                self.assertFalse(peer.is_closed, second)
                peer.send(octets[second : second + 1])
                self.advance(1)
            self.advance(0.08)
            self.assert_ended(peer, "handshake_timeout")

    def test_junk_behind_the_handshake(self) -> None:
        """A10: a mebibyte of junk ends within its first bad chunk."""
        source = random.Random(1)
        for _ in range(20):
            peer = self.peer()
            peer.send(C0_C1 + source.randbytes(1 << 20))
            self.assertTrue(peer.transport.disconnected)
            self.assertLess(peer.protocol.session.bytes_received, 200_000)
            peer.lose()
        self.assertNotIn("internal", self.factory.errors)

    def test_idle_crowd(self) -> None:
        """A13: an address has a hundred idle connections; a publisher elsewhere gets in."""
        crowd = [self.peer() for _ in range(300)]
        self.assertEqual(sum(peer.is_closed for peer in crowd), 200)
        self.publisher("other", "192.0.2.77").lose()
        self.advance(10.1)
        self.assertTrue(all(peer.is_closed for peer in crowd))
        for peer in crowd:
            peer.lose()
        self.assertEqual(
            self.factory.errors, {"too_many_connections": 200, "handshake_timeout": 100}
        )

    def test_client_never_reads(self) -> None:
        """A16: a publisher that reads nothing is sent so little that it does not matter."""
        peer = self.publisher()
        output = self.output_of(peer)
        peer.send(control(5, 1))
        written = len(peer.transport.value())
        for number in range(1, 1001):
            peer.send(video(INTER_FRAME + bytes(10_000), 10 * number))
            if not number % 4:
                self.advance(0.04)
        self.assertEqual(len(output.samples), 1002)
        self.assertLess(len(peer.transport.value()) - written, 65536)


class ControlTests(FaultCase):
    def test_chunk_sizes(self) -> None:
        """A17, A18, A20: what only an attack would ask for ends the connection."""
        for body in (
            bytes(4),
            b"\x80\0\0\1",
            b"\xff\xff\xff\xff",
            *(size.to_bytes(4, "big") for size in (1, 2, 64, 127)),
            b"",
            b"\0\0\x10",
        ):
            with self.subTest(body=body):
                peer = self.connected()
                peer.send(b"".join(chunks(body, csid=2, type_id=1, msid=0)))
                self.assert_ended(peer, "chunk_size")

    def test_chunk_sizes_tolerated(self) -> None:
        """A18, A19, A20: from 128 up to anything; of a long body the first four bytes."""
        for size in (128, 4096, 65536, 0xFFFFFF, 0x7FFFFFFF):
            for tail in (b"", b"x", bytes(96)):
                with self.subTest(size=size, tail=len(tail)):
                    peer = self.publisher()
                    output = self.output_of(peer)
                    body = size.to_bytes(4, "big") + tail
                    peer.send(b"".join(chunks(body, csid=2, type_id=1, msid=0)))
                    frame = INTER_FRAME + bytes(70_000)
                    peer.send(video(frame, 40, size=min(size, 0xFFFFFF)))
                    self.assertEqual(len(output.samples[-1].payload), len(frame) - 5 - 70_000)
                    self.assert_tolerated(peer)
                    peer.lose()

    def test_message_lengths(self) -> None:
        """A22: too long a message ends at its header, before anything of it is kept."""
        for peer in (self.connected(), self.publisher()):
            header = chunks(b"", csid=9, length=0xFFFFFF)[0]
            peer.send(header[:-1])
            self.assertFalse(peer.is_closed)
            peer.send(header[-1:])
            self.assert_ended(peer, "message_too_large")

    def test_many_chunk_streams(self) -> None:
        """A24: the 65th chunk stream is one too many, in whichever form its id is written."""
        peer = self.publisher()
        for csid in range(100, 161):
            peer.send(b"".join(chunks(b"", csid=csid, type_id=8)))
        self.assert_tolerated(peer)
        for csid in range(40_000, 40_010):
            peer.send(b"".join(chunks(b"", csid=csid, type_id=8)))
        self.assert_ended(peer, "too_many_chunk_streams")

    def test_violations(self) -> None:
        """A25, A27, A34: headers that cannot follow, an Abort that names nothing."""
        begun = chunks(bytes(300), csid=9)[0]
        for wire in (
            basic(3, 9),
            basic(2, 9) + bytes(3),
            begun + chunks(bytes(300), csid=9)[0],
            begun + chunks(bytes(200), csid=9, fmt=1)[0],
            begun + chunks(b"", csid=9, fmt=2)[0],
            b"".join(chunks(b"abc", csid=2, type_id=2, msid=0)),
        ):
            with self.subTest(wire=wire[:20]):
                peer = self.publisher()
                peer.send(control(1, 128) + wire)
                self.assert_ended(peer, "protocol")

    def test_windows(self) -> None:
        """A36: any window and bandwidth; an acknowledgement for 64 KiB at most, none else."""
        for window in (0, 1, 100, 1 << 31, 0xFFFFFFFF):
            with self.subTest(window=window):
                peer = self.publisher()
                peer.send(START + control(6, 0) + control(3, 0xDEADBEEF) + control(5, window))
                for number in range(20):
                    peer.send(video(INTER_FRAME + bytes(20_000), 40 + number))
                acknowledgements = [m for m in peer.messages if m.type_id == 3]
                self.assertEqual(len(acknowledgements), 5 if window <= 1 << 17 else 0)
                self.assert_tolerated(peer)
                peer.lose()

    def test_user_control(self) -> None:
        """A37, A39: any user control message, of any length, anywhere, means nothing."""
        peer = self.publisher()
        output = self.output_of(peer)
        before = len(peer.messages)
        for body in (b"", b"\0", b"\0\6abc", b"\0\x1f" + bytes(4), b"\0\x20", b"\3\xe7", b"\0\x1a"):
            for csid, msid in ((2, 0), (3, 0), (6, 1)):
                peer.send(b"".join(chunks(body, csid=csid, type_id=4, msid=msid)))
        peer.send(video(INTER_FRAME, 40))
        self.assertEqual(len(peer.messages), before)
        self.assertEqual(len(output.samples), 3)
        self.assert_tolerated(peer)

    def test_pings(self) -> None:
        """A38: of a hundred thousand pings each read's newest is answered."""
        peer = self.publisher()
        before = len(peer.transport.value())
        ping = b"".join(chunks(b"\0\6abcd", csid=2, type_id=4, msid=0))
        peer.send(ping * 100_000)
        self.assertLess(len(peer.transport.value()) - before, 2048)
        self.assert_tolerated(peer)

    def test_unknown_types(self) -> None:
        """A40, A41: messages of no known type, and broken aggregates, are counted."""
        peer = self.publisher()
        output = self.output_of(peer)
        for type_id in (0, 7, 12, 16, 19, 21, 255):
            peer.send(b"".join(chunks(b"x", csid=9, type_id=type_id)))
        tag = b"\x09" + len(INTER_FRAME).to_bytes(3, "big") + bytes(7) + INTER_FRAME
        peer.send(b"".join(chunks(tag + b"\xff\xff\xff\xff" + b"\x09\xff", type_id=22, time=40)))
        self.assertEqual(peer.protocol.session.dropped, {"unknown_type": 7, "aggregate": 1})
        self.assertEqual(len(output.samples), 3)
        self.assert_tolerated(peer)


class TimeTests(FaultCase):
    def sent_times(self, wire: bytes) -> list[int]:
        """Publish frames behind a start; return their times in ms."""
        peer = self.publisher()
        output = self.output_of(peer)
        peer.send(wire)
        found = [s.dts // 90 for s in output.samples if s.track.kind == "video"]
        self.assert_tolerated(peer)
        peer.lose()
        return found[1:]

    def test_gstreamer_order(self) -> None:
        """A29: type 3 for a new message behind type 0 adds the type 0 chunk's own field."""
        step = basic(3, 6) + INTER_FRAME
        for time in (20, 40, 900):
            with self.subTest(time=time):
                times = self.sent_times(video(INTER_FRAME, time) + step * 3)
                self.assertEqual(times, [time, 2 * time, 3 * time, 4 * time])

    def test_old_obs(self) -> None:
        """A30: equal absolute times by type 3, for an hour of stream: no drift."""
        count = 3600
        wire = b"".join(video(INTER_FRAME, 500 * n) for n in range(1, 5))
        wire += b"".join(
            video(INTER_FRAME, 3000 + 1000 * n) + basic(3, 6) + INTER_FRAME for n in range(count)
        )
        peer = self.publisher()
        output = self.output_of(peer)
        peer.send(wire)
        times = [s.dts // 90 for s in output.samples if s.track.kind == "video"]
        self.assertEqual(len(times), 5 + 2 * count)
        # two frames of one time are a tick apart, so that times grow
        self.assertLess(abs(times[-1] - 1000 * (count + 2)), 10)
        self.assertLess(max(b - a for a, b in pairwise(times)), 1010)

    def test_extended_times(self) -> None:
        """A31: beyond 2^24 ms, extended times repeated on type 3 or not, the frame is whole."""
        frame = INTER_FRAME[:5] + b"\0\0\x01\x2c" + b"\x41" + bytes(range(256)) + bytes(43)
        for repeat in (True, False):
            with self.subTest(repeat=repeat):
                peer = self.publisher()
                high = 0x1000000
                peer.send(control(1, 128))
                peer.send(video(AVC, high, repeat=repeat))
                peer.send(audio(AAC, high, repeat=repeat))
                peer.send(video(KEY_FRAME, high, repeat=repeat))
                peer.send(audio(SOUND, high, repeat=repeat))
                peer.send(video(frame, high + 40, repeat=repeat))
                sample = self.maker.outputs[-1].samples[-1]
                self.assertEqual(bytes(sample.payload), frame[5:])
                self.assertEqual(sample.dts - self.maker.outputs[-1].samples[0].dts, 40 * 90)
                peer.lose()


class CutTests(FaultCase):
    def test_every_position(self) -> None:
        """A43: an OBS session cut at 500 places: each publish that began ends exactly once."""
        metadata = amf0.encode("@setDataFrame", "onMetaData", {"width": 1280.0})
        wire = (
            HANDSHAKE
            + control(1, 4096)
            + CONNECT
            + call("releaseStream", 2.0, None, "key")
            + call("FCPublish", 3.0, None, "key")
            + CREATE
            + publish_call("cut")
            + b"".join(chunks(metadata, type_id=18, size=4096))
            + START
            + b"".join(video(INTER_FRAME, 40 * n) + audio(SOUND, 40 * n) for n in range(1, 30))
            + call("FCUnpublish", 6.0, None, "key")
            + call("deleteStream", 7.0, None, 1.0)
        )
        told: list[str] = []
        self.manager.events.subscribe(lambda event: told.append(event.name))
        source = random.Random(2)
        positions = [source.randrange(len(wire)) for _ in range(400)]
        positions += [source.randrange(len(HANDSHAKE), len(wire)) for _ in range(99)]
        for position in [*positions, len(wire)]:
            del told[:]
            peer = self.peer()
            middle = source.randrange(position + 1)
            peer.send(wire[:middle])
            peer.send(wire[middle:position])
            began = "NetStream.Publish.Start" in peer.codes if position > 3073 else False
            peer.lose()
            self.assertEqual((told.count("publish"), told.count("unpublish")), (began, began))
            self.advance(1)
        self.assertEqual(self.factory.errors, {})
