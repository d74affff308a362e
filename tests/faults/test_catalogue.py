"""The page with all fault cases names tests that exist, and leaves out no case."""

import ast
import re
from collections.abc import Mapping
from functools import cache
from itertools import groupby
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fuzz.targets import TARGETS
from tests.faults.catalogue import PAGE, names, rows

ROOT = Path(__file__).parent.parent.parent
CASES = {"A": 106, "B": 40, "C": 30}
UNTESTED = {"C9", "C13"}
"""Cases that cannot come up; their rows say why, behind 'none: '."""


@cache
def methods(module: Path) -> Mapping[str, set[str]]:
    """Return the classes of a module with the names of their methods."""
    return {
        node.name: {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.ClassDef)
    }


def exists(name: str) -> bool:
    """Tell whether there is a test of that name, ``package.module.Class.method``."""
    *parts, class_name, method = name.split(".")
    module = ROOT.joinpath("tests", *parts).with_suffix(".py")
    return module.exists() and method in methods(module).get(class_name, ())


class CatalogueTests(SynchronousTestCase):
    def test_all_cases(self) -> None:
        """Every case has its row, in order; some have several."""
        cases = [case for case, *_ in rows()]
        expected = [f"{kind}{n + 1}" for kind, count in CASES.items() for n in range(count)]
        self.assertEqual([name for name, _ in groupby(cases)], expected)

    def test_tests_exist(self) -> None:
        """Every case has tests, and each of them exists."""
        for case, answer, cell in rows():
            found = names(cell)
            self.assertEqual(answer.strip().startswith("none: "), case in UNTESTED, case)
            self.assertEqual(not found, case in UNTESTED, case)
            for name in found:
                self.assertTrue(exists(name), f"{case}: {name}")

    def test_figures(self) -> None:
        """The page on reliability says how many cases there are, and how many have tests."""
        tested = {case for case, _, cell in rows() if names(cell)}
        cases = {case for case, *_ in rows()}
        page = (PAGE.parent.parent / "topics" / "reliability.md").read_text()
        self.assertEqual(
            re.findall(r"(\d+) of (\d+) cases", page), [(str(len(tested)), str(len(cases)))]
        )
        self.assertEqual(re.findall(r"has (\d+) cases", page), [str(len(cases))])

    def test_fuzz_targets(self) -> None:
        """The page tells what each target of the fuzzer reads."""
        section = PAGE.read_text().partition("## Fuzzing")[2]
        cells = re.findall(r"^\| (`.*`) \|", section, re.MULTILINE)
        self.assertEqual(set(re.findall(r"`(\w+)`", " ".join(cells))), set(TARGETS))

    def test_it_can_fail(self) -> None:
        """A test that is not there is noticed."""
        name = "faults.test_catalogue.CatalogueTests.test_it_can_fail"
        self.assertTrue(exists(name))
        for wrong in (name + "s", name.replace("Tests", "Test"), name.replace("faults", "fault")):
            self.assertFalse(exists(wrong))
