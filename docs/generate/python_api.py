"""Writes Python modules as Markdown: what is public in them, as the source has it.

Read and not imported, so that annotations stand as they were written, and so do the words below
the fields of classes and below the methods of interfaces.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path
from textwrap import indent

_SECTION = re.compile(r"^(Args|Returns|Raises):\n((?:    .*\n?|\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^(\S[^:\n]*): ", re.MULTILINE)


def markdown(name: str, only: Iterable[str] = ()) -> str:
    """Return a module's public names.

    Args:
        name: of the module.
        only: the names that are wanted; by default all without an underscore.

    Raises:
        LookupError: the module has no such name.
    """
    spec = find_spec(name)
    assert spec is not None, name
    assert spec.origin is not None, name
    module = ast.parse(Path(spec.origin).read_text())
    wanted = list(only)
    lines = [f"## `{name}`", ""]
    if not wanted:
        lines += [_words(ast.get_docstring(module) or ""), ""]
    seen = set()
    for names, node, words in _documented(module.body):
        shown = [each for each in names if each in wanted or not (wanted or each[0] == "_")]
        seen.update(shown)
        if shown:
            lines += _definition(node, words)
    if missing := set(wanted) - seen:
        raise LookupError(f"{name}: {', '.join(sorted(missing))}")
    return "\n".join(lines)


def _documented(body: list[ast.stmt]) -> Iterator[tuple[list[str], ast.stmt, str]]:
    """Give what is defined: its names, its node and its words."""
    for number, node in enumerate(body):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield [node.name], node, ast.get_docstring(node) or ""
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                below = body[number + 1] if number + 1 < len(body) else None
                words = ""
                match below:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        words = text
                yield [each.id for each in targets if isinstance(each, ast.Name)], node, words


def _definition(node: ast.stmt, words: str) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(map(ast.unparse, node.bases))
        yield from (
            f"### `class {node.name}({bases})`" if bases else f"### `class {node.name}`",
            "",
        )
        yield from (_words(words), "")
        for names, member, told in _documented(node.body):
            if names and (names[0][0] != "_" or (names[0] == "__init__" and told)):
                yield from _member(member, told)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        yield from (f"### `{_assigned(node)}`", "", _words(words), "")
    else:
        yield from (f"### `{_signature(node)}`", "", _words(words), "")


def _member(node: ast.stmt, words: str) -> Iterator[str]:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        title, words = _assigned(node), words or _attribute(node)
    else:
        title = _signature(node)
    text = _words(words)
    yield f"- **`{title}`**" + (f"\n\n{indent(text, '  ')}" if text else "")
    yield ""


def _assigned(node: ast.Assign | ast.AnnAssign) -> str:
    if isinstance(node, ast.AnnAssign):
        text = f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
    else:
        text = ast.unparse(node.targets[0])
    value = ast.unparse(node.value) if node.value is not None else ""
    is_short = value and len(value) < 40 and not value.startswith(("field(", "Attribute("))
    return f"{text} = {value}" if is_short else text


def _attribute(node: ast.Assign | ast.AnnAssign) -> str:
    """Return the words of an interface's Attribute."""
    match node.value:
        case ast.Call(func=ast.Name(id="Attribute"), args=[ast.Constant(value=str(text))]):
            return text
    return ""


def _signature(node: ast.stmt) -> str:
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    returned = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    kind = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{kind}{node.name}({arguments}){returned}".replace("'", "")


def _words(text: str) -> str:
    """Turn a docstring of Google's style into Markdown."""
    text = _SECTION.sub(_section, cleandoc(text) + "\n").replace("``", "`")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _section(found: re.Match[str]) -> str:
    text = "\n".join(line.removeprefix("    ") for line in found[2].rstrip().split("\n"))
    if found[1] == "Returns":
        return f"\n*Returns:* {text}\n\n"
    items = _ENTRY.sub(r"- `\1`: ", text)
    return f"\n*{'Arguments' if found[1] == 'Args' else found[1]}:*\n\n{items}\n\n"
