"""Tests of the files that are for those who work on the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import __version__
from tests.test_packaging import load

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
CHECKS = load("tools/run_tests.py").CHECKS
version = load("tools/version.py")
FORGE = ROOT / ".github"


def targets() -> list[str]:
    """Give the targets of the Makefile that are called by name."""
    phony = re.search(r"(?m)^\.PHONY: (.*)$", MAKEFILE.replace("\\\n", " "))
    assert phony is not None
    return phony[1].split()


def read(path: Path) -> Any:
    """Read YAML. The word `on` stays one: YAML 1.1 takes it for true."""
    return yaml.load(path.read_text(), yaml.BaseLoader)  # noqa: S506  (it makes only texts)


class MakeTests(SynchronousTestCase):
    def test_help(self) -> None:
        """`make help`, which is also what `make` does, tells of every target."""
        for arguments in ([], ["help"]):
            told = subprocess.run(
                ["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout
            listed = re.findall(r"(?m)^make ([\w-]+)  ", told)
            self.assertEqual(sorted(listed), sorted(set(targets()) - {"help"}))

    def test_targets(self) -> None:
        """Each has a rule, and none is missing from the list."""
        rules = re.findall(r"(?m)^([a-z][\w-]*):", MAKEFILE)
        self.assertEqual(sorted(rules), sorted(targets()))


class NewsTests(SynchronousTestCase):
    def test_fragments(self) -> None:
        """Each line of each fragment becomes one of the changelog, under its kind."""
        program = shutil.which("towncrier", path=str(Path(sys.executable).parent))
        if program is None:
            self.fail("towncrier is not installed: make -B .venv/.installed-dev")
        drafted = subprocess.run(
            [program, "build", "--draft", "--version", "9.9"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertIn("## 9.9 (", drafted)
        # nothing but fragments and the template is there, so that none is left out by its name
        kinds = ("feature", "bugfix", "doc", "removal", "misc")
        for path in (ROOT / "newsfragments").iterdir():
            if path.name in ("template.md", ".gitkeep"):
                continue
            self.assertIn(path.suffix[1:], kinds, path.name)
            for line in path.read_text().splitlines():
                # a sentence each: none that goes on in the next line
                self.assertRegex(line, r"^[A-Z`].*\.$", path.name)
                if path.suffix != ".misc":
                    self.assertIn(f"\n- {line.strip()}\n", drafted, path.name)

    def test_changelog(self) -> None:
        """The changelog has the place where the next release's news goes."""
        self.assertIn(
            "\n<!-- towncrier release notes start -->\n", (ROOT / "CHANGELOG.md").read_text()
        )


class VersionTests(SynchronousTestCase):
    def test_one_place(self) -> None:
        """The package's version is written once; what else needs it takes it from there."""
        self.assertIn("version = attr: rapidrtmp.__version__", (ROOT / "setup.cfg").read_text())
        self.assertIn("from rapidrtmp import __version__", (ROOT / "docs/conf.py").read_text())
        for name in ("setup.cfg", "setup.py", "pyproject.toml", "docs/conf.py", "Dockerfile"):
            self.assertNotIn(__version__, (ROOT / name).read_text(), name)

    def test_places(self) -> None:
        """What names the image does so in files that `make version` writes, and all of it."""
        for place in version.PLACES:
            text = (ROOT / place).read_text()
            changed = version.replaced(place, text, "98.7.6.dev5")
            self.assertEqual(version.replaced(place, changed, __version__), text, place)
            self.assertRaises(ValueError, version.replaced, place, "nothing", "1.2.3")
        number = re.escape(__version__)
        tag = re.compile(rf"rapidrtmp:{number}|(appVersion|newTag|__version__)\W+{number}")
        found = {
            str(path.relative_to(ROOT))
            for top in ("rapidrtmp", "deploy", "docs")
            for path in (ROOT / top).rglob("*")
            if path.suffix in (".md", ".yaml", ".yml", ".py", ".tpl")
            and "_build" not in path.parts
            and tag.search(path.read_text())
        }
        self.assertEqual(found, set(version.PLACES))

    def test_refused(self) -> None:
        """What is no version is written nowhere."""
        for wrong in ("", "1.2", "v1.2.3", "1.2.3 "):
            self.assertRaises(SystemExit, version.main, wrong)


class ForgeTests(SynchronousTestCase):
    """What a public forge and pre-commit read. `make lint` holds it against their schemas."""

    def test_workflow(self) -> None:
        """It calls only what the Makefile has, and covers each Python that tox does."""
        workflow = read(FORGE / "workflows" / "ci.yml")
        steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
        commands = " ".join(step.get("run", "") for step in steps)
        called = set(re.findall(r"\bmake ([\w-]+)", commands))
        self.assertEqual(called, {"lint", "unit", "test", "docs", "dist"})
        self.assertLessEqual(called, set(targets()))
        versions = workflow["jobs"]["unit"]["strategy"]["matrix"]["python"]
        environments = re.findall(r"\bpy3(\d\d)\b", (ROOT / "tox.ini").read_text().split("skip")[0])
        self.assertEqual(versions, [f"3.{minor}" for minor in environments])
        self.assertEqual(workflow["permissions"], {"contents": "read"})

    def test_pre_commit(self) -> None:
        """Its hooks run the programs of `make lint`, and fetch nothing."""
        (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
        self.assertEqual(repository["repo"], "local")
        known = {" ".join(command[:2]).replace(" --check", "") for command in CHECKS.values()}
        known |= {command[0] for command in CHECKS.values()}
        known.add("git diff")
        for hook in repository["hooks"]:
            self.assertEqual(hook["language"], "system")
            program = " ".join(hook["entry"].removeprefix(".venv/bin/").split()[:2])
            self.assertIn(program, known)

    def test_forms(self) -> None:
        """They name only commands and files that are there."""
        for path in (FORGE / "ISSUE_TEMPLATE").glob("*.yml"):
            for command in re.findall(r"`rapidrtmp (\w+)", path.read_text()):
                self.assertIn(command, ("check", "config", "version"), path.name)
        self.assertTrue((ROOT / "SECURITY.md").exists())
        self.assertIn("## News\n", (ROOT / "CONTRIBUTING.md").read_text())
