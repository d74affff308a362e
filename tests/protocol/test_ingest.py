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
        self.ingest.receive(9, 0, b"config")
        for time in range(MAX_CHANGES):
            self.ingest.receive(9, time, b"change")
        error = self.assertRaises(Unusable, self.ingest.receive, 9, 50, b"change")
        self.assertEqual(error.reason, "config_flapping")
        self.assertEqual(self.publication.calls, [("tracks", 1)] * (1 + MAX_CHANGES))

    def test_data(self) -> None:
        """Data messages for viewers are handed on with their time; others are metadata."""
        self.ingest.receive(18, 40, b"script")
        self.ingest.receive(15, 41, b"metadata")
        self.assertEqual(
            self.publication.calls, [("script", (40, b"script")), ("metadata", {"size": 8})]
        )

    def test_many_tracks(self) -> None:
        """Tracks that come one after the other are no change of configuration."""
        for time in range(2 * MAX_CHANGES):
            self.ingest.receive(9, time, b"config")
        self.assertEqual(self.publication.calls[-1], ("tracks", 2 * MAX_CHANGES))

    def test_changes(self) -> None:
        """Changes once in a while go on for ever."""
        pause = CHANGES_PERIOD / MAX_CHANGES
        self.ingest.receive(9, 0, b"config")
        for time in range(10 * MAX_CHANGES):
            self.ingest.receive(9, time, b"change")
            self.ingest.receive(9, time, b"frame")
            self.ingest.tick(pause)

    def test_no_media(self) -> None:
        """The reason says what was wrong with what came."""
        self.ingest.receive(9, 0, b"inter")
        error = self.assertRaises(Unusable, self.ingest.tick, 20.0)
        self.assertEqual(error.reason, "no_media")
        self.assertIn("no key frame came", str(error))
