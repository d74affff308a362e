"""The API of relays: what it takes, what it tells, what it never tells."""

import json
from unittest import mock

from twisted.internet.defer import fail

from rapidrtmp.rtmp.target import MAX_LENGTH
from tests.web.api_case import JSON, APITestCase
from tests.web.fakes import Response

URL = "rtmps://far.example/app/their-key?auth=secret"


class RelayAPITests(APITestCase):
    def add(self, **changes: object) -> Response:
        """Add a relay; None leaves a field out."""
        fields = {"streamKey": "show", "direction": "push", "url": URL, **changes}
        body = json.dumps({name: value for name, value in fields.items() if value is not None})
        return self.ask("POST", "/api/v1/relays", JSON, body=body.encode())

    def test_add_and_remove(self) -> None:
        """One that was added is listed, told of alone, and can be removed."""
        added = self.add()
        self.assertEqual(added.code, 200)
        told = added.json()
        self.assertEqual(
            (told["streamKey"], told["direction"], told["url"], told["state"], told["static"]),
            ("show", "push", "rtmps://far.example/app/***", "idle", False),
        )
        self.assertEqual(self.ask("GET", "/api/v1/relays").json(), {"relays": [told], "total": 1})
        one = f"/api/v1/relays/{told['id']}"
        self.assertEqual(self.ask("GET", one).json(), told)
        self.assertEqual(self.ask("GET", "/api/v1/relays?streamKey=other").json()["total"], 0)
        gone = self.ask("DELETE", one)
        self.assertEqual(
            gone.json(), {"message": "relay removed", "id": told["id"], "streamKey": "show"}
        )
        for method in ("GET", "DELETE"):
            self.assertEqual(self.ask(method, one).code, 404)

    def test_on_demand(self) -> None:
        """A pull may be on demand: it is told of, and waits."""
        self.assertIs(self.add().json()["onDemand"], False)
        told = self.add(direction="pull", onDemand=True).json()
        self.assertEqual((told["onDemand"], told["state"]), (True, "idle"))
        self.assertEqual(self.add(direction="pull").code, 409)

    def test_trouble(self) -> None:
        """One that waits says until when and why, and nothing of its key."""
        told = self.add(direction="pull").json()
        relay = self.relays.find(told["id"])
        assert relay is not None
        relay.redial.start()
        relay.redial.retry("no route")
        answer = self.ask("GET", f"/api/v1/relays/{told['id']}")
        self.assertEqual(answer.json()["state"], "waiting")
        self.assertEqual(answer.json()["lastError"], "no route")
        self.assertIn("retryAt", answer.json())
        self.assertNotIn(b"their-key", answer.body)

    def test_refused(self) -> None:
        """What is wrong is said by its field, and the URL is not quoted."""
        for field, value in (
            ("streamKey", "a b"),
            ("streamKey", None),
            ("direction", "across"),
            ("direction", None),
            ("direction", ["push"]),
            ("url", None),
            ("url", 1),
            ("url", "http://far.example/app/their-key"),
            ("url", "rtmp://far.example/their-key"),
            ("url", "rtmp://user:their-key@far.example/app/key"),
            ("url", f"rtmp://far.example/app/{'k' * MAX_LENGTH}"),
            ("onDemand", True),
            ("onDemand", "yes"),
            ("others", "x"),
        ):
            with self.subTest(field=field, value=value):
                answer = self.add(**{field: value})
                self.assertEqual((answer.code, answer.json()["field"]), (400, field))
                self.assertNotIn(b"their-key", answer.body)
        self.assertEqual(len(self.relays), 0)

    def test_conflicts(self) -> None:
        """One twice, and one of the settings."""
        self.add()
        self.assertEqual(self.add().code, 409)
        self.successResultOf(self.relays.load([("key", "pull", URL)]))
        static = next(relay for relay in self.relays.relays() if relay.is_static)
        answer = self.ask("DELETE", f"/api/v1/relays/{static.id}")
        self.assertEqual(answer.code, 409)
        self.assertIn("stands in RELAY_PULL:", answer.json()["error"])
        self.successResultOf(self.relays.load(on_demand=[("other", URL)]))
        [static] = self.relays.relays("other")
        answer = self.ask("DELETE", f"/api/v1/relays/{static.id}")
        self.assertIn("stands in RELAY_PULL_ON_DEMAND:", answer.json()["error"])

    def test_limit(self) -> None:
        """There is an end."""
        with mock.patch("rapidrtmp.relay.relays.MAX_RELAYS", 1):
            self.add()
            self.assertEqual(self.add(streamKey="other").code, 503)

    def test_failing_disk(self) -> None:
        """What could not be stored is told."""
        with mock.patch.object(self.relays, "saved", lambda: fail(OSError("full"))):
            answer = self.add()
        self.assertEqual(answer.code, 500)
        self.assertIn("restart", answer.json()["error"])
