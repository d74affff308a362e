"""What the load generator sends is what our own decoder understands."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.replay import CHUNK_SIZE, MARK, MARK_SIZE, encode, make_loop, mark, marks
from benchmarks.sample import Tag, read_flv
from rapidrtmp.flv import file
from rapidrtmp.rtmp.chunk import ChunkDecoder
from rapidrtmp.rtmp.limits import Limits
from tests.benchmarks.tags import SECONDS, recording

Message = tuple[int, int, int, bytes]


def decode(octets: bytes, size: int, chunk_size: int = CHUNK_SIZE) -> list[Message]:
    """Read messages, so many bytes at a time."""
    found: list[Message] = []
    decoder = ChunkDecoder(Limits(), lambda *message: found.append(message))
    decoder.chunk_size = chunk_size
    decoder.max_message_size = decoder.max_partial_bytes = 1 << 24
    for at in range(0, len(octets), size):
        decoder.receive(octets[at : at + size])
    return found


class LoopTests(SynchronousTestCase):
    def test_turns(self) -> None:
        """Three turns are three times the recording, at times that go on."""
        tags = recording()
        loop = make_loop(tags)
        turn = b"".join(message.chunks for message in loop.messages)
        for size in (1 << 20, 1000, 1):
            messages = decode(loop.start + 3 * turn, size)
            self.assertEqual([body for *_, body in messages[:2]], [tag.body for tag in tags[:2]])
            media = messages[2:]
            self.assertEqual([body for *_, body in media], 3 * [tag.body for tag in tags[2:]])
            self.assertEqual({stream for _, stream, *_ in messages}, {1})
            for kind in (8, 9):
                times = [time for type_id, _, time, _ in media if type_id == kind]
                there = [tag.timestamp for tag in tags[2:] if tag.type_id == kind]
                steps = [after - before for before, after in pairwise(there)]
                around = 1000 * SECONDS - sum(steps)
                self.assertEqual(
                    [after - before for before, after in pairwise(times)],
                    [*steps, around, *steps, around, *steps],
                )

    def test_due(self) -> None:
        """Messages are due when they were recorded, within a turn."""
        loop = make_loop(recording())
        dues = [message.due for message in loop.messages]
        self.assertEqual(dues, sorted(dues))
        self.assertEqual((dues[0], loop.seconds), (0.0, SECONDS))
        self.assertLess(dues[-1], SECONDS)

    def test_metadata(self) -> None:
        """OnMetaData becomes @setDataFrame."""
        meta = b"\x02\x00\x0aonMetaData\x05"
        loop = make_loop([Tag(18, 0, meta), *recording()])
        first = decode(loop.start, 1 << 20)[0]
        self.assertEqual((first[0], first[3]), (18, b"\x02\x00\x0d@setDataFrame" + meta))

    def test_longer_sound(self) -> None:
        """Sound behind the last picture is cut off, and time goes on."""
        tags = [*recording(), Tag(8, 1000 * SECONDS + 300, b"\xaf\x01late")]
        self.assertEqual(make_loop(tags), make_loop(recording()))

    def test_no_video(self) -> None:
        """A recording without pictures is refused."""
        with self.assertRaises(ValueError):
            make_loop([tag for tag in recording() if tag.type_id == 8])

    @settings(max_examples=100, deadline=None)
    @given(st.binary(min_size=1, max_size=700), st.integers(1, 200))
    def test_encode(self, body: bytes, chunk_size: int) -> None:
        """Chunks of any size hold the message."""
        head = b"\x04" + bytes(3) + len(body).to_bytes(3, "big") + b"\x08" + bytes((1, 0, 0, 0))
        chunks = encode(head, body, chunk_size)
        self.assertEqual(decode(chunks, 50, chunk_size), [(8, 1, 0, body)])


class MarkTests(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, (1 << 35) - 1), st.binary(min_size=MARK_SIZE, max_size=50))
    def test_round_trip(self, number: int, body: bytes) -> None:
        """A number is found again, and the length stays; no start code comes of it."""
        marked = mark(body, number)
        self.assertEqual(len(marked), len(body))
        self.assertEqual(marks(marked)[-1:], [number])
        self.assertNotIn(0, marked[-MARK_SIZE:])

    def test_many(self) -> None:
        """All numbers in a part are found; what is cut off is none."""
        body = bytes(20)
        part = b"moof" + mark(body, 1) + mark(body, 300) + mark(body, 2)
        self.assertEqual(marks(part), [1, 300, 2])
        self.assertEqual(marks(part[:-1]), [1, 300])
        self.assertEqual(marks(MARK + b"\x01\x02\x03\x04\x05"), [])


class FLVTests(SynchronousTestCase):
    def test_read(self) -> None:
        """The tags of a file of ours are read; what is cut off is left out."""
        tags = [*recording(), Tag(9, 0x1234567, b"\x27\x01" + bytes(5))]
        octets = file.header(has_audio=True, has_video=True) + b"".join(
            b"".join(file.tag(tag.type_id, tag.timestamp, (tag.body,))) for tag in tags
        )
        self.assertEqual(read_flv(octets), tags)
        self.assertEqual(read_flv(octets[:-6]), tags[:-1])
        self.assertEqual([tag.is_config for tag in tags[:3]], [True, True, False])
        with self.assertRaises(ValueError):
            read_flv(b"RIFF" + octets[4:])
