"""Source distribution and wheel of the tree, built as a packager and a user's pip build them."""

import shutil
import sys
from pathlib import Path

from tests.integration.process import ROOT, Child, python_environment

SOURCES = ("rapidrtmp", "twisted")
REST = ("benchmarks", "deploy", "docs", "tests", "tools")
"""What a source distribution has besides."""
VENDOR = "rapidrtmp/web/static/vendor/"


def copy_tree(directory: Path, names: tuple[str, ...] = SOURCES) -> Path:
    """Copy the tree, without what npm, Python and others have put into it.

    Args:
        directory: where `tree` is made.
        names: the directories that are wanted.

    Returns:
        `tree`.
    """
    tree = directory / "tree"
    tree.mkdir()
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, tree)
    # What npm brought to an editable install is no source.
    ignored = shutil.ignore_patterns("__pycache__", "vendor", "dropin.cache", "_build")
    for name in names:
        shutil.copytree(ROOT / name, tree / name, ignore=ignored, symlinks=True)
    return tree


def build_sdist(directory: Path) -> Child:
    """Start to build the source distribution, into `dist`.

    Args:
        directory: for everything that is made, log included.

    Returns:
        The builder.
    """
    command = ["-m", "build", "--sdist", "--no-isolation", "--outdir", str(directory / "dist")]
    return Child(
        [sys.executable, *command, str(copy_tree(directory, SOURCES + REST))],
        directory / "build.log",
        # nothing of npm's is in it
        environment=python_environment(RAPIDRTMP_NO_NPM="1"),
        directory=directory,
    )


def build_wheel(
    directory: Path, sdist: Path | None = None, **environment: str
) -> tuple[Child, Path]:
    """Start to build the wheel.

    Args:
        directory: for everything that is made, log included.
        sdist: the source distribution to build from; a copy of the tree when None.
        environment: variables to set for pip.

    Returns:
        pip, and the directory that holds the wheel when pip has succeeded.
    """
    source, place = (".", copy_tree(directory)) if sdist is None else (str(sdist), directory)
    wheels = directory / "wheels"
    pip = Child(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(wheels), source],
        directory / "pip.log",
        environment=python_environment() | environment,
        directory=place,
    )
    return pip, wheels
