"""docs/api.md: the OpenAPI document for people. `make openapi` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

_METHODS: Final = ("get", "post", "put", "patch", "delete")
# Any route may answer these; the page says so once.
_OF_ALL: Final = {"bad_request", "413", "422", "431", "500", "503"}

_HEAD: Final = """\
# The API

Generated from [`openapi.json`](openapi.json), which a running installation serves as `/openapi.json`, with a page to
try it at `/docs`. In curl: [api-by-hand.md](api-by-hand.md). What each refusal says: [api-errors.md](api-errors.md).
There is a Postman collection with tests,
[Login2FA.postman_collection.json](Login2FA.postman_collection.json), and its
[environment](Login2FA.postman_environment.json); `make postman` runs it. Any route may answer 413, 422, 431, 500 and
503, and 400 `bad_request`.
"""


def page(document: dict[str, Any]) -> str:
    return "\n".join([_HEAD, *_Page(document).parts()]).rstrip() + "\n"


class _Page:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._schemas: dict[str, Any] = document["components"]["schemas"]
        self._told: dict[str, None] = {}

    def parts(self) -> Iterator[str]:
        introduction, _, rest = self._document["info"]["description"].partition("To try this on this page")
        yield introduction + rest.partition("\n\n")[2]
        for tag in self._document["tags"]:
            yield f"## {tag['name'].capitalize()}\n\n{tag['description']}.\n"
            for path, operations in self._document["paths"].items():
                for method in (each for each in _METHODS if each in operations):
                    if tag["name"] in operations[method]["tags"]:
                        yield from self._operation(f"{method.upper()} {path}", operations[method])
        yield "## Shapes\n"
        told: set[str] = set()
        while left := [name for name in self._told if name not in told]:  # an answer may hold another
            for name in left:
                told.add(name)
                yield f"### {name}\n"
                yield from _table("field", self._fields(self._schemas[name]))

    def _operation(self, route: str, operation: dict[str, Any]) -> Iterator[str]:
        yield f"### `{route}`\n\n{operation['summary']}.\n"
        if "description" in operation:
            yield operation["description"].strip() + "\n"
        for token in (name for each in operation.get("security", []) for name in each):
            yield f"Needs the `{token}` as bearer token.\n"
        sent = [
            self._row(each["name"], {**each["schema"], **each}, required=each.get("required", False))
            for each in operation.get("parameters", [])
            if each["in"] in ("query", "header")
        ]
        for schema in _bodies(operation.get("requestBody", {})):
            sent += self._fields(self._schemas[_name(schema)])
        yield from _table("send", sent)
        yield from self._answers(operation["responses"])

    def _answers(self, responses: dict[str, Any]) -> Iterator[str]:
        refusals = []
        for status, answer in responses.items():
            if status < "400":
                yield self._answer(status, answer)
                own = {name: each for name, each in answer.get("headers", {}).items() if "$ref" not in each}
                yield from _table("header", [f"| `{name}` | | {each['description']} |" for name, each in own.items()])
            elif status not in _OF_ALL:
                refusals += [f"{status} `{code}`" for code in self._codes(answer) if code not in _OF_ALL]
        if refusals:
            yield f"Refusals: {', '.join(refusals)}.\n"

    def _answer(self, status: str, answer: dict[str, Any]) -> str:
        said = answer["description"].strip().rstrip(".")
        meaning = "" if said == "Successful Response" else f": {said}"
        bodies = " or ".join(map(self._type, _bodies(answer)))
        return f"**{status}**{meaning}.{f' {bodies}.' if bodies else ''}\n"

    def _codes(self, answer: dict[str, Any]) -> Iterator[str]:
        for schema in _bodies(answer):
            for part in self._schemas[_name(schema)].get("allOf", []):
                yield from part.get("properties", {}).get("code", {}).get("enum", [])

    def _fields(self, schema: dict[str, Any]) -> list[str]:
        required = schema.get("required", ())
        fields = schema.get("properties", {})
        return [self._row(name, field, required=name in required) for name, field in fields.items()]

    def _row(self, name: str, schema: dict[str, Any], *, required: bool) -> str:
        default = f"; default `{json.dumps(schema['default'])}`" if schema.get("default") is not None else ""
        meaning = schema.get("description", "").replace("\n", " ").replace("|", "\\|")
        return f"| `{name}`{'' if required else ' (optional)'} | {self._type(schema)}{default} | {meaning} |"

    def _type(self, schema: dict[str, Any]) -> str:
        if "$ref" in schema:
            name = _name(schema)
            self._told[name] = None
            return f"[{name}](#{name.lower()})"
        if "anyOf" in schema:
            return " or ".join(dict.fromkeys(map(self._type, schema["anyOf"])))
        if "const" in schema:
            return f"`{json.dumps(schema['const'])}`"
        if "enum" in schema:
            return ", ".join(f"`{each}`" for each in schema["enum"])
        if schema.get("type") == "array":
            return f"list of {self._type(schema['items'])}"
        return str(schema.get("format") or schema.get("type", "any"))


def _table(head: str, rows: list[str]) -> Iterator[str]:
    if rows:
        yield "\n".join([f"| {head} | | |", "| --- | --- | --- |", *rows]) + "\n"


def _bodies(of: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for content in of.get("content", {}).values():
        yield from content["schema"].get("oneOf", [content["schema"]])


def _name(schema: dict[str, Any]) -> str:
    return str(schema["$ref"].rpartition("/")[2])
