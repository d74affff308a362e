"""Fills what is generated into the pages, when Sphinx reads them.

A page has a line ``<!-- generated: states session -->`` where a part of `PARTS` belongs.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docs.generate import deployment, diagram, machines, openapi, python_api

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent.parent
MARK = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)

MACHINES = {"session": machines.session, "stream": machines.stream, "relay": machines.relay}


def _states(name: str) -> str:
    return diagram.markdown(MACHINES[name](), f"States of a {name}")


def _openapi() -> str:
    text = (ROOT / "rapidrtmp" / "web" / "openapi.json").read_text()
    return openapi.markdown(json.loads(text))


PARTS: dict[str, Callable[..., str]] = {
    "states": _states,
    "openapi": _openapi,
    "python": lambda name, *only: python_api.markdown(name, only),
    "alerts": lambda: deployment.alerts(ROOT / "deploy" / "prometheus" / "alerts.yml"),
    "capacity": lambda: deployment.capacity(ROOT / "docs" / "topics" / "performance-results.json"),
}
"""What can be filled in, by name; what follows the name are its arguments."""


def fill(text: str) -> str:
    """Return a page with what is generated in it."""

    def part(found: re.Match[str]) -> str:
        name, *arguments = found[1].split()
        return PARTS[name](*arguments)

    return MARK.sub(part, text)


def _read(app: "Sphinx", name: str, source: list[str]) -> None:
    source[0] = fill(source[0])


def _outdated(app: "Sphinx", env: Any, *_: object) -> Sequence[str]:
    """Name the pages to be read again although they did not change: the code may have."""
    return [name for name in env.found_docs if MARK.search(Path(env.doc2path(name)).read_text())]


def setup(app: "Sphinx") -> dict[str, bool]:
    """Become a part of Sphinx."""
    app.connect("source-read", _read)
    app.connect("env-get-outdated", _outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
