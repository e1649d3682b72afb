"""Each command of ours that a document names is there, with its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from services.cli import app
from tests.unit import test_documents
from tests.unit.test_documents import PROJECT

# docs/cli.md is what the commands say of themselves.
DOCUMENTS = [document for document in test_documents.DOCUMENTS if document.name != "cli.md"]

# The command in a fence or between backticks, up to a comment, a pipe, another command or the end of a line.
_LOGIN2FA = re.compile(
    r"(?:^|[`;|&]|\bnotifier |\busers |-- |\boperator )\s*login2fa ((?:[^`\n#|;&\\]|\\\n)*)", re.MULTILINE
)
_MAKE = re.compile(r"(?:^|`|[A-Z_]=\S+ )make ([a-z0-9-]+)", re.MULTILINE)
_PLACEHOLDERS = {"…", "...", "NAME", "--help", "--version"}


def _code(document: Path) -> Iterator[str]:
    text = document.read_text()
    for fence in re.findall(r"^ *```(?:sh|console)?\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        yield re.sub(r"^ +|^\$ ", "", fence, flags=re.MULTILINE)
    yield from (
        f"`{inline}`"
        for inline in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    )


def _unknown(words: list[str]) -> str | None:
    command: Any = get_command(app)
    for number, word in enumerate(words):
        if word in _PLACEHOLDERS:
            return None
        commands = getattr(command, "commands", {})
        if commands and not word.startswith("-"):
            if word not in commands:
                return f"no command {' '.join(words[: number + 1])}"
            command = commands[word]
        elif word.startswith("--"):
            options = {each for param in command.params for each in (*param.opts, *param.secondary_opts)}
            if word.partition("=")[0] not in options:
                return f"{' '.join(words[:number])} has no {word}"
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_each_command_of_login2fa_is_there_with_its_options(document: Path) -> None:
    named = [shlex.split(each) for code in _code(document) for each in _LOGIN2FA.findall(code)]
    assert [found for words in named if (found := _unknown(words))] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_each_target_of_make_is_there(document: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert {name for code in _code(document) for name in _MAKE.findall(code)} <= targets


def test_the_documents_name_commands_at_all() -> None:
    named = [each for document in DOCUMENTS for code in _code(document) for each in _LOGIN2FA.findall(code)]
    assert len(named) > 100
