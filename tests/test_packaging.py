"""Tests of what the tree must be like for its wheel to be right."""

import json
import os
import re
import sys
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent


def load(path: str) -> ModuleType:
    """Import a program of the tree that is in no package."""
    spec = spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    with mock.patch.object(sys, "path", [str((ROOT / path).parent), *sys.path]):
        spec.loader.exec_module(module)
    return module


class PackageTests(SynchronousTestCase):
    """The sources of the wheel."""

    def test_lock(self) -> None:
        """Each npm package is pinned with a checksum and without an address."""
        package = json.loads((ROOT / "rapidrtmp/web/package.json").read_text())
        lock = json.loads((ROOT / "rapidrtmp/web/package-lock.json").read_text())
        packages = lock["packages"]
        self.assertEqual(packages.pop("")["dependencies"], package["dependencies"])
        for name, version in package["dependencies"].items():
            locked = packages.pop(f"node_modules/{name}")
            self.assertEqual(locked["version"], version)
            self.assertTrue(locked["integrity"].startswith("sha512-"))
            self.assertNotIn("resolved", locked)
        self.assertEqual(packages, {})

    def test_plugin_directory(self) -> None:
        """twisted/ is no package of ours, or it would hide Twisted itself."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_no_addresses(self) -> None:
        """No file that installs names the host of a package registry."""
        for name in ("setup.py", "setup.cfg", "pyproject.toml", "Makefile", "Dockerfile", "tox.ini",
                     "rapidrtmp/web/package-lock.json"):  # fmt: skip
            text = (ROOT / name).read_text()
            self.assertIsNone(re.search(r"https?://(?!127\.0\.0\.1)", text), name)


class RunTestsTests(SynchronousTestCase):
    """tools/run_tests.py counts right: a miscount could hide a failure."""

    def test_count(self) -> None:
        """Trial's closing lines become passed, failed and skipped; no end is no count."""
        run_tests = load("tools/run_tests.py")
        ran = "Ran 9 tests in 1.000s\n\n"
        cases = [
            (ran + "PASSED (successes=9)\n", Counter(passed=9, failed=0, skipped=0)),
            (
                ran + "PASSED (skips=2, expectedFailures=1, successes=6)\n",
                Counter(passed=6, failed=0, skipped=3),
            ),
            (
                ran
                + "FAILED (skips=1, failures=2, errors=3, unexpectedSuccesses=1, successes=2)\n",
                Counter(passed=2, failed=6, skipped=1),
            ),
            (ran + "FAILED (errors=9)\n", Counter(passed=0, failed=9, skipped=0)),
            ("Ran 0 tests in 0.000s\n\nPASSED\n", Counter(passed=0, failed=0, skipped=0)),
            (ran, None),
            ("PASSED (successes=9)\n", None),
            ("", None),
        ]
        for output, counts in cases:
            self.assertEqual(run_tests.count(output), counts, output)

    def test_every_test_runs(self) -> None:
        """Each test module of the tree belongs to a suite."""
        run_tests = load("tools/run_tests.py")

        here = Path.cwd()
        os.chdir(ROOT)
        self.addCleanup(os.chdir, here)
        suites = set(run_tests.modules("unit")) | set(run_tests.modules("integration"))
        for path in (ROOT / "tests").rglob("test_*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            self.assertIn(".".join(parts[:2]), suites)
