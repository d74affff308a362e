"""The API's own description: ``/api/openapi.json`` and the page ``/api/docs``. Open to all."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource

from rapidrtmp import __version__
from rapidrtmp.interfaces import Representation
from rapidrtmp.web.docs_page import docs_page
from rapidrtmp.web.player import CONTENT_TYPES, static_file
from rapidrtmp.web.representation import respond
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import JSON, open_read

DOCS_HEADERS = {
    b"Content-Security-Policy": (
        b"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'"
    ),
    b"Referrer-Policy": b"no-referrer",
}
"""The page has no script at all."""


class PageResource(Resource):
    """One text that changes with the server's version only."""

    isLeaf = True

    def __init__(
        self,
        route: str,
        page: Representation,
        headers: Mapping[bytes, bytes],
        clock: IReactorTime,
    ) -> None:
        super().__init__()
        self._route = route
        self._page = page
        self._headers = headers
        self._clock = clock

    def render(self, request: Request) -> bytes | int:
        """Answer with the text."""
        request.route = self._route
        answer = open_read(request)
        if answer is not None:
            return answer
        for name, value in self._headers.items():
            request.setHeader(name, value)
        return respond(request, self._page, self._clock)


def load_document() -> dict[str, Any]:
    """Read the OpenAPI document of this version."""
    text = (files("rapidrtmp.web") / "openapi.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    document["info"]["version"] = __version__
    return document


@cache
def _texts() -> tuple[Representation, Representation]:
    """Make the document and the page, once."""
    document = load_document()
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    description = static_file(body, JSON.decode("ascii"))
    return description, static_file(docs_page(document), CONTENT_TYPES[".html"])


def open_pages(clock: IReactorTime) -> dict[bytes, PageResource]:
    """Make the resources of the two, by their names below ``/api``.

    Args:
        clock: times slow readers out.
    """
    description, page = _texts()
    return {
        b"openapi.json": PageResource("/api/openapi.json", description, {}, clock),
        b"docs": PageResource("/api/docs", page, DOCS_HEADERS, clock),
    }
