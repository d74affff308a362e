"""The units of systemd: their syntax, how much they shut in, the sockets that they hand over."""

import os
import re
import shutil
import signal
import socket
import sys
from pathlib import Path

from rapidrtmp.config import TABLE
from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.gcs import free_port
from tests.integration.process import ROOT, Child, python_environment, run, tool, wait_for
from tests.integration.raw_publisher import RawPublisher
from tests.integration.server import BAD_WORDS, Server, fetch

UNITS = ROOT / "deploy" / "systemd"
SERVICE = UNITS / "rapidrtmp.service"
MOST_EXPOSED = 20
"""What `systemd-analyze security` may find, of 100."""


def said(path: Path, name: str) -> list[str]:
    """Give the values of an assignment in a unit."""
    return re.findall(rf"^{name}=(.*)$", path.read_text(), re.MULTILINE)


def environment() -> dict[str, str]:
    """Give the environment that the service sets."""
    pairs = " ".join(said(SERVICE, "Environment")).split()
    return dict(pair.split("=", 1) for pair in pairs)


class UnitTests(IntegrationTestCase):
    def test_verify(self) -> None:
        """They are taken by systemd without a word."""
        place = self.temporary()
        for path in UNITS.glob("rapidrtmp*.[s]*"):
            shutil.copy(path, place)
        # the one that is named there is not installed here
        unit = place / SERVICE.name
        unit.write_text(unit.read_text().replace("/opt/rapidrtmp/bin/rapidrtmp", sys.executable))
        units = [str(path) for path in sorted(place.iterdir())]
        self.assertEqual(len(units), 3)
        child = Child(
            [tool("systemd-analyze"), "verify", *units],
            self.temporary() / "log",
            environment=dict(os.environ) | {"SYSTEMD_UNIT_PATH": f"{place}:"},
        )
        self.addCleanup(child.kill)
        about_ours = [line for line in child.succeed().splitlines() if "rapidrtmp" in line]
        self.assertEqual(about_ours, [])

    def test_security(self) -> None:
        """It is shut in as far as `systemd-analyze security` can tell."""
        command = [tool("systemd-analyze"), "security", "--offline=true", "--no-pager"]
        output = run([*command, f"--threshold={MOST_EXPOSED}", str(SERVICE)]).decode()
        self.assertIn("Overall exposure level", output)

    def test_agree(self) -> None:
        """Names of sockets, directories and times fit one another."""
        addresses = environment()
        for name in ("rtmp", "http"):
            path = UNITS / f"rapidrtmp-{name}.socket"
            self.assertEqual(said(path, "FileDescriptorName"), [name])
            self.assertEqual(said(path, "Service"), [SERVICE.name])
            self.assertIn(path.name, said(SERVICE, "Requires")[0].split())
            self.assertIn(f"name={name}", addresses[f"{name.upper()}_ADDR"])
        state = f"/var/lib/{said(SERVICE, 'StateDirectory')[0]}/"
        for name in ("STORAGE_DIR", "STATE_DIR"):
            self.assertTrue(addresses[name].startswith(state))
        known = {row.name for row in TABLE} | {f"{row.name}_FILE" for row in TABLE}
        suggested = re.findall(r"^#?([A-Z_]+)=", (UNITS / "rapidrtmp.conf").read_text(), re.M)
        self.assertIn("RTMP_INGEST_ADDR", suggested)
        self.assertEqual(set(suggested) - known, set())
        drain = int(addresses["DRAIN_TIMEOUT"].removesuffix("s"))
        self.assertEqual(said(SERVICE, "TimeoutStopSec"), [str(drain + 40)])


class ActivationTests(IntegrationTestCase):
    """A server that systemd's own program starts at the first connection, with its sockets."""

    def setUp(self) -> None:
        """Listen to what the server tells systemd."""
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notified.close)
        self.notified.bind(f"\0rapidrtmp-{os.getpid()}-{self.id()}")
        self.notified.settimeout(60)
        self.states: list[str] = []

    def wait_state(self, state: str) -> None:
        """Wait until the server has told something."""
        while state not in self.states:
            self.states.append(self.notified.recv(100).decode())

    def test_activation(self) -> None:
        """It takes a stream by the sockets that it was handed, and lets go of them at its end."""
        rtmp, http = free_port(), free_port()
        place = self.temporary()
        config = place / "rapidrtmp.conf"
        config.write_text("HLS_SEGMENT_DURATION=1s\nINGEST_MAX_AHEAD=0\n")
        settings = environment() | {
            "CONFIG_FILE": str(config),
            "STORAGE_DIR": str(place / "streams"),
            "STATE_DIR": str(place / "state"),
            "NOTIFY_SOCKET": "@" + self.notified.getsockname()[1:].decode(),
            "WATCHDOG_USEC": "1000000",
            "DRAIN_TIMEOUT": "0s",
        }
        variables = python_environment(**settings)
        passed = [word for name in (*settings, "PYTHONPATH", "PATH") for word in ("-E", name)]
        listening = [word for port in (rtmp, http) for word in ("-l", f"127.0.0.1:{port}")]
        child = Child(
            [tool("systemd-socket-activate"), *listening, "--fdname=rtmp:http", *passed,
             sys.executable, *Server.FORMS["cli"]],
            place / "log",
            environment=variables,
            directory=place,
        )  # fmt: skip
        self.addCleanup(child.kill)
        self.wait_output(child, "Listening on")
        self.assertNotIn("RapidRTMP", child.output(), "nobody has connected yet")
        # waits in the socket while the server starts
        publisher = RawPublisher(rtmp)
        self.addCleanup(publisher.close)
        self.wait_state("READY=1")
        for name, port in (("RTMP", rtmp), ("HTTP", http)):
            self.assertIn(f"{name} listening on 127.0.0.1:{port}", child.output())
        body = f'{{"streamKey": "{KEY}"}}'.encode()
        token = fetch(http, "/api/v1/publish", "POST", {}, body).json["token"]
        publisher.publish(f"{KEY}?token={token}")
        publisher.send_tags(media.flv_tags(media.as_flv(media.sample("plain"))))
        wait_for(lambda: fetch(http, f"/live/{KEY}/index.m3u8").status == 200, "the playlist")
        # the addresses are read again, and the sockets are still theirs
        child.signal(signal.SIGHUP)
        self.wait_output(child, "settings reloaded")
        self.wait_state("WATCHDOG=1")
        child.signal(signal.SIGTERM)
        self.wait_state("STOPPING=1")
        self.assertEqual(child.wait(), 0, child.output())
        for word in BAD_WORDS:
            self.assertNotIn(word, child.output())
