"""How each server is started: on loopback, with what it needs to do the same work."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.process import BenchmarkError, cpu_seconds, free_ports, memory, ticks, tree

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 60.0
"""Seconds."""
STOP_TIMEOUT = 8.0
"""Seconds; then it is killed."""
NGINX_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")

HLS = "hls"
"""Ingest, and packaging as HLS."""
INGEST = "ingest"
"""Ingest alone: RTMP in, RTMP out."""

OURS: Mapping[str, str] = {
    "AUTH_REQUIRED": "false",
    "STORAGE_TYPE": "memory",
    "INGEST_MAX_AHEAD": "0",
    "LOG_LEVEL": "warn",
    "DRAIN_TIMEOUT": "0s",
    "MAX_CONCURRENT_STREAMS": "1000",
    "MAX_VIEWERS_PER_STREAM": "10000",
    "RTMP_MAX_CONNECTIONS": "8000",
    "RTMP_MAX_CONNECTIONS_PER_IP": "5000",
    "HTTP_MAX_CONNECTIONS": "8000",
    "HTTP_MAX_CONNECTIONS_PER_IP": "8000",
}
"""Settings of RapidRTMP that differ from the defaults: everybody may publish, thousands of clients
may come from one address, and segments stay in memory."""

NGINX = """
{load}{user} daemon off; worker_processes 1; worker_rlimit_nofile 20000;
pid {run}/nginx.pid; error_log {run}/error.log error;
events {{ worker_connections 8192; }}
rtmp {{ access_log off; ping 10m; server {{ listen 127.0.0.1:{rtmp}; chunk_size 4096;
  application live {{ live on; {hls} }} }} }}
http {{ sendfile on; tcp_nopush on; access_log off; keepalive_requests 100000000;
  client_body_temp_path {run}/t1; proxy_temp_path {run}/t2; fastcgi_temp_path {run}/t3;
  uwsgi_temp_path {run}/t4; scgi_temp_path {run}/t5;
  server {{ listen 127.0.0.1:{http};
    location /hls {{ alias {media}; add_header Cache-Control no-cache;
      types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }} }} }} }}
"""
NGINX_HLS = "hls on; hls_path {media}; hls_fragment 2s; hls_playlist_length 20s;"

NODE_MEDIA_SERVER = """{{"bind": "127.0.0.1", "notify": {{"url": ""}},
"store": {{"path": "{run}/data", "maxHistory": 10}},
"auth": {{"play": false, "publish": false, "secret": "x", "jwt": {{"secret": "benchmark",
  "expiresIn": "24h", "refreshExpiresIn": "7d", "algorithm": "HS256", "users": []}}}},
"rtmp": {{"port": {rtmp}}}, "http": {{"port": {http}}}, "webadmin": {{"enable": false}},
"record": {{"auto": false, "path": "{run}/record"}}}}"""


class Server:
    """A server to be measured, as a context: it listens inside, and has ended behind."""

    name: str
    """In tables."""
    modes: tuple[str, ...]
    """What it can do: HLS, INGEST."""
    playlist: str = ""
    """The path of stream s0's playlist."""

    def __init__(self) -> None:
        self.rtmp = self.http = 0
        """Ports."""
        self.started = 0.0
        """Seconds from its start until it was ready."""
        self.start_cpu = 0.0
        """CPU-seconds that it had used then."""
        self._run = Path()
        self._media: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._mode = HLS

    def version(self) -> str:
        """Tell the version, with that of what it runs on."""
        raise NotImplementedError

    def settings(self) -> str:
        """Tell what is set, in a few words."""
        raise NotImplementedError

    def _command(self) -> tuple[list[str], Mapping[str, str]]:
        """Write what it reads; return the command and what the environment has besides."""
        raise NotImplementedError

    def _is_ready(self) -> bool:
        """Tell whether it does its work."""
        for port in (self.rtmp, self.http):
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
            except OSError:
                return False
        return True

    def __call__(self, mode: str) -> Self:
        """Choose what it does when it is started."""
        self._mode = mode
        return self

    def __enter__(self) -> Self:
        self._run = Path(tempfile.mkdtemp(prefix="bench-"))
        shm = Path("/dev/shm")
        if os.access(shm, os.W_OK):
            self._media = Path(tempfile.mkdtemp(prefix="bench-", dir=shm))
        self.rtmp, self.http = free_ports(2)
        command, environment = self._command()
        begun = time.monotonic()
        with (self._run / "out.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._run,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        try:
            while not self._is_ready():
                if self._process.poll() is not None:
                    raise BenchmarkError(f"{self.name} ended at its start: {self.log()}")
                if time.monotonic() > begun + START_TIMEOUT:
                    raise BenchmarkError(f"{self.name} does not listen: {self.log()}")
                time.sleep(0.01)
        except BaseException:
            self.stop()
            raise
        self.started = time.monotonic() - begun
        self.start_cpu = self.cpu()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it and what it started."""
        assert self._process is not None
        pids = self.pids()
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        shutil.rmtree(self._run, ignore_errors=True)
        if self._media is not None:
            shutil.rmtree(self._media, ignore_errors=True)

    def log(self) -> str:
        """Return the end of what it said."""
        texts = [path.read_text(errors="replace") for path in self._run.glob("*.log")]
        return " ".join(text[-600:].strip() for text in texts) or "it said nothing"

    def pids(self) -> list[int]:
        """Return its processes."""
        assert self._process is not None
        return tree(self._process.pid)

    def cpu(self) -> float:
        """Return the CPU-seconds that it has used."""
        return cpu_seconds(self.pids())

    def ticks(self) -> tuple[int, int]:
        """Return the user and system ticks that it has used."""
        return ticks(self.pids())

    def memory(self) -> int:
        """Return its memory in bytes."""
        return memory(self.pids())

    def media_bytes(self) -> int:
        """Return the size of the files that it keeps in memory."""
        if self._media is None:
            return 0
        return sum(path.stat().st_size for path in self._media.rglob("*") if path.is_file())

    def get(self, path: str, timeout: float = 15.0) -> tuple[str, str]:
        """Fetch a text over HTTP.

        Returns:
            The text, and the URL where it was in the end.

        Raises:
            BenchmarkError: there was no answer 200.
        """
        url = path if "://" in path else f"http://127.0.0.1:{self.http}{path}"
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                return answer.read().decode(), answer.url
        except (OSError, urllib.error.URLError) as error:
            raise BenchmarkError(f"{self.name}: GET {url}: {error}") from error


class RapidRTMP(Server):
    """This server, of any checkout.

    Args:
        name: in tables.
        checkout: where its package is.
        extra: settings besides those of `OURS`.
    """

    modes = (HLS, INGEST)
    playlist = "/live/s0/index.m3u8"

    def __init__(
        self,
        name: str = "RapidRTMP",
        checkout: Path = ROOT,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.checkout = checkout.resolve()
        self.extra = dict(extra or {})
        if not (self.checkout / "rapidrtmp" / "cli.py").exists():
            raise BenchmarkError(f"{checkout} is no checkout of RapidRTMP")
        words = self._run_cli("config", "--markdown")
        # without the setting, the nearest thing: no parts
        self._alone = {"HLS_ENABLED" if "### HLS_ENABLED" in words else "HLS_LOW_LATENCY": "false"}

    def _run_cli(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "rapidrtmp.cli", *arguments],
            cwd=self.checkout,
            env={**os.environ, "PYTHONPATH": str(self.checkout)},
            capture_output=True,
            text=True,
        ).stdout

    def version(self) -> str:
        """Tell version and commit, and those of Python and Twisted."""
        from importlib.metadata import version

        python = sys.version.split()[0]
        return (
            f"{self._run_cli('--version').strip() or 'unknown'}, commit {commit(self.checkout)}; "
            f"Python {python}, Twisted {version('twisted')}"
        )

    def settings(self) -> str:
        """Tell what is set."""
        changed = " ".join(f"`{name}={value}`" for name, value in {**OURS, **self.extra}.items())
        alone = " ".join(f"`{name}={value}`" for name, value in self._alone.items())
        return f"{changed}; ingest alone, fan-out: {alone}"

    def _command(self) -> tuple[list[str], Mapping[str, str]]:
        settings = {
            **OURS,
            "RTMP_ADDR": f"127.0.0.1:{self.rtmp}",
            "HTTP_ADDR": f"127.0.0.1:{self.http}",
            "STATE_DIR": str(self._run / "state"),
            "STORAGE_DIR": str(self._run / "streams"),
            "PYTHONPATH": str(self.checkout),
            **(self._alone if self._mode == INGEST else {}),
            **self.extra,
        }
        return [sys.executable, "-m", "rapidrtmp.cli", "serve"], settings

    def _is_ready(self) -> bool:
        try:
            self.get("/ready", 2.0)
        except BenchmarkError:
            return False
        return True


def _program(name: str, *more: str) -> str | None:
    found = shutil.which(name) or next((path for path in more if os.access(path, os.X_OK)), None)
    return found


class NginxRTMP(Server):
    """nginx with the RTMP module, MPEG-TS HLS on a file system in memory."""

    name = "nginx-rtmp"
    modes = (HLS, INGEST)
    playlist = "/hls/s0.m3u8"

    def __init__(self) -> None:
        super().__init__()
        program = _program("nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx")
        modules = [Path(directory, "ngx_rtmp_module.so") for directory in NGINX_MODULES]
        module = next((path for path in modules if path.exists()), None)
        if program is None or module is None:
            raise BenchmarkError("not installed (Debian: nginx libnginx-mod-rtmp)")
        self._program, self._module = program, module

    def version(self) -> str:
        """Tell the versions of nginx and the module, where Debian's packages tell them."""
        said = subprocess.run([self._program, "-v"], capture_output=True, text=True).stderr
        nginx = re.sub(r"^.*nginx/", "nginx ", said.strip())
        try:
            package = subprocess.run(
                ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-rtmp"],
                capture_output=True,
                text=True,
            ).stdout
        except OSError:
            package = ""
        return f"{nginx}, libnginx-mod-rtmp {package or 'of unknown version'}"

    def settings(self) -> str:
        """Tell what is set."""
        hls = " ".join(NGINX_HLS.format(media="(in memory)").split())
        common = f"`worker_processes 1; chunk_size 4096; live on; {hls}`"
        return f"{common}; ingest alone, fan-out: no `hls`"

    def _command(self) -> tuple[list[str], Mapping[str, str]]:
        media = self._media or self._run / "media"
        media.mkdir(exist_ok=True)
        configuration = self._run / "nginx.conf"
        configuration.write_text(
            NGINX.format(
                load=f"load_module {self._module};",
                user=" user root;" if os.geteuid() == 0 else "",
                run=self._run,
                media=media,
                rtmp=self.rtmp,
                http=self.http,
                hls=NGINX_HLS.format(media=media) if self._mode == HLS else "",
            )
        )
        return [self._program, "-p", str(self._run), "-c", str(configuration)], {}


class NodeMediaServer(Server):
    """Node-Media-Server 4, which relays and does not package."""

    name = "Node-Media-Server"
    modes = (INGEST,)

    def __init__(self) -> None:
        super().__init__()
        node = shutil.which("node")
        package = self._find()
        if node is None or package is None:
            raise BenchmarkError(
                "not installed (npm install -g node-media-server, or set NODE_MEDIA_SERVER)"
            )
        self._node, self._package = node, package

    @staticmethod
    def _find() -> Path | None:
        places = [Path(os.environ.get("NODE_MEDIA_SERVER", "/nonexistent"))]
        npm = shutil.which("npm")
        if npm is not None:
            done = subprocess.run([npm, "root", "-g"], capture_output=True, text=True)
            places.append(Path(done.stdout.strip() or "/nonexistent", "node-media-server"))
        return next((place for place in places if (place / "bin" / "app.js").exists()), None)

    def version(self) -> str:
        """Tell its version and Node.js's."""
        text = (self._package / "package.json").read_text()
        found = re.search(r'"version": *"([^"]+)"', text)
        node = subprocess.run([self._node, "--version"], capture_output=True, text=True).stdout
        return f"{found[1] if found else 'unknown'}; Node.js {node.strip()}"

    def settings(self) -> str:
        """Tell what is set."""
        return "no authentication, recording and web administration"

    def _command(self) -> tuple[list[str], Mapping[str, str]]:
        configuration = self._run / "config.json"
        configuration.write_text(
            NODE_MEDIA_SERVER.format(run=self._run, rtmp=self.rtmp, http=self.http)
        )
        return [self._node, str(self._package / "bin" / "app.js"), "-c", str(configuration)], {}


def commit(checkout: Path) -> str:
    """Return the short name of a checkout's commit, with a + when it has changes."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"],
            cwd=checkout,
            capture_output=True,
            text=True,
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


PEERS: Mapping[str, type[Server]] = {
    "nginx-rtmp": NginxRTMP,
    "node-media-server": NodeMediaServer,
}


@dataclass
class Found:
    """The servers of a run."""

    servers: list[Server] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Why which is not there."""


def find(names: list[str]) -> Found:
    """Find servers.

    Args:
        names: ``rapidrtmp`` for this checkout, a key of PEERS, or
            ``[LABEL=]DIRECTORY[#NAME=VALUE,...]`` for another checkout and further settings.
            Empty for this checkout and all peers that are installed.

    Raises:
        BenchmarkError: one that was named is not there.
    """
    found = Found()
    for name in names or ["rapidrtmp", *PEERS]:
        try:
            found.servers.append(_make(name))
        except BenchmarkError as error:
            if names:
                raise BenchmarkError(f"{name}: {error}") from error
            found.missing[name] = str(error)
    return found


def _make(name: str) -> Server:
    if name in PEERS:
        return PEERS[name]()
    place, _, settings = name.partition("#")
    label, is_labelled, directory = place.partition("=")
    if not is_labelled:
        label, directory = "", place
    extra = dict(pair.partition("=")[::2] for pair in settings.split(",") if pair)
    if directory in ("", "rapidrtmp"):
        return RapidRTMP(label or ("RapidRTMP" if not extra else name), ROOT, extra)
    return RapidRTMP(label or name, Path(directory), extra)
