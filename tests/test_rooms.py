"""Tests of the house itself: pure rooms stay pure."""

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PURE = ("media", "codecs", "amf", "rtmp", "flv", "isobmff", "hls")
IMPURE = ("twisted.internet", "asyncio", "socket", "logging", "twisted.logger")
ROOT = Path(__file__).parent.parent

PROGRAM = """
import importlib, pkgutil, sys
room = importlib.import_module("rapidrtmp." + sys.argv[1])
for module in pkgutil.iter_modules(room.__path__, room.__name__ + "."):
    importlib.import_module(module.name)
print(*sorted(set(sys.modules) & set(sys.argv[2:])))
"""


class PureRoomTests(SynchronousTestCase):
    def test_nothing_impure_is_imported(self) -> None:
        """A pure room, with all its modules, brings no I/O and no log along."""
        for room in PURE:
            with self.subTest(room=room):
                done = subprocess.run(
                    [sys.executable, "-c", PROGRAM, room, *IMPURE],
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    check=True,
                )
                self.assertEqual(done.stdout.strip(), "")

    def test_the_test_can_fail(self) -> None:
        """A room on Twisted is told from a pure one by the same program."""
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "protocol", *IMPURE],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertIn("twisted.internet", done.stdout.split())
