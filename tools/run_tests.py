"""Runs the checks and the tests, and says in the last line how many passed and failed.

``run_tests.py [checks] [unit] [integration] [timing] [long] [soak] [compiled]``; without arguments
everything but the last three. Runs with the Python of the virtual environment, from the root of the
tree.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import debian

BIN = Path(sys.executable).parent
CHECKED = [
    "rapidrtmp",
    "tests",
    "benchmarks",
    "examples",
    "tools",
    "docs",
    "setup.py",
    "README.md",
    "CONTRIBUTING.md",
]
FORMS = [f".github/ISSUE_TEMPLATE/{name}.yml" for name in ("bug", "feature")]
SCHEMA = ["check-jsonschema", "--builtin-schema"]
CHECKS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "imports": ["lint-imports"],
    "spelling": ["codespell", *CHECKED],
    "image": ["hadolint", "Dockerfile"],
    # reads and resolves all as the site does, and writes nothing
    "docs": ["sphinx-build", "-W", "-q", "-j2", "-b", "dummy", "docs", "docs/_build/dummy"],
    "workflow": [*SCHEMA, "vendor.github-workflows", ".github/workflows/ci.yml"],
    "issue forms": [*SCHEMA, "vendor.github-issue-forms", *FORMS],
    "compose": [*SCHEMA, "vendor.compose-spec", "docker-compose.yml"],
}
SUITES = {
    "browser": "integration",
    "integration": "integration",
    "timing": "timing",
    "long": "long",
    "soak": "soak",
}
"""The suites of the packages that are no unit tests: real clients, those of them that judge time or
fill the machine, and tests of many minutes."""
LONGEST = ("tests.integration.test_wheel", "tests.integration.test_readme")
"""Modules that wait for package indexes. They come first: last, all others would wait for them."""
COMPILED = Path("build", "compiled")
"""Where the compiled package is installed, for the unit tests of it."""
TIME_LIMITS = {
    "unit": 900,
    "integration": 2400,
    "timing": 600,
    "long": 3600,
    "soak": 86400,
    "compiled": 900,
}
"""Seconds for a whole suite: a hang must not look like patience."""

REAL_CLIENTS = {
    # What must be there, by which program that shows, and the package that brings it.
    ("ffmpeg", "-version"): "ffmpeg",
    ("chromium", "--version"): "chromium",
    ("faketime", "--version"): "faketime",
    ("systemd-analyze", "--version"): "systemd",
    ("gst-launch-1.0", "--version"): "gstreamer1.0-tools",
    ("gst-inspect-1.0", "--exists", "videotestsrc"): "gstreamer1.0-plugins-base",
    ("gst-inspect-1.0", "--exists", "flvmux"): "gstreamer1.0-plugins-good",
    ("gst-inspect-1.0", "--exists", "rtmp2sink"): "gstreamer1.0-plugins-bad",
    ("gst-inspect-1.0", "--exists", "x264enc"): "gstreamer1.0-plugins-ugly",
}

# The end of trial's output: PASSED (skips=1, successes=20)
_SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \((?P<counts>.*)\))?$", re.MULTILINE)
_RAN = re.compile(r"^Ran (\d+) tests in ", re.MULTILINE)
# What it tells of a test that failed ends with the names of all that failed so.
_FAILED = re.compile(r"^\[(?:FAIL|ERROR)\]$.*?^(tests\.\S+(?:\ntests\.\S+)*)$", re.M | re.S)


_failures: list[str] = []
"""Tests that failed, to be named at the end: often no more than the last lines are kept."""


def count(output: str) -> Counter[str] | None:
    """Read the closing lines of trial.

    Returns:
        How many 'passed', 'failed' and were 'skipped'; None when trial did not get there.
    """
    summaries, ran = list(_SUMMARY.finditer(output)), _RAN.findall(output)
    if not summaries or not ran:
        return None
    named = re.findall(r"(\w+)=(\d+)", summaries[-1]["counts"] or "")
    counts = Counter({name: int(number) for name, number in named})
    failed = counts["failures"] + counts["errors"] + counts["unexpectedSuccesses"]
    skipped = counts["skips"] + counts["expectedFailures"]
    return Counter(passed=counts["successes"], failed=failed, skipped=skipped)


def failures(output: str) -> list[str]:
    """Name the tests that failed, of what trial printed."""
    return [name for found in _FAILED.finditer(output) for name in found[1].split()]


def run(command: list[str], seconds: float) -> tuple[int, str]:
    """Run a command with its output shown, and give its exit status and output."""
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(Path(".hypothesis").absolute()),
    }
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    output = bytearray()
    assert process.stdout is not None
    while part := os.read(process.stdout.fileno(), 65536):
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        output += part
    status = process.wait()
    timer.cancel()
    return status, output.decode(errors="replace")


def check() -> Counter[str]:
    """Run formatter, linter, type checker and the like; each that fails counts as one."""
    failed = []
    for name, command in CHECKS.items():
        print(f"--- {name}: {' '.join(command)}", flush=True)
        existing = [part for part in command if part not in CHECKED or Path(part).exists()]
        status, _ = run([str(BIN / command[0]), *existing[1:]], 600)
        if status != 0:
            failed.append(name)
    print(f"checks: {len(CHECKS) - len(failed)} clean, {len(failed)} not: {' '.join(failed)}")
    return Counter(failed=len(failed))


def modules(suite: str) -> list[str]:
    """Name the test modules of a suite, in the order in which they begin."""
    names = [
        ".".join(path.with_suffix("").parts)
        for path in sorted(Path("tests").rglob("test_*.py"))
        if SUITES.get(path.parts[1], "unit") == suite
    ]
    return sorted(names, key=lambda name: name not in LONGEST)


def test(suite: str) -> Counter[str]:
    """Run a suite: unit tests under coverage and those with real clients two at a time.

    The latter mostly wait, and what they test runs in processes of its own. Those that look at
    how time passes run one by one.
    """
    print(f"--- {suite} tests", flush=True)
    trial = ["-m", "twisted.trial", "--reporter=text", f"--temp-directory=_trial_temp_{suite}"]
    runner = {
        "unit": ["-m", "coverage", "run", *trial, "-j2"],
        "integration": [*trial, "-j2"],
        "timing": trial,
        "long": trial,
        "soak": trial,
    }[suite]
    status, output = run([sys.executable, *runner, *modules(suite)], TIME_LIMITS[suite])
    _failures.extend(failures(output))
    counts = count(output)
    if counts is None:
        print(f"the {suite} tests did not come to their end (exit status {status})")
        return Counter(failed=1)
    if status != 0 and not counts["failed"]:
        print(f"the {suite} tests ended with exit status {status}")
        counts["failed"] += 1
    return counts


def compiled() -> Counter[str]:
    """Compile the package, and run the unit tests on what became of it."""
    print(f"--- unit tests of compiled modules, in {COMPILED}", flush=True)
    shutil.rmtree(COMPILED, ignore_errors=True)
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    os.environ["RAPIDRTMP_COMPILE"] = "1"
    status, _ = run([sys.executable, *pip, "--no-deps", "--target", str(COMPILED), "."], 900)
    if status != 0 or not list(COMPILED.glob("rapidrtmp/rtmp/chunk.*.so")):
        print("nothing was compiled")
        return Counter(failed=1)
    # before this directory, which would come first without -P
    os.environ["PYTHONPATH"] = os.pathsep.join((str(COMPILED.absolute()), str(Path().absolute())))
    trial = [
        "-P",
        "-m",
        "twisted.trial",
        "--reporter=text",
        "--temp-directory=_trial_temp_compiled",
    ]
    _, output = run([sys.executable, *trial, *modules("unit")], TIME_LIMITS["compiled"])
    return count(output) or Counter(failed=1)


def install_clients() -> None:
    """Install the real clients that the integration tests run, where they are missing."""
    missing = [
        package
        for command, package in REAL_CLIENTS.items()
        if shutil.which(command[0]) is None
        or subprocess.run(command, capture_output=True).returncode != 0
    ]
    if missing:
        debian.install(missing, "the integration tests, which fail or are skipped without it")


def main() -> None:
    """Run what was asked for."""
    asked = sys.argv[1:] or ["checks", "unit", "integration", "timing"]
    total: Counter[str] = Counter(passed=0, failed=0, skipped=0)
    suites = [suite for suite in asked if suite in TIME_LIMITS]
    if len(suites) < len(asked) - asked.count("checks"):
        sys.exit(__doc__)
    if "checks" in asked:
        total.update(check())
    if {"integration", "timing", "long", "soak"} & set(asked):
        install_clients()
    for old in Path().glob(".coverage*"):
        old.unlink()
    for suite in suites:
        total.update(compiled() if suite == "compiled" else test(suite))
    if suites:
        if "unit" in suites:
            print("--- coverage of the unit tests", flush=True)
            run([sys.executable, "-m", "coverage", "combine", "--quiet"], 60)
            run([sys.executable, "-m", "coverage", "report"], 60)
        for name in dict.fromkeys(_failures):
            print(f"failed: {name}")
        skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
        print(f"{total['passed']} passed, {total['failed']} failed{skipped}", flush=True)
    sys.exit(1 if total["failed"] else 0)


if __name__ == "__main__":
    main()
