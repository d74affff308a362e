"""Tests that docs/howto/hooks.md says what the code does."""

import json
import os
import re
import runpy
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.hooks.hooks import CLOSE_PATIENCE, UNAVAILABLE
from rapidrtmp.hooks.notifications import Notifications
from rapidrtmp.hooks.webhook import CREDENTIALS, MAX_CALLS, MAX_REASON, WebHook
from tests.hooks.fakes import NOW, request
from tests.hooks.test_webhook import SECRET, HookServer
from tests.test_packaging import load

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"


def text() -> str:
    """Give the page."""
    return (DOCS / "howto" / "hooks.md").read_text()


def blocks(language: str) -> list[str]:
    """Give the page's code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text(), re.DOTALL | re.MULTILINE)


def fields(event: str) -> set[str]:
    """Give the fields that the page says an event has."""
    table = text().partition(f"\n`{event}`")[2].partition("|---|---|\n")[2].partition("\n\n")[0]
    return {row.split("`")[1] for row in table.splitlines()}


class DocsTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """The code on the page is the examples' own."""
        check, plugin = blocks("python")
        self.assertIn(check, (EXAMPLES / "webhook_receiver.py").read_text())
        self.assertIn(plugin, (EXAMPLES / "doorman/doorman.py").read_text())
        (entry_point,) = blocks("toml")
        self.assertIn(entry_point, (EXAMPLES / "doorman/pyproject.toml").read_text())

    def test_no_secret(self) -> None:
        """Without a secret the receiver ends before it listens, with a line that says why."""
        program = str(EXAMPLES / "webhook_receiver.py")
        with (
            mock.patch.dict(os.environ, {"WEBHOOK_SECRET": ""}),
            mock.patch("http.server.ThreadingHTTPServer") as server,
            self.assertRaisesRegex(SystemExit, "WEBHOOK_SECRET must be set"),
        ):
            runpy.run_path(program, run_name="__main__")
        server.assert_not_called()

    def test_signature(self) -> None:
        """The check accepts what is sent, and nothing that was changed or is old."""
        server, clock = HookServer(), Clock()
        clock.advance(NOW)
        hook: Any = WebHook("http://h/", ["on_publish"], SECRET, server.client, clock)
        self.successResultOf(Deferred.fromCoroutine(hook.on_publish(request())))
        is_genuine = load("examples/webhook_receiver.py").is_genuine
        header, body = server.header(b"X-Rapidrtmp-Signature").decode(), server.bodies[0]
        secret = SECRET.encode()
        self.assertTrue(is_genuine(secret, header, body, NOW + 300))
        self.assertFalse(is_genuine(secret, header, body, NOW + 301))
        self.assertFalse(is_genuine(secret, header, body, NOW - 301))
        self.assertFalse(is_genuine(b"other", header, body, NOW))
        self.assertFalse(is_genuine(secret, header, body + b" ", NOW))
        changed = header.replace("t=1800000000", "t=1800000001")
        for bad in (changed, header[:-1], "", "t=,v1=", "t=1800000000", "t=x,v1=é", ",=,=="):
            self.assertFalse(is_genuine(secret, bad, body, NOW), bad)

    def test_shown_request(self) -> None:
        """The request on the page is one: all fields, and signed with the secret below it."""
        (shown,) = blocks("http")
        head, _, body = shown.rstrip("\n").partition("\n\n")
        self.assertEqual(set(json.loads(body)), fields("publish"))
        header = head.partition("X-RapidRTMP-Signature: ")[2]
        is_genuine = load("examples/webhook_receiver.py").is_genuine
        (secret,) = set(re.findall(r"WEBHOOK_SECRET=(\S+)", text()))
        self.assertTrue(is_genuine(secret.encode(), header, body.encode(), NOW))

    def test_question(self) -> None:
        """The table of a question's fields is complete."""
        server = HookServer()
        hook: Any = WebHook("http://h/", ["on_publish"], "", server.client, Clock())
        self.successResultOf(Deferred.fromCoroutine(hook.on_publish(request())))
        self.assertEqual(set(server.values[0]), fields("publish"))

    def test_numbers(self) -> None:
        """Numbers and words of the page are those of the code."""
        page = " ".join(text().split())
        for words in (
            f"Up to {Notifications.MAX_WAITING} wait for each hook",
            {8: "eight at a time"}[Notifications.IN_FLIGHT],
            {4: "is tried five times"}[len(Notifications.PAUSES)],
            {(1.0, 60.0): "from half a second to a minute"}[Notifications.PAUSES[::3]],
            f"in seconds, at most {Notifications.PAUSES[-1]:.0f}",
            {5.0: "has five more seconds"}[CLOSE_PATIENCE],
            f"More than {MAX_CALLS} questions",
            f"at most {MAX_REASON} printable characters",
            UNAVAILABLE,
            *(f"`{name}`" for name in CREDENTIALS),
        ):
            self.assertIn(words, page)
