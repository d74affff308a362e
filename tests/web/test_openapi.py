"""The OpenAPI document and the page made from it, against the code."""

import re
from html.parser import HTMLParser
from typing import Any

from openapi_spec_validator import validate

from rapidrtmp import __version__
from rapidrtmp.stream.diagnosis_rules import RULES
from rapidrtmp.stream.events import NAMES
from rapidrtmp.web.api import API
from rapidrtmp.web.json_request import BadRequest, stream_key
from tests.web.api_case import ADMIN, KEYS, PUBLISH, READ, APITestCase
from tests.web.fakes import FakeManager

PLAIN = {"/api/openapi.json", "/api/docs"}
"""Documented addresses below /api that are no Klein routes."""

PARAMETERS = {"key": "streamKey", "token_id": "id", "relay_id": "id"}


class DocumentTests(APITestCase):
    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return method, path and description of everything that is documented."""
        return [
            (method.upper(), path, operation)
            for path, methods in self.document.document["paths"].items()
            for method, operation in methods.items()
        ]

    def test_valid(self) -> None:
        """The document is what OpenAPI 3.1 allows."""
        validate(self.document.document)

    def test_routes(self) -> None:
        """What is documented is what is there, and the other way round."""
        documented = {
            (method, path)
            for method, path, _ in self.operations()
            if path.startswith("/api") and path not in PLAIN
        }
        there = {
            (method, "/api" + re.sub(r"<(\w+)>", lambda part: f"{{{PARAMETERS[part[1]]}}}", rule))
            for route in API.app.url_map.iter_rules()
            for rule in [route.rule]
            for method in (route.methods or set()) - {"HEAD"}
        }
        self.assertEqual(documented, there)

    def test_examples(self) -> None:
        """Every example fits its schema."""
        for method, path, operation in self.operations():
            media = list(operation.get("requestBody", {}).get("content", {}).values())
            for answer in operation["responses"].values():
                media += self.document.resolve(answer).get("content", {}).values()
            for one in media:
                if "example" in one:
                    problems = self.document.errors(one["schema"], one["example"])
                    self.assertEqual(problems, [], f"{method} {path}")
            for parameter in operation.get("parameters", ()):
                found = self.document.resolve(parameter)
                self.assertEqual(self.document.errors(found["schema"], found["example"]), [])

    def test_whole(self) -> None:
        """Each operation has a name of its own, words, a known tag, and says 405."""
        tags = {tag["name"] for tag in self.document.document["tags"]}
        names = [operation["operationId"] for _, _, operation in self.operations()]
        self.assertEqual(len(names), len(set(names)))
        for _, path, operation in self.operations():
            self.assertTrue(operation["summary"] and operation["description"], path)
            self.assertLessEqual(set(operation["tags"]), tags)
            self.assertIn("405", operation["responses"], path)

    def test_every_component(self) -> None:
        """Every component is used, and every reference leads somewhere."""
        text = str(self.document.document)
        for group, components in self.document.document["components"].items():
            for name in components:
                if group != "securitySchemes" and name != "StreamEvent":
                    self.assertIn(f"'#/components/{group}/{name}'", text)

    def test_stream_keys(self) -> None:
        """The pattern of stream keys is the code's."""
        schema = self.document.document["components"]["schemas"]["StreamKey"]
        for key in ("a", "A-z_9", "k" * 128, "", "k" * 129, "a b", "a/b", "é", "a."):
            try:
                stream_key({"streamKey": key})
                is_key = True
            except BadRequest:
                is_key = False
            self.assertEqual(self.document.errors(schema, key) == [], is_key, key)

    def test_event_names(self) -> None:
        """The kinds of events are the code's."""
        schemas = self.document.document["components"]["schemas"]
        self.assertEqual(schemas["StreamEvent"]["properties"]["event"]["enum"], list(NAMES))

    def test_diagnoses(self) -> None:
        """The kinds of diagnoses are the code's."""
        schemas = self.document.document["components"]["schemas"]
        self.assertEqual(schemas["Diagnosis"]["properties"]["id"]["enum"], list(RULES))

    def test_scopes(self) -> None:
        """Each route takes the keys of the scopes that are documented, and of admin, alone."""
        self.stored_tokens()
        self.manager = FakeManager()
        self.keys.replace(KEYS)
        self.make()
        keys = {"admin": ADMIN, "read": READ, "publish": PUBLISH}
        for method, path, operation in self.operations():
            if not path.startswith("/api/v1"):
                continue
            scopes = {s for way in operation["security"] for s in way.get("apiKey", ())}
            address = path.format(streamKey="nothing", id="0" * 16)
            asked = "HEAD" if method == "GET" else method  # the feed does not end
            allowed = self.allowed(asked, address, keys.values())
            expected = {keys[scope] for scope in scopes | {"admin"}}
            self.assertEqual(allowed, expected, f"{method} {path}")


class PageTests(APITestCase):
    def test_document(self) -> None:
        """The document is served to anybody, with the version in it, and is revalidated."""
        response = self.ask("GET", "/api/openapi.json", peer="192.0.2.1", host="live.example")
        self.assertEqual(response.json()["info"]["version"], __version__)
        self.assertEqual(response.headers["access-control-allow-origin"], "*")
        again = self.ask("GET", "/api/openapi.json", ("If-None-Match", response.headers["etag"]))
        self.assertEqual((again.code, again.body), (304, b""))
        self.assertEqual(self.ask("HEAD", "/api/openapi.json").body, b"")
        self.assertEqual(self.ask("POST", "/api/openapi.json").code, 405)
        self.assertEqual(self.ask("OPTIONS", "/api/docs").code, 204)
        self.assertEqual(self.ask("GET", "/api/docs/").code, 404)

    def test_spellings(self) -> None:
        """However an address is spelled, it is one route: nobody can invent series."""
        for path in ("/api/docs", "/api/%64ocs", "/%61pi/d%6fcs"):
            self.assertEqual(self.ask("GET", path).code, 200)
        routes = {route for _, route, _ in self.site.counters.requests}
        self.assertEqual(routes, {"/api/docs"})

    def test_page(self) -> None:
        """The page has every operation and every schema, and links that lead there."""
        response = self.ask("GET", "/api/docs", peer="192.0.2.1")
        page = Page(response.body.decode())
        names = {
            operation["operationId"]
            for methods in self.document.document["paths"].values()
            for operation in methods.values()
        }
        names |= {f"schema-{name}" for name in self.document.document["components"]["schemas"]}
        self.assertEqual(page.ids, names | {"schemas"})
        inside = {link[1:] for link in page.links if link.startswith("#")}
        self.assertLessEqual(inside, page.ids)
        self.assertEqual(
            {link for link in page.links if not link.startswith("#")},
            {"openapi.json", "../static/docs.css", "../static/icon.svg"},
        )
        self.assertIn("'http://localhost:8080/api/v1/tokens?streamKey=show'", page.text)
        self.assertIn("curl -N http://localhost:8080/api/v1/events", page.text)

    def test_policy(self) -> None:
        """Nothing can run in the page, and nothing be fetched from elsewhere."""
        response = self.ask("GET", "/api/docs")
        policy = response.headers["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("script-src", policy)
        self.assertNotIn("unsafe", policy)
        self.assertNotIn("http", policy)
        self.assertNotIn(b"<script", response.body)


class Page(HTMLParser):
    """What is in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids and addresses."""
        for name, value in attrs:
            if name == "id" and value:
                assert value not in self.ids, value
                self.ids.add(value)
            if name in ("href", "src") and value:
                self.links.add(value)

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data
