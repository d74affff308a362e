"""Writes an OpenAPI 3.1 document as Markdown: what ``/api/docs`` shows, without its examples."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

JSON = Mapping[str, Any]


def markdown(document: JSON) -> str:
    """Return the operations by their tags, then the schemas."""
    lines = []
    for tag in document["tags"]:
        lines += [f"## {tag['name']}", "", tag["description"], ""]
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    lines += _operation(document, f"{method.upper()} {path}", operation)
    lines += ["## Schemas", ""]
    for name, schema in document["components"]["schemas"].items():
        lines += _schema(document, name, schema)
    return "\n".join(lines)


def _operation(document: JSON, title: str, operation: JSON) -> Iterator[str]:
    scopes = [scope for way in operation.get("security", ()) for scope in way.get("apiKey", ())]
    yield from (f"### `{title}`", "", f"**{operation['summary']}.**", "")
    yield from (operation["description"], "")
    if scopes:
        yield from (f"Scope: {' or '.join(f'`{scope}`' for scope in scopes)}.", "")
    parameters = [_resolved(document, each) for each in operation.get("parameters", ())]
    if parameters:
        yield from ("| parameter | in | |", "|---|---|---|")
        for each in parameters:
            need = "" if each.get("required") else ", optional"
            yield f"| `{each['name']}` | {each['in']}{need} | {_cell(each['description'])} |"
        yield ""
    if "requestBody" in operation:
        for kind, media in operation["requestBody"]["content"].items():
            yield from (f"Body: `{kind}`, {_type(media['schema'])}.", "")
    yield from ("| answer | | |", "|---|---|---|")
    for code, answer in operation["responses"].items():
        found = _resolved(document, answer)
        content = found.get("content", {})
        types = ", ".join(
            _type(media["schema"]) if kind == "application/json" else f"`{kind}`"
            for kind, media in content.items()
        )
        yield f"| `{code}` | {_cell(found['description'])} | {types} |"
    yield ""


def _schema(document: JSON, name: str, schema: JSON) -> Iterator[str]:
    yield from (f"### `{name}`", "")
    if "description" in schema:
        yield from (schema["description"], "")
    if "properties" in schema:
        yield from ("| field | | |", "|---|---|---|")
        yield from _fields(schema, "")
    else:
        yield _type(schema)
    yield ""


def _fields(schema: JSON, prefix: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        need = "" if name in required else ", optional"
        words = _cell(field.get("description", ""))
        yield f"| `{prefix}{name}` | {_type(field)}{need} | {words} |"
        if "properties" in field:
            yield from _fields(field, f"{prefix}{name}.")


def _type(schema: JSON) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "oneOf" in schema:
        return " or ".join(map(_type, schema["oneOf"]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema["type"]
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    names = [kind] if isinstance(kind, str) else kind
    form = " (RFC 3339)" if schema.get("format") == "date-time" else ""
    return " or ".join(names) + form


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _resolved(document: JSON, value: JSON) -> JSON:
    """Follow a reference to a component."""
    if "$ref" not in value:
        return value
    found: Any = document
    for name in value["$ref"].split("/")[1:]:
        found = found[name]
    return dict(found)
