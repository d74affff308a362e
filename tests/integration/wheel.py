"""The wheel of the tree, built by pip from a copy, as a user's pip builds it."""

import shutil
import sys
from pathlib import Path

from tests.integration.process import ROOT, Child, python_environment

SOURCES = ("rapidrtmp", "twisted")
VENDOR = "rapidrtmp/web/static/vendor/"


def build_wheel(directory: Path, **environment: str) -> tuple[Child, Path]:
    """Start to build it.

    Args:
        directory: for everything that is made, log included.
        environment: variables to set for pip.

    Returns:
        pip, and the directory that holds the wheel when pip has succeeded.
    """
    tree = directory / "tree"
    tree.mkdir()
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, tree)
    # What npm brought to an editable install is no source.
    ignored = shutil.ignore_patterns("__pycache__", "vendor", "dropin.cache")
    for name in SOURCES:
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    wheels = directory / "wheels"
    pip = Child(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(wheels), "."],
        directory / "pip.log",
        environment=python_environment() | environment,
        directory=tree,
    )
    return pip, wheels
