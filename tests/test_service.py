"""Tests of rapidrtmp.service: starting, taking over settings, stopping."""

from dataclasses import replace
from pathlib import Path
from unittest import mock

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.config import SettingError
from rapidrtmp.config.secret_kinds import APIKey
from rapidrtmp.outputs.hls_maker import HLSMaker
from rapidrtmp.service import DRAIN_INTERVAL, STOP_TIMEOUT, RapidRTMPService, _Demo
from tests.isobmff.fakes import VIDEO
from tests.media.samples import video
from tests.stream.fakes import request
from tests.test_readiness import make_service

SECRETS = ("a-secret-of-the-players", "another-one-of-theirs")


class ApplyTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a service."""
        self.service, self.reactor = make_service(
            self.mktemp(), playback_auth=True, playback_secret=SECRETS[0]
        )
        self.house = self.service._house

    def apply(self, **changes: object) -> None:
        """Change settings."""
        self.service.apply(replace(self.service.settings, **changes))  # type: ignore[arg-type]  # a test's

    def test_waiting_within_memory(self) -> None:
        """What waits for a dead storage takes half of the memory budget at most."""
        self.apply(memory_budget=32 << 20, storage_max_waiting=256 << 20)
        self.assertEqual(self.house.uploads.max_bytes, 16 << 20)

    def test_trimmed_in_memory(self) -> None:
        """Trimmed media are on their way out of memory only where storage keeps them there."""
        others, _ = make_service(
            self.mktemp(), storage_type="local", storage_dir=Path(self.mktemp())
        )
        with mock.patch.object(HLSMaker, "trimmed_bytes", 5):
            self.assertEqual(self.house.memory._leaving(), 5)
            self.assertEqual(others._house.memory._leaving(), 0)

    def test_everything(self) -> None:
        """Each room takes over what is its own; streams go on."""
        publication = self.successResultOf(self.service.manager.publish(request()))
        house = self.house
        assert house.signer is not None
        query = house.signer.query("key", 2**31)
        self.apply(
            max_concurrent_streams=1,
            max_viewers_per_stream=7,
            stream_grace=1.5,
            hls_max_segments=33,
            storage_max_waiting=44,
            min_free_disk=55,
            memory_budget=560,
            default_token_expiration=66.0,
            max_token_expiration=77.0,
            playback_url_expiration=88.0,
            max_token_requests_per_ip=99,
            max_refusals_per_ip=11,
            http_max_connections=12,
            http_max_connections_per_ip=13,
            rtmp_max_message_size=1 << 20,
            rtmp_max_connections=14,
            api_keys=(APIKey("k" * 20, frozenset({"admin"})),),
            playback_secret=SECRETS[1],
            drain_timeout=15.0,
        )
        self.assertTrue(publication.is_open)
        self.assertEqual(self.service.settings.drain_timeout, 15.0)
        self.assertEqual(house.manager.settings.grace, 1.5)
        [stream] = house.manager.streams()
        self.assertEqual(stream.viewer_count.limit, 7)
        self.assertEqual(house.hls.settings.max_segments, 33)
        self.assertEqual((house.uploads.max_bytes, house.disk.min_free), (44, 55))
        self.assertEqual(house.memory.size, 560)
        self.assertEqual(
            (house.tokens.default_expiration, house.tokens.max_expiration), (66.0, 77.0)
        )
        self.assertEqual(house.api.playback_expiration, 88.0)
        self.assertEqual((house.token_requests.limit, house.rtmp_factory.refusals.limit), (99, 11))
        self.assertEqual((house.site.max_connections, house.site.max_connections_per_ip), (12, 13))
        self.assertEqual(house.rtmp_factory.limits.message, 1 << 20)
        self.assertEqual(house.rtmp_factory.settings.max_connections, 14)
        self.assertEqual(house.keys.find("k" * 20), frozenset({"admin"}))
        self.assertNotEqual(house.signer.query("key", 2**31), query)
        signature = query.rpartition("=")[2]
        self.assertFalse(house.signer.verify("key", str(2**31), signature), "it is void")

    def test_authmod(self) -> None:
        """Where passwords are asked for is changed, also to nowhere; an open server asks nobody."""
        self.assertIsNone(self.house.access_manager)
        self.service, _ = make_service(self.mktemp(), auth_required=True)
        house = self.service._house
        assert house.access_manager is not None
        self.assertEqual(house.access_manager.app, "authmod")
        self.apply(authmod_app="studio")
        self.assertEqual(house.access_manager.app, "studio")
        self.assertIs(house.tokens.secret, house.token_secret)
        self.apply(authmod_app="")
        self.assertEqual(house.access_manager.app, "")
        self.assertIsNone(house.tokens.secret)

    def test_nothing(self) -> None:
        """The same settings change nothing: who listens to events stays."""
        with mock.patch.object(self.house.feed, "drop") as drop:
            self.apply()
            drop.assert_not_called()
            self.apply(api_keys=(APIKey("k" * 20, frozenset({"read"})),))
            drop.assert_called_once_with()


class StopTests(SynchronousTestCase):
    def start(self, **settings: object) -> tuple[RapidRTMPService, MemoryReactorClock]:
        """Start a service that listens in memory."""
        service, reactor = make_service(self.mktemp(), **settings)
        service.startService()
        for hook, arguments, options in reactor.whenRunningHooks:
            hook(*arguments, **options)
        self.addCleanup(service._house.watchdog.stop)
        return service, reactor

    def stop(self, service: RapidRTMPService) -> Deferred[None]:
        """Stop it."""
        for listener in (service.rtmp, service.http):
            listener.ports.clear()  # those in memory never close
        return service.stopService()

    def publish(self, service: RapidRTMPService, reactor: MemoryReactorClock) -> None:
        """Publish some video."""
        publication = self.successResultOf(service.manager.publish(request()))
        publication.set_tracks((VIDEO,))
        for frame in range(200):
            publication.write(video(frame * 40, key=frame % 50 == 0, track=VIDEO))
            reactor.advance(0.04)

    def test_nobody_watches(self) -> None:
        """Without viewers it stops at once; nothing is left to be called."""
        service, reactor = self.start()
        self.publish(service, reactor)
        self.successResultOf(self.stop(service))
        self.assertTrue(service.manager.draining)
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_viewers(self) -> None:
        """Viewers are served until they are gone."""
        service, reactor = self.start(drain_timeout=30.0)
        self.publish(service, reactor)
        stream = service.manager.get("key")
        assert stream is not None
        stream.viewer_count.admit("viewer")
        with capturedLogs() as events:
            stopped = self.stop(service)
            reactor.pump([DRAIN_INTERVAL] * 4)
        self.assertNoResult(stopped)
        self.assertIn("serving {viewers} viewers", "\n".join(str(e["log_format"]) for e in events))
        reactor.pump([DRAIN_INTERVAL] * 40)
        self.successResultOf(stopped)

    def test_drain_timeout(self) -> None:
        """Viewers that stay are served until the time is up."""
        service, reactor = self.start(drain_timeout=3.0)
        self.publish(service, reactor)
        stream = service.manager.get("key")
        assert stream is not None
        stream.viewer_count.admit("viewer")
        stopped = self.stop(service)
        for _ in range(11):
            stream.viewer_count.admit("viewer")
            reactor.advance(DRAIN_INTERVAL)
        self.assertNoResult(stopped)
        for _ in range(2):
            stream.viewer_count.admit("viewer")
            reactor.advance(DRAIN_INTERVAL)
        self.successResultOf(stopped)

    def test_what_hangs_or_fails(self) -> None:
        """A step that hangs or fails is told of; all else is put away all the same."""
        service, reactor = self.start()
        self.publish(service, reactor)
        house = service._house
        put_away: list[str] = []

        def fails(*_: object) -> Deferred[None]:
            return fail(OSError("no space left"))

        def closes() -> Deferred[None]:
            put_away.append("state")
            return succeed(None)

        self.patch(service.manager, "close", Deferred)
        self.patch(house.rtmp_factory, "drain", fails)
        self.patch(service.tokens, "close", fails)
        self.patch(house.state, "close", closes)
        with capturedLogs() as events:
            stopped = self.stop(service)
            self.assertNoResult(stopped)
            reactor.advance(STOP_TIMEOUT)
        self.successResultOf(stopped)
        self.assertEqual(put_away, ["state"])
        lines = [formatEvent(event) for event in events]
        self.assertIn("stopping: the streams took over 10 s, going on", lines)
        self.assertIn("stopping: publishers: no space left", lines)
        self.assertIn("stopping: publish tokens: no space left", lines)
        self.assertEqual(lines[-1], "stopped")

    def test_before_it_ran(self) -> None:
        """A service whose reactor never ran can be stopped."""
        service, _ = make_service(self.mktemp())
        service.startService()
        self.successResultOf(self.stop(service))


class SweepTests(SynchronousTestCase):
    def run_with(
        self, step: float, *, is_former: bool = False, is_put_right: bool = False
    ) -> set[str]:
        """Let a stream be live until the second sweep; give what is stored of it then.

        Args:
            step: seconds that the machine's clock is set by after the start.
            is_former: whether the stream's life is one of a former process.
            is_put_right: whether the clock is set once more, before the sweep.
        """
        service, reactor = make_service(self.mktemp())
        wall = Clock()
        wall.advance(reactor.seconds())
        reactor.wall = wall  # type: ignore[attr-defined]  # as `steady_clock.install` does
        storage = service._house.storage
        self.patch(storage._storage, "_clock", wall)
        publication = None
        if is_former:
            publication = self.successResultOf(service.manager.publish(request()))
        service._sweep()
        wall.rightNow += step
        publication = publication or self.successResultOf(service.manager.publish(request()))
        publication.set_tracks((VIDEO,))
        again = service._sweep_again
        assert again is not None
        frame = 0
        while again.active():
            publication.write(video(frame * 40, key=frame % 50 == 0, track=VIDEO))
            frame += 1
            if frame == 4000 and is_put_right:
                wall.rightNow -= step
            wall.advance(0.04)
            reactor.advance(0.04)
        stream = service.manager.get("key")
        assert stream is not None
        entries = self.successResultOf(storage.list(f"key/{stream.life}"))
        return {entry.path.partition("/")[2].partition("/")[2] for entry in entries}

    def test_clock_set(self) -> None:
        """What a live stream has stored stays, also where the machine's clock was set back."""
        stored = self.run_with(0.0)
        self.assertGreater(len(stored), 10)
        for step in (-3600.0, 3600.0):
            for is_former in (False, True):
                with self.subTest(step=step, is_former=is_former):
                    self.assertEqual(self.run_with(step, is_former=is_former), stored)
        self.assertEqual(self.run_with(-3600.0, is_put_right=True), stored)


class DemoTests(SynchronousTestCase):
    def test_going_down(self) -> None:
        """A server that goes down gives its test card nowhere to come back to, without a word."""
        service, reactor = make_service(self.mktemp())
        demo = _Demo(service, reactor)
        service.manager.draining = True
        with capturedLogs() as logs:
            demo.startService()
            reactor.advance(1)
        self.assertEqual((logs, reactor.getDelayedCalls()), ([], []))


class StartTests(SynchronousTestCase):
    def test_storage_that_cannot_be_used(self) -> None:
        """A directory that is a file is one clear line."""
        file = Path(self.mktemp())
        file.write_text("a file")
        service, _ = make_service(self.mktemp(), storage_type="local", storage_dir=file)
        error = self.assertRaises(SettingError, service.startService)
        self.assertRegex(str(error), "^STORAGE_DIR=.*: cannot be used: ")
        service, _ = make_service(str(file))
        error = self.assertRaises(SettingError, service.startService)
        self.assertRegex(str(error), "^STATE_DIR=.*: cannot be used: ")

    def test_unknown_storage(self) -> None:
        """A storage that nobody has is one clear line."""
        error = self.assertRaises(SettingError, make_service, self.mktemp(), storage_type="tape")
        self.assertRegex(str(error), "^STORAGE_TYPE=tape: must be one of .*gcs, local, memory")

    def test_bad_webhook(self) -> None:
        """A hook that cannot be made is one clear line."""
        error = self.assertRaises(
            SettingError, make_service, self.mktemp(), webhook_on_play="gopher://x"
        )
        self.assertIn("on_play", str(error))
