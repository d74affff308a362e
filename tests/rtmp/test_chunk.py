"""Tests of the chunk stream."""

import tracemalloc
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.rtmp.chunk import ChunkDecoder, ChunkEncoder, basic_header
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.limits import Limits
from tests.rtmp.wire import Message, basic, chunks


class Reader:
    """A decoder that obeys the chunk sizes in message type 1 and keeps what it delivers."""

    def __init__(self, limits: Limits | None = None, chunk_size: int = 128) -> None:
        self.messages: list[Message] = []
        self.decoder = ChunkDecoder(limits or Limits(message_before_publish=1 << 24), self._take)
        self.decoder.chunk_size = chunk_size

    def _take(self, type_id: int, message_stream_id: int, timestamp: int, payload: bytes) -> None:
        if type_id == 1:
            # what is not positive is refused one layer up
            self.decoder.chunk_size = int.from_bytes(payload, "big") or 1
        elif type_id == 2:
            self.decoder.abort(int.from_bytes(payload, "big"))
        else:
            self.messages.append(Message(type_id, message_stream_id, timestamp, payload))

    def times(self) -> list[int]:
        return [message.timestamp for message in self.messages]

    def bodies(self) -> list[bytes]:
        return [message.payload for message in self.messages]


def body(size: int, seed: int = 0) -> bytes:
    """Bytes that tell their place, so that a slip by one shows."""
    return bytes((i * 7 + (i >> 8) + seed) & 0xFF for i in range(size))


def read(
    wire: Sequence[bytes] | bytes, chunk_size: int = 128, limits: Limits | None = None
) -> Reader:
    """Decode it in one piece and byte by byte; both must agree."""
    data = wire if isinstance(wire, bytes) else b"".join(wire)
    whole = Reader(limits, chunk_size)
    whole.decoder.receive(data)
    bytewise = Reader(limits, chunk_size)
    for i in range(len(data)):
        bytewise.decoder.receive(data[i : i + 1])
    assert whole.messages == bytewise.messages
    return whole


class HeaderTests(SynchronousTestCase):
    def test_chunk_stream_id_forms(self) -> None:
        """Every form of a chunk stream id works; state belongs to the number."""
        for csid, form in ((2, 1), (63, 1), (64, 2), (319, 2), (64, 3), (319, 3), (65599, 3)):
            with self.subTest(csid=csid, form=form):
                payload = body(300)
                got = read(chunks(payload, csid=csid, form=form)).messages
                self.assertEqual(got, [Message(9, 1, 0, payload)])
        mixed = chunks(body(200), csid=100, form=2, time=5)
        mixed[1] = basic(3, 100, 3) + mixed[1][2:]
        self.assertEqual(read(mixed).bodies(), [body(200)])

    def test_inherits(self) -> None:
        """Types 1 to 3 take what they lack from the header before."""
        wire = (
            chunks(b"a" * 5, fmt=0, time=1000, type_id=8, msid=7)
            + chunks(b"b" * 6, fmt=1, time=20, type_id=9)
            + chunks(b"c" * 6, fmt=2, time=30)
            + chunks(b"d" * 6, fmt=3)
            + chunks(b"e" * 6, fmt=3)
        )
        self.assertEqual(
            read(wire).messages,
            [
                Message(8, 7, 1000, b"a" * 5),
                Message(9, 7, 1020, b"b" * 6),
                Message(9, 7, 1050, b"c" * 6),
                Message(9, 7, 1080, b"d" * 6),
                Message(9, 7, 1110, b"e" * 6),
            ],
        )

    def test_type_1_first(self) -> None:
        """A chunk stream may begin with type 1: stream 0, counted from 0."""
        self.assertEqual(
            read(chunks(b"ping", fmt=1, csid=2, time=3, type_id=4)).messages,
            [Message(4, 0, 3, b"ping")],
        )

    def test_type_2_or_3_first(self) -> None:
        """A chunk stream cannot begin with a header that has no length."""
        for fmt in (2, 3):
            with self.subTest(fmt=fmt):
                error = self.assertRaises(ProtocolError, read, chunks(b"x", fmt=fmt))
                self.assertEqual(error.reason, "protocol")

    def test_header_inside_message(self) -> None:
        """Another message's header inside an unfinished one is a violation."""
        for fmt in (0, 1, 2):
            for size in (300, 100):
                with self.subTest(fmt=fmt, size=size):
                    wire = chunks(body(300))[:1] + chunks(body(size), fmt=fmt)[:1]
                    error = self.assertRaises(ProtocolError, read, wire)
                    self.assertEqual(error.reason, "protocol")

    def test_zero_length(self) -> None:
        """Messages without a body are delivered, by each type of header."""
        wire = chunks(fmt=0, time=1) + chunks(fmt=1, time=1) + chunks(fmt=2, time=1)
        reader = read(wire + chunks(fmt=3))
        self.assertEqual(reader.bodies(), [b""] * 4)
        self.assertEqual(reader.times(), [1, 2, 3, 4])

    def test_too_many_chunk_streams(self) -> None:
        """The number of chunk streams is limited, exactly."""
        wire = [b"".join(chunks(b"x", csid=csid)) for csid in range(3, 3 + 65)]
        self.assertEqual(len(read(wire[:64]).messages), 64)
        error = self.assertRaises(ProtocolError, read, wire)
        self.assertEqual(error.reason, "too_many_chunk_streams")


class TimestampTests(SynchronousTestCase):
    def test_type_3_after_type_0(self) -> None:
        """A type 3 message after a type 0 one adds its timestamp, as GStreamer means it."""
        for time in (0, 20, 5000):
            with self.subTest(time=time):
                wire = chunks(b"1", time=time) + chunks(b"2", fmt=3) + chunks(b"3", fmt=3)
                self.assertEqual(read(wire).times(), [time, 2 * time, 3 * time])

    def test_type_3_repeats_running_clock(self) -> None:
        """Where media runs already, type 3 after type 0 repeats the time, as old librtmp."""
        hour = 3_600_000
        wire = (
            chunks(b"a", csid=4, time=hour, type_id=8)
            + chunks(b"1", csid=6, time=hour + 10)
            + chunks(b"2", csid=6, fmt=3)
            + chunks(b"3", csid=6, fmt=1, time=40)
        )
        self.assertEqual(read(wire).times(), [hour, hour + 10, hour + 10, hour + 50])

    def test_extended(self) -> None:
        """From 0xFFFFFF on the timestamp is extended, repeated on type 3 or not."""
        for time in (0xFFFFFE, 0xFFFFFF, 0x1000000, 0x80000000, 0xFFFFFFFF):
            for repeat in (True, False):
                with self.subTest(time=time, repeat=repeat):
                    wire = chunks(body(500), time=time, repeat=repeat)
                    reader = read(wire)
                    self.assertEqual(reader.times(), [time])
                    self.assertEqual(reader.bodies(), [body(500)])

    def test_extended_small(self) -> None:
        """An extended timestamp may hold a value that would not need it."""
        wire = b"\x04\xff\xff\xff\x00\x00\x01\x08\x01\x00\x00\x00\x00\x00\x00\x05x"
        self.assertEqual(read(wire).messages, [Message(8, 1, 5, b"x")])

    def test_payload_like_extended(self) -> None:
        """Payload that equals the extended timestamp is kept when that is repeated."""
        time = 0x01020304
        payload = bytes(128) + time.to_bytes(4, "big") + bytes(10)
        self.assertEqual(read(chunks(payload, time=time)).bodies(), [payload])

    def test_payload_starts_like_extended(self) -> None:
        """A prefix of it alone is payload, where the timestamp is left out."""
        payload = bytes(128) + b"\x01\x02\x03\x05" + bytes(3)
        wire = chunks(payload, time=0x01020304, repeat=False)
        self.assertEqual(read(wire).bodies(), [payload])

    def test_extended_delta(self) -> None:
        """An extended delta is a delta, and negative ones are added modulo 2^32."""
        wire = (
            chunks(b"1", time=100)
            + chunks(b"2", fmt=1, time=0xFFFFFFF0)
            + chunks(b"3", fmt=2, time=0x1000000)
            + chunks(b"4", fmt=3, time=0x1000000)
        )
        self.assertEqual(read(wire).times(), [100, 84, 84 + 0x1000000, 84 + 2 * 0x1000000])

    def test_wraps(self) -> None:
        """Timestamps wrap at 2^32."""
        wire = chunks(b"1", time=0xFFFFFFF0) + chunks(b"2", fmt=1, time=33)
        self.assertEqual(read(wire).times(), [0xFFFFFFF0, 17])


class ChunkSizeTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Any chunk size works, far beyond any message too."""
        for size in (128, 129, 1023, 1024, 4096, 0xFFFFFF):
            with self.subTest(size=size):
                wire = chunks(body(10_000), size=size) + chunks(body(9), fmt=1, size=size)
                self.assertEqual(read(wire, size).bodies(), [body(10_000), body(9)])

    def test_change_inside_message(self) -> None:
        """A new chunk size holds from the next chunk on, inside another message too."""
        payload = body(1000)
        small = chunks(payload, csid=6)
        wire = small[0] + small[1]
        wire += b"".join(chunks((400).to_bytes(4, "big"), csid=2, type_id=1, msid=0))
        for start in range(256, 1000, 400):
            wire += basic(3, 6) + payload[start : start + 400]
        self.assertEqual(read(wire).bodies(), [payload])

    def test_interleaved_at_every_chunk(self) -> None:
        """Audio between any two chunks of a video message leaves both whole."""
        video, audio = body(1000), body(100, seed=3)
        pieces = chunks(video, csid=6)
        for i in range(1, len(pieces)):
            with self.subTest(i=i):
                wire = pieces[:i] + chunks(audio, csid=4, type_id=8) + pieces[i:]
                self.assertEqual(read(wire).bodies(), [audio, video])

    def test_all_interleaved(self) -> None:
        """Two long messages may alternate chunk by chunk."""
        one, two = body(2000), body(2000, seed=9)
        wire = []
        for a, b in zip(chunks(one, csid=5), chunks(two, csid=6), strict=True):
            wire += [a, b]
        self.assertEqual(read(wire).bodies(), [one, two])

    def test_abort(self) -> None:
        """Abort drops an unfinished message and keeps its header; others do not mind."""
        abort = chunks((6).to_bytes(4, "big"), csid=2, type_id=2, msid=0)
        unknown = chunks((99).to_bytes(4, "big"), csid=2, type_id=2, msid=0)
        wire = chunks(body(300), csid=6, time=40)[:2] + abort + unknown + abort
        wire += chunks(body(300), fmt=3, csid=6)
        reader = read(wire)
        self.assertEqual(reader.bodies(), [body(300)])
        self.assertEqual(reader.decoder._partial, 0)


class LimitTests(SynchronousTestCase):
    def test_message_too_large(self) -> None:
        """The length is judged by the header alone."""
        limits = Limits(message_before_publish=1000)
        self.assertEqual(len(read(chunks(bytes(1000)), limits=limits).messages), 1)
        wire = chunks(length=1001)[0]
        error = self.assertRaises(ProtocolError, read, wire, limits=limits)
        self.assertEqual(error.reason, "message_too_large")

    def test_limit_that_shrinks(self) -> None:
        """A length inherited from before is judged by the limit of now."""
        for fmt in (2, 3):
            with self.subTest(fmt=fmt):
                reader = Reader()
                reader.decoder.receive(b"".join(chunks(bytes(500))))
                reader.decoder.max_message_size = 100
                wire = b"".join(chunks(bytes(500), fmt=fmt))
                error = self.assertRaises(ProtocolError, reader.decoder.receive, wire)
                self.assertEqual(error.reason, "message_too_large")

    def test_partial_bytes(self) -> None:
        """The sum of unfinished messages is limited, in both ways that chunks are taken."""
        for size in (128, 4096):
            with self.subTest(size=size):
                limits = Limits(message_before_publish=50_000, partial_bytes_before_publish=200_000)
                reader = Reader(limits, size)
                error = None
                for csid in range(3, 30):
                    wire = b"".join(chunks(bytes(49_000), csid=csid, size=size)[:-1])
                    try:
                        reader.decoder.receive(wire)
                    except ProtocolError as raised:
                        error = raised
                        break
                assert error is not None
                self.assertEqual(error.reason, "partial_bytes")
                self.assertLessEqual(csid, 8)

    def test_partial_is_given_back(self) -> None:
        """Finished messages do not count any more."""
        limits = Limits(message_before_publish=50_000, partial_bytes_before_publish=60_000)
        reader = Reader(limits)
        for _ in range(10):
            for piece in chunks(bytes(40_000)):
                reader.decoder.receive(piece)
        self.assertEqual(len(reader.messages), 10)
        self.assertEqual(reader.decoder._partial, 0)

    def test_small_pieces_are_charged(self) -> None:
        """Memory is counted, not payload: single bytes cost more than their number."""
        reader = Reader(
            Limits(message_before_publish=50_000, partial_bytes_before_publish=20_000), 40_000
        )
        wire = chunks(bytes(40_000), size=40_000)[0]

        def drip() -> None:
            for i in range(len(wire)):
                reader.decoder.receive(wire[i : i + 1])

        error = self.assertRaises(ProtocolError, drip)
        self.assertEqual(error.reason, "partial_bytes")

    def test_unfinished_messages_do_not_keep_reads(self) -> None:
        """Little of each read kept costs little, not the whole read."""
        decoder = ChunkDecoder(Limits(message_before_publish=1 << 20), lambda *message: None)
        decoder.max_partial_bytes = 1 << 21
        decoder.chunk_size = 4096
        further = chunks(bytes(65_000), csid=4, size=65_000)[0][:12] + bytes(4096)
        further += b"".join(basic(3, 4) + bytes(4096) for _ in range(14))
        further += basic(3, 4) + bytes(65_000 - 15 * 4096)
        long = chunks(bytes(1 << 20), csid=6, size=4096)
        tracemalloc.start()
        try:
            for piece in long[:128]:
                decoder.receive(further + piece)
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(grown, 128 * (4096 + 200))

    def test_small_message_is_copied_out(self) -> None:
        """A small message does not keep the read alive that it came in."""
        reader = Reader(chunk_size=4096)
        reader.decoder.receive(b"".join(chunks(b"tiny") + chunks(body(4000), fmt=1, size=4096)))
        self.assertIs(type(reader.bodies()[0]), bytes)
        self.assertEqual(reader.bodies()[0], b"tiny")


class PauseTests(SynchronousTestCase):
    def test_pause(self) -> None:
        """A pause stops behind the message that asks for it; nothing is lost."""
        got: list[bytes] = []

        def deliver(type_id: int, stream: int, time: int, payload: bytes) -> None:
            got.append(payload)
            decoder.paused = payload.startswith(b"stop")

        decoder = ChunkDecoder(Limits(), deliver)
        decoder.receive(b"".join(chunks(b"stop1") + chunks(b"stop2") + chunks(b"go")[:1]))
        self.assertEqual(got, [b"stop1"])
        held = decoder.kept
        decoder.receive(b"\x04")
        self.assertEqual(decoder.kept, held + 1)
        decoder.paused = False
        decoder.receive(b"")
        self.assertEqual(got, [b"stop1", b"stop2"])
        decoder.paused = False
        decoder.receive(b"")
        self.assertEqual(got, [b"stop1", b"stop2", b"go"])


class EncoderTests(SynchronousTestCase):
    def test_basic_header(self) -> None:
        """Basic headers take their shortest form."""
        for csid in (2, 63, 64, 319, 320, 65599):
            self.assertEqual(basic_header(3, csid), basic(3, csid))

    def test_type_0_wire(self) -> None:
        """A message is written as the specification draws it."""
        self.assertEqual(
            ChunkEncoder(2).encode(5, 20, 0x01020304, 0x0A0B0C, b"abc"),
            b"\x05\x0a\x0b\x0c\x00\x00\x03\x14\x04\x03\x02\x01ab\xc5c",
        )

    def test_extended_wire(self) -> None:
        """An extended timestamp stands on every chunk."""
        self.assertEqual(
            ChunkEncoder(1).encode(4, 9, 1, 0x1000000, b"xy"),
            b"\x04\xff\xff\xff\x00\x00\x02\x09\x01\x00\x00\x00\x01\x00\x00\x00x"
            b"\xc4\x01\x00\x00\x00y",
        )


MESSAGES = st.lists(
    st.tuples(
        st.integers(2, 70) | st.sampled_from([319, 320, 65599]),
        st.integers(10, 255),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 1000),
    ),
    max_size=6,
)


class PropertyTests(SynchronousTestCase):
    @given(MESSAGES, st.integers(128, 2000), st.lists(st.integers(1, 400), max_size=20))
    @settings(max_examples=60, deadline=None)
    def test_round_trip(
        self,
        messages: list[tuple[int, int, int, int, int]],
        size: int,
        cuts: list[int],
    ) -> None:
        """What the encoder writes is read back, however it is cut."""
        encoder = ChunkEncoder(size)
        expected = []
        wire = b""
        for csid, type_id, message_stream_id, time, length in messages:
            wire += encoder.encode(csid, type_id, message_stream_id, time, body(length))
            expected.append(Message(type_id, message_stream_id, time, body(length)))
        reader = Reader(chunk_size=size)
        position = 0
        for cut in [*cuts, len(wire)]:
            reader.decoder.receive(wire[position : position + cut])
            position += cut
        self.assertEqual(reader.messages, expected)

    @given(st.binary(max_size=2000), st.integers(1, 200), st.sampled_from([1, 128, 4096]))
    @settings(max_examples=200, deadline=None)
    def test_garbage(self, data: bytes, step: int, size: int) -> None:
        """Arbitrary bytes give messages or a ProtocolError, the same however they are cut."""
        outcomes = []
        for cut in (len(data) or 1, step):
            reader = Reader(Limits(message_before_publish=600), size)
            reason = ""
            try:
                for start in range(0, len(data), cut):
                    reader.decoder.receive(data[start : start + cut])
            except ProtocolError as error:
                reason = error.reason
            outcomes.append((reader.messages, reason))
        self.assertEqual(outcomes[0], outcomes[1])
