"""The real server against its OpenAPI document, by a property-based API test tool."""

import re
import sys

from tests.integration.case import IntegrationTestCase
from tests.integration.process import Child
from tests.integration.server import Server

KEY = "admin-key-of-32-characters-or-so"
SHOW = "show"
"""The stream key of the document's examples."""
FEED = "/api/v1/events"
"""Its answer does not end, which no such tool can take; see test_api."""


class OpenAPITests(IntegrationTestCase):
    timeout = 120

    def judge(self, server: Server, *arguments: str) -> None:
        """Ask the server for anything that its document allows, and for what it forbids."""
        log = self.temporary() / "schemathesis.log"
        child = Child(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run"),
                server.url("/api/openapi.json"),
                *("--checks", "all", "--max-examples", "20", "--seed", "1"),
                *("--exclude-path", FEED, "--request-timeout", "15", "--no-color"),
                *("--generation-database", "none", *arguments),
            ],
            log,
            directory=log.parent,
        )
        self.addCleanup(child.kill)
        output = child.succeed(55)
        operations = sum(map(len, server.get("/api/openapi.json").json["paths"].values()))
        # without the feed, and without the document itself, which the tool has read
        self.assertIn(f"Tested: {operations - 2}", output)
        found = re.search(r"(\d+) generated, (\d+) passed", output)
        assert found is not None, output[-2000:]
        self.assertEqual(found[1], found[2])
        self.assertGreater(int(found[1]), 300)
        server.stop()

    def test_own_machine(self) -> None:
        """Without keys, with a stream to ask for."""
        server = self.serve(MAX_TOKEN_REQUESTS_PER_IP="0")
        self.publish(server, "plain", server.mint(SHOW), key=SHOW, live=True, loop=True)
        server.wait_live(SHOW)
        self.judge(server)

    def test_keys(self) -> None:
        """With a key, and everything protected that can be."""
        server = self.serve(
            API_KEYS=KEY,
            MAX_TOKEN_REQUESTS_PER_IP="0",
            METRICS_AUTH="true",
            PLAYBACK_AUTH="true",
            PLAYBACK_SECRET="secret-of-32-characters-or-so",
        )
        server.secrets += [KEY, "secret-of-32-characters-or-so"]
        self.judge(server, "--header", f"Authorization: Bearer {KEY}")
