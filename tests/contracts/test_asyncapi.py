"""The contract of the events: docs/asyncapi.json is what the code publishes, valid, and breaks no consumer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deploy import asyncapi as frozen
from shared.messaging import asyncapi
from shared.messaging.event_types import EVENTS
from shared.messaging.topology import PUBLIC
from tests.contracts.event_promises import CHANGELOG, PROMISED, Json, check, lines
from tests.contracts.pinned_events import PINNED

PARSER = "@asyncapi/parser@3.6.6"
PARSE = """
const { Parser } = require("@asyncapi/parser");
const text = require("fs").readFileSync(process.argv[2], "utf8");
new Parser().parse(text).then(({ document, diagnostics }) => {
  console.log(JSON.stringify({ channels: document ? document.channels().length : 0, diagnostics }));
});
"""
BREAKING = "# Changelog\n\n## Unreleased\n\n- **Breaking**: `epoch` is gone.\n\n## 1.0.0\n\n- The first.\n"
QUIET = "# Changelog\n\n## Unreleased\n\n- Quicker.\n\n## 1.0.0\n\n- **Breaking**: of old.\n"


@pytest.fixture(scope="module")
def document() -> Json:
    return asyncapi.document("1")


def test_the_document_and_the_page_in_the_repository_are_those_of_the_code() -> None:
    assert frozen.FROZEN.read_text() == frozen.text(), "make asyncapi writes it"
    page = frozen.PAGE.read_text()
    assert page == frozen.page(page), "make asyncapi writes it"


def test_the_public_events_are_these_and_the_document_marks_each_event(document: Json) -> None:
    marks = {address: [tag["name"] for tag in each["tags"]] for address, each in document["channels"].items()}
    assert marks == {kind: ["public" if kind in PUBLIC else "internal"] for kind in EVENTS}
    assert set(PUBLIC) == {
        "auth.session_ended.v1", "auth.audit.v1", "users.audit.v1", "users.account_public.v1",
    }  # fmt: skip


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_what_is_published_fits_its_schema_with_every_field_and_every_moment_and_id(kind: str, document: Json) -> None:
    schema = document["components"]["schemas"][EVENTS[kind].__name__]
    fields = schema["properties"]
    bodies = [json.loads(body) for name, _, body in PINNED if name == kind]
    assert bodies
    for body in bodies:
        assert set(schema["required"]) == set(fields) == set(body)
        assert [name for name, value in body.items() if not fits(value, fields[name])] == []
    assert fields["event_id"]["format"] == "uuid"
    moments = {name for name in fields if name.endswith("_at") or name in ("until", "moment")}
    assert {fields[name]["format"] for name in moments} <= {"date-time"}


def fits(value: Any, schema: Json) -> bool:
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    if schema["type"] == "array":
        items = schema["items"]
        each = items if isinstance(items, list) else [items] * len(value)
        return isinstance(value, list) and all(map(fits, value, each))
    return _is(value, schema.get("format") or schema["type"]) and value == schema.get("const", value)


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "uuid":
            return isinstance(value, str) and str(UUID(value)) == value
        case "date-time":
            return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
        case _:
            types = {"string": str, "integer": int, "number": float, "boolean": bool, "null": type(None)}
            return type(value) is types[kind]


def test_public_events_name_no_person_and_carry_no_secret(document: Json) -> None:
    for kind in PUBLIC:
        fields = document["components"]["schemas"][EVENTS[kind].__name__]["properties"]
        assert not {"email", "username", "name", "lastname"} & fields.keys()
        assert not [name for name in fields if any(word in name for word in ("code", "password", "sealed", "token"))]


@pytest.fixture(scope="module")
def promised() -> dict[str, str]:
    now = lines(asyncapi.document("1"))
    if os.environ.get("WRITE_PROMISES"):
        assert check(json.loads(PROMISED.read_text()) if PROMISED.exists() else {}, now, CHANGELOG.read_text()) == []
        PROMISED.write_text(json.dumps(now, indent=0, sort_keys=True) + "\n")
    kept: dict[str, str] = json.loads(PROMISED.read_text())
    return kept


def test_public_events_keep_what_they_have_promised(promised: dict[str, str], document: Json) -> None:
    assert len(promised) > 100
    assert check(promised, lines(document), CHANGELOG.read_text()) == []


def _fields_of(document: Json) -> Json:
    schema: Json = document["components"]["schemas"]["AccountPublic"]
    return schema


def _removed(document: Json) -> None:
    del _fields_of(document)["properties"]["epoch"]


def _optional(document: Json) -> None:
    _fields_of(document)["required"].remove("epoch")


def _of_another_type(document: Json) -> None:
    _fields_of(document)["properties"]["version"] = {"type": "string"}


def _null(document: Json) -> None:
    _fields_of(document)["properties"]["is_active"] = {"anyOf": [{"type": "boolean"}, {"type": "null"}]}


def _without_a_format(document: Json) -> None:
    del _fields_of(document)["properties"]["occurred_at"]["format"]


def _internal(document: Json) -> None:
    document["channels"]["auth.session_ended.v1"]["tags"] = [{"name": "internal"}]


def _elsewhere(document: Json) -> None:
    document["channels"]["users.audit.v1"]["bindings"]["amqp"]["exchange"]["name"] = "users.returns"


def _another_word(document: Json) -> None:
    words = document["components"]["schemas"]["AuthAudited"]["properties"]["act"]["x-extensible-enum"]
    words[words.index("login")] = "logged_in"


def _no_header(document: Json) -> None:
    del document["components"]["messages"]["SessionEnded"]["headers"]["properties"]["type"]


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (_removed, "users.account_public.v1 epoch is gone"),
        (_optional, "users.account_public.v1 epoch may be absent now"),
        (_of_another_type, "users.account_public.v1 version was integer, always, and is string, always"),
        (_null, "users.account_public.v1 is_active was boolean, always, and is boolean|null, always"),
        (_without_a_format, "users.account_public.v1 occurred_at was date-time, always, and is string, always"),
        (_internal, "auth.session_ended.v1 is gone"),
        (_elsewhere, "users.audit.v1 was users.events, and is users.returns"),
        (_another_word, "auth.audit.v1 act = login is gone"),
        (_no_header, "auth.session_ended.v1 header type is gone"),
    ],
)
def test_a_planted_break_of_an_event_fails_until_the_changelog_says_so(
    document: Json, plant: Callable[[Json], None], says: str
) -> None:
    planted = deepcopy(document)
    plant(planted)
    assert says in check(lines(document), lines(planted), QUIET)
    assert check(lines(document), lines(planted), BREAKING) == []


def test_what_comes_to_an_event_breaks_nobody(document: Json) -> None:
    more = deepcopy(document)
    _fields_of(more)["properties"]["since"] = {"type": "string"}
    more["components"]["schemas"]["AuthAudited"]["properties"]["act"]["x-extensible-enum"].append("waved")
    del more["channels"]["users.in_step.v1"]
    assert check(lines(document), lines(more), QUIET) == []


@pytest.mark.long
def test_the_parser_of_asyncapi_finds_nothing_wrong(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: @asyncapi/parser comes from there")
    (tmp_path / "parse.js").write_text(PARSE)
    subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", PARSER], cwd=tmp_path, check=True)
    done = subprocess.run(
        ["node", "parse.js", str(frozen.FROZEN)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert said["channels"] == len(EVENTS)
    assert [each for each in said["diagnostics"] if each["severity"] <= 1] == []  # neither errors nor warnings
