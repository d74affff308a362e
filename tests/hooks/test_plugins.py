"""Tests of rapidrtmp.hooks.plugins."""

import sys
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.hooks.plugins import GROUP, load_plugins

MODULE = """
class Zoo:
    name = "zoo"

    def __init__(self, reactor):
        self.reactor = reactor

    def on_play(self, request):
        pass

class Ape(Zoo):
    name = "ape"

class Bee(Zoo):
    name = "bee"

def broken(reactor):
    raise RuntimeError("no config file")

def useless(reactor):
    return object()
"""


class PluginTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a directory to install to."""
        self.site = Path(self.mktemp()).resolve()
        self.site.mkdir()
        (self.site / "hooks_of_a_test.py").write_text(MODULE)
        self.enterContext(mock.patch.object(sys, "path", [str(self.site), *sys.path]))
        self.addCleanup(sys.modules.pop, "hooks_of_a_test", None)

    def install(self, name: str, *entry_points: str) -> None:
        """Install a distribution with these entry points."""
        metadata = self.site / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[{GROUP}]", *(f"{entry}" for entry in entry_points)]
        (metadata / "entry_points.txt").write_text("\n".join(lines))

    def broken(self, entry_point: str) -> str:
        """The entry point stops the start: give the words."""
        self.install("broken", entry_point)
        with self.assertRaises(ValueError) as caught:
            load_plugins(Clock())
        return str(caught.exception)

    def test_none(self) -> None:
        """Nothing installed is no hooks."""
        self.assertEqual(load_plugins(Clock()), [])

    def test_found(self) -> None:
        """Every hook is made once, in the order of the names, and given the reactor."""
        self.install("one", "zoo = hooks_of_a_test:Zoo")
        self.install("two", "bee = hooks_of_a_test:Bee", "ape = hooks_of_a_test:Ape")
        clock = Clock()
        hooks: list[Any] = load_plugins(clock)
        self.assertEqual([hook.name for hook in hooks], ["ape", "bee", "zoo"])
        self.assertEqual([hook.reactor for hook in hooks], [clock] * 3)

    def test_broken(self) -> None:
        """One that cannot be imported stops the start, and is named."""
        words = self.broken("watch = no_such_module:Hook")
        self.assertIn("hook watch (no_such_module:Hook)", words)
        self.assertIn("ModuleNotFoundError", words)

    def test_raises(self) -> None:
        """So does one that cannot be made."""
        words = self.broken("watch = hooks_of_a_test:broken")
        self.assertIn("hook watch", words)
        self.assertIn("no config file", words)

    def test_useless(self) -> None:
        """So does one that would never be called: its author has mistyped something."""
        self.assertIn("has none of on_publish", self.broken("watch = hooks_of_a_test:useless"))
