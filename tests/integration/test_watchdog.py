"""A reactor that is really stuck."""

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.observability.watchdog import EX_SOFTWARE
from tests.integration.process import PATIENCE

BLOCKED = """\
import sys, time
from twisted.internet import reactor
from twisted.logger import globalLogBeginner, textFileLogObserver
from rapidrtmp.observability.watchdog import Watchdog

def block_for_long():
    time.sleep(80)

globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
Watchdog(reactor.callFromThread, 1.0, may_exit=True).start()
reactor.callLater(0.3, block_for_long)
reactor.run()
"""


class WatchdogTests(SynchronousTestCase):
    def test_stuck(self) -> None:
        """The log names the function that blocks, then the process ends."""
        run = subprocess.run(
            [sys.executable, "-c", BLOCKED],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=30 * PATIENCE,
            check=False,
        )
        self.assertEqual(run.returncode, EX_SOFTWARE, run.stderr)
        self.assertIn("the reactor has been stuck", run.stdout)
        self.assertIn("in block_for_long", run.stdout)
