"""Renders an OpenAPI 3.1 document as one page for people, without scripts."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.template import Tag, flattenString, tags

JSON = dict[str, Any]

HOST = "http://localhost:8080"
"""In the examples: the server's own machine."""


def docs_page(document: JSON) -> bytes:
    """Render a document; it is trusted, but all of it is escaped."""
    page = tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.title(f"{document['info']['title']} API"),
            tags.link(rel="icon", href="../static/icon.svg"),
            tags.link(rel="stylesheet", href="../static/docs.css"),
        ),
        tags.body(_sidebar(document), Tag("main")(_introduction(document), *_sections(document))),
        lang="en",
    )
    rendered: Deferred[bytes] = flattenString(None, page)
    bodies: list[bytes] = []
    rendered.addCallback(bodies.append)  # at once: nothing in the page is a Deferred
    return b"<!doctype html>\n" + bodies[0] + b"\n"


def _operations(document: JSON, tag: str) -> Iterator[tuple[str, str, JSON]]:
    """Give method, address and description of every operation with a tag."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield method.upper(), path, operation


def _sidebar(document: JSON) -> Tag:
    groups = []
    for tag in document["tags"]:
        links = [
            tags.li(tags.a(_method(method), " ", operation["summary"], href=f"#{_id(operation)}"))
            for method, _, operation in _operations(document, tag["name"])
        ]
        groups += [tags.h2(tag["name"]), tags.ul(*links)]
    groups += [tags.h2("Values"), tags.ul(tags.li(tags.a("Schemas", href="#schemas")))]
    info = document["info"]
    title = tags.p(tags.b(info["title"]), f" API {info['version']}", class_="title")
    return tags.nav(title, *groups)


def _introduction(document: JSON) -> Tag:
    info = document["info"]
    return tags.header(
        tags.h1(f"{info['title']} HTTP API"),
        tags.p(info["summary"], class_="summary"),
        *_paragraphs(info["description"]),
        tags.p("The same for programs: ", tags.a("openapi.json", href="openapi.json")),
    )


def _sections(document: JSON) -> Iterator[Tag]:
    for tag in document["tags"]:
        operations = [_operation(document, *found) for found in _operations(document, tag["name"])]
        yield tags.section(tags.h2(tag["name"]), *_paragraphs(tag["description"]), *operations)
    schemas = document["components"]["schemas"].items()
    values = [_value(document, name, schema) for name, schema in schemas]
    yield tags.section(tags.h2("Schemas"), *values, id="schemas")


def _operation(document: JSON, method: str, path: str, operation: JSON) -> Tag:
    scopes = [scope for way in operation.get("security", ()) for scope in way.get("apiKey", ())]
    parts = [
        tags.h3(_method(method), " ", tags.code(path)),
        tags.p(operation["summary"], class_="summary"),
        *_paragraphs(operation["description"]),
    ]
    if scopes:
        chips = [tags.span(scope, class_="chip") for scope in scopes]
        parts.append(tags.p("Scope: ", *_joined(chips, " or "), class_="scope"))
    parameters = [_resolved(document, p) for p in operation.get("parameters", ())]
    if parameters:
        rows = [_parameter(document, parameter) for parameter in parameters]
        parts += [tags.h4("Parameters"), tags.table(*rows)]
    parts += [tags.h4("Example"), _pre(_curl(method, path, parameters, operation))]
    if "requestBody" in operation:
        ((_, media),) = operation["requestBody"]["content"].items()
        fields = _fields(document, _resolved(document, media["schema"]))
        parts += [tags.h4("Body: ", _type(document, media["schema"])), tags.table(*fields)]
    parts.append(tags.h4("Answers"))
    for code, answer in operation["responses"].items():
        parts.append(_answer(document, code, _resolved(document, answer)))
    return tags.article(*parts, id=_id(operation))


def _parameter(document: JSON, parameter: JSON) -> Tag:
    needed = "required" if parameter.get("required") else "optional"
    return tags.tr(
        tags.th(tags.code(parameter["name"]), scope="row"),
        tags.td(tags.span(f"{parameter['in']}, {needed}", class_="soft")),
        tags.td(*_words(parameter["description"])),
    )


def _answer(document: JSON, code: str, answer: JSON) -> Tag:
    content = answer.get("content", {})
    kinds = [tags.code(kind) for kind in content]
    types = [_type(document, media["schema"]) for media in content.values()]
    is_json = "application/json" in content
    line = [tags.b(code, class_=f"code c{code[0]}"), " ", *_words(answer["description"]), " "]
    body = types[:1] if is_json else _joined(kinds, ", ")
    examples = [_example(media) for media in content.values() if "example" in media]
    if not examples:
        return tags.p(*line, *body, class_="answer")
    # no link in the summary, which is a button itself
    return tags.details(tags.summary(*line), tags.p(*body), *examples, class_="answer")


def _value(document: JSON, name: str, schema: JSON) -> Tag:
    parts = [tags.h3(tags.code(name))]
    if "properties" not in schema:
        parts.append(tags.p(_type(document, schema), class_="soft"))
    parts += _paragraphs(schema.get("description", ""))
    if "properties" in schema:
        parts.append(tags.table(*_fields(document, schema)))
    return tags.article(*parts, id=f"schema-{name}")


def _fields(document: JSON, schema: JSON, prefix: str = "") -> Iterator[Tag]:
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        always = "" if name in required else ", optional"
        yield tags.tr(
            tags.th(tags.code(prefix + name), scope="row"),
            tags.td(_type(document, field), tags.span(always, class_="soft")),
            tags.td(*_words(field.get("description", ""))),
        )
        if "properties" in field:
            yield from _fields(document, field, f"{prefix}{name}.")


def _type(document: JSON, schema: JSON) -> Tag:
    """Name a schema, with links to those that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return tags.a(name, href=f"#schema-{name}")
    if "oneOf" in schema:
        return tags.span(*_joined([_type(document, one) for one in schema["oneOf"]], " or "))
    if "const" in schema:
        return tags.code(json.dumps(schema["const"]))
    if "enum" in schema:
        return tags.span(*_joined([tags.code(one) for one in schema["enum"]], ", "))
    kind = schema["type"]
    if kind == "array":
        return tags.span("list of ", _type(document, schema["items"]))
    names = [kind] if isinstance(kind, str) else kind
    extra = {"date-time": " (RFC 3339)"}.get(schema.get("format", ""), "")
    return tags.span(" or ".join(names) + extra)


def _curl(method: str, path: str, parameters: list[JSON], operation: JSON) -> str:
    """Give the line that makes the call, from the server's own machine."""
    query = []
    for parameter in parameters:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
        elif parameter["in"] == "query" and parameter.get("required"):
            query.append(f"{parameter['name']}={parameter['example']}")
    address = HOST + path + ("?" + "&".join(query) if query else "")
    words = ["curl"]
    if "text/event-stream" in str(operation["responses"]["200"]):
        words.append("-N")
    if method != "GET":
        words += ["-X", method]
    words.append(f"'{address}'" if query else address)
    if "requestBody" in operation:
        media = operation["requestBody"]["content"]["application/json"]
        words.append("-H 'Content-Type: application/json'")
        words.append(f"-d '{json.dumps(media['example'])}'")
    return " ".join(words).replace(" -H", " \\\n  -H").replace(" -d", " \\\n  -d")


def _example(media: JSON) -> Tag:
    example = media["example"]
    text = example if isinstance(example, str) else json.dumps(example, indent=2)
    return _pre(text)


def _pre(text: str) -> Tag:
    """Set lines as they are; by keyboard, too, they can be moved to where they end."""
    return tags.pre(text, tabindex="0")


def _resolved(document: JSON, value: Mapping[str, Any]) -> JSON:
    """Follow a reference to a component."""
    if "$ref" not in value:
        return dict(value)
    found: Any = document
    for name in value["$ref"].split("/")[1:]:
        found = found[name]
    return dict(found)


def _paragraphs(text: str) -> list[Tag]:
    return [tags.p(*_words(part)) for part in text.split("\n\n") if part]


def _words(text: str) -> list[Tag | str]:
    """Set what stands between backticks as code."""
    parts = text.split("`")
    return [tags.code(part) if k % 2 else part for k, part in enumerate(parts) if part]


def _joined(parts: list[Tag], separator: str) -> list[Tag | str]:
    joined: list[Tag | str] = []
    for part in parts:
        joined += [separator, part] if joined else [part]
    return joined


def _method(method: str) -> Tag:
    return tags.span(method, class_=f"method {method.lower()}")


def _id(operation: JSON) -> str:
    return str(operation["operationId"])
