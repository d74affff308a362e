"""Tests of `rapidrtmp.embedding`."""

import subprocess
import sys
from pathlib import Path
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.config import SettingError
from rapidrtmp.embedding import make_server
from rapidrtmp.interfaces import AccessDenied, AccessRequest, Refusal
from tests.stream.fakes import request

ROOT = Path(__file__).parent.parent


class Closed:
    """A hook that lets nobody publish."""

    def on_publish(self, request: AccessRequest) -> None:
        """Refuse."""
        raise AccessDenied(Refusal.DENIED, f"{request.key} is closed today")


class EmbeddingTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a reactor, which does not run, and settings that touch nothing else."""
        self.reactor = MemoryReactorClock()
        self.reactor.running = False
        self.reactor.callFromThread = lambda call: call()  # type: ignore[attr-defined]  # it has none
        self.settings = {
            "STORAGE_TYPE": "memory",
            "STATE_DIR": self.mktemp(),
            "AUTH_REQUIRED": "false",
            "HTTP_ADDR": "127.0.0.1:8080",
            "RTMP_ADDR": "127.0.0.1:1935",
        }

    def test_settings(self) -> None:
        """They come as texts, and not from the environment."""
        with mock.patch.dict("os.environ", {"STREAM_GRACE": "7s"}):
            server = make_server({**self.settings, "HLS_MAX_SEGMENTS": "7"}, self.reactor)
        self.assertEqual(server.settings.hls_max_segments, 7)
        self.assertEqual(server.settings.stream_grace, 60.0)

    def test_wrong_settings(self) -> None:
        """One that is unknown, or cannot be used, is named; the value of an unknown one is not."""
        with self.assertRaises(SettingError) as caught:
            make_server({"API_KEY": "a-secret"}, self.reactor)
        self.assertEqual(str(caught.exception), "API_KEY=<set>: is no setting")
        with self.assertRaises(SettingError) as caught:
            make_server({"HLS_MAX_SEGMENTS": "1"}, self.reactor)
        self.assertIn("HLS_MAX_SEGMENTS=1: must be", str(caught.exception))

    def test_hooks(self) -> None:
        """A hook of the program is asked. What could be none is refused."""
        server = make_server(self.settings, self.reactor, [Closed()])
        failure = self.failureResultOf(server.manager.publish(request()), AccessDenied)
        self.assertIn("is closed today", failure.value.description)
        self.assertRaises(TypeError, make_server, self.settings, self.reactor, [object()])

    def test_running_reactor(self) -> None:
        """A start that could not tell what fails is refused."""
        server = make_server(self.settings, self.reactor)
        with mock.patch("rapidrtmp.service.probe", return_value=Deferred[None]()):
            error = self.assertRaises(RuntimeError, server.startService)
        self.assertIn("before the reactor runs", str(error))

    def test_import(self) -> None:
        """Its import leaves the choice of the reactor to the program."""
        code = "import sys, rapidrtmp.embedding; print('twisted.internet.reactor' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        self.assertEqual(done.stdout, "False\n")
