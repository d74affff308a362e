"""Judges answers by the server's own OpenAPI document."""

import json
import re
from typing import Any
from urllib.parse import unquote

from jsonschema import (  # type: ignore[import-untyped]  # it has no annotations
    Draft202012Validator,
    FormatChecker,
)

from rapidrtmp.web.api_pages import load_document

JSON = "application/json"
UNDOCUMENTED = {400, 401, 403, 404, 405, 429, 500}
"""What may be answered where nothing is documented, or to another method."""


class Document:
    """The document, and what follows from it for an answer."""

    def __init__(self) -> None:
        self.document = load_document()
        self._patterns = [
            (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path)
            for path in self.document["paths"]
        ]

    def path(self, address: str) -> str | None:
        """Find the documented path of an address; plain ones win over those with parameters."""
        plain = unquote(address.partition("?")[0])
        if plain.startswith(("/api/v1/", "/api/ping")):
            plain = plain.rstrip("/")  # Klein's routes answer either way
        found = [path for pattern, path in self._patterns if pattern.fullmatch(plain)]
        return min(found, key=lambda path: path.count("{"), default=None)

    def resolve(self, value: dict[str, Any]) -> dict[str, Any]:
        """Follow a reference."""
        found: Any = value
        if "$ref" in value:
            found = self.document
            for name in value["$ref"].split("/")[1:]:
                found = found[name]
        return dict(found)

    def errors(self, schema: dict[str, Any], value: object) -> list[str]:
        """Return why a value does not fit a schema."""
        whole = {**schema, "components": self.document["components"]}
        validator = Draft202012Validator(whole, format_checker=FormatChecker())
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def problems(
        self, method: str, address: str, code: int, content_type: str, body: bytes
    ) -> list[str]:
        """Return what is wrong with an answer.

        Args:
            method: of the request.
            address: path and query of the request.
            code: status code of the answer.
            content_type: of the answer, '' for none.
            body: of the answer.
        """
        path = self.path(address)
        methods = self.document["paths"][path] if path else {}
        operation = methods.get("get" if method == "HEAD" else method.lower())
        kind = content_type.partition(";")[0]
        if operation is None or code == 500:  # a fault of ours, of which nothing is promised
            if code not in UNDOCUMENTED and not (method == "OPTIONS" and code == 204):
                return [f"{code} is documented nowhere"]
            schema = self.document["components"]["schemas"]["Error"]
            return self.errors(schema, json.loads(body)) if kind == JSON and body else []
        answer = operation["responses"].get(str(code))
        if answer is None:
            return [f"{code} is not documented for {method} {path}"]
        content = self.resolve(answer).get("content", {})
        if code == 304:
            return []
        if kind not in content:
            return [f"{kind} is not documented for {code} of {method} {path}"]
        if kind != JSON or method == "HEAD":
            return []
        return self.errors(content[kind]["schema"], json.loads(body))
