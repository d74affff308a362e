"""Tests for `rapidrtmp.demo` and `rapidrtmp.testcard`."""

import array
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import demo, testcard
from rapidrtmp.demo import LOOK, DemoPublisher

NOW = 1_800_000_000.25
URL = "rtmp://127.0.0.1:1935/live/demo?token=" + 64 * "a"


class Process:
    """A child that does what it is told, when the test says so."""

    def __init__(self, protocol: ProcessProtocol, arguments: list[str], env: Any) -> None:
        self.protocol = protocol
        self.arguments = arguments
        self.env = env
        self.stdin = b""
        self.stdin_closed = False
        self.signals: list[str] = []

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        """Take what the parent writes."""
        assert descriptor == 0
        self.stdin += data

    def closeStdin(self) -> None:
        """Take the end of it."""
        self.stdin_closed = True

    def signalProcess(self, signal: str) -> None:
        """Take a signal."""
        self.signals.append(signal)

    def die(self, status: int = 1) -> None:
        """End."""
        reason = ProcessTerminated(status) if status else ProcessDone(0)
        self.protocol.processEnded(Failure(reason))


class Reactor(MemoryReactorClock):
    """Starts fake processes."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []

    def spawnProcess(
        self, protocol: ProcessProtocol, program: str, arguments: list[str], env: Any
    ) -> None:
        """Start one."""
        assert program == sys.executable
        process = Process(protocol, arguments, env)
        self.processes.append(process)
        protocol.makeConnection(process)


class DemoPublisherTests(SynchronousTestCase):
    """The service that keeps the child alive."""

    def setUp(self) -> None:
        """Make a started publisher."""
        self.reactor = Reactor()
        self.asked = 0
        self.answer: Callable[[], Deferred[str]] = lambda: succeed(URL)
        self.is_published = True
        self.publisher = DemoPublisher(self.reactor, self.get_url, lambda: self.is_published)
        self.publisher.startService()

    def get_url(self) -> Deferred[str]:
        """Count and answer."""
        self.asked += 1
        return self.answer()

    def test_url_by_stdin(self) -> None:
        """The token is neither in the arguments nor in the environment, nor is a setting there."""
        self.patch(os, "environ", {"PATH": "/bin", "API_KEYS": "k", "TZ": "Asia/Tokyo"})
        self.reactor.advance(0)
        (process,) = self.reactor.processes
        self.assertEqual(process.arguments, [sys.executable, "-m", "rapidrtmp.testcard"])
        self.assertEqual(process.stdin, URL.encode() + b"\n")
        self.assertEqual(process.env, {"PATH": "/bin", "TZ": "Asia/Tokyo"})
        self.assertFalse(process.stdin_closed)

    def test_restart_with_growing_delay(self) -> None:
        """A child that dies at once is started again, later each time, with a new URL."""
        self.reactor.advance(0)
        for delay in (1, 2, 4, 8, 16, 30, 30):
            started = len(self.reactor.processes)
            self.reactor.processes[-1].die()
            self.reactor.advance(delay - 0.01)
            self.assertEqual(len(self.reactor.processes), started)
            self.reactor.advance(0.01)
            self.assertEqual(len(self.reactor.processes), started + 1)
        self.assertEqual(self.asked, 8)

    def test_hangs(self) -> None:
        """A child that publishes nothing for two looks is killed, and another one started."""
        self.reactor.advance(0)
        (process,) = self.reactor.processes
        for is_published in (False, True, False):
            self.is_published = is_published
            self.reactor.advance(LOOK)
            self.assertEqual(process.signals, [])
        self.reactor.advance(LOOK)
        self.assertEqual(process.signals, ["KILL"])
        with capturedLogs() as events:
            process.die()
        self.assertIn("it hung, and was killed", str(events))
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.processes), 2)
        self.reactor.advance(LOOK)
        self.assertEqual(self.reactor.processes[1].signals, [])

    def test_steady_child_resets_delay(self) -> None:
        """After a child that worked for a while the delay starts over."""
        self.reactor.advance(0)
        self.reactor.processes[-1].die()
        self.reactor.advance(1)
        self.reactor.advance(demo.STEADY + 1)
        self.reactor.processes[-1].die(0)
        self.reactor.advance(demo.FIRST_DELAY)
        self.assertEqual(len(self.reactor.processes), 3)

    def test_last_words_are_logged(self) -> None:
        """What the child said last is the reason in the log."""
        self.reactor.advance(0)
        process = self.reactor.processes[0]
        process.protocol.errReceived(b"first\nsecond ")
        process.protocol.errReceived(b"line\n")
        with capturedLogs() as events:
            process.die()
        self.assertEqual([event["reason"] for event in events], ["second line"])

    def test_stop(self) -> None:
        """The end of its input asks the child to end; stopping waits for that."""
        self.reactor.advance(0)
        (process,) = self.reactor.processes
        stopped = self.publisher.stopService()
        assert stopped is not None
        self.assertTrue(process.stdin_closed)
        self.assertNoResult(stopped)
        process.die(0)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_kills(self) -> None:
        """A child that does not end is killed."""
        self.reactor.advance(0)
        (process,) = self.reactor.processes
        stopped = self.publisher.stopService()
        assert stopped is not None
        self.reactor.advance(demo.PATIENCE)
        self.assertEqual(process.signals, ["KILL"])
        process.die(9)
        self.successResultOf(stopped)

    def test_stop_while_waiting(self) -> None:
        """Stopped before the first start or between two, nothing is started any more."""
        self.assertIsNone(self.publisher.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.publisher.startService()
        self.reactor.advance(0)
        self.reactor.processes[0].die()
        self.assertIsNone(self.publisher.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_before_the_url(self) -> None:
        """Stopped while the URL is awaited, no child is started."""
        url: Deferred[str] = Deferred()
        self.answer = lambda: url
        self.reactor.advance(0)
        self.assertIsNone(self.publisher.stopService())
        url.callback(URL)
        self.assertEqual(self.reactor.processes, [])

    def test_no_url(self) -> None:
        """Without a URL it tries again later."""
        self.answer = lambda: fail(ValueError("no token"))
        self.reactor.advance(0)
        self.answer = lambda: succeed(URL)
        self.reactor.advance(demo.FIRST_DELAY)
        self.assertEqual(len(self.reactor.processes), 1)


class TestCardTests(SynchronousTestCase):
    """What the child draws and plays."""

    def test_planes(self) -> None:
        """The planes are those of a 4:2:0 picture."""
        picture = testcard.Picture()
        area = testcard.WIDTH * testcard.HEIGHT
        self.assertEqual(len(picture.luma(0, NOW)), area)
        self.assertEqual((len(picture.cb), len(picture.cr)), (area // 4, area // 4))

    def test_clock_and_block_move(self) -> None:
        """Each frame differs from the one before; the same number and clock draw the same."""
        picture = testcard.Picture()
        first = picture.luma(0, NOW)
        self.assertNotEqual(picture.luma(0, NOW + 0.1), first)
        self.assertNotEqual(picture.luma(1, NOW), first)
        self.assertEqual(picture.luma(0, NOW), first)

    def test_block_stays_inside(self) -> None:
        """The block reaches both edges and never leaves its band."""
        picture = testcard.Picture()
        width, top, height = testcard.WIDTH, testcard._BAND_TOP, testcard._BAND_HEIGHT
        lefts = set()
        for number in range(4 * testcard.KEYFRAME_INTERVAL):
            luma = picture.luma(number, NOW)
            band = luma[top * width : (top + height) * width]
            self.assertEqual(band.count(testcard._WHITE), testcard._BLOCK**2)
            row = luma[(top + height // 2) * width :][:width]
            lefts.add(row.index(testcard._WHITE))
        self.assertEqual((min(lefts), max(lefts)), (0, width - testcard._BLOCK))

    def test_clock_of_programs(self) -> None:
        """The strip at the lower edge is read as the time, also after a poor encoder."""
        picture = testcard.Picture()
        encoder = av.CodecContext.create("libx264", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = testcard.WIDTH, testcard.HEIGHT, "yuv420p"
        encoder.time_base = Fraction(1, testcard.FRAME_RATE)
        encoder.bit_rate = 150_000
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
        decoder = av.CodecContext.create("h264", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        times = [NOW + number / testcard.FRAME_RATE for number in range(45)]
        seen = []
        for number, now in enumerate(times):
            frame = av.VideoFrame(testcard.WIDTH, testcard.HEIGHT, "yuv420p")
            planes = (picture.luma(number, now), picture.cb, picture.cr)
            for plane, samples in zip(frame.planes, planes, strict=True):
                plane.update(samples)
            frame.pts, frame.time_base = number, encoder.time_base
            for packet in encoder.encode(frame):
                for shown in decoder.decode(packet):
                    luma = shown.planes[0]
                    row = bytes(luma)[(testcard.HEIGHT - 4) * luma.line_size :][: testcard.WIDTH]
                    seen.append("".join("01"[value > 127] for value in row[8::16]))
        expected = [testcard.clock_bits(int(now * 1000)) for now in times]
        self.assertEqual(seen, expected[: len(seen)])
        self.assertGreater(len(seen), 40)

    def test_clock_bits(self) -> None:
        """32 bits of the time in ms, and eight that make the octets' sum a multiple of 256."""
        bits = testcard.clock_bits((5 << 32) + 0x01020304)
        self.assertEqual(bits, "0000000100000010000000110000010011110110")

    def test_tone(self) -> None:
        """One second that can be repeated without a click, with a louder beginning."""
        samples = array.array("f", testcard.tone())
        self.assertEqual(len(samples), testcard.SAMPLE_RATE)
        self.assertAlmostEqual(samples[0], 0.0)
        self.assertAlmostEqual(max(samples[:480]), 0.12, places=5)
        self.assertAlmostEqual(max(samples[-480:]), 0.02, places=5)
