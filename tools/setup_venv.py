"""Makes a virtual environment and installs this tree into it: ``setup_venv.py DIR EXTRA``."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import dash_js
import debian

OLDEST = (3, 11)


def main() -> None:
    """Make the environment if it is not there, then install in editable form."""
    directory, extra = Path(sys.argv[1]), sys.argv[2]
    if sys.version_info < OLDEST:
        version = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"RapidRTMP needs Python 3.11 or newer; {sys.executable} is {version}. "
            "Name another one: make PYTHON=/path/to/python3"
        )
    python = directory / "bin" / "python"
    if not (directory / "bin" / "pip").exists():
        # Debian and Ubuntu split ensurepip off, without which there is no pip in the environment.
        if importlib.util.find_spec("ensurepip") is None and not debian.install(
            ["python3-venv"], "making a virtual environment"
        ):
            sys.exit(1)
        print(f"making {directory}", flush=True)
        if subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)]).returncode:
            sys.exit(1)
    print(f"installing RapidRTMP [{extra}] into {directory}", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip.append("--no-compile")  # a third of the time, and most modules are never imported
    environment = os.environ | ({"RAPIDRTMP_TEST_PLAYERS": "1"} if extra == "dev" else {})
    if subprocess.run([*pip, "-e", f".[{extra}]"], env=environment).returncode:
        sys.exit(1)
    if extra == "dev":
        dash_js.fetch(directory)


if __name__ == "__main__":
    main()
