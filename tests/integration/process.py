"""Child processes of the tests: each in its own process group, logged to a file, always ended."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: what child processes import `rapidrtmp` from."""

POLL = 0.05
"""Seconds between two looks at something that is waited for."""

PATIENCE = 3
"""By how much deadlines are extended. They are right for a machine that has nothing else to do;
what must be fast is measured, and a deadline only tells how long a failure takes."""

PACKAGES = {
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "faketime": "faketime",
    "gst-launch-1.0": "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly",
    "chromium": "chromium",
    "systemd-analyze": "systemd",
    "systemd-socket-activate": "systemd",
}

T = TypeVar("T")


class DeadlineError(AssertionError):
    """Something did not happen in time."""


def tool(name: str) -> str:
    """Find a program that the tests need, or fail with what to install."""
    path = shutil.which(name)
    if path is None:
        raise AssertionError(
            f"{name} is not installed, this test cannot run without it: "
            f"apt-get install {PACKAGES.get(name, name)}"
        )
    return path


def wait_for(look: Callable[[], T | None], what: str, timeout: float = 15.0) -> T:
    """Look until something truthy is seen.

    Args:
        look: called over and over, gives the thing or something false.
        what: for the message.
        timeout: seconds, on an idle machine.

    Raises:
        DeadlineError: it was not seen in time.
    """
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise DeadlineError(f"not within {timeout:g} s: {what}")
        time.sleep(POLL)


class Child:
    """A running program. What it prints, on either stream, goes to one file."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.arguments = list(arguments)
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                self.arguments,
                stdin=stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(os.environ if environment is None else environment),
                cwd=directory,
                start_new_session=True,
            )
        self.pid = self.process.pid

    def output(self) -> str:
        """Everything it has printed up to now."""
        return self.log.read_text(errors="replace")

    def running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self.process.poll() is None

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end, so many seconds on an idle machine, and give the exit status.

        Raises:
            DeadlineError: it goes on; the message has the end of its output.
        """
        timeout *= PATIENCE
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DeadlineError(
                f"still running after {timeout:g} s: {' '.join(self.arguments)[:300]}\n"
                f"{self.output()[-3000:]}"
            ) from None

    def succeed(self, timeout: float = 30.0) -> str:
        """Wait for its end, which must be a success, and give its output."""
        status = self.wait(timeout)
        if status != 0:
            raise AssertionError(
                f"exit status {status}: {' '.join(self.arguments)[:500]}\n{self.output()[-3000:]}"
            )
        return self.output()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself."""
        if self.running():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and all that it started, now."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def resident_bytes(self) -> int:
        """Its resident memory in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"process {self.pid} has no memory any more")


def run(arguments: Sequence[str], timeout: float = 120.0) -> bytes:
    """Run a program to its successful end and give its standard output."""
    done = subprocess.run(
        list(arguments), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise AssertionError(
            f"exit status {done.returncode}: {' '.join(arguments)[:500]}\n"
            f"{done.stderr.decode(errors='replace')[-3000:]}"
        )
    return done.stdout


def python_environment(**settings: str) -> dict[str, str]:
    """Give the environment for a Python child that is to import this checkout."""
    environment = dict(os.environ)
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    environment.update(settings)
    return environment
