"""Tests of which threads of rapidrtmp.storage.gcs do what."""

from unittest import mock

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.storage.gcs import GCSStorage
from rapidrtmp.storage.workers import Workers


class PoolTests(SynchronousTestCase):
    def test_viewers_do_not_hold_up_retention(self) -> None:
        """However many viewers read, files can be written, listed and deleted."""
        storage = GCSStorage("bucket", "project", "live", mock.Mock())
        reads: Deferred[object] = Deferred()

        def run(workers: Workers, *work: object) -> Deferred[object]:
            return reads if workers is storage._readers else succeed(None)

        with mock.patch.object(Workers, "run", run):
            self.assertNoResult(storage.get("key/1.m4s"))
            self.successResultOf(storage.put("key/2.m4s", (b"x",), "", ""))
            self.successResultOf(storage.list())
            self.successResultOf(storage.delete("key/1.m4s"))
