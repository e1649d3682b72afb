"""The HTTP API and the settings of 1.0.0 stay as they are (docs/upgrade.md); what comes to them is free.

`promised.json` is written for each minor release: WRITE_PROMISES=1 adds what is new, where nothing is broken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.gateway import docs
from services.configuration import SETTINGS

PROMISED = Path(__file__).parent / "promised.json"
REQUIRED = ", required"
Json = dict[str, Any]


def api() -> dict[str, str]:
    """A line for each field of a request or an answer, with its type; in a request also whether it must be there."""
    document = docs.document()
    schemas = document["components"]["schemas"]
    found: dict[str, str] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            found[name] = "operation"
            for parameter in operation.get("parameters", []):
                where = f"{name} {parameter['in']} {parameter['name']}"
                found[where] = _type(parameter["schema"], schemas) + _must(parameter.get("required", False))
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                for field, what, required in _fields(content["schema"], schemas):
                    found[f"{name} takes {kind} {field}"] = what + _must(required)
            for status, answer in operation["responses"].items():
                # Errors have one form for all routes, with a test of its own (docs/api-errors.md).
                if status.startswith("2"):
                    found[f"{name} answers {status}"] = "status"
                    for content in answer.get("content", {}).values():
                        fields = _fields(content["schema"], schemas) if "schema" in content else ()
                        found |= {f"{name} answers {status} {field}": what for field, what, _ in fields}
    return found


def settings() -> dict[str, list[str]]:
    return {service: sorted(name.upper() for name in kind.model_fields) for service, kind in SETTINGS.items()}


def _fields(schema: Json, schemas: Json, before: str = "", depth: int = 4) -> Iterator[tuple[str, str, bool]]:
    schema = _resolved(schema, schemas)
    for option in schema.get("anyOf", []) + schema.get("oneOf", []):
        yield from _fields(option, schemas, before, depth)
    if items := schema.get("items"):
        yield from _fields(items, schemas, f"{before}[]", depth)
    for name, field in schema.get("properties", {}).items():
        yield f"{before}.{name}", _type(field, schemas), name in schema.get("required", [])
        if depth:
            yield from _fields(field, schemas, f"{before}.{name}", depth - 1)


def _type(schema: Json, schemas: Json) -> str:
    schema = _resolved(schema, schemas)
    options = schema.get("anyOf", []) + schema.get("oneOf", [])
    if options:
        return "|".join(sorted({_type(option, schemas) for option in options}))
    return str(schema.get("format") or schema.get("type") or "any")


def _resolved(schema: Json, schemas: Json) -> Json:
    reference = schema.get("$ref")
    return schemas[reference.rpartition("/")[2]] if reference else schema


def _must(required: bool) -> str:
    return REQUIRED if required else ""


def broken(promised: dict[str, str], now: dict[str, str]) -> list[str]:
    """The promises that `now` does not keep, and what it asks for that nobody had to send."""
    return [said for name in promised.keys() | now.keys() if (said := _breach(name, promised, now))]


def _breach(name: str, promised: dict[str, str], now: dict[str, str]) -> str | None:
    was, is_now = promised.get(name), now.get(name)
    if is_now is None:
        return f"{name} is gone"
    if is_now.endswith(REQUIRED) and not (was or "").endswith(REQUIRED) and " ".join(name.split()[:2]) in promised:
        return f"{name} is required now"
    if was is not None and was.removesuffix(REQUIRED) != is_now.removesuffix(REQUIRED):
        return f"{name} was {was}, and is {is_now}"
    return None


@pytest.fixture(scope="module")
def promised() -> Json:
    if os.environ.get("WRITE_PROMISES"):
        kept: Json = json.loads(PROMISED.read_text()) if PROMISED.exists() else {"api": {}, "settings": {}}
        assert broken(kept["api"], api()) == []
        PROMISED.write_text(json.dumps({"api": api(), "settings": settings()}, indent=0, sort_keys=True) + "\n")
    loaded: Json = json.loads(PROMISED.read_text())
    return loaded


def test_the_api_keeps_what_it_has_promised(promised: Json) -> None:
    assert len(promised["api"]) > 500
    assert broken(promised["api"], api()) == []


def test_no_setting_disappears(promised: Json) -> None:
    now = settings()
    assert {service: set(names) - set(now.get(service, [])) for service, names in promised["settings"].items()} == {
        service: set() for service in promised["settings"]
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"POST /a": None}, ["POST /a is gone"]),
        ({"POST /a answers 200 .id": "integer"}, ["POST /a answers 200 .id was string, and is integer"]),
        ({"POST /a takes .name": "string, required"}, ["POST /a takes .name is required now"]),
        ({"POST /a takes .new": "string, required"}, ["POST /a takes .new is required now"]),
        ({"POST /a takes .new": "string", "GET /b": "operation", "GET /b query q": "string, required"}, []),
    ],
)
def test_a_broken_promise_is_found(change: dict[str, str | None], says: list[str]) -> None:
    was = {"POST /a": "operation", "POST /a answers 200 .id": "string", "POST /a takes .name": "string"}
    now = {name: what for name, what in {**was, **change}.items() if what is not None}
    assert broken(was, now) == says
