"""docs/configuration.md holds the tables that the settings themselves print: services.configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from services.configuration import GROUPS, SETTINGS, is_required, tables

PROJECT = Path(__file__).parents[2]
DOCUMENT = PROJECT / "docs" / "configuration.md"
MARKED = re.compile(r"<!-- configuration: [^\n]* -->\n(.*?)\n<!-- /configuration -->", re.DOTALL)
# Read by commands alone, which ask for them by name.
ASKED = re.compile(r"(?:database_url|broker_url|required)\(\"([A-Z_]+)\"\)")


def rows() -> Iterator[list[str]]:
    for line in tables().splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_document_holds_the_tables_as_the_settings_are_now() -> None:
    marked = MARKED.findall(DOCUMENT.read_text())
    assert [each.strip() for each in marked] == [tables()], "put in the output of: login2fa config table"


def test_every_variable_of_every_service_has_one_row_that_says_who_reads_it() -> None:
    readers = {name.strip("`"): services for name, _, services, _ in rows()}
    assert len(readers) == len(list(rows()))
    for service, settings in SETTINGS.items():
        for name in settings.model_fields:
            assert service in readers[name.upper()].split(", ")


def test_every_group_has_a_few_rows_and_none_is_long() -> None:
    sections = tables().split("## ")[1:]
    assert [section.partition("\n")[0] for section in sections] == list(GROUPS)
    for section in sections:
        assert 2 <= section.count("\n| `") <= 16, section


def test_every_row_has_a_meaning_and_a_default_and_nothing_that_breaks_the_table() -> None:
    for name, default, _, meaning in rows():
        assert re.fullmatch(r"`[A-Z0-9_]+`", name)
        assert re.fullmatch(r"\*\*required\*\*|none|`[^`]+`", default), name
        assert re.fullmatch(r"[^.].+[^.]\.", meaning), name
        assert "None" not in meaning


def test_what_is_required_is_told_to_be() -> None:
    required = {
        name.upper()
        for settings in SETTINGS.values()
        for name, field in settings.model_fields.items()
        if is_required(field)
    }
    assert {name.strip("`") for name, default, _, _ in rows() if default == "**required**"} == required


def test_what_only_commands_read_is_in_the_document_too() -> None:
    sources = (PROJECT / "services").glob("*.py")
    asked = {name for path in sources for name in ASKED.findall(path.read_text())}
    assert {"ADMIN_DATABASE_URL", "OPERATOR_RABBITMQ_URL"} <= asked
    assert [name for name in sorted(asked) if f"`{name}`" not in DOCUMENT.read_text()] == []


def test_every_limit_that_the_documents_state_is_the_default() -> None:
    defaults = {name.strip("`"): default.strip("`") for name, default, *_ in rows()}
    stated = re.findall(r"\b(\d+(?:\.\d)?)\s\(`([A-Z_]+)`\)", (PROJECT / "docs" / "limits.md").read_text())
    assert len(stated) > 10
    assert [(number, name) for number, name in stated if float(defaults[name]) != float(number)] == []


def test_every_variable_that_the_documents_set_there_is() -> None:
    known = {name.strip("`") for name, *_ in rows()}
    section = (PROJECT / "docs" / "running.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    named = re.findall(r"^([A-Z_]+)=| ([A-Z_]+)=", section.partition("```sh")[2].partition("```")[0], re.MULTILINE)
    assert named
    assert {(one or other).removesuffix("_FILE") for one, other in named} <= known
