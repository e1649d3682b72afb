"""The public events as lines that are compared: what a consumer was promised, and what it would get now.

    python -m tests.contracts.event_promises   # `make check` runs it: is a promise broken?

A break passes only when the changelog says **Breaking** in its part that is not released yet. `promised_events.json`
stays as it was until the release, so every check before it names the break again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.messaging import asyncapi
from shared.version import VERSION

PROMISED = Path(__file__).parent / "promised_events.json"
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
ALWAYS = ", always"
Json = dict[str, Any]


def lines(document: Json) -> dict[str, str]:
    """A line for each public event, and for each of its headers and fields with its type, and its words."""
    found: dict[str, str] = {}
    parts = document["components"]
    for address, channel in document["channels"].items():
        if any(tag["name"] == "public" for tag in channel["tags"]):
            found[address] = channel["bindings"]["amqp"]["exchange"]["name"]
            for name in channel["messages"]:
                found |= _fields(f"{address} header", parts["messages"][name]["headers"])
                found |= _fields(address, parts["schemas"][name])
    return found


def _fields(before: str, schema: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, field in schema["properties"].items():
        found[f"{before} {name}"] = _type(field) + (ALWAYS if name in schema["required"] else "")
        found |= {f"{before} {name} = {word}": "word" for word in _words(field)}
    return found


def _type(field: Json) -> str:
    if "anyOf" in field:
        return "|".join(sorted(map(_type, field["anyOf"])))
    if "items" in field:
        return f"list of {_type(field['items'])}"
    return str(field.get("format") or field["type"])


def _words(field: Json) -> Iterator[str]:
    for option in field.get("anyOf", [field]):
        yield from option.get("x-extensible-enum", [option["const"]] if "const" in option else [])


def broken(promised: dict[str, str], now: dict[str, str]) -> list[str]:
    return [said for name, was in sorted(promised.items()) if (said := _breach(name, was, now.get(name)))]


def _breach(name: str, was: str, now: str | None) -> str | None:
    if now is None:
        return f"{name} is gone"
    if was.endswith(ALWAYS) and not now.endswith(ALWAYS):
        return f"{name} may be absent now"
    before, after = (set(line.removesuffix(ALWAYS).split("|")) for line in (was, now))
    return None if after <= before else f"{name} was {was}, and is {now}"


def says_breaking(changelog: str) -> bool:
    """Whether the part that is not released yet says so. Text of a release that is out counts for nothing."""
    unreleased = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE)
    return unreleased is not None and "**Breaking" in unreleased[1]


def check(promised: dict[str, str], now: dict[str, str], changelog: str) -> list[str]:
    """The breaks that keep a change from passing."""
    return [] if says_breaking(changelog) else broken(promised, now)


def main() -> int:
    breaks = check(json.loads(PROMISED.read_text()), lines(asyncapi.document(VERSION)), CHANGELOG.read_text())
    for said in breaks:
        sys.stderr.write(f"{said}\n")
    if breaks:
        sys.stderr.write(
            "These break consumers of public events (docs/upgrade.md). Publish a new type with the next number instead;"
            " or, for a new major version, add a line with **Breaking** to CHANGELOG.md under Unreleased.\n"
        )
    return int(bool(breaks))


if __name__ == "__main__":
    sys.exit(main())
