"""What a crafted peer costs: memory and time, measured, with bounds far above what is usual."""

import random
import sys
import time
import tracemalloc
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.rtmp.errors import ProtocolError
from tests.rtmp.test_session import Client, connected, published
from tests.rtmp.wire import HANDSHAKE, basic, call, chunks, control

MIB = 1 << 20
READ = 65536
"""Bytes of one read of Twisted's."""


SLOWER = 5 if sys.gettrace() else 1
"""How much longer everything takes while its coverage is measured."""


def memory(action: Callable[[], object]) -> int:
    """Return the most bytes that an action held at a time beyond what was there before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        action()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before


def seconds(action: Callable[[], object], times: int = 3) -> float:
    """Return the least CPU time of some runs."""
    found = []
    for _ in range(times):
        begin = time.process_time()
        action()
        found.append(time.process_time() - begin)
    return min(found)


def feed(client: Client, octets: bytes, read: int = READ) -> str:
    """Send bytes as reads; return the reason why the session ended, '' when it did not."""
    try:
        for start in range(0, len(octets), read):
            client.receive(octets[start : start + read])
    except ProtocolError as error:
        return error.reason
    return ""


class MemoryTests(SynchronousTestCase):
    def test_chunk_size(self) -> None:
        """A19: a chunk size of 2 GiB allocates nothing, also with a message begun."""
        client = published()
        for size in (65536, 0xFFFFFF, 0x7FFFFFFF):
            wire = control(1, size) + chunks(b"x", csid=9, length=9 * MIB)[0] + control(2, 9)
            self.assertLess(memory(lambda wire=wire: feed(client, wire)), 100_000)  # type: ignore[misc]  # a default binds it

    def test_message_length(self) -> None:
        """A22: a header that tells of 16 MiB allocates nothing."""
        for make in (connected, published):
            client = make()
            wire = chunks(b"", csid=9, length=0xFFFFFF)[0]
            reasons: list[str] = []
            self.assertLess(memory(lambda: reasons.append(feed(client, wire))), 100_000)  # noqa: B023
            self.assertEqual(reasons, ["message_too_large"])

    def test_partial_messages(self) -> None:
        """A23: twenty messages of 9 MiB begun: the end at 16 MiB, a stranger's at one."""
        for make, bound, length in ((published, 16 * MIB, 9 * MIB), (connected, MIB, 128 * 1024)):
            client = make()
            parts = [chunks(bytes(READ), csid=c, size=READ, length=length)[0] for c in range(9, 29)]
            reads = [control(1, READ), *(part for part in parts)]
            for _ in range(length // READ - 2):
                reads += [basic(3, csid) + bytes(READ) for csid in range(9, 29)]
            reasons: list[str] = []

            def run(client: Client = client, reads: list[bytes] = reads) -> None:
                for read in reads:
                    reasons.append(feed(client, read, len(read)))  # noqa: B023
                    if reasons[-1]:  # noqa: B023
                        break

            self.assertLess(memory(run), 1.3 * bound)
            self.assertEqual(reasons[-1], "partial_bytes")

    def test_single_bytes(self) -> None:
        """A23: partial messages of single bytes cost no more than they are charged."""
        client = published()
        wire = control(1, 128) + chunks(bytes(128), csid=9, length=9 * MIB)[0]
        client.receive(wire)
        piece = basic(3, 9) + bytes(128)

        def run() -> None:
            for _ in range(200):
                for position in range(len(piece)):
                    client.receive(piece[position : position + 1])

        self.assertLess(memory(run), 4 * MIB)

    def test_chunk_streams(self) -> None:
        """A24: 65536 chunk streams: the end at the 65th, with some KiB kept."""
        client = published()
        wire = b"".join(
            b"".join(chunks(b"", csid=csid, type_id=8)) for csid in range(64, 65600, 100)
        )
        reasons: list[str] = []
        self.assertLess(memory(lambda: reasons.append(feed(client, wire))), 200_000)
        self.assertEqual(reasons, ["too_many_chunk_streams"])

    def test_idle_connections(self) -> None:
        """A13: who has only shaken hands costs less than 16 KiB."""
        clients: list[Client] = []

        def run() -> None:
            for _ in range(200):
                clients.append(Client())
                clients[-1].receive(HANDSHAKE)
                clients[-1].answers()

        self.assertLess(memory(run), 200 * 16 * 1024)


class TimeTests(SynchronousTestCase):
    def test_small_chunks(self) -> None:
        """A42: a message in 128-byte chunks is read in time that grows as its length does."""

        def cost(length: int) -> float:
            body = random.Random(1).randbytes(length)
            wire = b"".join(chunks(body, csid=9))
            client = published()

            def run() -> None:
                self.assertEqual(feed(client, wire), "")

            return seconds(run)

        small, large = cost(5 * MIB - 1000), cost(10 * MIB - 2000)
        # ten MiB are 0.84 s at 100 Mbit/s; the bound leaves room for a busy machine
        self.assertLess(large, 0.84 * SLOWER)
        self.assertLess(large, 3 * small + 0.05)

    def test_interleaved_chunks(self) -> None:
        """A35, A42: two messages that alternate chunk by chunk cost as little."""
        body = random.Random(2).randbytes(2 * MIB)
        video, audio = chunks(body, csid=9), chunks(body, csid=10, type_id=8)
        wire = b"".join(a + b for a, b in zip(video, audio, strict=True))
        client = published()
        self.assertLess(seconds(lambda: self.assertEqual(feed(client, wire), ""), 2), 1.5 * SLOWER)
        self.assertTrue(all(message[2] == body for message in client.media))

    def test_pings(self) -> None:
        """A38: a hundred thousand pings are a second's work at most, answered in 2 KiB."""
        ping = b"".join(chunks(b"\0\6abcd", csid=2, type_id=4, msid=0))
        client = published()
        self.assertLess(seconds(lambda: feed(client, ping * 100_000), 1), 2.0 * SLOWER)
        self.assertLess(len(client.sent), 2048)

    def test_commands(self) -> None:
        """A70: a flood of commands ends after a thousand, in the time that they take."""
        wire = call("what", 5.0) * 50_000
        reasons = []

        def run() -> None:
            client = connected()
            reasons.append(feed(client, wire))
            self.assertLess(len(client.sent), 100_000)

        self.assertLess(seconds(run), 1.0 * SLOWER)
        self.assertEqual(set(reasons), {"flood"})

    def test_deepest_values(self) -> None:
        """A45, A70: a second's commands, each with as many values as it may have."""
        nested = amf0.encode("what", 0.0, [[[[{"a": [1.0] * 100}]]]] * 8)
        wire = b"".join(chunks(nested, csid=3, type_id=20, msid=0)) * 100
        client = connected()
        self.assertLess(seconds(lambda: feed(client, wire), 1), 2.0 * SLOWER)

    def test_capabilities(self) -> None:
        """A72: a connect of 128 KiB with ten thousand FourCCs is refused without much work."""
        told = amf0.encode("connect", 1.0, {"app": "live", "fourCcList": ["av01"] * 15_000})
        wire = HANDSHAKE + b"".join(chunks(told, csid=3, type_id=20, msid=0))
        reasons = []
        self.assertLess(seconds(lambda: reasons.append(feed(Client(), wire))), 0.2 * SLOWER)
        self.assertEqual(set(reasons), {"amf"})

    def test_bytewise(self) -> None:
        """A2, A7: a start-up that drips in byte by byte costs no more than its calls."""
        wire = HANDSHAKE + call("connect", 1.0, {"app": "live", "tcUrl": "rtmp://h/" + "x" * 3000})
        self.assertLess(seconds(lambda: feed(Client(), wire, 1), 1), 1.0 * SLOWER)
