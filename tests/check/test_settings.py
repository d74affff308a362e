"""Tests for `rapidrtmp.check.settings` and `rapidrtmp.store`."""

from pathlib import Path
from unittest import mock

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.check import settings as module
from rapidrtmp.check.settings import PATIENCE, check
from rapidrtmp.config import SettingError, Settings, load
from rapidrtmp.storage.local import LocalStorage
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.store import LONGEST_URL_EXPIRATION, open_store, url_expiration
from tests.certificates import make_pair


class CheckTests(SynchronousTestCase):
    """What `rapidrtmp check` finds."""

    def setUp(self) -> None:
        """Make settings of which all is well."""
        self.reactor = MemoryReactorClock()
        self.directory = Path(self.mktemp()).absolute()
        self.environ = {
            "STORAGE_DIR": str(self.directory / "streams"),
            "RTMP_ADDR": "127.0.0.1:1935",
            "HTTP_ADDR": "127.0.0.1:8080",
        }

    def start(self, **environ: str) -> tuple["Deferred[bool]", list[str]]:
        """Begin to check."""
        lines: list[str] = []
        coroutine = check(load(self.environ | environ), self.reactor, lines.append)
        return Deferred.fromCoroutine(coroutine), lines

    def check(self, **environ: str) -> tuple[bool, list[str]]:
        """Check, and give the lines."""
        done, lines = self.start(**environ)
        return self.successResultOf(done), lines

    def test_well(self) -> None:
        """Each thing tried is a line; nothing stays behind."""
        well, lines = self.check()
        self.assertTrue(well)
        self.assertEqual(
            lines,
            [
                f"ok       STATE_DIR={self.directory}/state: can be written",
                f"ok       STORAGE_DIR={self.directory}/streams: can be written",
                "ok       RTMP_ADDR=127.0.0.1:1935: can be listened on",
                "ok       HTTP_ADDR=127.0.0.1:8080: can be listened on",
            ],
        )
        self.assertEqual([path for path in self.directory.rglob("*") if path.is_file()], [])

    def test_tls(self) -> None:
        """Addresses of TLS are tried where there are some, and whether certificate and key fit."""
        certificate, key = make_pair(self.directory, name="a")
        _, other = make_pair(self.directory, name="b")
        well, lines = self.check(
            RTMPS_ADDR="127.0.0.1:1936",
            HTTPS_ADDR="127.0.0.1:8443",
            TLS_CERT=certificate,
            TLS_KEY=key,
        )
        self.assertTrue(well, lines)
        self.assertEqual(
            lines[4:],
            [
                f"ok       TLS_CERT={certificate}: fits TLS_KEY",
                "ok       RTMPS_ADDR=127.0.0.1:1936: can be listened on",
                "ok       HTTPS_ADDR=127.0.0.1:8443: can be listened on",
            ],
        )
        well, lines = self.check(RTMP_TLS_SNIFF="true", TLS_CERT=certificate, TLS_KEY=other)
        self.assertFalse(well)
        self.assertTrue(lines[4].startswith("problem  TLS_"), lines)

    def test_warning(self) -> None:
        """What is worth a thought is told, and no problem."""
        well, lines = self.check(HLS_MAX_SEGMENTS="3")
        self.assertTrue(well)
        self.assertTrue(lines[-1].startswith("warning  HLS_MAX_SEGMENTS=3: "), lines)

    def test_problems(self) -> None:
        """Each problem is a line that names the setting; all are found at once."""
        self.directory.mkdir()
        (self.directory / "file").touch()
        refused = CannotListenError("", 1, OSError(98, "Address already in use"))
        with mock.patch.object(self.reactor, "listenTCP", side_effect=refused):
            well, lines = self.check(
                STATE_DIR=f"{self.directory}/file/state", STORAGE_TYPE="nowhere"
            )
        self.assertFalse(well)
        self.assertEqual([line[:8] for line in lines], ["problem "] * 4)
        self.assertIn(f"STATE_DIR={self.directory}/file/state: cannot be used: ", lines[0])
        self.assertIn("STORAGE_TYPE=nowhere: must be one of ", lines[1])
        self.assertIn("RTMP_ADDR=127.0.0.1:1935: cannot listen there: Address already", lines[2])
        self.assertIn("HTTP_ADDR", lines[3])

    def test_silent_storage(self) -> None:
        """A storage that does not answer is given up, and closed."""
        storage = mock.Mock(put=mock.Mock(return_value=Deferred()))
        storage.close.return_value = succeed(None)
        with mock.patch.object(module, "open_store", return_value=storage):
            done, lines = self.start(STORAGE_TYPE="memory")
            self.assertNoResult(done)
            self.reactor.advance(PATIENCE)
        self.assertFalse(self.successResultOf(done))
        self.assertIn("STORAGE_TYPE=memory: cannot be used: ", lines[1])
        storage.close.assert_called_once_with()

    def test_bucket(self) -> None:
        """A bucket is called by its name, and signing is tried where it is asked for."""
        environ = {"STORAGE_TYPE": "gcs", "GCS_BUCKET_NAME": "b", "GCS_PROJECT_ID": "p"}
        with mock.patch.object(module, "open_store", lambda *_: MemoryStorage(self.reactor)):
            _, lines = self.check(**environ)
            self.assertEqual(lines[1], "ok       GCS_BUCKET_NAME=b: can be written")
            refusal = fail(OSError(1, "cannot sign"))
            with mock.patch.object(MemoryStorage, "url_for", return_value=refusal):
                well, lines = self.check(**environ, GCS_SIGNED_URLS="true")
        self.assertFalse(well)
        self.assertEqual(lines[1], "problem  GCS_BUCKET_NAME=b: cannot be used: cannot sign")


class StoreTests(SynchronousTestCase):
    """The storage that the settings ask for."""

    def test_made(self) -> None:
        """Each type gives its storage."""
        reactor = MemoryReactorClock()
        for name, kind in (("local", LocalStorage), ("memory", MemoryStorage)):
            self.assertIsInstance(open_store(Settings(storage_type=name), reactor), kind)

    def test_refused(self) -> None:
        """An unknown type is refused as a setting."""
        with self.assertRaises(SettingError) as caught:
            open_store(Settings(storage_type="nowhere"), MemoryReactorClock())
        self.assertTrue(str(caught.exception).startswith("STORAGE_TYPE=nowhere: must be one of "))

    def test_expiration(self) -> None:
        """A signed URL outlives the window, as far as signatures can."""
        self.assertEqual(url_expiration(Settings()), 86400.0)
        long = Settings(hls_max_segments=1000, hls_segment_duration=30.0)
        self.assertGreater(url_expiration(long), 1000 * 30.0)
        self.assertLessEqual(url_expiration(long), LONGEST_URL_EXPIRATION)
        self.assertGreater(url_expiration(Settings(dvr_window=86400.0)), 2 * 86400.0)
