"""SIGHUP while a stream is live: new limits, keys and log levels, and nobody notices."""

import signal
from pathlib import Path

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.server import Server
from tests.integration.test_refusals import REJECTED
from tests.integration.viewer import Viewer

FIRST_KEY, SECOND_KEY = (f"{which}-key-of-32-characters-or-more" for which in ("first", "other"))


class ReloadTests(IntegrationTestCase):
    def reload(self, server: Server, file: Path, *lines: str, said: str = "reloaded") -> str:
        """Write the file, send SIGHUP, wait for the words; give what was logged since."""
        file.write_text("".join(f"{line}\n" for line in lines))
        before = len(server.log)
        server.child.signal(signal.SIGHUP)
        wait_for(lambda: said in server.log[before:], f"{said!r} in the log", 5.0)
        return server.log[before:]

    def status(self, server: Server, key: str = "") -> int:
        """Ask the management API with a key."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return server.get("/api/v1/server", headers=headers).status

    def test_reload(self) -> None:
        """Every form of the server takes over what it can, says what it cannot, and goes on."""
        for form in Server.FORMS:
            with self.subTest(form):
                self.check_form(form)

    def check_form(self, form: str) -> None:
        """Reload several times beside a live stream."""
        file = self.temporary() / "settings"
        file.write_text("MAX_CONCURRENT_STREAMS=2\n")
        server = Server(self, {"CONFIG_FILE": str(file), "STREAM_GRACE": "60s"}, form=form)
        server.secrets += [FIRST_KEY, SECOND_KEY]
        token, other = server.mint(KEY), server.mint("other")
        canary = self.publish(server, "plain", token, live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(1)
        self.check_limits(server, file, other)
        self.check_keys(server, file)
        self.check_wrong(server, file)
        self.check_levels(server, file, viewer)
        self.assertTrue(canary.running())
        self.assertEqual(viewer.discontinuities, 0)
        self.assert_clean(viewer)
        canary.kill()
        server.stop()

    def check_limits(self, server: Server, file: Path, token: str) -> None:
        """Limits hold at once, and are let go of at once."""
        log = self.reload(server, file, "MAX_CONCURRENT_STREAMS=1", "MAX_VIEWERS_PER_STREAM=1")
        self.assertIn("changed: MAX_CONCURRENT_STREAMS, MAX_VIEWERS_PER_STREAM\n", log)
        refused = self.refusal(server, f"other?token={token}")
        self.assertEqual(refused.code, REJECTED)
        self.assertEqual(refused.description, "the limit of 1 concurrent streams is reached")
        self.assertEqual(server.get(f"/live/{KEY}/index.m3u8").status, 503)
        log = self.reload(server, file, "MAX_CONCURRENT_STREAMS=2")
        self.assertIn("changed: MAX_CONCURRENT_STREAMS, MAX_VIEWERS_PER_STREAM\n", log)
        self.raw(server).publish(f"other?token={token}")
        self.assertEqual(server.get(f"/live/{KEY}/index.m3u8").status, 200)

    def check_keys(self, server: Server, file: Path) -> None:
        """API keys come, change and go."""
        self.assertEqual(self.status(server), 200)
        self.reload(server, file, f"API_KEYS={FIRST_KEY}")
        self.assertEqual([self.status(server, key) for key in ("", FIRST_KEY)], [401, 200])
        secret = file.with_name("keys")
        secret.write_text(f"{SECOND_KEY}\n")
        self.reload(server, file, f"API_KEYS_FILE={secret}")
        keys = (FIRST_KEY, SECOND_KEY)
        self.assertEqual([self.status(server, key) for key in keys], [401, 200])
        self.reload(server, file)
        self.assertEqual(self.status(server), 200)

    def check_wrong(self, server: Server, file: Path) -> None:
        """What needs a restart is said; what cannot be read changes nothing."""
        lines = ("METRICS_AUTH=true", "LOG_FORMAT=json", "MAX_VIEWERS_PER_STREAM=7")
        log = self.reload(server, file, *lines, said="LOG_FORMAT")
        self.assertIn("changed: MAX_VIEWERS_PER_STREAM\n", log)
        for told in lines[:2]:
            self.assertEqual(log.count(f"{told}: needs a restart"), 1, log)
        for wrong, told in (
            ("MAX_VIEWERS_PER_STREAM=-1", "MAX_VIEWERS_PER_STREAM"),
            ("MAX_VIEWERS=8", "line 2"),
            ("API_KEYS=short", "API_KEYS"),
            ("API_KEYS_FILE=/nowhere/keys", "/nowhere/keys"),
            ("PLAYBACK_AUTH=true", "PLAYBACK_AUTH"),
        ):
            log = self.reload(server, file, "MAX_VIEWERS_PER_STREAM=8", wrong, said="nothing rel")
            self.assertEqual(log.count("\n"), 1, log)
            self.assertIn(told, log)
            self.assertNotIn("short", log)
            limits = server.get("/api/v1/server").json["limits"]
            self.assertEqual(limits["MAX_VIEWERS_PER_STREAM"], 7)
        file.unlink()
        before = len(server.log)
        server.child.signal(signal.SIGHUP)
        wait_for(lambda: "nothing reloaded" in server.log[before:], "the file is missed", 5.0)

    def check_levels(self, server: Server, file: Path, viewer: Viewer) -> None:
        """Lines of info come and go with the level."""
        levels = "LOG_LEVEL=warn,rapidrtmp.tap=info"
        self.reload(server, file, levels)
        before = len(server.log)
        self.refusal(server, "../x")
        self.assert_goes_on(viewer, 1)
        self.assertEqual(server.log[before:], "")
        self.reload(server, file)
        before = len(server.log)
        self.refusal(server, "../x")
        wait_for(lambda: "NetStream.Publish.BadName" in server.log[before:], "a line of info")
