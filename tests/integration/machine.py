"""What the tests do to the machine under a running server: its disk, clock, descriptors, CPU."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.process import ROOT, Child, tool

STORAGE_TYPE = "faulty"
"""The storage of `tests.integration.faulty_storage`, as a plug-in's name."""


class MountRefused(Exception):
    """This user may not mount a file system."""


class Tmpfs:
    """A small file system in memory, which can be filled up and made read-only."""

    def __init__(self, case: SynchronousTestCase, path: Path, size: int) -> None:
        """Mount it for the time of a test.

        Args:
            case: the test.
            path: where; made.
            size: bytes.

        Raises:
            MountRefused: only root may, and not in every container.
        """
        self.path = path
        path.mkdir(parents=True)
        self._fill = path / "filled-by-the-test"
        done = self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
        if done.returncode:
            raise MountRefused(done.stderr.strip())
        case.addCleanup(subprocess.run, ["umount", "--lazy", str(path)], check=False)

    def fill(self) -> None:
        """Leave no byte."""
        with self._fill.open("wb", buffering=0) as file:
            for block in (65536, 4096, 1):
                try:
                    while file.write(bytes(block)):
                        pass
                except OSError:
                    continue

    def empty(self) -> None:
        """Give the room back."""
        self._fill.unlink()

    def set_read_only(self, is_read_only: bool) -> None:
        """Let nothing be written any more, or let it again."""
        done = self._mount("-o", f"remount,{'ro' if is_read_only else 'rw'}", str(self.path))
        if done.returncode:
            raise MountRefused(done.stderr.strip())

    def _mount(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)


class SteppedClock:
    """The wall clock of a process, by libfaketime; the clock that only runs is left alone."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self.step(0)

    def step(self, seconds: int) -> None:
        """Set the clock that far from the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """What a process is started with that is to have this clock."""
        tool("faketime")
        [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


class FaultyStorage:
    """The control of a server's `tests.integration.faulty_storage`."""

    def __init__(self, directory: Path) -> None:
        """Make the plug-in's package information in a directory of its own."""
        self._file = directory / "fault"
        self._site = directory / "site"
        about = self._site / "faulty_storage-1.dist-info"
        about.mkdir(parents=True)
        about.joinpath("METADATA").write_text(
            "Metadata-Version: 2.1\nName: faulty-storage\nVersion: 1\n"
        )
        about.joinpath("entry_points.txt").write_text(
            f"[rapidrtmp.storage]\n{STORAGE_TYPE} = tests.integration.faulty_storage:open_faulty\n"
        )
        self.fail("")

    def fail(self, words: str) -> None:
        """Say how the storage behaves from now on: `tests.integration.faulty_storage`."""
        new = self._file.with_suffix(".new")
        new.write_text(words)
        new.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a server that stores there."""
        return {
            "STORAGE_TYPE": STORAGE_TYPE,
            "FAULTY_STORAGE": str(self._file),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{self._site}",
        }


def cpu_seconds(child: Child) -> float:
    """Give the CPU time that a process has taken."""
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def scheduled(child: Child) -> tuple[float, float]:
    """Give the seconds that a process's first thread ran, and those that it waited for a CPU."""
    ran, waited, _ = Path(f"/proc/{child.pid}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


def descriptors(child: Child) -> int:
    """Count what a process has open."""
    return len(list(Path(f"/proc/{child.pid}/fd").iterdir()))


def threads(child: Child) -> int:
    """Count a process's threads."""
    return len(list(Path(f"/proc/{child.pid}/task").iterdir()))


def load(child: Child, seconds: float, wait: Callable[[float], object]) -> float:
    """Give the share of a CPU that a process takes while something waits, for `seconds` or so."""
    before, begun = cpu_seconds(child), time.monotonic()
    wait(seconds)
    return (cpu_seconds(child) - before) / (time.monotonic() - begun)
