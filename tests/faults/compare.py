"""The bad inputs against this server and nginx-rtmp: ``python -m tests.faults.compare``.

Prints a table: what each answered, whether the process was still the same one and let the next
client in, and how many MiB of memory it took at most meanwhile. nginx with its RTMP module has to
be installed (Debian: nginx-light and libnginx-mod-rtmp); another server that listens already is
tried by ``python -m tests.faults.compare PID PORT``, the process that is looked at and its port.
"""

import re
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.faults.bad_inputs import INPUTS, all_inputs
from tests.faults.case import CONNECT
from tests.integration.process import Child, python_environment, wait_for
from tests.integration.server import listening_port
from tests.rtmp.wire import ANSWER_SIZE, HANDSHAKE

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
load_module {module};
events {{ worker_connections 1024; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        application live {{ live on; hls on; hls_path {directory}/hls; }}
    }}
}}
"""
PATIENCE = 1.5
"""Seconds for an answer."""
MIB = 1 << 20
STATUS = re.compile(rb"Net(?:Stream|Connection)\.[A-Za-z.]+")


class Tried(NamedTuple):
    """A server."""

    name: str
    port: int
    process: Callable[[], int]
    """Gives the id of the process that serves."""


class Outcome(NamedTuple):
    """What became of an input."""

    answer: str
    is_alive: bool
    memory: int
    """Bytes, at most, beyond what there was before."""


def memory(pid: int, field: str) -> int:
    """Read a process's memory in bytes: 'VmRSS' now, 'VmHWM' at most."""
    found = re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def exchange(port: int, octets: bytes) -> str:
    """Send bytes while reading what comes; say how it ended."""
    received = b""
    sent = 0
    begun = time.monotonic()
    deadline = begun + PATIENCE
    with socket.create_connection(("127.0.0.1", port), 5.0) as connection:
        connection.setblocking(False)
        end = "open"
        while time.monotonic() < deadline:
            readable, writable, _ = select.select(
                [connection], [connection] if sent < len(octets) else [], [], 0.1
            )
            try:
                if readable:
                    data = connection.recv(65536)
                    if not data:
                        end = "closed"
                        break
                    received += data
                if writable:
                    sent += connection.send(octets[sent : sent + 65536])
                    deadline = max(deadline, time.monotonic() + PATIENCE)
            except OSError:
                end = "closed"
                break
            if time.monotonic() > begun + 20:
                end = "reads no more"
                break
    codes = [code.decode() for code in STATUS.findall(received[ANSWER_SIZE:])]
    told = [code for code in dict.fromkeys(codes) if "Success" not in code]
    return ", ".join([*told, end])


def lets_in(port: int) -> bool:
    """Tell whether the next client can connect."""
    try:
        return b"Success" in _first_answer(port)
    except OSError:
        return False


def _first_answer(port: int) -> bytes:
    received = b""
    with socket.create_connection(("127.0.0.1", port), 5.0) as connection:
        connection.settimeout(5.0)
        connection.sendall(HANDSHAKE + CONNECT)
        while b"Success" not in received:
            data = connection.recv(65536)
            if not data:
                break
            received += data
    return received


def attempt(server: Tried, octets: bytes) -> Outcome:
    """Give a server one input."""
    pid = server.process()
    before = memory(pid, "VmRSS")
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    answer = exchange(server.port, octets)
    try:
        most = memory(pid, "VmHWM") - before
    except FileNotFoundError:
        most = 0
    is_same = server.process() == pid and Path(f"/proc/{pid}").exists()
    return Outcome(answer, lets_in(server.port) and is_same, most)


def start_nginx(directory: Path) -> tuple[Child, Tried]:
    """Start nginx with its RTMP module on a free port."""
    program = shutil.which("nginx")
    if program is None or not MODULE.exists():
        sys.exit(f"{__doc__}\nnginx is not installed, or has no {MODULE}")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(directory=directory, module=MODULE, port=port))
    child = Child([program, "-c", str(config), "-p", str(directory)], directory / "nginx.log")

    def worker() -> int:
        found = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        return int(found[0]) if found else 0

    wait_for(worker, "a worker of nginx")
    wait_for(lambda: lets_in(port), "nginx answers")
    return child, Tried("nginx-rtmp", port, worker)


def start_ours(directory: Path) -> tuple[Child, Tried]:
    """Start this server with its defaults, but that everybody may publish."""
    environment = python_environment(
        RTMP_ADDR="127.0.0.1:0",
        HTTP_ADDR="127.0.0.1:0",
        AUTH_REQUIRED="false",
        STORAGE_DIR=str(directory / "streams"),
        STATE_DIR=str(directory / "state"),
        RTMP_MAX_CONNECTIONS_PER_IP="1000",
    )
    child = Child(
        [sys.executable, "-m", "rapidrtmp.cli", "serve"],
        directory / "server.log",
        environment=environment,
        directory=directory,
    )
    port = wait_for(lambda: listening_port(child.output(), "RTMP"), "the server listens")
    return child, Tried("RapidRTMP", port, lambda: child.pid)


def main() -> None:
    """Try the servers, print the table."""
    with tempfile.TemporaryDirectory() as name:
        children = []
        if len(sys.argv) == 3:
            pid, port = map(int, sys.argv[1:])
            servers = [Tried("the server", port, lambda: pid)]
        else:
            started = [start_ours(Path(name)), start_nginx(Path(name))]
            children = [child for child, _ in started]
            servers = [server for _, server in started]
        try:
            print_table(servers)
        finally:
            for child in children:
                child.signal(signal.SIGTERM)
                child.kill()


def print_table(servers: list[Tried]) -> None:
    """Try each server with each input."""
    print("| Input |" + "".join(f" {s.name} | MiB |" for s in servers))
    print("|---|" + "---|---|" * len(servers))
    lost = dict.fromkeys((server.name for server in servers), 0)
    for name, octets in all_inputs():
        row = f"| {name} |"
        for server in servers:
            outcome = attempt(server, octets)
            died = "" if outcome.is_alive else ", **the process died**"
            lost[server.name] += not outcome.is_alive
            row += f" {outcome.answer}{died} | {max(0, outcome.memory) / MIB:.1f} |"
        print(row, flush=True)
    for name, count in lost.items():
        print(f"\n{name}: alive after {len(INPUTS) - count} of {len(INPUTS)} inputs")


if __name__ == "__main__":
    main()
