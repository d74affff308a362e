"""Tests of the house itself: pure rooms stay pure."""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PURE = ("media", "codecs", "amf", "rtmp", "flv", "isobmff", "mpegts", "hls", "judge", "dash")
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
    def imported(self, room: str) -> list[str]:
        """Give what of `IMPURE` comes along with a room and all its modules."""
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, room, *IMPURE],
            cwd=ROOT,
            # without those that have coverage measured, which imports more
            env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    def test_nothing_impure_is_imported(self) -> None:
        """A pure room, with all its modules, brings no I/O and no log along."""
        for room in PURE:
            with self.subTest(room=room):
                self.assertEqual(self.imported(room), [])

    def test_the_test_can_fail(self) -> None:
        """A room on Twisted is told from a pure one by the same program."""
        self.assertIn("twisted.internet", self.imported("protocol"))
