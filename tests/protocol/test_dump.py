"""Tests of dumps: what is recorded, and what is not."""

import errno
import json
import os
import stat
from io import FileIO
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import __version__
from rapidrtmp.protocol import dump
from rapidrtmp.protocol.dump import MAGIC, MAX_DUMPS, DumpError, Dumps, read_dump
from tests.protocol.fakes import FakeTransport, Server
from tests.rtmp.wire import HANDSHAKE, call

NOW = 1_800_000_000.25


class Disk(FileIO):
    """A disk that takes some writes, then fails, or takes a part."""

    room = 0
    is_cut = False

    def write(self, octets: Any) -> int:
        """Write while there is room."""
        self.room -= 1
        if self.room >= 0:
            return super().write(octets)
        if not self.is_cut:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(octets[:3])


class DumpCase(SynchronousTestCase):
    """Has a directory that is not there yet, and a clock."""

    def setUp(self) -> None:
        """Make both."""
        self.directory = Path(self.mktemp()) / "dumps"
        self.clock = Clock()
        self.clock.advance(NOW)
        self.dumps = Dumps(self.directory, self.clock)

    def files(self) -> list[Path]:
        """The dumps that there are."""
        return sorted(self.directory.glob("*.rtmpdump"))

    def start(self) -> str:
        """Start, and give what is logged of it."""
        with capturedLogs() as captured:
            self.dumps.start()
        (event,) = captured
        return str(event["log_format"]).format(**event)


class DumpTests(DumpCase):
    def test_round_trip(self) -> None:
        """What is recorded is read again: bytes, their times, and whose they are."""
        self.start()
        recording = self.dumps.begin("rtmp-7")
        assert recording is not None
        recording.write(b"\x03one")
        self.clock.advance(1.5)
        recording.write(b"")
        recording.write(b"two\n\x00")
        recording.close()
        recording.close()
        recording.write(b"late")
        (path,) = self.files()
        self.assertEqual(path.name, "20270115T080000250-rtmp-7.rtmpdump")
        found = read_dump(path)
        self.assertEqual(found.records, [(0, b"\x03one"), (1500, b""), (1500, b"two\n\x00")])
        about = {"started": NOW, "connection": "rtmp-7", "server": __version__}
        self.assertEqual(found.about, about)

    def test_clock_goes_back(self) -> None:
        """A time before the start is no error."""
        self.start()
        recording = self.dumps.begin("a")
        assert recording is not None
        self.clock.rightNow -= 10
        recording.write(b"x")
        self.assertEqual(read_dump(self.files()[0]).records, [(0, b"x")])
        recording.close()

    def test_secret(self) -> None:
        """Nobody else can read dumps, and the start says what is in them."""
        mask = os.umask(0)
        self.addCleanup(os.umask, mask)
        words = self.start()
        self.assertIn("PUBLISH TOKENS", words)
        self.assertIn(str(self.directory), words)
        recording = self.dumps.begin("a")
        assert recording is not None
        recording.close()
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (self.directory, *self.files())]
        self.assertEqual(modes, [0o700, 0o600])

    def test_size(self) -> None:
        """A dump never grows above its limit, and what is in it is whole."""
        self.start()
        with mock.patch.object(dump, "MAX_SIZE", 1000):
            recording = self.dumps.begin("a")
            assert recording is not None
            for _ in range(20):
                recording.write(bytes(100))
        (path,) = self.files()
        self.assertLessEqual(path.stat().st_size, 1000)
        records = read_dump(path).records
        self.assertGreater(len(records), 5)
        self.assertEqual({octets for _, octets in records}, {bytes(100)})

    def test_count(self) -> None:
        """Above the limit nothing more is recorded and nothing removed, also after a restart."""
        self.start()
        for number in range(MAX_DUMPS + 5):
            recording = self.dumps.begin(f"rtmp-{number}")
            self.assertEqual(recording is not None, number < MAX_DUMPS)
            if recording is not None:
                recording.close()
        self.assertEqual(len(self.files()), MAX_DUMPS)
        again = Dumps(self.directory, self.clock)
        again.start()
        self.assertIsNone(again.begin("rtmp-1"))

    def test_no_directory(self) -> None:
        """A directory that cannot be made is one line in the log, and nothing is recorded."""
        self.directory.parent.mkdir(parents=True)
        self.directory.write_text("a file")
        self.assertIn("cannot be used, nothing is recorded", self.start())
        self.assertIsNone(self.dumps.begin("a"))

    def test_no_file(self) -> None:
        """Nor is a file that cannot be made more than that: an existing one is not touched."""
        self.start()
        first = self.dumps.begin("a")
        assert first is not None
        with capturedLogs() as captured:
            self.assertIsNone(self.dumps.begin("a"))
            self.assertIsNone(self.dumps.begin("b"))
        first.close()
        self.assertEqual([event["log_level"] for event in captured], [LogLevel.error])

    def test_full_disk(self) -> None:
        """A disk that is full ends the dump, in one line of the log, and not the connection."""
        self.start()
        for is_cut in (False, True):
            Disk.room, Disk.is_cut = 2, is_cut
            with mock.patch.object(dump, "FileIO", Disk):
                recording = self.dumps.begin(f"cut-{is_cut}")
            assert recording is not None
            recording.write(b"before")
            with capturedLogs() as captured:
                recording.write(b"behind")
                recording.write(b"later")
            (event,) = captured
            self.assertIn("full" if is_cut else "No space left", str(event["words"]))
            records = read_dump(self.files()[-1]).records
            self.assertEqual(records, [(0, b"before")])
        self.assertEqual(len(self.files()), 2)


class ReadTests(DumpCase):
    def write(self, octets: bytes) -> Path:
        """Write a file."""
        path = Path(self.mktemp())
        path.write_bytes(octets)
        return path

    def test_cut_short(self) -> None:
        """Of a dump that was cut short anywhere, the whole records are read."""
        head = MAGIC + b'{"started": 1}\n'
        whole = head + b"\x00\x00\x00\x05\x00\x00\x00\x02ab" + b"\x00\x00\x00\x06\x00\x00\x00\x01c"
        for length in range(len(head), len(whole) + 1):
            records = read_dump(self.write(whole[:length])).records
            count = (length >= len(head) + 10) + (length == len(whole))
            self.assertEqual(records, [(5, b"ab"), (6, b"c")][:count])

    def test_no_dump(self) -> None:
        """Another file is told from a dump."""
        for octets in (
            b"",
            b"FLV\x01\x05",
            MAGIC,
            MAGIC + b"{",
            MAGIC + b"[]\n",
            MAGIC + b"\xff\xfe\n",
            MAGIC + b"[" * 10_000 + b"\n",
        ):
            with self.assertRaises(DumpError, msg=octets):
                read_dump(self.write(octets))
        with self.assertRaises(OSError):
            read_dump(Path(self.mktemp()))

    def test_too_large(self) -> None:
        """A file that no server has written is not read into memory as a whole."""
        with mock.patch.object(dump, "MAX_SIZE", 100):
            with self.assertRaises(DumpError):
                read_dump(self.write(MAGIC + b"{}\n" + bytes(200)))

    def test_format(self) -> None:
        """The format is the documented one: two lines of text, then the records."""
        self.start()
        recording = self.dumps.begin("c")
        assert recording is not None
        recording.write(b"abc")
        recording.close()
        first, second, rest = self.files()[0].read_bytes().split(b"\n", 2)
        self.assertEqual(first, b"RapidRTMP dump 1")
        self.assertEqual(sorted(json.loads(second)), ["connection", "server", "started"])
        self.assertEqual(rest, bytes(4) + b"\x00\x00\x00\x03abc")


class ConnectionTests(DumpCase):
    def setUp(self) -> None:
        """Make a server that records."""
        super().setUp()
        self.server = Server(dumps=self.dumps)
        self.server.factory.doStart()
        self.addCleanup(self.server.factory.doStop)

    def test_recorded(self) -> None:
        """A connection is recorded read by read, and works as it does without."""
        protocol, transport = self.server.connect()
        self.assertEqual(self.files(), [])
        connect = call("connect", 1.0, {"app": "live"}) + call("createStream", 2.0, None)
        publish = call("publish", 3.0, None, "key?token=secret", "live", msid=1)
        reads = [HANDSHAKE[:100], HANDSHAKE[100:] + connect, publish]
        for octets in reads:
            protocol.dataReceived(octets)
        self.assertEqual(len(self.server.manager.publications), 1)
        self.assertIn(b"NetStream.Publish.Start", transport.value())
        protocol.connectionLost(Failure(ConnectionDone()))
        (path,) = self.files()
        self.assertEqual([octets for _, octets in read_dump(path).records], reads)

    def test_broken(self) -> None:
        """What breaks the protocol is recorded, too: it is what dumps are for."""
        protocol, transport = self.server.connect()
        protocol.dataReceived(b"GET / HTTP/1.1\r\n")
        self.assertTrue(transport.disconnecting or transport.disconnected)
        protocol.dataReceived(b"more")
        protocol.connectionLost(Failure(ConnectionDone()))
        reads = [octets for _, octets in read_dump(self.files()[0]).records]
        self.assertEqual(reads, [b"GET / HTTP/1.1\r\n", b"more"])

    def test_silent(self) -> None:
        """A connection that sends nothing leaves no file: there are few."""
        protocol, _ = self.server.connect()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.files(), [])

    def test_off(self) -> None:
        """Without the setting nothing is recorded."""
        server = Server()
        server.factory.doStart()
        self.addCleanup(server.factory.doStop)
        protocol, _ = server.connect()
        self.assertNotIsInstance(protocol, dump.RecordedRTMPServerProtocol)
        self.assertIsInstance(self.server.connect()[0], dump.RecordedRTMPServerProtocol)
        self.assertIsInstance(protocol.transport, FakeTransport)
