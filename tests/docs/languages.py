"""Checks a block by its language: that it can be read, and that what it names is there."""

import ast
import importlib
import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from configparser import ConfigParser, Error
from html.parser import HTMLParser
from importlib.util import find_spec
from xml.etree import ElementTree

import yaml
from playwright._impl._driver import compute_driver_executable

from tests.docs.blocks import Block
from tests.docs.programs import Problem, Unknown, check, check_address, check_settings
from tests.docs.shell import NotShell, commands

SHELL = ("sh", "bash", "shell")
PROGRAMS = (*SHELL, "python", "html", "js")
"""What a reader would run."""
OUTPUT = ("text", "log", "console", "http", "mermaid")
"""What programs print or send, and drawings: there is nothing to execute."""
COMMAND = re.compile(
    r"(?m)^(\$ |curl |rapidrtmp (serve|check|token|demo)|make |pip install|docker )"
)
"""What must not hide there."""


class Page:
    """Checks the blocks of one page, in order: what one exports, later ones have."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}

    def check(self, block: Block) -> None:
        """Check a block.

        Raises:
            Problem: it is wrong, or nothing can be said of it.
        """
        if block.language in SHELL:
            self._shell(block.text)
        elif block.language in OUTPUT:
            if COMMAND.search(block.text):
                raise Problem(f"a command in a block of {block.language}")
        elif block.language in _LANGUAGES:
            try:
                _LANGUAGES[block.language](block.text)
            except (ValueError, SyntaxError, yaml.YAMLError, Error) as error:
                raise Problem(f"is no {block.language}: {error}") from None
        else:
            raise Unknown(block.language or "what has no language")

    def _shell(self, text: str) -> None:
        try:
            found = commands(text)
        except NotShell as error:
            raise Problem(str(error)) from None
        problems: list[str] = []
        unknown: Unknown | None = None
        for command in found:
            try:
                check_settings(command.assignments)
                check(command, self.environment)
            except Unknown as problem:
                unknown = unknown or problem
            except Problem as problem:
                problems.append(str(problem))
            if command.words[:1] in ([], ["export"]):
                self.environment |= command.assignments
        if problems:
            raise Problem("; ".join(problems))
        if unknown is not None:
            raise unknown


def is_program(block: Block) -> bool:
    """Tell whether there is something in a block to run; settings alone are a file's."""
    if block.language not in SHELL:
        return block.language in PROGRAMS
    return any(command.words[:1] not in ([], ["export"]) for command in commands(block.text))


def _python(text: str) -> None:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                _find(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            _find(node.module)
            if node.module.startswith("rapidrtmp"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        _find(f"{node.module}.{alias.name}")


def _find(name: str) -> None:
    try:
        found = find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise Problem(f"there is no {name}")


def _ini(text: str) -> None:
    # units of systemd have keys more than once, and words without a value nowhere
    parser = ConfigParser(strict=False, interpolation=None, comment_prefixes=("#", ";"))
    parser.read_string(text)
    for section in parser.sections():
        for value in parser[section].values():
            pairs = (pair.partition("=") for pair in value.strip('"').split())
            check_settings({name: text for name, equals, text in pairs if equals})


VOID = frozenset("area br col embed hr img input link meta source track wbr".split())
"""Elements without an end (WHATWG HTML section 13.1.2)."""


class _Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Look at what an element loads."""
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href") and value and (value.startswith("/") or "://" in value):
                check_address(value)

    def handle_endtag(self, tag: str) -> None:
        """Match it with its start."""
        if not self.open or self.open.pop() != tag:
            raise Problem(f"</{tag}> ends nothing")


def _html(text: str) -> None:
    markup = _Markup()
    markup.feed(text)
    markup.close()
    if markup.open:
        raise Problem(f"<{markup.open[-1]}> has no end")


def _css(text: str) -> None:
    if not re.fullmatch(r"\s*([^{}]+\{\s*([\w-]+:[^;{}]+;\s*)*\}\s*)+", text):
        raise ValueError("not rules of declarations that end with ;")


def _javascript(text: str) -> None:
    # the Node.js of the browser tests
    node, *_ = compute_driver_executable()
    done = subprocess.run(
        [node, "--check", "--input-type=module", "-"], input=text, capture_output=True, text=True
    )
    if done.returncode:
        raise ValueError(done.stderr)


def _yaml(text: str) -> None:
    for _ in yaml.safe_load_all(text):
        pass


def _json(text: str) -> None:
    json.loads(text)


def _xml(text: str) -> None:
    ElementTree.fromstring(text)


def _toml(text: str) -> None:
    tomllib.loads(text)


_LANGUAGES: dict[str, Callable[[str], None]] = {
    "css": _css,
    "html": _html,
    "js": _javascript,
    "ini": _ini,
    "json": _json,
    "python": _python,
    "systemd": _ini,
    "toml": _toml,
    "xml": _xml,
    "yaml": _yaml,
}
