"""The composition root: settings in, one service out. The only place that knows everybody."""

# Twisted's services carry no annotations yet.
# mypy: allow-untyped-calls

from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp import __version__, config
from rapidrtmp.amf.reader import Limits as AMFLimits
from rapidrtmp.auth.open import OpenAuthenticator
from rapidrtmp.auth.tokens import TokenStore
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.config import SettingError, Settings
from rapidrtmp.demo import DEMO_KEY, DemoPublisher, announcement
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.listener import Listener
from rapidrtmp.media.segmentation import Segmentation
from rapidrtmp.outputs.hls import HLSMaker, HLSOutput, HLSSettings
from rapidrtmp.outputs.retention import AFTER_END, sweep
from rapidrtmp.protocol.server import RTMPServerFactory, ServerSettings
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.storage.backends import open_storage, probe
from rapidrtmp.storage.local import LocalStorage
from rapidrtmp.stream.lifecycle import StreamState
from rapidrtmp.stream.manager import StreamManager, StreamSettings
from rapidrtmp.stream.records import RecordStore
from rapidrtmp.stream.stream import Stream
from rapidrtmp.web.site import make_site

STOP_TIMEOUT = 20.0
"""Seconds for everything that must be put away when the server stops."""
SEGMENT_PATIENCE = 5.0
"""Seconds that a segment may be late before the server is not ready."""
OBS_KEY = "obs"
"""Stream key that the demo offers to the user's own encoder."""


class RapidRTMPService(MultiService):
    """The whole server. `rtmp` and `http` tell the ports that it listens on."""

    _log = Logger()

    def __init__(self, settings: Settings, reactor: Any) -> None:
        """Build the house; nothing is touched before the start.

        Args:
            settings: checked ones.
            reactor: the real one.
        """
        super().__init__()
        self.settings = settings
        self._reactor = reactor
        # What is in the state directory is small and must not be lost: it is flushed to disk.
        self._state = LocalStorage(settings.state_dir, reactor, durable=True)
        self._storage = open_storage(settings.storage_type, settings.storage_dir, reactor)
        self.tokens = TokenStore(
            self._state,
            reactor,
            settings.default_token_expiration,
            settings.max_token_expiration,
            settings.stream_grace,
        )
        self.manager = StreamManager(
            reactor,
            self.tokens if settings.auth_required else OpenAuthenticator(self.tokens),
            [HLSMaker(self._storage, reactor, HLSSettings(settings.hls_max_segments))],
            _stream_settings(settings),
            records=RecordStore(self._state),
        )
        self._rtmp_factory = RTMPServerFactory(
            self.manager,
            reactor,
            lambda: Demuxer(REGISTRY),
            _rtmp_limits(settings),
            _server_settings(settings),
        )
        site = make_site(
            manager=self.manager,
            tokens=self.tokens,
            ready_checks={
                "rtmp": lambda: "ok" if self.rtmp.ports else "not listening",
                "segmenter": self._check_segmenter,
                "storage": self._probe_storage,
                "streamManager": lambda: "draining" if self.manager.draining else "ok",
            },
            reactor=reactor,
            ingest_address=settings.rtmp_ingest_addr,
            public_stream_list=settings.public_stream_list,
        )
        self.rtmp = Listener(reactor, "RTMP_ADDR", settings.rtmp_addr, self._rtmp_factory)
        self.http = Listener(reactor, "HTTP_ADDR", settings.http_addr, site)
        self.rtmp.setServiceParent(self)
        self.http.setServiceParent(self)
        self._tick = LoopingCall(self.manager.tick)
        self._tick.clock = reactor

    def startService(self) -> None:
        """Load what a former process left, then start to listen.

        Raises:
            SettingError: a directory cannot be used, or an address not be listened on.
        """
        # Before the reactor runs, storage answers at once: a failure ends the start.
        self._must(probe(self._state), "STATE_DIR", self.settings.state_dir)
        self._must(self.tokens.load(), "STATE_DIR", self.settings.state_dir)
        self._must(probe(self._storage), "STORAGE_DIR", self.settings.storage_dir)
        self._must(self.manager.restore(), "STATE_DIR", self.settings.state_dir)
        self._log.info(
            "RapidRTMP {version}: storage {kind} in {storage}, state in {state}",
            version=__version__,
            kind=self.settings.storage_type,
            storage=self.settings.storage_dir.absolute(),
            state=self.settings.state_dir.absolute(),
        )
        for line in config.warnings(self.settings):
            self._log.warn("{line}", line=line)
        super().startService()
        self._tick.start(1.0)
        self._sweep()

    def stopService(self) -> Deferred[None]:
        """Tell publishers to go, put everything away, and stop listening."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._log.info("stopping; streams: {count}", count=len(self.manager.streams()))
        self.manager.draining = True
        await self.rtmp.stopService()
        if self._tick.running:
            self._tick.stop()
            if self._sweep_again.active():
                self._sweep_again.cancel()
        closed = Deferred.fromCoroutine(self._put_away())
        try:
            await closed.addTimeout(STOP_TIMEOUT, self._reactor)
        except TimeoutError:
            self._log.error("stopping took over {seconds:g} s, going on", seconds=STOP_TIMEOUT)
        await super().stopService()
        self._log.info("stopped")

    async def _put_away(self) -> None:
        await self.manager.close()
        await self._rtmp_factory.drain("the server is shutting down")
        await self.tokens.close()
        await self._storage.close()
        await self._state.close()

    def _must(self, done: Deferred[Any], setting: str, directory: Path) -> None:
        """Turn a failure of the start into one clear line."""

        def refuse(failure: Failure) -> None:
            error = failure.value
            words = getattr(error, "strerror", None) or failure.getErrorMessage()
            failures.append(SettingError(setting, str(directory), f"cannot be used: {words}"))

        failures: list[SettingError] = []
        done.addErrback(refuse)
        if failures:
            raise failures[0]

    def _check_segmenter(self) -> str:
        """Look for a stream whose media flow while no segment comes of them."""
        now = self._reactor.seconds()
        for stream in self.manager.streams():
            if stream.state is not StreamState.LIVE:
                continue
            longest = stream.segmentation.target_duration or Segmentation.LONGEST_FIRST
            flowing = now - (stream.statistics.last_frame_at or 0.0) < 1.0
            for output in _hls_outputs(stream):
                waited = now - max(output.last_segment_at or 0.0, stream.live_since)
                if flowing and waited > longest + SEGMENT_PATIENCE:
                    return f"stream {stream.key}: no segment for {waited:.0f} s"
        return "ok"

    def _probe_storage(self) -> Deferred[str]:
        # The probe is small: it may still fit where a segment does not.
        errors = [
            output.storage_error
            for stream in self.manager.streams()
            for output in _hls_outputs(stream)
            if output.storage_error
        ]
        if errors:
            return succeed(f"cannot be written: {errors[0]}")
        return probe(self._storage).addCallbacks(
            lambda _: "ok", lambda failure: f"cannot be written: {failure.getErrorMessage()}"
        )

    def _sweep(self) -> None:
        """Remove what former processes left of streams that are over.

        Once now, and once more when the files that were fresh at the start are old, too.
        """
        started = self._reactor.seconds()
        longest = self.settings.hls_max_segments * max(
            Segmentation.LONGEST_FIRST, self.settings.hls_segment_duration
        )
        age = AFTER_END + longest
        self._remove_older(started - age)
        self._sweep_again = self._reactor.callLater(age, self._remove_older, started)

    def _remove_older(self, before: float) -> None:
        # A stream that still waits for its publisher may need its playlists, to end them.
        waiting = {
            (stream.key, stream.life)
            for stream in self.manager.streams()
            if stream.state is StreamState.IDLE
        }

        def swept(removed: int) -> None:
            if removed:
                self._log.info("removed {removed} old files", removed=removed)

        def failed(failure: Failure) -> None:
            self._log.error("old files: {error}", error=failure.getErrorMessage())

        sweeping = sweep(self._storage, waiting, before)
        Deferred.fromCoroutine(sweeping).addCallbacks(swept, failed)


def _hls_outputs(stream: Stream) -> list[HLSOutput]:
    return [output for output in stream.outputs if isinstance(output, HLSOutput)]


def _stream_settings(settings: Settings) -> StreamSettings:
    return StreamSettings(
        segment_duration=settings.hls_segment_duration,
        grace=settings.stream_grace,
        stop_cooldown=settings.stop_cooldown,
        max_streams=settings.max_concurrent_streams,
        max_viewers=settings.max_viewers_per_stream,
        endlist_on_shutdown=settings.endlist_on_shutdown,
    )


def _rtmp_limits(settings: Settings) -> Limits:
    return Limits(
        min_chunk_size=settings.rtmp_min_chunk_size,
        message=settings.rtmp_max_message_size,
        partial_bytes=max(Limits().partial_bytes, 2 * settings.rtmp_max_message_size),
        amf=AMFLimits(depth=settings.amf_max_depth, values=settings.amf_max_values),
    )


def _server_settings(settings: Settings) -> ServerSettings:
    return ServerSettings(
        handshake_timeout=settings.rtmp_handshake_timeout,
        publish_timeout=settings.rtmp_publish_timeout,
        first_media_timeout=settings.rtmp_first_media_timeout,
        idle_timeout=settings.rtmp_idle_timeout,
        max_ahead=settings.ingest_max_ahead,
        max_connections=settings.rtmp_max_connections,
        max_ungranted=settings.rtmp_max_connections_per_ip,
    )


def make_service(settings: Settings, reactor: Any, *, demo: bool = False) -> MultiService:
    """Make the server.

    Args:
        settings: checked ones.
        reactor: the real one.
        demo: whether to publish a test card to it, and to print what to open.

    Returns:
        The service, which listens when it is started.
    """
    service = RapidRTMPService(settings, reactor)
    if demo:
        _Demo(service, reactor).setServiceParent(service)
    return service


class _Demo(DemoPublisher):
    """Publishes the test card to our own server, and prints what to open."""

    def __init__(self, server: RapidRTMPService, reactor: Any) -> None:
        super().__init__(reactor, self._own_url)
        self._server = server
        self._is_announced = False

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
        return Deferred.fromCoroutine(self._announced_url())
