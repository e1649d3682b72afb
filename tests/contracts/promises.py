"""The API as lines that are compared: docs/upgrade.md says what may come to it within 1.x, and what may not.

    python -m tests.contracts.promises   # `make check` runs it: is a promise broken?

A break passes only when the changelog says **Breaking** in its part that is not released yet. `promised.json` stays as
it was until the release, so every check before it names the break again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.gateway import docs

PROMISED = Path(__file__).parent / "promised.json"
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
REQUIRED = ", required"  # of an input
ALWAYS = ", always"  # of a field of an answer
_HAS_FORM = "x-also-as"  # kinds of body that the document has in words alone
Json = dict[str, Any]


def api(document: Json) -> dict[str, str]:
    """A line for each input and each field of an answer, with its type, whether it must be there, and its values."""
    schemas = document["components"]["schemas"]
    found: dict[str, str] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            found[name] = "operation"
            for parameter in operation.get("parameters", []):
                where = f"{name} {parameter['in']} {parameter['name']}"
                found[where] = _type(parameter["schema"], schemas) + (REQUIRED if parameter.get("required") else "")
                found |= _values(where, parameter["schema"], schemas)
            body = operation.get("requestBody", {})
            for content in body.get("content", {}).values():
                for kind in (*body["content"], *body.get(_HAS_FORM, ())):
                    found |= _lines(f"{name} takes {kind} ", content["schema"], schemas, REQUIRED)
            for status, answer in operation["responses"].items():
                # Errors have one form for all routes, with a test of its own (docs/api-errors.md).
                if status.startswith("2"):
                    found[f"{name} answers {status}"] = "status"
                    for content in answer.get("content", {}).values():
                        found |= _lines(f"{name} answers {status} ", content.get("schema", {}), schemas, ALWAYS)
    return found


def _lines(before: str, schema: Json, schemas: Json, must: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, field, required in _fields(schema, schemas):
        everywhere = required and found.get(before + name, must).endswith(must)  # in each of several alternatives
        found[before + name] = _type(field, schemas) + (must if everywhere else "")
        found |= _values(before + name, field, schemas)
    return found


def _fields(schema: Json, schemas: Json, before: str = "", depth: int = 4) -> Iterator[tuple[str, Json, bool]]:
    schema = _resolved(schema, schemas)
    for option in _options(schema):
        yield from _fields(option, schemas, before, depth)
    if items := schema.get("items"):
        yield from _fields(items, schemas, f"{before}[]", depth)
    for name, field in schema.get("properties", {}).items():
        yield f"{before}.{name}", field, name in schema.get("required", [])
        if depth:
            yield from _fields(field, schemas, f"{before}.{name}", depth - 1)


def _type(schema: Json, schemas: Json) -> str:
    schema = _resolved(schema, schemas)
    if options := _options(schema):
        return "|".join(sorted({_type(option, schemas) for option in options}))
    return str(schema.get("format") or schema.get("type") or "any")


def _values(where: str, schema: Json, schemas: Json) -> dict[str, str]:
    """The values of an enum: one that disappears breaks those who send it or wait for it."""
    schema = _resolved(schema, schemas)
    found: dict[str, str] = {}
    for inner in (*_options(schema), *([schema["items"]] if "items" in schema else [])):
        found |= _values(where, inner, schemas)
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return found | {f"{where} = {json.dumps(value)}": "value" for value in values}


def _options(schema: Json) -> list[Json]:
    return [*schema.get("anyOf", []), *schema.get("oneOf", [])]


def _resolved(schema: Json, schemas: Json) -> Json:
    reference = schema.get("$ref")
    return schemas[reference.rpartition("/")[2]] if reference else schema


def broken(promised: dict[str, str], now: dict[str, str]) -> list[str]:
    """The promises that `now` does not keep, and what it asks for that nobody had to send."""
    return [said for name in sorted(promised.keys() | now.keys()) if (said := _breach(name, promised, now))]


def _breach(name: str, promised: dict[str, str], now: dict[str, str]) -> str | None:
    was, is_now = promised.get(name), now.get(name)
    if is_now is None:
        return f"{name} is gone"
    if is_now.endswith(REQUIRED) and not (was or "").endswith(REQUIRED) and " ".join(name.split()[:2]) in promised:
        return f"{name} is required now"
    if was is None:
        return None
    if was.endswith(ALWAYS) and not is_now.endswith(ALWAYS):
        return f"{name} may be absent now"
    before, after = _types(was), _types(is_now)
    if before != after and (" answers " in name or not before <= after):  # an input may take more than it did
        return f"{name} was {was}, and is {is_now}"
    return None


def _types(line: str) -> set[str]:
    return set(line.removesuffix(REQUIRED).removesuffix(ALWAYS).split("|"))


def says_breaking(changelog: str) -> bool:
    """Whether the part that is not released yet says so. Text of a release that is out counts for nothing."""
    unreleased = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE)
    return unreleased is not None and "**Breaking" in unreleased[1]


def check(promised: dict[str, str], now: dict[str, str], changelog: str) -> list[str]:
    """What keeps a change from passing."""
    return [] if says_breaking(changelog) else broken(promised, now)


def main() -> int:
    breaks = check(json.loads(PROMISED.read_text())["api"], api(docs.document()), CHANGELOG.read_text())
    for said in breaks:
        sys.stderr.write(f"{said}\n")
    if breaks:
        sys.stderr.write(
            "These break clients of the API (docs/upgrade.md). Undo them; or, for a new major version, add a line with"
            " **Breaking** to CHANGELOG.md under Unreleased.\n"
        )
    return int(bool(breaks))


if __name__ == "__main__":
    sys.exit(main())
