"""The real server as a child process, on free ports, in a directory of its own."""

import http.client
import json
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.process import Child, python_environment, wait_for

START_TIMEOUT = 20.0
"""Seconds. Two test processes share the machine's cores with encoders and a browser."""

SETTINGS = {
    "HTTP_ADDR": "127.0.0.1:0",
    "RTMP_ADDR": "127.0.0.1:0",
    "STREAM_GRACE": "2s",
    "HLS_SEGMENT_DURATION": "1s",
    # everything stays listed, so that a reader sees the stream from its first sample
    "HLS_MAX_SEGMENTS": "500",
    # files are published as fast as they are read
    "INGEST_MAX_AHEAD": "0",
    # a viewer that is still there does not hold up the end of a test
    "DRAIN_TIMEOUT": "0s",
}

BAD_WORDS = ("Traceback (most recent call last)", "Unhandled", "never awaited")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body's JSON value."""
        return json.loads(self.body)


def fetch(
    port: int,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 60.0,
) -> Answer:
    """Make one HTTP request to the loopback interface.

    Raises:
        OSError: no answer.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    except http.client.HTTPException as error:
        raise OSError(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()


def listening_port(log: str, protocol: str) -> int | None:
    """Find in a log the port on which 'RTMP' or 'HTTP' is served."""
    found = re.search(rf"{protocol}(?:_ADDR:)? listening on .*?(?:port=|:)(\d+)\b", log)
    return int(found[1]) if found else None


class Server:
    """A server that belongs to one test, which ends it whatever happens."""

    FORMS: Mapping[str, list[str]] = {
        "cli": ["-m", "rapidrtmp.cli", "serve"],
        "twistd": [
            "-c",
            "from twisted.scripts.twistd import run; run()",
            *("--nodaemon", "--pidfile=", "rapidrtmp"),
        ],
    }

    def __init__(
        self,
        case: SynchronousTestCase,
        settings: Mapping[str, str],
        *,
        directory: Path | None = None,
        ports: tuple[int, int] | None = None,
        form: str = "cli",
    ) -> None:
        """Start it and wait until it is ready.

        Args:
            case: the test.
            settings: environment variables on top of SETTINGS.
            directory: where storage, state and log are; another server's, after its end, for
                a restart.
            ports: RTMP and HTTP port; free ones when absent.
            form: how it is started, a key of FORMS.
        """
        self.case = case
        self.directory = Path(case.mktemp()) if directory is None else directory
        self.directory = self.directory.resolve()
        self.storage = self.directory / "streams"
        self.secrets: list[str] = []
        self._form = form
        self._stopped = False
        environment = {
            **SETTINGS,
            "STORAGE_DIR": str(self.storage),
            "STATE_DIR": str(self.directory / "state"),
        }
        if ports is not None:
            environment["RTMP_ADDR"] = f"127.0.0.1:{ports[0]}"
            environment["HTTP_ADDR"] = f"127.0.0.1:{ports[1]}"
        environment.update(settings)
        self.directory.mkdir(parents=True, exist_ok=True)
        starts = len(list(self.directory.glob("server-*.log")))
        self.child = Child(
            [sys.executable, *self.FORMS[form]],
            self.directory / f"server-{starts}.log",
            environment=python_environment(**environment),
            directory=self.directory,
        )
        case.addCleanup(self.child.kill)
        self.rtmp_port = self._listening("RTMP")
        self.http_port = self._listening("HTTP")
        wait_for(self._ready, "/ready answers 200", START_TIMEOUT)

    def _listening(self, protocol: str) -> int:
        def look() -> int | None:
            found = listening_port(self.log, protocol)
            if found is None and not self.child.running():
                raise AssertionError("the server ended at its start")
            return found

        try:
            return wait_for(look, f"the line '{protocol} listening on ...'", START_TIMEOUT)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlog:\n{self.child.output()[-3000:]}") from None

    def _ready(self) -> bool:
        try:
            return self.get("/ready", timeout=2.0).status == 200
        except OSError:
            return False

    @property
    def ports(self) -> tuple[int, int]:
        """RTMP and HTTP port."""
        return self.rtmp_port, self.http_port

    @property
    def log(self) -> str:
        """All that it has logged up to now."""
        return self.child.output()

    def get(
        self,
        path: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Answer:
        """Make a request without a body."""
        return fetch(self.http_port, path, method, headers, timeout=timeout)

    def post(
        self, path: str, value: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Post a JSON value."""
        return fetch(
            self.http_port,
            path,
            "POST",
            {"Content-Type": "application/json", **(headers or {})},
            None if value is None else json.dumps(value).encode(),
        )

    def metric(self, name: str, labels: str = "") -> float:
        """Read a metric, for example ``metric("x_total", 'stream_key="a"')``; 0 without it."""
        start = f"{name}{{{labels}}} " if labels else f"{name} "
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(start):
                return float(line.removeprefix(start))
        return 0.0

    def mint(self, key: str) -> str:
        """Get a publish token for a stream key."""
        answer = self.post("/api/v1/publish", {"streamKey": key})
        self.case.assertEqual(answer.status, 200, answer.text)
        token: str = answer.json["token"]
        self.secrets.append(token)
        return token

    def rtmp_url(self, key: str, token: str | None, *, port: int | None = None) -> str:
        """Give the URL to publish at, by way of another port (a proxy's) if wanted."""
        query = "" if token is None else f"?token={token}"
        return f"rtmp://127.0.0.1:{self.rtmp_port if port is None else port}/live/{key}{query}"

    def url(self, path: str) -> str:
        """Give the absolute URL of a path."""
        return f"http://127.0.0.1:{self.http_port}{path}"

    def stream(self, key: str) -> dict[str, Any]:
        """What the API says of a stream; empty when it knows none."""
        answer = self.get(f"/api/v1/streams/{key}")
        return answer.json if answer.status == 200 else {}

    def wait_live(self, key: str, timeout: float = 15.0) -> None:
        """Wait until the stream is live."""
        wait_for(lambda: self.stream(key).get("active"), f"stream {key} is live", timeout)

    def wait_playlist(self, key: str, timeout: float = 20.0) -> Answer:
        """Wait until the multivariant playlist is there."""

        def look() -> Answer | None:
            answer = self.get(f"/live/{key}/index.m3u8")
            return answer if answer.status == 200 else None

        return wait_for(look, f"playlist of {key}", timeout)

    def stop(self, timeout: float = 15.0) -> None:
        """End it by SIGTERM, which must be a clean exit, and judge its log.

        twistd's way is to end, after a clean shutdown, by the signal that it was sent.
        """
        if self._stopped:
            return
        self.terminate()
        self.wait_stopped(timeout)

    def terminate(self) -> None:
        """Send SIGTERM, and wait for nothing."""
        self.child.signal(signal.SIGTERM)

    def wait_stopped(self, timeout: float = 15.0) -> None:
        """Wait for the clean exit after `terminate`, and judge the log."""
        self._stopped = True
        status = self.child.wait(timeout)
        expected = -signal.SIGTERM if self._form == "twistd" else 0
        self.case.assertEqual(status, expected, f"exit status {status}; log:\n{self.log[-3000:]}")
        self.judge_log()

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        self._stopped = True
        self.child.kill()
        self.judge_log()

    def judge_log(self) -> None:
        """The log must hold no traceback and no token."""
        log = self.log
        for word in BAD_WORDS:
            if word in log:
                at = log.index(word)
                self.case.fail(f"{word!r} in the log:\n{log[max(0, at - 500) : at + 2500]}")
        for secret in self.secrets:
            if secret in log:
                at = log.index(secret)
                self.case.fail(f"a token is in the log: {log[max(0, at - 200) : at + 10]}...")
