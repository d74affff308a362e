"""Takes the commands of a shell's text apart, as far as examples go.

The language is that of POSIX.1-2024 volume 3, chapter 2.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1([^\n]*\n)(?:.*?\n)??\s*\2(?=\n|\Z)", re.DOTALL)
_COPIED = re.compile(r"\d*>&\d")
_OPERATORS = "();<>|&\n"
_KEYWORDS = {
    "!",
    "do",
    "done",
    "else",
    "exec",
    "fi",
    "if",
    "sudo",
    "then",
    "time",
    "until",
    "while",
}
"""Words, and programs, behind which there is another command."""


@dataclass(slots=True)
class Command:
    """A simple command."""

    words: list[str] = field(default_factory=list)
    """Program and arguments, without their quotes. ``$...`` is not replaced."""
    assignments: dict[str, str] = field(default_factory=dict)
    """Before the program; or of the shell itself where there is none, or it is ``export``."""


class NotShell(ValueError):
    """It cannot be taken apart."""


def commands(text: str) -> list[Command]:
    """Take a text apart.

    Raises:
        NotShell: a quote or a parenthesis is not closed.
    """
    found: list[Command] = []
    inner: list[str] = []
    current: list[str] = []
    skip = False
    text = _COPIED.sub("", _HEREDOC.sub(r"\3", text))
    for token, is_operator in [*_tokens(text, inner), (";", True)]:
        if not is_operator:
            if not skip:
                current.append(token)
            skip = False
        elif token in "<>":
            # a number before it is a descriptor; what follows is a file
            skip = True
            if current and current[-1].isdigit():
                current.pop()
        else:
            skip = False
            if command := _command(current):
                found.append(command)
            current = []
    return found + [command for each in inner for command in commands(each)]


def _command(words: list[str]) -> Command | None:
    while words and words[0] in _KEYWORDS:
        words = words[1:]
    if not words or words[0] in ("for", "case", "esac", "{", "}"):
        return None
    command = Command()
    while words and (assigned := _ASSIGNMENT.fullmatch(words[0])):
        command.assignments[assigned[1]] = assigned[2]
        words = words[1:]
    if words[:1] == ["export"]:
        pairs = (_ASSIGNMENT.fullmatch(word) for word in words[1:])
        command.assignments |= {pair[1]: pair[2] for pair in pairs if pair}
    if words[:1] == ["env"]:
        return _command(words[1:])
    command.words = words
    return command


def _tokens(text: str, inner: list[str]) -> Iterator[tuple[str, bool]]:
    """Give words and operators; what is in ``$(...)`` is added to `inner`."""
    word: list[str] | None = None
    at = 0
    while at < len(text):
        one = text[at]
        at += 1
        if one == "\\":
            if text[at : at + 1] != "\n":
                word = [*(word or ()), text[at : at + 1]]
            at += 1
        elif one == "'":
            end = text.find("'", at)
            if end < 0:
                raise NotShell("a ' is not closed")
            word = [*(word or ()), text[at:end]]
            at = end + 1
        elif one == '"':
            inside, at = _double_quoted(text, at, inner)
            word = [*(word or ()), inside]
        elif one == "$" and text[at : at + 1] == "(":
            inside, at = _substitution(text, at, inner)
            word = [*(word or ()), inside]
        elif one == "#" and word is None:
            at = _end(text, "\n", at)
        elif one in " \t":
            if word is not None:
                yield "".join(word), False
            word = None
        elif one in _OPERATORS:
            if word is not None:
                yield "".join(word), False
            word = None
            yield one, True
        else:
            word = [*(word or ()), one]
    if word is not None:
        yield "".join(word), False


def _end(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found


def _double_quoted(text: str, at: int, inner: list[str]) -> tuple[str, int]:
    parts: list[str] = []
    while at < len(text):
        one = text[at]
        at += 1
        if one == '"':
            return "".join(parts), at
        if one == "\\":
            parts.append(text[at : at + 1])
            at += 1
        elif one == "$" and text[at : at + 1] == "(":
            inside, at = _substitution(text, at, inner)
            parts.append(inside)
        else:
            parts.append(one)
    raise NotShell('a " is not closed')


def _substitution(text: str, at: int, inner: list[str]) -> tuple[str, int]:
    depth, start = 0, at + 1
    for end in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            if text[start] != "(":  # $((...)) is arithmetic
                inner.append(text[start:end])
            return "$(...)", end + 1
    raise NotShell("a $( is not closed")
