"""The wheel, built as a user's pip builds it on a machine without Node.js."""

import os
import shutil
import sys
import zipfile
from pathlib import Path

from tests.integration.case import IntegrationTestCase
from tests.integration.process import ROOT, Child, python_environment

SOURCES = ("rapidrtmp", "twisted")
VENDOR = "rapidrtmp/web/static/vendor/"


class WheelTests(IntegrationTestCase):
    """What `pip install .` brings."""

    timeout = 300

    def build(self, **settings: str) -> tuple[Child, Path]:
        """Build a wheel of a copy of the tree, with an empty PATH, into a new directory."""
        directory = self.temporary()
        tree = directory / "tree"
        tree.mkdir()
        for path in ROOT.iterdir():
            if path.is_file() and not path.name.startswith("."):
                shutil.copy(path, tree)
        # What npm brought to an editable install is no source.
        ignored = shutil.ignore_patterns("__pycache__", "vendor", "dropin.cache")
        for name in SOURCES:
            shutil.copytree(ROOT / name, tree / name, ignore=ignored)
        empty = directory / "bin"
        empty.mkdir()
        wheels = directory / "wheels"
        child = Child(
            [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(wheels), "."],
            directory / "pip.log",
            environment=python_environment(**settings) | {"PATH": str(empty)},
            directory=tree,
        )
        self.addCleanup(child.kill)
        return child, wheels

    def test_contents(self) -> None:
        """It has hls.js with its licence, every module, and the plug-in that twistd finds."""
        child, wheels = self.build()
        child.succeed(240)
        (path,) = wheels.iterdir()
        installed = self.temporary() / "site"
        with zipfile.ZipFile(path) as wheel:
            names = set(wheel.namelist())
            wheel.extractall(installed)
        self.assertIn(VENDOR + "hls.LICENSE", names)
        script = (installed / VENDOR / "hls.min.js").read_text()
        self.assertGreater(len(script), 400_000)
        self.assertIn("MANIFEST_PARSED", script)
        sources = {
            path.relative_to(ROOT).as_posix()
            for name in SOURCES
            for path in (ROOT / name).rglob("*")
            if path.is_file()
            and path.name != "dropin.cache"
            and not {"__pycache__", "vendor"} & set(path.parts)
        }
        self.assertIn("rapidrtmp/web/static/player.html", sources)
        self.assertEqual(sources - names, set())
        self.assertEqual([name for name in names if name.startswith("tests/")], [])
        twistd = Child(
            [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--help"],
            self.temporary() / "twistd.log",
            environment=os.environ | {"PYTHONPATH": str(installed)},
            directory=self.temporary(),
        )
        self.assertIn("    rapidrtmp  ", twistd.succeed())

    def test_without_npm(self) -> None:
        """RAPIDRTMP_NO_NPM=1 builds it without hls.js, and nothing else ever does."""
        child, wheels = self.build(RAPIDRTMP_NO_NPM="1")
        child.succeed(240)
        (path,) = wheels.iterdir()
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
        self.assertEqual([name for name in names if name.startswith(VENDOR)], [])
        self.assertIn("rapidrtmp/web/site.py", names)
