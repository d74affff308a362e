"""The fenced blocks of the documentation, and their marks.

Blocks are those of CommonMark 0.31 section 4.5, also inside of MyST's directives. A mark is an HTML
comment above a block, which readers do not see::

    <!-- run -->                        executed by tests/integration/test_docs_blocks.py
    <!-- run: tests.some.test_module --> executed by that module, which names the page
                                        or the examples in it
    <!-- not run: the reason -->        not executed, and why
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PLACES = ("*.md", "docs/**/*.md", "examples/**/*.md", "deploy/**/*.md")
"""Where there is documentation."""
LEFT_OUT = ("CHANGELOG.md", "docs/_build/")
"""What is put together of other texts."""

_FENCE = re.compile(r"[ >]*(?P<marks>`{3,}|~{3,}) *(?P<info>[^`\n]*)$")
_MARK = re.compile(
    r"<!-- *(?P<word>run|not run)(?:: *(?P<words>(?:(?!-->).)*?))? *-->\s*\Z", re.DOTALL
)
_CODE = ("code-block", "code", "sourcecode")
"""Directives that are nothing but a block of a language."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code."""

    page: str
    """Path from the root of the tree."""
    line: int
    """Of its first fence, from 1."""
    language: str
    """Lower case; '' where there is none."""
    text: str
    mark: str = ""
    """'run', 'not run' or ''."""
    words: str = ""
    """Of the mark: the module, or the reason."""

    def __str__(self) -> str:
        """Tell where it is."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Give every page of documentation."""
    found = {path for place in PLACES for path in ROOT.glob(place)}
    return sorted(path for path in found if not name(path).startswith(LEFT_OUT))


def name(page: Path) -> str:
    """Give the path of a page from the root of the tree."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: str, text: str) -> Iterator[Block]:
    """Give the blocks of a page, in order; those inside of directives, too.

    Args:
        page: its name.
        text: its Markdown.
    """
    lines = text.splitlines()
    number = 0
    around: list[str] = []
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        number += 1
        if fence is None:
            continue
        if around and _closes(lines[number - 1], around[-1]):
            around.pop()
            continue
        language, _, argument = fence["info"].strip().partition(" ")
        if language.startswith("{"):
            if language.strip("{}") not in _CODE:
                around.append(fence["marks"])
                continue  # what is in it is Markdown, too, or no code
            language = argument
        first = number
        while number < len(lines) and not _closes(lines[number], fence["marks"]):
            number += 1
        body = "".join(f"{_unquoted(line, lines[first - 1])}\n" for line in lines[first:number])
        mark = _MARK.search("\n".join(lines[: first - 1]))
        yield Block(
            page,
            first,
            language.strip().lower(),
            body,
            mark["word"] if mark else "",
            " ".join((mark["words"] or "").split()) if mark else "",
        )
        number += 1


def _closes(line: str, marks: str) -> bool:
    bare = line.strip(" >")
    return len(bare) >= len(marks) and set(bare) == set(marks)


def _unquoted(line: str, fence: str) -> str:
    """Take off what the fence is indented by."""
    width = len(fence) - len(fence.lstrip(" >"))
    return line[width:] if not line[:width].strip(" >") else line


def all_blocks() -> list[Block]:
    """Give the blocks of all pages."""
    return [block for page in pages() for block in blocks(name(page), page.read_text())]
