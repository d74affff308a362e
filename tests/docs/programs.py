"""What can be said of a command without its execution: its options, its addresses, its files."""

import json
import os
import re
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from importlib.util import find_spec
from unittest import mock
from urllib.parse import urlsplit

from twisted.python import usage
from twisted.scripts._twistd_unix import ServerOptions

from rapidrtmp import cli, tap
from rapidrtmp.config import TABLE
from tests.docs.blocks import ROOT
from tests.docs.shell import Command
from tests.web.openapi import JSON, Document

GLUE = frozenset(
    "cat cd chmod cp cut date echo env export grep head jq ln ls mkdir mv printf rm sed set sleep"
    " sort tail tee test true umask wc [ :".split()
)
"""Words of the shell and small programs, of which there is nothing to check."""
OWN_HOST = re.compile(
    r"localhost|127\.0\.0\.1|[\w.-]+\.example(\.com|\.org|\.net)?|example\.(com|org|net)"
)
"""Where examples have the server."""
BESIDE = re.compile(r"/|/live/[\w.-]+\.flv")
"""Addresses beside those of the OpenAPI document."""
MAKEFILE = (ROOT / "Makefile").read_text()

_DOCUMENT = Document()


class Problem(Exception):
    """Something is wrong with a command, or nothing can be said of it."""


class Unknown(Problem):
    """Nothing can be said of it here."""

    def __init__(self, what: str) -> None:
        super().__init__(f"nothing executes or checks {what}")


def check(command: Command, environment: Mapping[str, str]) -> None:
    """Check a command.

    Args:
        command: with its own assignments.
        environment: what the page has set before.

    Raises:
        Problem: it is wrong, or no program that is known here.
    """
    if not command.words:
        return
    program = command.words[0].removeprefix(".venv/bin/")
    if program in GLUE:
        return
    known = _PROGRAMS.get(program)
    if known is None:
        raise Unknown(program)
    known(command.words[1:], {**environment, **command.assignments})


def check_settings(assignments: Mapping[str, str]) -> None:
    """Check values that are given to settings; what is no setting is none of ours.

    Raises:
        Problem: a value cannot be used.
    """
    for row in TABLE:
        value = assignments.get(row.name, "")
        if value and "$" not in value and "<" not in value:
            try:
                row.kind.parse(value)
            except ValueError:
                raise Problem(f"{row.name} must be {row.kind.allowed}") from None


def check_address(address: str, method: str = "get", body: str | None = None) -> None:
    """Check an address of the server.

    Args:
        address: a URL, or a path.
        method: in small letters.
        body: what is sent; None for nothing.

    Raises:
        Problem: the server has no such address, no such method there, or takes no such body.
    """
    parts = urlsplit(address)
    if parts.netloc and not OWN_HOST.fullmatch(parts.hostname or ""):
        raise Problem(f"{parts.hostname} is no host of examples")
    path = re.sub(r"\$\{?\w+\}?|<[\w -]+>", "x", parts.path)
    if path.startswith("/static/"):
        if not (ROOT / "rapidrtmp" / "web" / path[1:]).is_file() and "/vendor/" not in path:
            raise Problem(f"there is no {path}")
        return
    if BESIDE.fullmatch(path or "/"):
        return
    known = _DOCUMENT.path(path)
    if known is None:
        raise Problem(f"the server has nothing at {path}")
    operation = _DOCUMENT.document["paths"][known].get("get" if method == "head" else method)
    if operation is None:
        raise Problem(f"{path} does not take {method.upper()}")
    if body is not None:
        _check_body(operation, body, path)


def _check_body(operation: dict[str, object], body: str, path: str) -> None:
    if "requestBody" not in operation:
        raise Problem(f"{path} takes no body")
    content = _DOCUMENT.resolve(operation["requestBody"])["content"]  # type: ignore[arg-type]
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Problem(f"the body is not JSON: {error}") from None
    problems = _DOCUMENT.errors(content[JSON]["schema"], value)
    if problems:
        raise Problem("; ".join(problems))


_CURL_VALUES = set("HdXoumTbcAeF") - {"F"}
_CURL_FLAGS = set("fiIkLNsSvg46")
_CURL_LONG = {"--cacert": True, "--max-time": True, "--retry": True, "--fail": False}
_CURL_LONG |= {"--fail-with-body": False, "--no-buffer": False, "--head": False, "--http2": False}
_CURL_LONG |= {"--insecure": False, "--silent": False, "--compressed": False, "--retry-delay": True}


def _curl(words: list[str], environment: Mapping[str, str]) -> None:
    method, body, addresses = "", None, []
    given = iter(words)
    for word in given:
        if word in _CURL_LONG:
            if _CURL_LONG[word]:
                next(given, None)
        elif word.startswith("--"):
            raise Problem(f"curl {word} is not known here")
        elif word.startswith("-"):
            flags, last = word[1:-1], word[-1]
            if not set(flags) <= _CURL_FLAGS or last not in _CURL_FLAGS | _CURL_VALUES:
                raise Problem(f"curl {word} is not known here")
            value = next(given, "") if last in _CURL_VALUES else ""
            if last == "X":
                method = value.lower()
            elif last == "d":
                body = value
            elif last == "I":
                method = "head"
        else:
            addresses.append(word)
    if not addresses:
        raise Problem("curl without an address")
    for address in addresses:
        check_address(address, method or ("post" if body is not None else "get"), body)


def _options(options: usage.Options, words: list[str], environment: Mapping[str, str]) -> None:
    names = {row.name for row in TABLE if not row.name.endswith("_FILE")}
    usable = {name: value for name, value in environment.items() if name in names}
    usable = {name: value for name, value in usable.items() if "$" not in value}
    words = [word.replace("…", "") for word in _without_files(words)]
    with mock.patch.dict(os.environ, usable, clear=True):
        try:
            options.parseOptions(words)
        except usage.UsageError as error:
            raise Problem(str(error)) from None
        except SystemExit as error:
            if error.code:
                raise Problem(str(error.code)) from None


def _without_files(words: list[str]) -> list[str]:
    """Leave out the options that name a file to read."""
    kept: list[str] = []
    given = iter(words)
    for word in given:
        if re.fullmatch(r"--[\w-]+-file(=.*)?", word):
            if "=" not in word:
                next(given, None)
        else:
            kept.append(word)
    return kept


def _rapidrtmp(words: list[str], environment: Mapping[str, str]) -> None:
    # what shows and ends needs no check, and would print here
    if words[-1:] in (["--help"], ["--version"]):
        words = words[:-1]
        if not words:
            return
    options = cli.Options()
    _options(options, words, environment)
    if options.subCommand is None:
        raise Problem("rapidrtmp needs a command")


def _twistd(words: list[str], environment: Mapping[str, str]) -> None:
    if "rapidrtmp" not in words:
        raise Problem("twistd without rapidrtmp")
    at = words.index("rapidrtmp")
    options = ServerOptions()
    known = {name.rstrip("=") for name in options.longOpt} | set(options.shortOpt.replace(":", ""))
    for word in words[:at]:
        if word.startswith("-") and word.lstrip("-").partition("=")[0] not in known:
            raise Problem(f"twistd {word} is not known")
    _options(tap.Options(), words[at + 1 :], environment)


def _make(words: list[str], environment: Mapping[str, str]) -> None:
    for word in words or ["help"]:
        name, equals, _ = word.partition("=")
        if equals:
            is_setting = any(row.name == name for row in TABLE)
            if not is_setting and not re.search(rf"\b{re.escape(name)}\b", MAKEFILE):
                raise Problem(f"make {word}: the Makefile has no {name}")
        elif word != "-B" and not re.search(rf"(?m)^{re.escape(word)}:", MAKEFILE):
            raise Problem(f"make has no target {word}")


def _python(words: list[str], environment: Mapping[str, str]) -> None:
    while words and words[0] in ("-u", "-b", "-bb"):
        words = words[1:]
    if words[:1] == ["-m"]:
        module = words[1]
        found = module in _OF_EXAMPLES or find_spec(module.partition(".")[0]) is not None
        if not found or (module.startswith("rapidrtmp.") and find_spec(module) is None):
            raise Problem(f"there is no module {module}")
        if module in ("pip", "venv"):
            _PIP.get(module, _nothing)(words[2:], environment)
    elif words[:1] == ["-c"]:
        compile(words[1], "python -c", "exec")
    elif words and not (ROOT / words[0]).is_file():
        raise Problem(f"there is no {words[0]}")


_OF_EXAMPLES = {"doorman"}
"""Modules that an example installs."""


def _pip(words: list[str], environment: Mapping[str, str]) -> None:
    if words[:1] not in (["install"], ["wheel"]):
        raise Problem("pip does what is not known here")
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    for word in words[1:]:
        if word.startswith("-"):
            continue
        found = re.fullmatch(
            r"(\.|rapidrtmp|rapidrtmp-[\w.*]+\.whl|dist/[\w.*-]+)?(?:\[([\w,]+)\])?", word
        )
        if found is None or not (found[1] or found[2]):
            if not (ROOT / word).exists() and not re.fullmatch(r"[a-z][\w-]+(\[\w+\])?", word):
                raise Problem(f"pip install {word}: there is no such thing")
        for extra in filter(None, (found[2] or "").split(",") if found else ()):
            if extra not in parser["options.extras_require"]:
                raise Problem(f"there is no extra {extra}")


def _nothing(words: list[str], environment: Mapping[str, str]) -> None:
    """Accept."""


_PIP: dict[str, Callable[[list[str], Mapping[str, str]], None]] = {"pip": _pip}
_PROGRAMS: dict[str, Callable[[list[str], Mapping[str, str]], None]] = {
    "curl": _curl,
    "make": _make,
    "pip": _pip,
    "python": _python,
    "python3": _python,
    "rapidrtmp": _rapidrtmp,
    "twistd": _twistd,
}
