"""Hooks as the examples show them: the webhook receiver, and the plug-in with a database.

What is done here is what examples/README.md and docs/howto/hooks.md have people type in.
"""

import json
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.hooks.test_docs import fields
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import ROOT, Child, python_environment, wait_for
from tests.integration.server import Server

EXAMPLES = ROOT / "examples"
DENIED = "NetStream.Publish.Denied"
PRIVATE = "private-1"
SECRET = "a-secret-of-this-test"


class HookServer:
    """The example's webhook receiver as a process. It prints only what is rightly signed."""

    def __init__(self, case: IntegrationTestCase, port: int = 0, secret: str = SECRET) -> None:
        self.child = Child(
            [sys.executable, str(EXAMPLES / "webhook_receiver.py"), str(port)],
            case.temporary() / "hooks.log",
            environment=python_environment(WEBHOOK_SECRET=secret),
        )
        case.addCleanup(self.child.kill)
        case.wait_output(self.child, "listening on")
        self.url = self.child.output().split()[2]
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def events(self, name: str) -> list[dict[str, Any]]:
        """Give the events of a kind that it was sent, in order."""
        lines = self.child.output().splitlines(keepends=True)[1:]
        values = [json.loads(line) for line in lines if line.endswith("\n")]
        return [value for value in values if value["event"] == name]

    def sequences(self) -> dict[str, list[int]]:
        """Give the numbers of the segments that it was told of, by track, as they came."""
        numbers = defaultdict(list)
        for event in self.events("segment"):
            numbers[event["track"]].append(event["sequence"])
        return numbers


class WebhookTests(IntegrationTestCase):
    def hooked(self, *names: str, url: str) -> Server:
        """Start a server that calls the hook server for these events."""
        settings = {f"WEBHOOK_ON_{name}": url for name in names}
        server = self.serve(WEBHOOK_SECRET=SECRET, WEBHOOK_TIMEOUT="2s", **settings)
        server.secrets.append(SECRET)
        return server

    def assert_in_order(self, sequences: dict[str, list[int]]) -> None:
        """Each track's segments came in order, none left out."""
        self.assertTrue(sequences)
        for track, numbers in sequences.items():
            expected = list(range(numbers[0], numbers[0] + len(numbers)))
            self.assertEqual(list(dict.fromkeys(numbers)), expected, track)

    def test_publish(self) -> None:
        """The hook server says who may publish, and hears of every segment and of the end."""
        hooks = HookServer(self)
        server = self.hooked("PUBLISH", "UNPUBLISH", "SEGMENT", url=hooks.url)
        refused = self.refusal(server, f"{PRIVATE}?token={server.mint(PRIVATE)}")
        self.assertEqual(refused.code, DENIED)
        self.assertEqual(refused.description, f"no, {PRIVATE} is private")
        self.assertEqual(self.refusal(server, KEY).code, DENIED)
        publisher = self.publish(server, "plain", server.mint(KEY))
        publisher.succeed()
        wait_for(lambda: hooks.events("unpublish"), "on_unpublish is called")
        # those without a token are refused before anybody is asked
        self.assertEqual([e["streamKey"] for e in hooks.events("publish")], [PRIVATE, KEY])
        (unpublish,) = hooks.events("unpublish")
        asked = hooks.events("publish")[1]
        self.assertEqual(unpublish["sessionId"], asked["sessionId"])
        self.assertEqual((asked["peer"], asked["app"]), ("127.0.0.1", "live"))
        self.assertNotIn("token", asked["query"])
        for event in (asked, unpublish, *hooks.events("segment")):
            known = fields(event["event"])
            self.assertIn(known - set(event), (set(), {"url"}))
            self.assertEqual(set(event) - known, set())
        server.stop()
        self.assert_in_order(hooks.sequences())
        listed = server.storage.glob(f"{KEY}/*/*/*.m4s")
        told = {event["path"] for event in hooks.events("segment")}
        self.assertEqual(told, {f"/live/{path.relative_to(server.storage)}" for path in listed})

    def test_play(self) -> None:
        """The hook server says who may watch."""
        hooks = HookServer(self)
        server = self.hooked("PLAY", url=hooks.url)
        for key in (KEY, PRIVATE):
            self.publish(server, "plain", server.mint(key), key=key, live=True, loop=True)
        server.wait_playlist(KEY)
        server.wait_live(PRIVATE)
        refused = server.get(f"/live/{PRIVATE}/index.m3u8")
        self.assertEqual(refused.status, 403, refused.text)
        self.assertIn(f"no, {PRIVATE} is private", refused.text)
        played = {event["streamKey"]: event for event in hooks.events("play")}
        self.assertEqual(set(played), {KEY, PRIVATE})
        self.assertEqual(set(played[KEY]), fields("publish"))
        server.stop()

    def test_wrong_secret(self) -> None:
        """A hook server that does not trust the signature refuses, in its own words."""
        hooks = HookServer(self, secret="another")
        server = self.hooked("PUBLISH", url=hooks.url)
        refused = self.refusal(server, f"{KEY}?token={server.mint(KEY)}")
        self.assertIn("does not trust", refused.description)
        server.stop()

    def test_outage(self) -> None:
        """While the hook server is down nobody new comes in, and who is live does not notice.

        What it could not be told is told when it is back, in order.
        """
        hooks = HookServer(self)
        server = self.hooked("PUBLISH", "UNPUBLISH", "SEGMENT", url=hooks.url)
        canary = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        viewer.wait_segments(2)
        hooks.child.kill()
        for _ in range(2):
            refused = self.refusal(server, f"other?token={server.mint('other')}")
            self.assertEqual(refused.code, "NetStream.Publish.Rejected")
            self.assertIn("authorization is not available", refused.description)
        self.assert_goes_on(viewer, 3)
        back = HookServer(self, hooks.port)
        publisher = self.raw(server)
        publisher.publish(f"other?token={server.mint('other')}")
        publisher.close()
        reached = viewer.segments()
        wait_for(lambda: len(back.sequences().get("video1", ())) > reached, "it is told", 30)
        # a hook counts as well again after some seconds without a failure
        wait_for(lambda: "answers again" in server.log, "the log says that it is back", 15)
        self.assertTrue(canary.running())
        self.assertEqual(viewer.discontinuities, 0)
        self.assert_clean(viewer)
        self.assertEqual(server.log.count("is out of order"), 1, server.log)
        self.assertEqual(server.log.count("answers again"), 1, server.log)
        canary.kill()
        server.stop()
        before, after = hooks.sequences(), back.sequences()
        self.assert_in_order({track: before[track] + after[track] for track in before})


class PluginTests(IntegrationTestCase):
    timeout = 180

    def test_doorman(self) -> None:
        """The example plug-in, installed by pip, asks its database, and hears the rest.

        While the database cannot be asked, nobody new comes in, and the log says what is wrong.
        """
        directory = self.temporary()
        database = directory / "doorman.db"
        environment = python_environment(
            PYTHONPATH=self.install(directory), DOORMAN_DATABASE=str(database)
        )

        def say(*words: str) -> None:
            program = [sys.executable, "-m", "doorman", *words]
            Child(program, directory / "doorman.log", environment=environment).succeed()

        names = ("PYTHONPATH", "DOORMAN_DATABASE")
        server = self.serve(**{name: environment[name] for name in names})
        refused = self.refusal(server, f"{KEY}?token={server.mint(KEY)}")
        self.assertIn("authorization is not available", refused.description)
        self.assertNotIn(str(database), refused.description)
        wait_for(lambda: "OperationalError" in server.log, "the log says what is wrong")
        say("allow", KEY)
        refused = self.refusal(server, f"other?token={server.mint('other')}")
        self.assertEqual((refused.code, refused.description), (DENIED, "other is not on the list"))
        publisher = self.publish(server, "plain", server.mint(KEY), live=True)
        server.wait_playlist(KEY)
        publisher.kill()
        self.wait_output(server.child, f"{KEY} is off: ")
        self.assertGreater(int(server.log.partition(f"{KEY} is off: ")[2].split()[0]), 0)
        say("forbid", KEY)
        refused = self.refusal(server, f"{KEY}?token={server.mint(KEY)}")
        self.assertEqual(refused.description, f"{KEY} may not publish for now")
        server.terminate()  # the log has the traceback of above
        self.assertEqual(server.child.wait(15), 0, server.log)

    def install(self, directory: Path) -> str:
        """Install the example for a server alone; give the server's PYTHONPATH."""
        shutil.copytree(EXAMPLES / "doorman", directory / "doorman")
        site = directory / "site"
        Child(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
                *("--target", str(site), str(directory / "doorman")),
            ],
            directory / "pip.log",
        ).succeed(120)
        return f"{site}:{python_environment()['PYTHONPATH']}"
