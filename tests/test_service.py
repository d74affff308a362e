"""Tests of rapidrtmp.service: what /ready looks at."""

from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.config import Settings
from rapidrtmp.outputs.hls import HLSOutput
from rapidrtmp.service import SEGMENT_PATIENCE, RapidRTMPService
from rapidrtmp.stream.publication import Publication
from tests.isobmff.fakes import VIDEO
from tests.media.samples import video
from tests.stream.fakes import request


class ReadyTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Start a service with open publishing that keeps its files in memory."""
        self.reactor = MemoryReactorClock()
        self.reactor.running = False  # storage answers at once
        self.reactor.advance(1_700_000_000)
        settings = Settings(
            storage_type="memory",
            state_dir=Path(self.mktemp()),
            auth_required=False,
            rtmp_addr="127.0.0.1:1935",
            http_addr="127.0.0.1:8080",
        )
        self.service = RapidRTMPService(settings, self.reactor)
        self.service.startService()

    def publish(self) -> Publication:
        """Publish a stream of video."""
        publication = self.successResultOf(self.service.manager.publish(request()))
        publication.set_tracks((VIDEO,))
        return publication

    def test_segmenter(self) -> None:
        """Media that flow without a segment coming of them are told; with segments all is well."""
        check = self.service._check_segmenter
        self.assertEqual(check(), "ok")
        publication = self.publish()
        for frame in range(600):
            publication.write(video(frame * 40, key=frame % 50 == 0, track=VIDEO))
            self.reactor.advance(0.04)
            self.assertEqual(check(), "ok")
        # time passes, one frame comes, and still no segment
        self.reactor.advance(2 + SEGMENT_PATIENCE + 1)
        self.assertEqual(check(), "ok", "nothing flows: the publisher is at fault")
        publication.write(video(600 * 40 + 1, key=False, track=VIDEO))
        self.assertIn("stream key: no segment for 10 s", check())

    def test_storage(self) -> None:
        """A store that takes the probe but no segment is named."""
        self.assertEqual(self.successResultOf(self.service._probe_storage()), "ok")
        self.publish()
        [stream] = self.service.manager.streams()
        [output] = stream.outputs
        assert isinstance(output, HLSOutput)
        output._queue.error = "disk full"
        words = self.successResultOf(self.service._probe_storage())
        self.assertEqual(words, "cannot be written: disk full")
