"""redocly and spectral find nothing wrong with the published document, by the rules at the top of the repository."""

from __future__ import annotations

import pytest

from tests.clients.generators import PROJECT, Generators

pytestmark = pytest.mark.long

DOCUMENT = "docs/openapi.json"  # it is the published one: tests/unit/test_openapi_document.py


def test_redocly_finds_nothing(generators: Generators) -> None:
    said = generators.node("redocly", "lint", DOCUMENT, cwd=PROJECT)
    assert "Your API description is valid" in said
    assert "warning" not in said.lower().replace("deprecation warning", "")


def test_spectral_finds_nothing(generators: Generators) -> None:
    said = generators.node("spectral", "lint", DOCUMENT, "--fail-severity", "warn", cwd=PROJECT)
    assert "No results with a severity of 'warn' or higher found" in said
