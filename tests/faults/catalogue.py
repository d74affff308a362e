"""Runs the tests that the catalogue names: ``python -m tests.faults.catalogue [CASE ...]``.

Prints how many cases were survived. Some of the tests want real clients and take their time;
named cases (``C5 C6``, or ``C`` for all of a kind) are fewer.
"""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "fault-catalogue.md"
_ROW = re.compile(r"^\| ([A-Z]\d+) \|[^|]+\|([^|]+)\|([^|]+)\|$", re.MULTILINE)
_TEST = re.compile(r"`((?:\w+\.)+\w+\.test_\w+)`")
_LOST = re.compile(r"^tests\.((?:\w+\.)+\w+\.test_\w+)$", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    """Give the rows of the page: case, what the server does, and the tests' names."""
    return _ROW.findall(PAGE.read_text())


def names(cell: str) -> list[str]:
    """Give the names of tests in a cell, below `tests`."""
    return _TEST.findall(cell)


def main() -> int:
    """Run the tests, all in one process, one after the other."""
    wanted: dict[str, set[str]] = {}
    for case, _, cell in rows():
        if not sys.argv[1:] or {case, case[0]} & set(sys.argv[1:]):
            wanted.setdefault(case, set()).update(names(cell))
    tests = sorted(set().union(*wanted.values()))
    command = [sys.executable, "-m", "twisted.trial", "--reporter=text"]
    done = subprocess.run(
        [*command, *(f"tests.{test}" for test in tests)], stdout=subprocess.PIPE, text=True
    )
    lost = set(_LOST.findall(done.stdout))
    if done.returncode:
        print(done.stdout)
    cases = {case: found for case, found in wanted.items() if found}
    survived = [case for case, found in cases.items() if not found & lost]
    if done.returncode and not lost:
        survived = []
    print(f"{len(survived)} of {len(cases)} cases survived, by {len(tests)} tests")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
