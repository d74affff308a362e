"""Thumbnails in the whole server: what the settings say, what is counted, and the end."""

from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import room_settings
from rapidrtmp.house import House
from rapidrtmp.outputs.thumbnail import ThumbnailOutput
from rapidrtmp.outputs.thumbnail_worker import ThumbnailWorker
from tests.outputs.thumbnail_case import Reactor
from tests.stream.fakes import request
from tests.test_readiness import make_service
from tests.web.fakes import Connection, Response


class SettingTests(SynchronousTestCase):
    def house(self, *, is_available: bool = True, **settings: object) -> House:
        """Make a house with or without PyAV."""
        for name in ("rapidrtmp.house", "rapidrtmp.room_settings"):
            patch = mock.patch(f"{name}.is_available", lambda: is_available)
            patch.start()
            self.addCleanup(patch.stop)
        return make_service(self.mktemp(), **settings)[0]._house

    def ask(self, house: House, path: str) -> Response:
        """Make a request of the server's own machine."""
        connection = Connection(house.site, peer="127.0.0.1", host="127.0.0.1")
        connection.request("GET", path, (), host="localhost")
        return connection.response("GET")

    def outputs(self, house: House) -> list[ThumbnailOutput]:
        """Return the thumbnail outputs of a stream."""
        self.successResultOf(house.manager.publish(request()))
        [stream] = house.manager.streams()
        return [output for output in stream.outputs if isinstance(output, ThumbnailOutput)]

    def is_shown(self, house: House) -> bool:
        """Tell whether the player's page shows thumbnails."""
        shown: bool = self.ask(house, "/streams.json").json()["thumbnails"]
        return shown

    def test_default(self) -> None:
        """They are on, for everybody, and counted."""
        house = self.house()
        self.assertEqual(len(self.outputs(house)), 1)
        self.assertTrue(self.is_shown(house))
        self.assertEqual(room_settings.hls_settings(house.settings).image_width, 320)
        metrics = self.ask(house, "/metrics").body.decode()
        self.assertIn("\nrapidrtmp_thumbnails_total 0.0\n", metrics)
        self.assertIn('\nrapidrtmp_thumbnail_failures_total{reason="timeout"} 0.0\n', metrics)
        self.assertIn("\nrapidrtmp_thumbnail_duration_seconds_count 0.0\n", metrics)

    def test_off(self) -> None:
        """Switched off, they are not there, whatever is installed."""
        house = self.house(thumbnails=False)
        self.assertEqual(self.outputs(house), [])
        self.assertFalse(self.is_shown(house))
        self.assertEqual(room_settings.hls_settings(house.settings).image_width, 0)
        self.assertEqual(self.ask(house, "/live/key/thumb.jpg").code, 404)

    def test_not_installed(self) -> None:
        """Without PyAV who asks is told, the page shows none and nothing is counted."""
        house = self.house(is_available=False)
        self.assertEqual(len(self.outputs(house)), 1)
        response = self.ask(house, "/live/key/thumb.jpg")
        self.assertEqual(response.code, 404)
        self.assertIn("rapidrtmp[media]", response.json()["error"])
        self.assertFalse(self.is_shown(house))
        self.assertEqual(room_settings.hls_settings(house.settings).image_width, 0)
        metrics = self.ask(house, "/metrics").body.decode()
        self.assertFalse("\nrapidrtmp_thumbnail" in metrics, "there are series of them")

    def test_guarded(self) -> None:
        """Where viewers need leave, caches keep none and the page asks for none."""
        cases: list[dict[str, Any]] = [
            {"playback_auth": True, "playback_secret": "a-secret-of-the-players"},
            {"webhook_on_play": "http://127.0.0.1:9/play"},
        ]
        for settings in cases:
            house = self.house(**settings)
            assert house.thumbnails is not None
            self.assertTrue(house.thumbnails.settings.is_private)
            self.assertFalse(self.is_shown(house))
        house = self.house(webhook_on_publish="http://127.0.0.1:9/publish")
        self.assertTrue(self.is_shown(house), "publishers need leave, viewers do not")

    def test_reload(self) -> None:
        """The playlist's length may change; the playlist of pictures follows."""
        service = make_service(self.mktemp())[0]
        house = service._house
        assert house.thumbnails is not None
        changed = make_service(self.mktemp(), hls_max_segments=33)[0].settings
        service.apply(changed)
        self.assertEqual(house.thumbnails.settings.max_segments, 33)


class StopTests(SynchronousTestCase):
    def test_stop(self) -> None:
        """The process ends with the server, which waits for it."""
        service, _ = make_service(self.mktemp())
        processes = Reactor()
        worker = service._house.thumbnail_worker = ThumbnailWorker(processes)
        done = worker.make("h264", b"", b"", (2, 2))
        service.startService()
        self.addCleanup(service._house.watchdog.stop)
        for listener in (service.rtmp, service.http):
            listener.ports.clear()  # those in memory never close
        stopped = service.stopService()
        self.failureResultOf(done)
        self.assertNoResult(stopped)
        self.assertEqual(processes.process.signals, ["KILL"])
        processes.process.die(9)
        self.successResultOf(stopped)
