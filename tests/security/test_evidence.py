"""docs/security.md says which test stands for which statement, and it is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).parent
DOCUMENT = (FOLDER.parents[1] / "docs" / "security.md").read_text()
STATEMENTS = [f"S{number}" for number in range(1, 62)]
OPEN = "open"

COLUMNS = ["", "what holds", "standard", "test", "level", "fails without"]

_TABLE = DOCUMENT.partition("<!-- evidence -->")[2].partition("<!-- /evidence -->")[0]
HEAD, _, *ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in _TABLE.strip().splitlines()]


def modules(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+\.py)`", cell))


def names_of_tests(module: Path) -> list[str]:
    functions = [
        each for each in ast.parse(module.read_text()).body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [each.name for each in functions if each.name.startswith("test_")]


def test_the_columns_are_those_that_are_read_here() -> None:
    assert HEAD == COLUMNS


def test_each_statement_has_one_row_of_six_filled_cells_in_order() -> None:
    assert [row[0] for row in ROWS] == STATEMENTS
    assert [row for row in ROWS if len(row) != len(COLUMNS) or not all(row)] == []


def test_a_row_names_all_modules_of_its_statement_and_no_other() -> None:
    for statement, _, _, named, *_ in ROWS:
        there = {path.name for path in FOLDER.glob(f"test_s{int(statement[1:]):02}_*.py")}
        assert modules(named) == there, statement
        assert (named == OPEN) == (not there), statement


def test_every_module_is_named_and_holds_a_test() -> None:
    paths = {path.name: path for path in FOLDER.glob("test_*.py") if path.name != Path(__file__).name}
    assert set(paths) == modules(DOCUMENT)  # one that is for several statements stands below the table
    assert [name for name, path in paths.items() if not names_of_tests(path)] == []


def test_a_level_is_claimed_where_there_is_a_test_and_nowhere_else() -> None:
    assert {(row[3] == OPEN, row[4]) for row in ROWS} <= {(True, "none"), (False, "2")}
