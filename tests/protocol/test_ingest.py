"""Tests of the way from messages to a publication."""

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.interfaces import AccessRequest
from rapidrtmp.protocol.ingest import CHANGES_PERIOD, MAX_CHANGES, Ingest, Unusable
from rapidrtmp.protocol.pacing import Pacing
from rapidrtmp.stream.publication import Publication
from tests.protocol.fakes import FakeDemuxer, FakePublication


class IngestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.publication = FakePublication(AccessRequest("publish", "key", "live", "peer", "id"))
        self.ingest = Ingest(
            cast(Publication, self.publication),
            cast(Demuxer, FakeDemuxer()),
            Pacing(10.0),
            first_media_timeout=20.0,
            idle_timeout=10.0,
        )

    def test_flapping(self) -> None:
        """A configuration that keeps changing ends the publish before it floods the storage."""
        for time in range(MAX_CHANGES):
            self.ingest.receive(9, time, b"config")
        error = self.assertRaises(Unusable, self.ingest.receive, 9, 50, b"config")
        self.assertEqual(error.reason, "config_flapping")
        self.assertEqual(self.publication.calls[-1], ("tracks", MAX_CHANGES))

    def test_changes(self) -> None:
        """Changes once in a while go on for ever."""
        pause = CHANGES_PERIOD / MAX_CHANGES
        for time in range(10 * MAX_CHANGES):
            self.ingest.receive(9, time, b"config")
            self.ingest.receive(9, time, b"frame")
            self.ingest.tick(pause)

    def test_no_media(self) -> None:
        """The reason says what was wrong with what came."""
        self.ingest.receive(9, 0, b"inter")
        error = self.assertRaises(Unusable, self.ingest.tick, 20.0)
        self.assertEqual(error.reason, "no_media")
        self.assertIn("no key frame came", str(error))
