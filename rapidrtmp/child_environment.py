"""What a child process gets to know of the environment."""

import os

NAMES = (
    *("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH"),
    *("LANG", "LC_ALL", "TZ", "TMPDIR"),
)
"""What an interpreter needs to start, and to tell the time."""


def child_environment() -> dict[str, str]:
    """Give the environment of a child process: without the server's settings and their secrets."""
    return {name: os.environ[name] for name in NAMES if name in os.environ}
