"""The server as one service: it starts, takes over new settings, and stops in order."""

# Twisted's services carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp import __version__, config
from rapidrtmp.config import SettingError, Settings
from rapidrtmp.demo import DEMO_KEY, DemoPublisher, announcement
from rapidrtmp.house import House
from rapidrtmp.outputs.retention import AFTER_END, sweep
from rapidrtmp.room_settings import longest_window
from rapidrtmp.steady_clock import wall_clock
from rapidrtmp.storage.backends import probe
from rapidrtmp.stream.lifecycle import StreamState

STOP_TIMEOUT = 10.0
"""Seconds for each thing that must be put away when the server stops."""
GOODBYE = "the server is shutting down"
DRAIN_INTERVAL = 0.25
"""Seconds between two looks whether viewers are still there."""
OBS_KEY = "obs"
"""Stream key that the demo offers to the user's own encoder."""
STORAGE_SETTING = {"local": "STORAGE_DIR", "gcs": "GCS_BUCKET_NAME"}
"""The setting that says where a kind of storage keeps its files."""


class RapidRTMPService(MultiService):
    """The whole server. `rtmp` and `http` tell the ports that it listens on."""

    _log = Logger()

    def __init__(self, settings: Settings, reactor: Any, hooks: Sequence[object] = ()) -> None:
        """Build the house; nothing is touched before the start.

        Args:
            settings: checked ones.
            reactor: the real one.
            hooks: as `House` takes them.

        Raises:
            SettingError: a storage or a hook cannot be made.
        """
        super().__init__()
        self.settings = settings
        self._reactor = reactor
        self._house = house = House(settings, reactor, hooks)
        self.manager = house.manager
        self.tokens = house.tokens
        self.rtmp = house.rtmp
        self.http = house.http
        for listener in (*house.listeners.rtmp_all, *house.listeners.http_all):
            listener.setServiceParent(self)
        self._tick = LoopingCall(self.manager.tick)
        self._tick.clock = reactor
        self._sweep_again: IDelayedCall | None = None

    # Starting.

    def startService(self) -> None:
        """Load what a former process left, then start to listen.

        Raises:
            SettingError: a directory cannot be used, or an address not be listened on.
            RuntimeError: the reactor runs already.
        """
        settings = self.settings
        place = STORAGE_SETTING.get(settings.storage_type, "STORAGE_TYPE")
        stored_at = str(getattr(settings, place.lower()))
        state_dir = str(settings.state_dir)
        # Before the reactor runs, storage answers at once: a failure ends the start.
        self._must(probe(self._house.state), "STATE_DIR", state_dir)
        self._must(self._house.token_secret.load(), "STATE_DIR", state_dir)
        self._must(self.tokens.load(), "STATE_DIR", state_dir)
        self._must(self._house.sessions.load(), "STATE_DIR", state_dir)
        self._must(probe(self._house.storage), place, stored_at)
        if settings.gcs_signed_urls:
            self._must(self._house.storage.url_for("probe"), "GCS_SIGNED_URLS", "true")
        self._must(self.manager.restore(), "STATE_DIR", state_dir)
        self._must(self._house.load_relays(), "STATE_DIR", state_dir)
        self._log.info(
            "RapidRTMP {version}: storage {kind} in {storage}, state in {state}",
            version=__version__,
            kind=settings.storage_type,
            storage=Path(stored_at).absolute() if place == "STORAGE_DIR" else stored_at,
            state=settings.state_dir.absolute(),
        )
        for line in config.warnings(settings):
            self._log.warn("{line}", line=line)
        super().startService()
        self._tick.start(1.0)
        self._reactor.callWhenRunning(self._running)

    def _running(self) -> None:
        """Do what needs a reactor that runs, or would hold up the start."""
        self._sweep()
        self._house.disk.start()
        self._house.lag.start()
        self._house.relays.start()
        if self.settings.watchdog_timeout:
            self._house.watchdog.start()

    def _must(self, done: Deferred[Any], setting: str, value: str) -> None:
        """Turn a failure of the start into one clear line."""

        def refuse(failure: Failure) -> None:
            error = failure.value
            words = getattr(error, "strerror", None) or failure.getErrorMessage()
            failures.append(SettingError(setting, value, f"cannot be used: {words}"))

        failures: list[SettingError] = []
        done.addErrback(refuse)
        if failures:
            raise failures[0]
        if not done.called:
            raise RuntimeError("the server must be started before the reactor runs")

    def _sweep(self) -> None:
        """Remove what former processes left of streams that are over.

        Once now, and once more when the files that were fresh at the start are old, too.
        """
        started = self._reactor.seconds()
        age = AFTER_END + max(longest_window(self.settings), self.settings.dvr_window)
        former = {(stream.key, stream.life) for stream in self.manager.streams()}
        self._remove_older(started - age, former)
        self._sweep_again = self._reactor.callLater(age, self._remove_older, started, former)

    def _remove_older(self, before: float, former: set[tuple[str, str]]) -> None:
        # Files are dated by the machine's clock. If it was set back, what is written now is older
        # than the start by it.
        reactor = self._reactor
        before += min(0.0, wall_clock(reactor).seconds() - reactor.seconds())
        # A life that began here has nothing of a former process. A stream that still waits for its
        # publisher may need its playlists, to end them; one with a past needs that, and knows what
        # of it is old.
        alive = {
            (stream.key, stream.life)
            for stream in self.manager.streams()
            if stream.state is StreamState.IDLE
            or self.settings.dvr_window
            or (stream.key, stream.life) not in former
        }

        def swept(removed: int) -> None:
            if removed:
                self._log.info("removed {removed} old files", removed=removed)

        def failed(failure: Failure) -> None:
            self._log.error("old files: {error}", error=failure.getErrorMessage())

        sweeping = sweep(self._house.storage, alive, before)
        Deferred.fromCoroutine(sweeping).addCallbacks(swept, failed)

    def apply(self, settings: Settings) -> None:
        """Take over new settings, as far as a running server can. No stream is touched.

        Args:
            settings: as `config.reload` gives them.
        """
        self.settings = settings
        self._house.apply(settings)

    # Stopping.

    def stopService(self) -> Deferred[None]:
        """Tell publishers to go, put everything away, serve viewers a while, stop listening."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        deadline = self._reactor.seconds() + self.settings.drain_timeout
        self._log.info("stopping; streams: {count}", count=len(self.manager.streams()))
        self.manager.draining = True
        for listener in self._house.listeners.rtmp_all:
            await listener.stopService()
        if self._tick.running:
            self._tick.stop()
        await self._bounded("the streams", self.manager.close())
        await self._bounded("relays", self._house.relays.close())
        await self._bounded("publishers", self._house.rtmp_factory.drain(GOODBYE))
        await self._serve_viewers(deadline)
        if self._house.thumbnail_worker is not None:
            await self._bounded("thumbnails", self._house.thumbnail_worker.close())
        if self._sweep_again is not None and self._sweep_again.active():
            self._sweep_again.cancel()
        self._house.feed.close()
        house = self._house
        if house.hooks is not None:
            await self._bounded("hooks", house.hooks.close())
        await self._bounded("publish tokens", self.tokens.close())
        await self._bounded("storage", house.storage.close())
        await self._bounded("state", house.state.close())
        self._house.watchdog.stop()
        self._house.lag.stop()
        self._house.disk.stop()
        await super().stopService()
        self._log.info("stopped")

    async def _bounded(self, what: str, done: Deferred[Any]) -> None:
        """Wait for a step of the stop, but not for ever, and go on whatever becomes of it."""
        ended: Deferred[None] = Deferred()
        timer = self._reactor.callLater(STOP_TIMEOUT, ended.callback, None)

        def log(failure: Failure) -> None:
            self._log.error("stopping: {what}: {error}", what=what, error=failure.getErrorMessage())

        def end(_: object) -> None:
            if timer.active():
                timer.cancel()
                ended.callback(None)

        # Not cancelled: what is under way may still get through while the rest stops.
        done.addErrback(log).addCallback(end)
        await ended
        if not done.called:
            self._log.error(
                "stopping: {what} took over {seconds:g} s, going on",
                what=what,
                seconds=STOP_TIMEOUT,
            )

    async def _serve_viewers(self, deadline: float) -> None:
        """Let viewers fetch what was finished last, until they have gone or time is up."""
        told = False
        while (left := deadline - self._reactor.seconds()) > 0:
            viewers = self.manager.viewers
            if not viewers and not self._house.site.sending:
                return
            if not told:
                told = True
                self._log.info(
                    "serving {viewers} viewers for up to {left:.0f} s more (DRAIN_TIMEOUT);"
                    " a second signal ends at once",
                    viewers=viewers,
                    left=left,
                )
            await deferLater(self._reactor, min(left, DRAIN_INTERVAL))


def make_service(
    settings: Settings, reactor: Any, *, demo: bool = False, hooks: Sequence[object] = ()
) -> RapidRTMPService:
    """Make the server.

    Args:
        settings: checked ones.
        reactor: the real one.
        demo: whether to publish a test card to it, and to print what to open.
        hooks: as `House` takes them.

    Returns:
        The service, which listens when it is started.

    Raises:
        SettingError: a storage or a hook cannot be made.
    """
    service = RapidRTMPService(settings, reactor, hooks)
    if demo:
        _Demo(service, reactor).setServiceParent(service)
    return service


class _Demo(DemoPublisher):
    """Publishes the test card to our own server, and prints what to open."""

    def __init__(self, server: RapidRTMPService, reactor: Any) -> None:
        super().__init__(reactor, self._own_url, self._is_live)
        self._server = server
        self._is_announced = False

    def _is_live(self) -> bool:
        stream = self._server.manager.get(DEMO_KEY)
        return stream is not None and stream.publication is not None

    async def _url(self, key: str, host: str) -> str:
        token = await self._server.tokens.issue(key)
        return f"{host}/live/{key}?token={token.value}"

    async def _announced_url(self) -> str:
        rtmp, http = self._server.rtmp.port, self._server.http.port
        if not self._is_announced:
            self._is_announced = True
            ingest = self._server.settings.rtmp_ingest_addr
            if ingest == Settings().rtmp_ingest_addr:
                ingest = f"rtmp://localhost:{rtmp}"
            url = await self._url(OBS_KEY, ingest)
            print(announcement(f"http://localhost:{http}", url), flush=True)
        return await self._url(DEMO_KEY, f"rtmp://localhost:{rtmp}")

    def _own_url(self) -> Deferred[str]:
        if self._server.manager.draining:
            return Deferred()  # the child was told to go, and has nowhere to come back to
        return Deferred.fromCoroutine(self._announced_url())
