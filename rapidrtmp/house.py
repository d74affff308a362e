"""The composition root: settings in, every room out, wired. Nothing is started or touched."""

# Twisted's services carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from rapidrtmp.auth.api_keys import APIKeys
from rapidrtmp.auth.by_action import ByAction
from rapidrtmp.auth.internal import InternalAuthenticator
from rapidrtmp.auth.open import AnyViewer, OpenAuthenticator
from rapidrtmp.auth.playback import PlaybackAuthenticator, PlaybackSigner
from rapidrtmp.auth.session_ids import SessionSigner
from rapidrtmp.auth.tokens import TokenStore, token_secret
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.config import SettingError, Settings
from rapidrtmp.config.secret_kinds import HIDDEN
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.hooks.hooks import HookedAuthenticator, Hooks
from rapidrtmp.hooks.plugins import load_plugins
from rapidrtmp.hooks.webhook import make_webhooks
from rapidrtmp.interfaces import (
    IAuthenticator,
    IMediaURLs,
    IMemoryHolder,
    IOutputMaker,
    IStorage,
)
from rapidrtmp.listeners import Listeners
from rapidrtmp.memory_limit import media_budget, memory_limit
from rapidrtmp.observability.disk import DiskSpace
from rapidrtmp.observability.metrics import make_registry
from rapidrtmp.observability.sources import Sources
from rapidrtmp.observability.watchdog import ReactorLag, Watchdog
from rapidrtmp.outputs.hls_maker import HLSMaker
from rapidrtmp.outputs.media_urls import CDNURLs, StorageURLs
from rapidrtmp.outputs.thumbnail import ThumbnailMaker
from rapidrtmp.outputs.thumbnail_worker import ThumbnailWorker, is_available
from rapidrtmp.outputs.unpackaged import UnpackagedMaker
from rapidrtmp.outputs.uploads import Uploads
from rapidrtmp.protocol.access_manager import AccessManager
from rapidrtmp.protocol.dump import Dumps
from rapidrtmp.protocol.fanout import FanoutMaker
from rapidrtmp.protocol.server import RTMPServerFactory, server_capabilities
from rapidrtmp.rate_limit import RateLimit
from rapidrtmp.readiness import (
    StorageCheck,
    check_listeners,
    check_manager,
    check_segmenter,
)
from rapidrtmp.relay.endpoints import Endpoints
from rapidrtmp.relay.relays import PULL, PUSH, RelayExists, Relays, TooManyRelays
from rapidrtmp.room_settings import (
    hls_settings,
    play_settings,
    rtmp_limits,
    server_settings,
    stream_settings,
    thumbnail_settings,
    webhook_urls,
)
from rapidrtmp.steady_clock import wall_clock
from rapidrtmp.storage.counted import CountedStorage
from rapidrtmp.storage.local import LocalStorage
from rapidrtmp.store import open_store
from rapidrtmp.stream.events import Events
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.stream.memory import MemoryBudget
from rapidrtmp.stream.records import RecordStore
from rapidrtmp.web.access import MAX_WRONG_KEYS, WRONG_KEYS_PERIOD, Access
from rapidrtmp.web.api_relay import RelayAPI
from rapidrtmp.web.events import EventFeed
from rapidrtmp.web.http_site import HTTPSite
from rapidrtmp.web.server_status import ServerStatus
from rapidrtmp.web.site import make_site

SIGNED_URLS_ORIGIN = "https://storage.googleapis.com"
"""Where the signed URLs of Google Cloud Storage lead."""

TOKEN_REQUESTS_PERIOD = 60.0
"""Seconds in which MAX_TOKEN_REQUESTS_PER_IP may come."""


class House:
    """Everything that a server is made of."""

    def __init__(self, settings: Settings, reactor: Any, hooks: Sequence[object] = ()) -> None:
        """Build it.

        Args:
            settings: checked ones.
            reactor: the real one.
            hooks: asked and told before plug-ins and web hooks (`IHook`).

        Raises:
            SettingError: a storage or a hook cannot be made.
        """
        self.settings = settings
        """Those in force."""
        self._reactor = reactor
        self._own_hooks = hooks
        self.started_at: float = reactor.seconds()
        """Unix time."""
        self._make_storage()
        self._make_streams()
        self._make_http()

    def _make_storage(self) -> None:
        settings, reactor = self.settings, self._reactor
        # What is in the state directory is small and must not be lost: it is flushed to disk.
        self.state = LocalStorage(settings.state_dir, reactor, durable=True, private=True)
        self.storage = CountedStorage(open_store(settings, reactor), reactor)
        self.uploads = Uploads(self.storage, reactor, _max_waiting(settings))
        disk = settings.storage_dir if settings.storage_type == "local" else settings.state_dir
        self.disk = DiskSpace(disk, reactor, deferToThread, settings.min_free_disk)

    def _make_streams(self) -> None:
        settings, reactor = self.settings, self._reactor
        self.tokens = TokenStore(
            self.state,
            reactor,
            settings.default_token_expiration,
            settings.max_token_expiration,
            settings.stream_grace,
        )
        self.token_secret = token_secret(self.state)
        self.tokens.secret = self.token_secret if settings.authmod_app else None
        self.sessions = SessionSigner(self.state)
        secret = settings.playback_secret.encode()
        wall = wall_clock(reactor)
        self.signer = PlaybackSigner([secret], wall) if settings.playback_auth else None
        self.playback = PlaybackAuthenticator(self.signer) if self.signer else None
        self.hooks = self._make_hooks()
        authenticator: IAuthenticator = ByAction(
            self.tokens if settings.auth_required else OpenAuthenticator(self.tokens),
            self.playback or AnyViewer(),
        )
        if self.hooks is not None:
            authenticator = HookedAuthenticator(authenticator, self.hooks)
        events = Events(reactor)
        if self.hooks is not None:
            events.subscribe(self.hooks.heard)
        self.hls = HLSMaker(
            self.storage,
            reactor,
            hls_settings(settings),
            self.uploads,
            events,
            _media_urls(settings, self.storage),
        )
        self.fanouts = FanoutMaker(play_settings(settings), reactor)
        self.memory = MemoryBudget(
            _memory_budget(settings),
            self._kept_in_memory,
            lambda: self.hls.windows,
            self.hls.release_played,
            self._trimmed_in_memory,
        )
        self.manager = StreamManager(
            reactor,
            InternalAuthenticator(authenticator),
            [*self._make_packagers(), self.fanouts],
            stream_settings(settings),
            records=RecordStore(self.state),
            events=events,
            memory=self.memory,
        )
        self.access_manager = (
            AccessManager(reactor, settings.authmod_app) if settings.auth_required else None
        )
        self.rtmp_factory = RTMPServerFactory(
            self.manager,
            reactor,
            lambda: Demuxer(REGISTRY),
            rtmp_limits(settings),
            server_settings(settings),
            Dumps(Path(settings.rtmp_dump_dir), reactor) if settings.rtmp_dump_dir else None,
            capabilities=server_capabilities(REGISTRY),
            access_manager=self.access_manager,
        )
        self.relays = self._make_relays()

    def _kept_in_memory(self) -> Iterator[Mapping[str, int]]:
        """Tell what each of all who keep media in memory keeps."""
        hls = self.hls.memory()
        yield hls
        if self.settings.storage_type == "memory":
            # The segments of the windows are the same bytes.
            yield {"storage": max(0, self.storage.bytes_stored - hls["window"])}
        for stream in self.manager.streams():
            for output in stream.outputs:
                if IMemoryHolder.providedBy(output):
                    yield IMemoryHolder(output).memory()

    def _trimmed_in_memory(self) -> int:
        """Tell how much of that was trimmed, and goes away by itself."""
        return self.hls.trimmed_bytes if self.settings.storage_type == "memory" else 0

    def _make_packagers(self) -> list[IOutputMaker]:
        """Return what makes the outputs that are seen below ``/live/<key>/``."""
        self.thumbnail_worker: ThumbnailWorker | None = None
        self.thumbnails: ThumbnailMaker | None = None
        if not self.settings.hls_enabled:
            return [UnpackagedMaker()]
        return [*self._make_thumbnails(), self.hls]

    def _make_thumbnails(self) -> list[ThumbnailMaker]:
        settings = self.settings
        if not settings.thumbnails:
            return []
        if is_available():
            self.thumbnail_worker = ThumbnailWorker(self._reactor)
        self.thumbnails = ThumbnailMaker(
            self._reactor,
            thumbnail_settings(settings, self._is_guarded()),
            self.thumbnail_worker,
        )
        return [self.thumbnails]

    def _is_guarded(self) -> bool:
        """Tell whether viewers need leave."""
        asks = self.hooks is not None and self.hooks.is_asked("on_play")
        return asks or self.settings.playback_auth

    def _make_relays(self) -> Relays:
        settings = self.settings
        try:
            endpoints = Endpoints(self._reactor, settings.relay_ca_file)
        except (OSError, ValueError) as error:
            words = f"cannot be used: {getattr(error, 'strerror', None) or error}"
            raise SettingError("RELAY_CA_FILE", settings.relay_ca_file, words) from error
        return Relays(
            self.manager,
            self.state,
            self._reactor,
            endpoints,
            lambda: Demuxer(REGISTRY),
            lambda key, details: self.manager.events.emit("relay", key, **details),
            settings.relay_on_demand_linger,
        )

    def load_relays(self) -> Deferred[None]:
        """Make the relays of the settings, and those that the API added in a former process.

        Returns:
            Fires when they are there, or fails with StateError.

        Raises:
            SettingError: two of the settings are one, or they are too many.
        """
        static = [(relay.key, PUSH, relay.url) for relay in self.settings.relay_push]
        static += [(relay.key, PULL, relay.url) for relay in self.settings.relay_pull]
        on_demand = [(relay.key, relay.url) for relay in self.settings.relay_pull_on_demand]
        try:
            return self.relays.load(static, on_demand)
        except (RelayExists, TooManyRelays) as error:
            raise SettingError("RELAY_PUSH", HIDDEN, f"cannot be used: {error}") from None

    def _make_hooks(self) -> Hooks | None:
        settings = self.settings
        try:
            hooks = [*self._own_hooks, *load_plugins(self._reactor)]
            hooks += make_webhooks(webhook_urls(settings), settings.webhook_secret, self._reactor)
        except ValueError as error:
            raise SettingError("rapidrtmp.hooks", "plug-in", str(error)) from error
        return Hooks(hooks, self._reactor, settings.webhook_timeout) if hooks else None

    def _make_http(self) -> None:
        settings, reactor = self.settings, self._reactor
        self.keys = APIKeys(settings.api_keys)
        access = Access(
            self.keys,
            RateLimit(reactor, MAX_WRONG_KEYS, WRONG_KEYS_PERIOD),
            self.manager.totals.refuse,
        )
        self.feed = EventFeed(self.manager.events, reactor)
        self.token_requests = RateLimit(
            reactor, settings.max_token_requests_per_ip, TOKEN_REQUESTS_PERIOD
        )
        self.lag = ReactorLag(reactor)
        self.watchdog = Watchdog(
            reactor.callFromThread, settings.watchdog_timeout, may_exit=settings.watchdog_exit
        )
        self.api = RelayAPI(
            self.relays,
            self.manager,
            self.tokens,
            reactor,
            settings.rtmp_ingest_addr,
            access=access,
            feed=self.feed,
            status=ServerStatus(
                settings=lambda: self.settings,
                started_at=self.started_at,
                listeners=lambda: self.listeners.addresses,
            ),
            token_requests=self.token_requests,
            signer=self.signer,
            playback_expiration=settings.playback_url_expiration,
        )
        self.site = make_site(
            manager=self.manager,
            api=self.api,
            ready_checks={
                "disk": self.disk.check,
                "memory": self.memory.check,
                **self._listener_checks(),
                "segmenter": lambda: check_segmenter(self.manager, reactor.seconds()),
                "storage": StorageCheck(self.storage, self.uploads, reactor),
                "streamManager": lambda: check_manager(self.manager),
            },
            degradable=("disk", "memory", "storage"),
            make_registry=self._make_registry,
            metrics_guard=(lambda request: access.guard(request, "read"))
            if settings.metrics_auth
            else None,
            reactor=reactor,
            ingest_address=settings.rtmp_ingest_addr,
            sessions=self.sessions,
            playback=self.playback,
            public_stream_list=settings.public_stream_list,
            media_origins=_media_origins(settings),
            public_thumbnails=self.thumbnail_worker is not None and not self._is_guarded(),
            sees_diagnosis=(lambda _: True) if settings.public_diagnosis else access.is_open,
            trusted=settings.trusted_proxies,
            max_connections=settings.http_max_connections,
            max_connections_per_ip=settings.http_max_connections_per_ip,
        )
        self.listeners = Listeners(settings, reactor, self.rtmp_factory, self.site)
        self.rtmp = self.listeners.rtmp
        self.http = self.listeners.http

    def _listener_checks(self) -> dict[str, Callable[[], str]]:
        """Make a check of each protocol that has an address of its own."""
        settings = self.settings
        own = {"rtmps": settings.rtmps_addr, "https": settings.https_addr}
        names = ["http", "rtmp", *(name for name, address in own.items() if address)]
        return {name: partial(self._check_listeners, name) for name in names}

    def _check_listeners(self, protocol: str) -> str:
        return check_listeners(self.listeners.by_protocol[protocol])

    def _make_registry(self, site: HTTPSite) -> CollectorRegistry:
        sources = Sources(
            manager=self.manager,
            rtmp=self.rtmp_factory,
            players=self.fanouts,
            segments=self.hls.counters,
            uploads=self.uploads,
            storage=self.storage,
            site=site,
            tokens=self.tokens,
            lag=self.lag,
            started=self.started_at,
            hooks=self.hooks,
            feed=self.feed,
            disk=self.disk,
            memory=self.memory,
            relays=self.relays,
            listeners=lambda: self.listeners,
            thumbnails=self.thumbnail_worker.counters if self.thumbnail_worker else None,
        )
        return make_registry(sources, self._reactor.seconds)

    # Reloading.

    def apply(self, settings: Settings) -> None:
        """Take over new settings, as far as a running server can. No stream is touched."""
        former, self.settings = self.settings, settings
        self.manager.apply(stream_settings(settings))
        self.rtmp_factory.apply(rtmp_limits(settings), server_settings(settings))
        self.listeners.apply(settings)
        self.hls.settings = hls_settings(settings)
        if self.thumbnails is not None:
            self.thumbnails.settings = thumbnail_settings(settings, self._is_guarded())
        self.fanouts.settings = play_settings(settings)
        self.relays.linger = settings.relay_on_demand_linger
        self.uploads.max_bytes = _max_waiting(settings)
        self.disk.min_free = settings.min_free_disk
        self.memory.size = _memory_budget(settings)
        self.tokens.default_expiration = settings.default_token_expiration
        self.tokens.max_expiration = settings.max_token_expiration
        self.tokens.grace = settings.stream_grace
        self.tokens.secret = self.token_secret if settings.authmod_app else None
        if self.access_manager is not None:
            self.access_manager.app = settings.authmod_app
        self.api.playback_expiration = settings.playback_url_expiration
        self.token_requests.limit = settings.max_token_requests_per_ip
        self.site.max_connections = settings.http_max_connections
        self.site.max_connections_per_ip = settings.http_max_connections_per_ip
        if settings.api_keys != former.api_keys:
            self.keys.replace(settings.api_keys)
            self.feed.drop()
        if self.signer is not None and settings.playback_secret != former.playback_secret:
            # What was signed with the former one is void: it may have been changed for that.
            self.signer.replace([settings.playback_secret.encode()])


def _memory_budget(settings: Settings) -> int:
    return settings.memory_budget or media_budget(memory_limit())


def _max_waiting(settings: Settings) -> int:
    # A dead storage must not fill the memory: what waits for it cannot be trimmed.
    return min(settings.storage_max_waiting, _memory_budget(settings) // 2)


def _media_origins(settings: Settings) -> list[str]:
    """Tell which other servers playlists lead to."""
    if settings.cdn_base_url:
        url = urlsplit(settings.cdn_base_url)
        return [f"{url.scheme}://{url.netloc.encode('idna').decode()}"]
    return [SIGNED_URLS_ORIGIN] if settings.gcs_signed_urls else []


def _media_urls(settings: Settings, storage: IStorage) -> IMediaURLs | None:
    if settings.cdn_base_url:
        return CDNURLs(settings.cdn_base_url)
    return StorageURLs(storage) if settings.gcs_signed_urls else None
