"""Tests of rapidrtmp.readiness."""

from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.config import Settings
from rapidrtmp.outputs.uploads import Uploads
from rapidrtmp.readiness import (
    PROBE_AGE,
    PROBE_TIMEOUT,
    SEGMENT_PATIENCE,
    StorageCheck,
    check_manager,
    check_segmenter,
)
from rapidrtmp.service import RapidRTMPService
from rapidrtmp.storage.memory import MemoryStorage
from tests.isobmff.fakes import VIDEO, VP8
from tests.media.samples import video
from tests.stream.fakes import request


def make_service(directory: str, **settings: object) -> tuple[RapidRTMPService, MemoryReactorClock]:
    """Make a service with open publishing that keeps its files in memory."""
    reactor = MemoryReactorClock()
    reactor.callFromThread = lambda call: call()  # type: ignore[attr-defined]  # it has none
    reactor.running = False  # storage answers at once
    reactor.advance(1_700_000_000)
    values: dict[str, object] = {
        "storage_type": "memory",
        "state_dir": Path(directory),
        "auth_required": False,
        "rtmp_addr": "127.0.0.1:1935",
        "http_addr": "127.0.0.1:8080",
        **settings,
    }
    return RapidRTMPService(Settings(**values), reactor), reactor  # type: ignore[arg-type]  # likewise


class SegmenterTests(SynchronousTestCase):
    def test_segmenter(self) -> None:
        """Media that flow without a segment coming of them are told; with segments all is well."""
        service, reactor = make_service(self.mktemp())

        def check() -> str:
            return check_segmenter(service.manager, reactor.seconds())

        self.assertEqual(check(), "ok")
        publication = self.successResultOf(service.manager.publish(request()))
        publication.set_tracks((VIDEO,))
        self.assertEqual(check(), "ok")
        for frame in range(600):
            publication.write(video(frame * 40, key=frame % 50 == 0, track=VIDEO))
            reactor.advance(0.04)
            self.assertEqual(check(), "ok")
        # time passes, one frame comes, and still no segment
        reactor.advance(2 + SEGMENT_PATIENCE + 1)
        self.assertEqual(check(), "ok", "nothing flows: the publisher is at fault")
        publication.write(video(600 * 40 + 1, key=False, track=VIDEO))
        self.assertIn("a stream has had no segment for 10 s", check())

    def test_not_packaged(self) -> None:
        """No segment is missed of a stream that none can come of."""
        service, reactor = make_service(self.mktemp())
        publication = self.successResultOf(service.manager.publish(request()))
        publication.set_tracks((VP8,))
        for frame in range(60):
            publication.write(video(frame * 1000, key=True, track=VP8))
            reactor.advance(1)
            self.assertEqual(check_segmenter(service.manager, reactor.seconds()), "ok")

    def test_draining(self) -> None:
        """A server that goes down takes nobody in."""
        service, _ = make_service(self.mktemp())
        self.assertEqual(check_manager(service.manager), "ok")
        service.manager.draining = True
        self.assertEqual(check_manager(service.manager), "draining")


class CountingStorage(MemoryStorage):
    """Storage whose writes can be held or fail."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.writes = 0
        self.answer: Deferred[None] | None = None

    def put(self, *arguments: object) -> Deferred[None]:
        """Count a write."""
        self.writes += 1
        return succeed(None) if self.answer is None else self.answer


class StorageCheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a check."""
        self.clock = Clock()
        self.storage = CountingStorage(self.clock)
        self.uploads = Uploads(self.storage, self.clock, 1000)
        self.check = StorageCheck(self.storage, self.uploads, self.clock)

    def result(self) -> str:
        """Give the answer, which must be there."""
        answer = self.check()
        return answer if isinstance(answer, str) else self.successResultOf(answer)

    def test_one_probe_for_many(self) -> None:
        """Many who ask at the same time, or soon after, cost one write."""
        self.storage.answer = Deferred()
        asked = [self.check() for _ in range(3)]
        self.storage.answer.callback(None)
        for answer in asked:
            assert isinstance(answer, Deferred)
            self.assertEqual(self.successResultOf(answer), "ok")
        self.assertEqual(self.result(), "ok")
        self.assertEqual(self.storage.writes, 1)
        self.clock.advance(PROBE_AGE)
        self.assertEqual(self.result(), "ok")
        self.assertEqual(self.storage.writes, 2)

    def test_failure(self) -> None:
        """A store that cannot be written is named, until the next probe."""
        self.storage.answer = fail(OSError("disk full"))
        self.assertEqual(self.result(), "cannot be written: disk full")
        self.storage.answer = None
        self.assertEqual(self.result(), "cannot be written: disk full")
        self.clock.advance(PROBE_AGE)
        self.assertEqual(self.result(), "ok")

    def test_who_gave_up(self) -> None:
        """One who asked and gave up is not answered; the others are."""
        self.storage.answer = Deferred()
        gone, there = self.check(), self.check()
        assert isinstance(gone, Deferred) and isinstance(there, Deferred)
        gone.addErrback(lambda _: None)
        gone.cancel()
        self.storage.answer.callback(None)
        self.assertEqual(self.successResultOf(there), "ok")

    def test_no_answer(self) -> None:
        """A probe that hangs is given up, so that nobody waits for ever."""
        self.storage.answer = Deferred()
        answer = self.check()
        assert isinstance(answer, Deferred)
        self.clock.advance(PROBE_TIMEOUT)
        self.assertEqual(self.successResultOf(answer), "no answer within 10 s")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_uploads(self) -> None:
        """A store that takes the probe but no segment is named, without a probe."""
        self.uploads.error = "too large"
        self.assertEqual(self.result(), "cannot be written: too large")
        self.assertEqual(self.storage.writes, 0)
