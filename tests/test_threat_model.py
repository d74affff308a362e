"""The threat model names tests that exist, for every line, and leaves out no attack."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.catalogue import names
from tests.faults.test_catalogue import exists, methods
from tests.test_docs import anchors, links

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "topics" / "threat-model.md"
POLICY = ROOT / "SECURITY.md"
ALL_OF = ("test_known_attacks", "test_doors", "auth.test_guessing")
"""Modules of whose tests none may be missing there."""


def rows() -> list[str]:
    """Give the lines of all tables that name tests, without their heads."""
    text = PAGE.read_text()
    tables = re.findall(r"(?m)^\|[^\n]*\| Tests \|\n\|[-|]+\|\n((?:\|.*\n)+)", text)
    return [line for table in tables for line in table.splitlines()]


class ThreatModelTests(SynchronousTestCase):
    def test_tests_exist(self) -> None:
        """Every line has its tests, and each of them is there."""
        found = rows()
        self.assertGreater(len(found), 60)
        for row in found:
            tests = names(row)
            self.assertTrue(tests, row)
            for name in tests:
                self.assertTrue(exists(name), name)

    def test_nothing_is_left_out(self) -> None:
        """The tests of attacks, doors and guesses are all named."""
        named = set(names(PAGE.read_text()))
        for module in ALL_OF:
            path = ROOT.joinpath("tests", *module.split(".")).with_suffix(".py")
            for class_name, functions in methods(path).items():
                for function in functions:
                    if function.startswith("test_"):
                        self.assertIn(f"{module}.{class_name}.{function}", named)

    def test_predecessor(self) -> None:
        """Each of the twenty defects has its test."""
        found = methods(ROOT / "tests" / "test_predecessor.py").values()
        numbers = sorted(int(name[5:7]) for each in found for name in each if name[:5] == "test_")
        self.assertEqual(numbers, list(range(1, 21)))

    def test_policy(self) -> None:
        """The policy leads to pages that there are, and names nobody."""
        text = POLICY.read_text()
        targets = list(links(POLICY))
        self.assertEqual(
            {path for path, _ in targets},
            {"docs/topics/threat-model.md", "docs/topics/security.md"},
        )
        for path, anchor in targets:
            self.assertTrue(not anchor or anchor in anchors((ROOT / path).read_text()))
        self.assertNotIn("@", text)
        self.assertNotRegex(text, "https?://")
