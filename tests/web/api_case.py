"""An API over fakes, whose every answer is judged by its own OpenAPI document."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.auth.api_keys import APIKeys
from rapidrtmp.auth.playback import PlaybackSigner
from rapidrtmp.auth.tokens import TokenStore
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.config import Settings
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.rate_limit import RateLimit
from rapidrtmp.relay.relays import Relays
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.events import Events
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.web.access import MAX_WRONG_KEYS, WRONG_KEYS_PERIOD, Access
from rapidrtmp.web.api import APIResource
from rapidrtmp.web.api_relay import RelayAPI
from rapidrtmp.web.events import EventFeed
from rapidrtmp.web.http_site import HTTPSite
from rapidrtmp.web.server_status import ServerStatus
from rapidrtmp.web.site import Root
from tests.relay.fakes import FarNet
from tests.web.fakes import Connection, FakeManager, FakeTokens, Response
from tests.web.openapi import Document

NOW = 1_790_000_000
JSON = ("Content-Type", "application/json")
ADMIN, READ, PUBLISH = (f"{scope}-key-of-32-characters-or-so" for scope in ("admin", "read", "pub"))


@dataclass(frozen=True)
class Key:
    """An API key as the settings give it."""

    value: str
    scopes: frozenset[str]


KEYS = (
    Key(ADMIN, frozenset({"admin"})),
    Key(READ, frozenset({"read"})),
    Key(PUBLISH, frozenset({"publish"})),
)


def bearer(key: str) -> tuple[str, str]:
    """Make the header that bears a key."""
    return ("Authorization", f"Bearer {key}")


class APITestCase(SynchronousTestCase):
    """An API, asked over the wire."""

    document = Document()

    def setUp(self) -> None:
        """Make an API without keys."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.events = Events(self.clock)
        self.tokens: FakeTokens | TokenStore = FakeTokens()
        self.manager: FakeManager | StreamManager = FakeManager()
        self.signer: PlaybackSigner | None = None
        self.settings = Settings()
        self.keys = APIKeys()
        self.token_requests = RateLimit(self.clock, 1000, 60.0)
        self.make()

    def make(self) -> None:
        """Make the API anew, of what the attributes are now."""
        self.feed = EventFeed(self.events, self.clock)
        wrong_keys = RateLimit(self.clock, MAX_WRONG_KEYS, WRONG_KEYS_PERIOD)
        self.relays = Relays(
            cast(StreamManager, self.manager),
            MemoryStorage(self.clock),
            self.clock,
            FarNet(),
            lambda: Demuxer(REGISTRY),
        )
        self.api = RelayAPI(
            self.relays,
            cast(StreamManager, self.manager),
            cast(TokenStore, self.tokens),
            self.clock,
            "rtmp://live.example:1935/",
            access=Access(self.keys, wrong_keys),
            feed=self.feed,
            status=ServerStatus(
                settings=lambda: self.settings,
                started_at=self.clock.seconds(),
                listeners=lambda: {
                    "rtmp": ["0.0.0.0:1935"],
                    "rtmps": [],
                    "http": ["[::]:8080"],
                    "https": ["[::]:8443"],
                },
            ),
            token_requests=self.token_requests,
            signer=self.signer,
            playback_expiration=3600.0,
        )
        self.site = HTTPSite(Root({b"api": APIResource(self.api)}), self.clock)

    def stored_tokens(self) -> TokenStore:
        """Use a real store of tokens."""
        storage = MemoryStorage(self.clock)
        store = TokenStore(storage, self.clock, 3600.0, 86400.0, 60.0)
        self.successResultOf(store.load())
        self.tokens = store
        self.make()
        return store

    def ask(
        self,
        method: str,
        path: str,
        *headers: tuple[str, str],
        body: bytes = b"",
        peer: str = "127.0.0.1",
        host: str | None = "localhost:8080",
    ) -> Response:
        """Make a request; its answer must be as documented."""
        connection = Connection(self.site, peer=peer)
        connection.request(method, path, headers, body, host=host)
        response = connection.response(method)
        self.assertEqual(connection.unread, b"")
        problems = self.document.problems(
            method,
            path,
            response.code,
            response.headers.get("content-type", ""),
            response.body,
        )
        self.assertEqual(problems, [], f"{method} {path}: {response.body[:500]!r}")
        return response

    def allowed(self, method: str, path: str, keys: Collection[str]) -> set[str]:
        """Return which of some keys the API takes for a request."""
        codes = {key: self.ask(method, path, bearer(key)).code for key in keys}
        return {key for key, code in codes.items() if code not in (401, 403)}
