"""The README's table of settings is the one that the settings themselves print: services.configuration."""

from __future__ import annotations

import re
from pathlib import Path

from services.configuration import SETTINGS, table

README = Path(__file__).parents[2] / "README.md"
MARKED = re.compile(r"<!-- configuration -->\n(.*?)\n<!-- /configuration -->", re.DOTALL)


def test_the_readme_holds_the_table_as_the_settings_are_now() -> None:
    tables = MARKED.findall(README.read_text())
    assert tables, "README.md has no table between <!-- configuration --> and <!-- /configuration -->"
    assert [each.strip() for each in tables] == [table()], "put in the output of: login2fa config table"


def test_every_variable_of_every_service_has_one_row_that_says_who_reads_it() -> None:
    rows = {cells[0].strip("`"): cells for cells in map(_cells, table().splitlines()[2:])}
    assert len(rows) == len(table().splitlines()) - 2
    for service, settings in SETTINGS.items():
        for name in settings.model_fields:
            assert service in rows[name.upper()][2].split(", ")


def test_every_row_has_a_meaning_and_a_default_and_nothing_that_breaks_the_table() -> None:
    for row in table().splitlines()[2:]:
        name, default, _, meaning = _cells(row)
        assert re.fullmatch(r"`[A-Z0-9_]+`", name)
        assert re.fullmatch(r"\*\*required\*\*|none|`[^`]+`", default), row
        assert re.fullmatch(r"[^.].+[^.]\.", meaning), row
        assert "None" not in meaning


def test_what_is_required_is_told_to_be() -> None:
    required = {
        name.upper()
        for settings in SETTINGS.values()
        for name, field in settings.model_fields.items()
        if field.is_required()
    }
    told = {cells[0].strip("`") for cells in map(_cells, table().splitlines()) if cells[1] == "**required**"}
    assert told == required


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split(" | ")]
