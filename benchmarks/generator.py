"""Starts the processes that make load, and talks to them."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import http_load, load
from benchmarks.process import BenchmarkError

ROOT = Path(__file__).resolve().parent.parent
READY_TIMEOUT = 90.0
"""Seconds in which all connections must do what they are there for."""
WINDOW_TIMEOUT = 30.0
"""Seconds in which the report on a window must come."""


class Generator:
    """A process that makes load, as a context: it is ready inside, and ended behind."""

    def __init__(self, module: str, options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self.joins: list[float] = []
        """Seconds that each player took from connecting to its first picture."""

    def __enter__(self) -> Self:
        try:
            ready = self._hear("ready", READY_TIMEOUT)
        except BaseException:
            self.stop()
            raise
        self.joins = ready["joins"]
        if ready["lost"]:
            self.stop()
            raise BenchmarkError(f"connections were lost: {ready['lost'][0]}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def begin(self) -> None:
        """Begin a window."""
        self._say("begin")
        self._hear("begun", WINDOW_TIMEOUT)

    def end(self) -> None:
        """End the window; `report` tells what was in it."""
        self._say("end")

    def report(self) -> dict[str, Any]:
        """Return what happened in the window."""
        return self._hear("window", WINDOW_TIMEOUT)

    def stop(self) -> None:
        """End it."""
        try:
            self._say("quit")
            self._process.wait(3.0)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def _hear(self, event: str, timeout: float) -> dict[str, Any]:
        """Wait for a line.

        Raises:
            BenchmarkError: another one came, or none.
        """
        assert self._process.stdout is not None
        timer = threading.Timer(timeout, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            raise BenchmarkError(f"the load generator ended, or said nothing for {timeout:.0f} s")
        told: dict[str, Any] = json.loads(line)
        if told["event"] != event:
            raise BenchmarkError(f"the load generator: {told.get('words', told)}")
        return told


class Load(Generator):
    """RTMP publishers and players."""

    def __init__(self, options: load.Options) -> None:
        super().__init__("benchmarks.load", options.to_json())


class HTTPLoad(Generator):
    """HTTP viewers."""

    def __init__(self, options: http_load.Options) -> None:
        super().__init__("benchmarks.http_load", options.to_json())
