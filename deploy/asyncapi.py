"""`make asyncapi` writes docs/asyncapi.json and the tables of docs/events.md: a review sees what a change does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.messaging import asyncapi
from shared.messaging.event_types import EVENTS
from shared.messaging.topology import SUBSCRIPTIONS, events_exchange, process_of
from shared.version import VERSION

DOCS = Path(__file__).parents[1] / "docs"
FROZEN = DOCS / "asyncapi.json"
PAGE = DOCS / "events.md"


def text() -> str:
    return json.dumps(asyncapi.document(VERSION), indent=1, ensure_ascii=False) + "\n"


def page(before: str) -> str:
    """`before` with new tables between its marks."""
    for name, lines in (("public", _public()), ("internal", _internal())):
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        head, _, rest = before.partition(begin)
        before = head + begin + "\n".join(lines) + "\n" + end + rest.partition(end)[2]
    return before


def _public() -> Iterator[str]:
    for kind in sorted(EVENTS.values(), key=lambda each: each.type):
        if not asyncapi.is_public(kind):
            continue
        made = asyncapi.schema(kind)
        yield f"### `{kind.type}`\n"
        yield f"On the exchange `{events_exchange(process_of(kind.type))}`. {asyncapi.summary(kind)}\n"
        yield "| field | type | |"
        yield "| --- | --- | --- |"
        for name, field in made["properties"].items():
            yield f"| `{name}` | {_type(field)} | {field.get('description', '')} |"
        yield ""


def _internal() -> Iterator[str]:
    yield "| event | consumer |"
    yield "| --- | --- |"
    for kind in sorted(EVENTS.values(), key=lambda each: each.type):
        if not asyncapi.is_public(kind):
            readers = {each.consumer for each in SUBSCRIPTIONS if kind.type in each.routing_keys}
            yield f"| `{kind.type}` | {', '.join(sorted(readers))} |"


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    if "const" in field:
        return f"`{field['const']}`"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    return str(field.get("format") or ("word" if "x-extensible-enum" in field else field["type"]))


if __name__ == "__main__":
    FROZEN.write_text(text())
    PAGE.write_text(page(PAGE.read_text()))
