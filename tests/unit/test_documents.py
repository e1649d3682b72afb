"""The documents say nothing that is not there."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.site import pages

PROJECT = Path(__file__).parents[2]
DOCUMENTS = sorted(path for place in pages.DOCUMENTS for path in PROJECT.glob(place))

# As docs/login-flow.md writes them: `file: name, Class.name`
_PLACES = re.compile(r"`(?P<file>[\w/]+\.py): (?P<names>[\w., ]+)`")
_LINKS = re.compile(r"\]\((?!https?:|#)(?P<path>[^)#]+)")


def _defined_in(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{node.name}.{each.name}" for each in inner}
    return names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_function_that_a_document_names_is_where_it_says(document: Path) -> None:
    named = [
        (match["file"], name.strip())
        for match in _PLACES.finditer(document.read_text())
        for name in match["names"].split(",")
    ]
    assert [(file, name) for file, name in named if name not in _defined_in(PROJECT / file)] == []


def test_the_way_of_a_login_names_functions_at_all() -> None:
    assert len(_PLACES.findall((PROJECT / "docs/login-flow.md").read_text())) > 10


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    links = [match["path"] for match in _LINKS.finditer(document.read_text())]
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_page_of_the_commands_is_what_they_say_of_themselves(tmp_path: Path) -> None:
    made = tmp_path / "cli.md"
    (command,) = re.findall(r"-m (typer services\.cli .*) --output docs/cli\.md", (PROJECT / "Makefile").read_text())
    subprocess.run([sys.executable, "-m", *shlex.split(command), "--output", made], check=True, capture_output=True)
    assert (PROJECT / "docs" / "cli.md").read_text() == made.read_text(), "out of date: make cli writes it"
