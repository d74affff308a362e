"""The source distribution, and wheels of it, built by a user's pip on a machine without Node.js."""

import os
import sys
import tarfile
import zipfile
from pathlib import Path

from tests.integration.case import IntegrationTestCase
from tests.integration.process import ROOT, Child, run
from tests.integration.wheel import REST, SOURCES, VENDOR, build_sdist, build_wheel


class WheelTests(IntegrationTestCase):
    """What `pip install` of the source distribution brings."""

    timeout = 600

    def sdist(self) -> Path:
        """Build the source distribution. It has all of the tree."""
        directory = self.temporary()
        builder = build_sdist(directory)
        self.addCleanup(builder.kill)
        builder.succeed(120)
        (path,) = (directory / "dist").iterdir()
        with tarfile.open(path) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        tree = directory / "tree"
        expected = {
            file.relative_to(tree).as_posix()
            for name in (*SOURCES, *REST)
            for file in (tree / name).rglob("*")
            if not file.is_dir() and file.suffix != ".pyc"
        }
        expected |= {"README.md", "LICENSE", "Makefile", "Dockerfile", "docker-compose.yml"}
        self.assertEqual(expected - names, set())
        return path

    def build(self, sdist: Path, **environment: str) -> tuple[Child, Path]:
        """Build a wheel with an empty PATH."""
        directory = self.temporary()
        empty = directory / "bin"
        empty.mkdir()
        child, wheels = build_wheel(directory, sdist, PATH=str(empty), **environment)
        self.addCleanup(child.kill)
        return child, wheels

    def test_wheels(self) -> None:
        """One with hls.js, unless RAPIDRTMP_NO_NPM=1 asks for one without; both at a time."""
        sdist = self.sdist()
        contents = [self.build(sdist, **more) for more in ({}, {"RAPIDRTMP_NO_NPM": "1"})]
        paths = [sdist]
        for (child, wheels), judge in zip(contents, (self.contents, self.without_npm), strict=True):
            child.succeed(240)
            (path,) = wheels.iterdir()
            paths.append(path)
            judge(path)
        command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, paths)]
        checked = run(command).decode()
        self.assertEqual(checked.count("PASSED"), 3, checked)

    def contents(self, path: Path) -> None:
        """It has hls.js with its licence, every module, and the plug-in that twistd finds."""
        installed = self.temporary() / "site"
        with zipfile.ZipFile(path) as wheel:
            names = set(wheel.namelist())
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile"]
        run([*pip, "--quiet", "--target", str(installed), str(path)])
        self.assertIn(VENDOR + "hls.LICENSE", names)
        self.assertIn(VENDOR + "uqr.LICENSE", names)
        self.assertIn("export", (installed / VENDOR / "uqr.js").read_text())
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
        self.assertIn("rapidrtmp/py.typed", sources)
        self.assertEqual(sources - names, set())
        self.assertEqual([name for name in names if name.startswith("tests/")], [])
        twistd = Child(
            [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--help"],
            self.temporary() / "twistd.log",
            environment=os.environ | {"PYTHONPATH": str(installed)},
            directory=self.temporary(),
        )
        self.assertIn("    rapidrtmp  ", twistd.succeed())

    def without_npm(self, path: Path) -> None:
        """It has no hls.js, and all the rest."""
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
        self.assertEqual([name for name in names if name.startswith(VENDOR)], [])
        self.assertIn("rapidrtmp/web/site.py", names)
