"""Schemas in a form that generators of clients cope with: named bodies, and alternatives that exclude each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]


def name_bodies(operations: Iterable[Json]) -> Json:
    """Moves each body that stands in its operation to the schemas, under its title. Returns the schemas."""
    named: Json = {}
    for operation in operations:
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if name := content["schema"].get("title"):
                named[name] = content["schema"]
                content["schema"] = {"$ref": f"#/components/schemas/{name}"}
    return named


def exclude(operations: Iterable[Json], schemas: Json) -> None:
    """Says `oneOf` instead of `anyOf` where a field that all alternatives have, a constant, tells them apart."""
    for operation in operations:
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                schema = content.get("schema", {})
                if "anyOf" in schema and _told_apart([_resolved(each, schemas) for each in schema["anyOf"]]):
                    schema["oneOf"] = schema.pop("anyOf")


def _told_apart(alternatives: list[Json]) -> bool:
    common = set.intersection(*(set(each.get("required", ())) for each in alternatives))
    for field in common:
        constants = [each["properties"][field].get("const") for each in alternatives]
        if None not in constants and len(set(constants)) == len(constants):
            return True
    return False


def _resolved(schema: Json, schemas: Json) -> Json:
    reference = schema.get("$ref")
    resolved: Json = schemas[reference.rpartition("/")[2]] if reference else schema
    return resolved
