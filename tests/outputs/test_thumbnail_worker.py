"""Tests for `rapidrtmp.outputs.thumbnail_worker` and `rapidrtmp.outputs.thumbnail_wire`."""

import os
import sys
from errno import EAGAIN
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.outputs import thumbnail_worker
from rapidrtmp.outputs.pictures import MAX_ASPECT
from rapidrtmp.outputs.thumbnail_wire import (
    MAX_ANSWER,
    Answer,
    AnswerReader,
    Request,
    max_bytes,
)
from rapidrtmp.outputs.thumbnail_worker import (
    DEADLINE,
    END_PATIENCE,
    FIRST_DELAY,
    IDLE,
    LONGEST_DELAY,
    MAX_WAITING,
    PATIENCE,
    REASONS,
    START,
    ThumbnailError,
    ThumbnailWorker,
)
from tests.outputs.thumbnail_case import Process, Reactor

THUMBNAIL_WIDTH = 1920
"""The widest that the setting allows."""


class WireTests(SynchronousTestCase):
    @given(st.lists(st.builds(Answer, st.integers(0, 9), st.integers(0, 1), st.binary())))
    def test_answers(self, answers: list[Answer]) -> None:
        """Answers come out as they went in, whole and byte by byte."""
        octets = b"".join(answer.write() for answer in answers)
        self.assertEqual(AnswerReader().receive(octets), answers)
        reader = AnswerReader()
        found = [found for octet in octets for found in reader.receive(bytes([octet]))]
        self.assertEqual(found, answers)

    @given(st.binary(), st.binary())
    def test_request(self, config: bytes, sample: bytes) -> None:
        """A request comes out as it went in, from a view, too."""
        request = Request(7, 320, 180, "h264", config, memoryview(sample))
        message = b"".join(request.write())
        self.assertEqual(Request.read(message[4:]), request._replace(sample=sample))

    @given(st.binary(max_size=64))
    def test_garbage(self, octets: bytes) -> None:
        """Whatever comes is an answer, the beginning of one, or a ValueError."""
        try:
            AnswerReader().receive(octets)
        except ValueError:
            pass

    def test_largest(self) -> None:
        """The largest JPEG that the settings allow is an answer."""
        size, tallest = THUMBNAIL_WIDTH, MAX_ASPECT * THUMBNAIL_WIDTH
        octets = Answer(1, 0, bytes(max_bytes((size, tallest)))).write()
        self.assertEqual(len(AnswerReader().receive(octets)), 1)

    def test_too_long(self) -> None:
        """A length that no answer has is refused before its bytes are waited for."""
        with self.assertRaises(ValueError):
            AnswerReader().receive((MAX_ANSWER + 1).to_bytes(4, "big"))


class WorkerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a worker, whose process is not started."""
        self.reactor = Reactor()
        self.worker = ThumbnailWorker(self.reactor)

    def make(self, sample: bytes = b"key frame") -> "Deferred[bytes]":
        """Ask for a picture."""
        return self.worker.make("h264", b"avcC", sample, (320, 180))

    def assert_failed(self, done: "Deferred[bytes]", reason: str) -> None:
        """Nobody waits any more for that picture, and it is counted why."""
        failure = self.failureResultOf(done, ThumbnailError)
        assert isinstance(failure.value, ThumbnailError)
        self.assertEqual(failure.value.reason, reason)

    @property
    def failures(self) -> dict[str, int]:
        """What was counted."""
        return {reason: n for reason, n in self.worker.counters.failures.items() if n}

    def started(self) -> Process:
        """Have a picture made, so that there is a process which has been started."""
        done = self.make()
        self.reactor.process.answer(self.reactor.process.request())
        self.successResultOf(done)
        return self.reactor.process


class WorkerTests(WorkerTestCase):
    def test_picture(self) -> None:
        """The first request starts the process, which gets the key frame and what decodes it."""
        self.assertEqual(self.reactor.processes, [])
        done = self.make()
        [process] = self.reactor.processes
        request = process.request()
        self.assertEqual(request[1:], (320, 180, "h264", b"avcC", b"key frame"))
        self.reactor.advance(0.2)
        process.answer(request)
        self.assertEqual(self.successResultOf(done), b"JPEG")
        counters = self.worker.counters
        self.assertEqual((counters.made, counters.seconds.count, self.failures), (1, 1, {}))
        self.assertAlmostEqual(counters.seconds.sum, 0.2)

    def test_no_secrets(self) -> None:
        """The process gets no setting of the server, and its program by an absolute name."""
        self.patch(os, "environ", {"PATH": "/bin", "PLAYBACK_SECRET": "hidden", "API_KEYS": "k"})
        process = self.started()
        self.assertEqual(process.env, {"PATH": "/bin"})
        self.assertEqual(
            process.arguments, [sys.executable, "-m", "rapidrtmp.outputs.thumbnail_child"]
        )

    def test_one_after_the_other(self) -> None:
        """A process is asked for one picture at a time, in order, and is used again."""
        waiting = [self.make(sample) for sample in (b"a", b"b", b"c")]
        for expected, done in zip((b"a", b"b", b"c"), waiting, strict=True):
            request = self.reactor.process.request()
            self.assertEqual(request.sample, expected)
            self.assertNoResult(done)
            self.reactor.process.answer(request, expected)
            self.assertEqual(self.successResultOf(done), expected)
        self.assertEqual(len(self.reactor.processes), 1)

    def test_undecodable(self) -> None:
        """A key frame without a picture costs the process nothing."""
        done = self.make()
        process = self.reactor.process
        process.refuse(process.request())
        self.assert_failed(done, "undecodable")
        self.assertEqual(process.signals, [])
        self.started()
        self.assertEqual(len(self.reactor.processes), 1)

    def test_bounded(self) -> None:
        """No more than so many wait; who waits for too long is told."""
        waiting = [self.make() for _ in range(1 + MAX_WAITING)]
        self.assert_failed(self.make(), "busy")
        for done in waiting:
            self.assertNoResult(done)
        self.reactor.advance(PATIENCE)
        self.assertNoResult(waiting[0])
        for done in waiting[1:]:
            self.assert_failed(done, "busy")
        self.assertEqual(self.failures, {"busy": 1 + MAX_WAITING})

    def test_idle(self) -> None:
        """A process that nobody needs ends; the next request starts another, without a pause."""
        process = self.started()
        self.reactor.advance(IDLE - 1)
        self.started()
        self.reactor.advance(IDLE - 1)
        self.assertFalse(process.is_stdin_closed)
        self.reactor.advance(1)
        self.assertTrue(process.is_stdin_closed)
        process.die(0)
        self.started()
        self.assertEqual(len(self.reactor.processes), 2)
        self.assertEqual(self.failures, {})

    def test_idle_kill(self) -> None:
        """One that does not end then is killed, and the next one does its work meanwhile."""
        process = self.started()
        self.reactor.advance(IDLE)
        self.started()
        self.reactor.advance(END_PATIENCE)
        self.assertEqual(process.signals, ["KILL"])
        process.die(9)
        self.started()
        self.assertEqual(len(self.reactor.processes), 2)

    def test_reasons(self) -> None:
        """All reasons are counted from the start, so that a rate can be had of each."""
        self.assertEqual(tuple(self.worker.counters.failures), REASONS)

    def test_availability(self) -> None:
        """PyAV is looked for, and not imported for that."""
        self.assertTrue(thumbnail_worker.is_available())
        self.patch(thumbnail_worker, "find_spec", lambda name: None)
        self.assertFalse(thumbnail_worker.is_available())


class LossTests(WorkerTestCase):
    def test_hang(self) -> None:
        """A process that does not answer in time is killed; the first has time to start."""
        for patience in (DEADLINE + START, DEADLINE):
            if patience == DEADLINE:
                self.reactor.advance(FIRST_DELAY)
                self.started()
            done = self.make()
            process = self.reactor.process
            self.reactor.advance(patience - 0.1)
            self.assertNoResult(done)
            self.reactor.advance(0.1)
            self.assert_failed(done, "timeout")
            self.assertEqual(process.signals, ["KILL"])
            process.die(9)
        self.assertEqual(self.failures, {"timeout": 2})

    def test_late_answer(self) -> None:
        """What a process says that was given up is nobody's picture."""
        process = self.started()
        done = self.make()
        request = process.request()
        self.reactor.advance(DEADLINE)
        self.assert_failed(done, "timeout")
        other = self.make()
        self.reactor.advance(FIRST_DELAY)
        process.answer(request)
        self.assertNoResult(other)
        process.die(9)
        self.reactor.process.answer(self.reactor.process.request(), b"its own")
        self.assertEqual(self.successResultOf(other), b"its own")

    def test_crash(self) -> None:
        """Who waits for a process that dies is told at once, the others wait for the next one."""
        process = self.started()
        first, second = self.make(b"first"), self.make(b"second")
        process.die()
        self.assert_failed(first, "crashed")
        self.assertNoResult(second)
        self.reactor.advance(FIRST_DELAY)
        request = self.reactor.process.request()
        self.assertEqual(request.sample, b"second")
        self.reactor.process.answer(request)
        self.successResultOf(second)

    def test_crash_while_idle(self) -> None:
        """A process that dies while it has nothing to do fails no request."""
        self.started().die()
        done = self.make()
        self.assertEqual(len(self.reactor.processes), 1)
        self.reactor.advance(FIRST_DELAY)
        self.reactor.process.answer(self.reactor.process.request())
        self.successResultOf(done)
        self.assertEqual(self.failures, {})

    def test_backoff(self) -> None:
        """Pauses grow up to a bound, and start over when a picture was made."""
        delay = FIRST_DELAY
        for _ in range(8):
            done = self.make()
            self.reactor.process.die()
            self.assert_failed(done, "crashed")
            count = len(self.reactor.processes)
            self.reactor.pump([delay - 0.5])
            waiting = self.make()
            self.assertEqual(len(self.reactor.processes), count, "before the pause was over")
            self.reactor.advance(0.5)
            self.assertEqual(len(self.reactor.processes), count + 1)
            self.reactor.process.die()
            self.assert_failed(waiting, "crashed")
            delay = min(2 * delay, LONGEST_DELAY)
            self.reactor.advance(delay)
            delay = min(2 * delay, LONGEST_DELAY)
        self.started()
        self.reactor.process.die()
        done = self.make()
        self.reactor.advance(FIRST_DELAY)
        self.assertEqual(len(self.reactor.process.requests()), 1)

    def test_garbage(self) -> None:
        """What is no answer, or one that nobody asked for, ends the process."""
        cases = (b"\xff\xff\xff\xffText", Answer(99, 0, b"").write(), Answer(1, 7, b"").write())
        for octets in cases:
            process = self.started()
            done = self.make()
            process.protocol.outReceived(octets)
            self.assert_failed(done, "garbage")
            self.assertEqual(process.signals, ["KILL"])
            process.die(9)
            self.reactor.advance(FIRST_DELAY)
        self.assertEqual(self.failures, {"garbage": 3})

    def test_unasked(self) -> None:
        """An answer while nothing is asked ends the process, too."""
        process = self.started()
        process.protocol.outReceived(Answer(1, 0, b"").write())
        self.assertEqual(process.signals, ["KILL"])

    def test_no_start(self) -> None:
        """A machine that starts no process is asked again later."""
        self.reactor.error = OSError(EAGAIN, "Resource temporarily unavailable")
        self.assert_failed(self.make(), "crashed")
        self.reactor.error = None
        done = self.make()
        self.reactor.advance(FIRST_DELAY)
        self.reactor.process.answer(self.reactor.process.request())
        self.successResultOf(done)

    def test_internal_error(self) -> None:
        """Whatever goes wrong with one request, the next one has its turn."""
        for broken in ("spawnProcess", "send"):
            owner = self.reactor if broken == "spawnProcess" else thumbnail_worker._Child
            with mock.patch.object(owner, broken, side_effect=ZeroDivisionError):
                self.assert_failed(self.make(), "crashed")
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.reactor.advance(LONGEST_DELAY)
            done = self.make()
            self.reactor.process.answer(self.reactor.process.request())
            self.successResultOf(done)
            self.worker._retire()


class CloseTests(WorkerTestCase):
    def test_nothing_started(self) -> None:
        """There is nothing to wait for, and nothing is started afterwards."""
        self.successResultOf(self.worker.close())
        self.assert_failed(self.make(), "stopped")
        self.assertEqual(self.reactor.processes, [])

    def test_close(self) -> None:
        """The process is asked to end, and waited for."""
        process = self.started()
        closed = self.worker.close()
        self.assertTrue(process.is_stdin_closed)
        self.assertNoResult(closed)
        process.die(0)
        self.successResultOf(closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close_while_busy(self) -> None:
        """Who waits is told, and the process, which does not listen, is killed at once."""
        process = self.started()
        waiting = [self.make(), self.make()]
        closed = self.worker.close()
        for done in waiting:
            self.assert_failed(done, "stopped")
        self.assertEqual(process.signals, ["KILL"])
        process.die(9)
        self.successResultOf(closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close_kills(self) -> None:
        """A process that does not end by itself is killed."""
        process = self.started()
        closed = self.worker.close()
        self.reactor.advance(END_PATIENCE)
        self.assertEqual(process.signals, ["KILL"])
        process.die(9)
        self.successResultOf(closed)

    def test_close_in_pause(self) -> None:
        """In the pause after a loss nothing is left behind."""
        self.started().die()
        done = self.make()
        self.successResultOf(self.worker.close())
        self.assert_failed(done, "stopped")
        self.assertEqual(self.reactor.getDelayedCalls(), [])
