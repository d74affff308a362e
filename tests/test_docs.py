"""The documentation names only what there is: settings, files, headings."""

import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.config import TABLE
from rapidrtmp.judge import rules
from rapidrtmp.observability import table as metrics

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
KINDS = ("tutorial", "howto", "topics", "reference")
"""Each page is of one kind, in the directory of that name."""
PAGES = [ROOT / "README.md", DOCS / "index.md"]
PAGES += [page for kind in KINDS for page in sorted((DOCS / kind).glob("*.md"))]
BESIDE: tuple[str, ...] = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")
BESIDE += (".github/PULL_REQUEST_TEMPLATE.md",)
"""Pages that are not of the site."""

ROWS = {row.name: row for row in TABLE}

OTHERS = {
    "CAP_NET_BIND_SERVICE": "a right, of Linux",
    "DOORMAN_DATABASE": "of the example plug-in",
    "FUZZ_SECONDS": "of make",
    "GOOGLE_APPLICATION_CREDENTIALS": "of Google's client",
    "NODE_MEDIA_SERVER": "of the benchmarks",
    "NOTIFY_SOCKET": "of systemd",
    "RAPIDRTMP_COMPILE": "of the build",
    "RENEWED_LINEAGE": "of certbot",
    "SOAK_REPORT": "of make",
    "SOAK_SECONDS": "of make",
    "SOAK_SEED": "of make",
    "STORAGE_EMULATOR_HOST": "of Google's client",
    "USE_ORIGIN_HEADERS": "of Google's CDN",
}
"""What looks like a setting and is none of ours."""

SETTING = re.compile(r"(?<![\w-])([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=([\w.:/-]*\w))?")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.*)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
METRIC = re.compile(r"(?<![\w/])rapidrtmp_[a-z_]+")

LIMITS = re.compile(r"(RTMP|AMF|HTTP)_(MAX|MIN)_|_TIMEOUT$|^(MAX|INGEST|STORAGE)_MAX_|^MAX_")
NO_LIMIT = ("DRAIN_TIMEOUT", "WATCHDOG_TIMEOUT", "WEBHOOK_TIMEOUT")


def code(text: str) -> str:
    """Give what is marked as code, one piece a line, but for Python, which has constants."""
    blocks = [found for found in FENCE.findall(text) if not found.startswith("```python")]
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))])


def anchors(text: str) -> set[str]:
    """Give the anchors of a page's headings, as GitHub and MyST make them."""
    found = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(words.replace(" ", "-"))
    return found


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Give file and anchor of each link to the tree itself."""
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def index() -> str:
    """Give the page that the others hang on."""
    return (DOCS / "index.md").read_text()


class DocsTests(SynchronousTestCase):
    def test_settings(self) -> None:
        """Every word in code that looks like a setting is one, and a value shown can be used."""
        seen = set()
        for page in PAGES:
            for name, value in SETTING.findall(code(page.read_text())):
                if name in OTHERS:
                    continue
                self.assertIn(name, ROWS, f"{page.name}: {name}")
                seen.add(name)
                if value:
                    ROWS[name].kind.parse(value)
        self.assertGreater(len(seen), 40)

    def test_links(self) -> None:
        """Every link leads to a file of the tree, and to a heading that is there."""
        count = 0
        for page in [*PAGES, *(ROOT / name for name in BESIDE)]:
            for path, anchor in links(page):
                target = (page.parent / path).resolve() if path else page
                self.assertTrue(target.exists(), f"{page.name}: {path}")
                if anchor:
                    known = anchors(target.read_text())
                    self.assertIn(anchor, known, f"{page.name}: {path}")
                count += 1
        self.assertGreater(count, 40)

    def test_metrics(self) -> None:
        """Every metric that a page names exists."""
        known = {row.name for row in metrics.TABLE}
        for page in PAGES:
            self.assertEqual(set(METRIC.findall(page.read_text())) - known, set(), page.name)

    def test_rooms(self) -> None:
        """The page on architecture has the stairs that the imports are checked against."""
        parser = ConfigParser()
        parser.read(ROOT / "setup.cfg")
        layers = parser["importlinter:contract:stairs"]["layers"].strip().splitlines()
        page = (DOCS / "topics" / "architecture.md").read_text()
        shown = page.partition("## The rooms")[2].partition("Pure rooms")[0]
        rooms = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in shown.splitlines()[6:-1]]
        self.assertEqual(rooms, [re.findall(r"\w+", layer) for layer in layers])

    def test_pages(self) -> None:
        """Every page is in the table of contents, once, and every page is of a kind."""
        listed = re.findall(rf"^(?:{'|'.join(KINDS)})/[\w-]+$", index(), re.MULTILINE)
        there = [str(page.relative_to(DOCS).with_suffix("")) for page in PAGES[2:]]
        self.assertEqual(sorted(listed), sorted(there))
        found = {page for page in DOCS.rglob("*.md") if "_build" not in page.parts}
        self.assertEqual(found - set(PAGES), set())

    def test_limits(self) -> None:
        """The page on operating says of every limit what happens above it."""
        page = (DOCS / "howto" / "operating.md").read_text()
        told = set()
        for line in page.splitlines():
            told |= {name for name, _ in SETTING.findall(line) if line.startswith("| `")}
        limits = {name for name in ROWS if LIMITS.search(name)} - set(NO_LIMIT)
        self.assertGreater(len(limits), 15)
        self.assertEqual(limits - told, set())

    def test_check_rules(self) -> None:
        """The page on checking has the rules as the code has them."""
        page = (DOCS / "howto" / "checking.md").read_text()
        self.assertEqual(
            page.partition("## The rules")[2].partition("###")[2], rules.markdown()[3:]
        )

    def test_the_tests_can_fail(self) -> None:
        """A wrong setting and a wrong heading are found."""
        self.assertEqual(SETTING.findall("set NO_SUCH=2s, `A`"), [("NO_SUCH", "2s")])
        self.assertEqual(code("A_B `C_D`\n```sh\nE_F\n```\n"), "```sh\nE_F\n```\nC_D")
        self.assertEqual(anchors("# A `b`, c\n## D_e-f\n"), {"a-b-c", "d_e-f"})
