"""Publish tokens over the wire: listed, looked at, revoked."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs, formatEvent

from rapidrtmp.auth.tokens import TokenStore
from rapidrtmp.interfaces import AccessRequest
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.manager import StreamManager, StreamSettings
from rapidrtmp.stream.publication import Eviction, Publication
from rapidrtmp.stream.records import RecordStore
from tests.web.api_case import JSON, APITestCase


class FailingStorage(MemoryStorage):
    """Takes nothing while it has an error."""

    error: Exception | None = None

    def put(
        self, path: str, data: Sequence[bytes], content_type: str, cache_control: str
    ) -> Deferred[None]:
        """Keep a file, or fail."""
        if self.error is not None:
            return fail(self.error)
        return super().put(path, data, content_type, cache_control)


class TokenTests(APITestCase):
    def setUp(self) -> None:
        super().setUp()
        self.storage = FailingStorage(self.clock)
        self.store = TokenStore(self.storage, self.clock, 3600.0, 86400.0, 60.0)
        self.successResultOf(self.store.load())
        self.tokens = self.store
        self.manager = self.streams = StreamManager(
            self.clock, self.store, [], StreamSettings(), RecordStore(MemoryStorage(self.clock))
        )
        self.make()

    def issue(self, key: str, seconds: int | None = None) -> str:
        """Issue a token; give its value."""
        issued = self.store.issue(key, seconds)
        return str(self.successResultOf(issued).value)

    def listed(self, query: str = "") -> list[dict[str, Any]]:
        """Ask for the list."""
        value = self.ask("GET", f"/api/v1/tokens{query}").json()
        self.assertEqual(value["total"], len(value["tokens"]))
        return list(value["tokens"])

    def publish(self, key: str, token: str) -> Publication:
        """Publish with a token."""
        request = AccessRequest("publish", key, "live", "192.0.2.1", "s1", {"token": token})
        return self.successResultOf(self.streams.publish(request))

    def evicted(self, publication: Publication) -> str:
        """Give the words with which a publisher was sent away."""
        eviction: Deferred[Eviction] = publication.evicted
        return self.successResultOf(eviction).description

    def test_list(self) -> None:
        """Valid tokens are listed without their values, all or those of a key."""
        value = self.issue("a")
        self.clock.advance(5)
        self.issue("b", 10)
        self.issue("b", 7200)
        self.publish("a", value)
        told = self.listed()
        self.assertEqual([token["streamKey"] for token in told], ["a", "b", "b"])
        self.assertEqual(
            {name: told[0][name] for name in ("createdAt", "expiresAt", "publishing")},
            {
                "createdAt": "2026-09-21T14:13:20Z",
                "expiresAt": "2026-09-21T15:13:20Z",
                "publishing": True,
            },
        )
        self.assertNotIn(value, str(told))
        self.assertEqual(len({token["id"] for token in told}), 3)
        self.assertEqual(self.listed("?streamKey=b"), told[1:])
        self.assertEqual(self.listed("?streamKey=c"), [])
        self.clock.advance(11)
        self.assertEqual(len(self.listed("?streamKey=b")), 1)

    def test_bad_key(self) -> None:
        """A query that cannot be meant is refused, not overlooked."""
        for method in ("GET", "DELETE"):
            for query in ("?streamKey=a%2Fb", "?streamKey=", "?streamKey=a&streamKey=b"):
                response = self.ask(method, f"/api/v1/tokens{query}")
                self.assertEqual(response.code, 400, query)
                self.assertEqual(response.json()["field"], "streamKey")
        response = self.ask("DELETE", "/api/v1/tokens")
        self.assertEqual((response.code, response.json()["field"]), (400, "streamKey"))

    def test_one(self) -> None:
        """A token is found by its id."""
        self.issue("a")
        [told] = self.listed()
        self.assertEqual(self.ask("GET", f"/api/v1/tokens/{told['id']}").json(), told)
        for method in ("GET", "DELETE"):
            for wrong in ("0" * 16, "x", told["id"][:15], "%ff"):
                self.assertIn(self.ask(method, f"/api/v1/tokens/{wrong}").code, (400, 404))
        self.assertEqual(self.listed(), [told])

    def test_revoke(self) -> None:
        """A revoked token is worthless, and whoever publishes with it is sent away."""
        value, other = self.issue("a"), self.issue("a")
        publication = self.publish("a", value)
        first, second = self.listed()
        response = self.ask("DELETE", f"/api/v1/tokens/{first['id']}")
        self.assertEqual(
            response.json(),
            {"message": "token revoked", "id": first["id"], "streamKey": "a"},
        )
        self.assertEqual(self.evicted(publication), "the publish token was revoked")
        self.assertEqual([token["id"] for token in self.listed()], [second["id"]])
        request = AccessRequest("publish", "a", "live", "192.0.2.1", "s2", {"token": value})
        self.failureResultOf(self.store.authorize(request))
        self.publish("a", other)
        self.assertEqual(self.store.count, 1)
        self.assertEqual(self.ask("GET", f"/api/v1/tokens/{first['id']}").code, 404)

    def test_revoke_other(self) -> None:
        """Whoever publishes with another token of the key stays."""
        publication = self.publish("a", self.issue("a"))
        self.issue("a")
        idle = self.listed()[1]
        response = self.ask("DELETE", f"/api/v1/tokens/{idle['id']}")
        self.assertEqual(response.code, 200)
        self.assertTrue(publication.is_open)

    def test_revoke_all(self) -> None:
        """All tokens of a key are revoked at once; others stay; none is no error."""
        publication = self.publish("a", self.issue("a"))
        self.issue("a")
        kept = self.publish("b", self.issue("b"))
        for revoked in (2, 0):
            response = self.ask("DELETE", "/api/v1/tokens?streamKey=a")
            self.assertEqual(
                response.json(),
                {"message": "tokens revoked", "streamKey": "a", "revoked": revoked},
            )
        self.assertFalse(publication.is_open)
        self.assertTrue(kept.is_open)
        self.assertEqual([token["streamKey"] for token in self.listed()], ["b"])

    def test_not_stored(self) -> None:
        """A revocation holds also when it cannot be stored, but that is said."""
        publication = self.publish("a", self.issue("a"))
        self.storage.error = OSError("disk full")
        with capturedLogs() as events:
            response = self.ask("DELETE", "/api/v1/tokens?streamKey=a")
        self.assertEqual(response.code, 500)
        self.assertIn("restart", response.json()["error"])
        self.assertFalse(publication.is_open)
        lines = [formatEvent(event) for event in events]
        self.assertIn("a revocation could not be stored: disk full", lines)

    def test_issue_and_list(self) -> None:
        """What the API issues is what it lists."""
        response = self.ask("POST", "/api/v1/publish", JSON, body=b'{"streamKey": "k"}')
        told = response.json()
        [token] = self.listed()
        self.assertEqual(token["expiresAt"], told["expiresAt"])
        self.assertFalse(token["publishing"])
