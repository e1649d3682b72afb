"""The catalogues of texts, one for each language: complete, alike, and none too many."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from services.portal.languages import DEFAULT, catalogues

PROJECT = Path(__file__).parents[3]
PORTAL = PROJECT / "services" / "portal"
CATALOGUES = catalogues()
TEMPLATES = "\n".join(path.read_text() for path in PORTAL.rglob("*.j2"))
CODE = "\n".join(path.read_text() for path in PORTAL.rglob("*.py"))
# As code and templates write a text, `"login.title"`, or how a name begins, `"notice."` or `f"error.{code}"`.
SECTIONS = {key.partition(".")[0] for key in CATALOGUES[DEFAULT]}
NAMED = set(re.findall(rf"""["']((?:{"|".join(SECTIONS)})\.[\w-]*)["'{{]""", f"{TEMPLATES}{CODE}"))


def test_every_text_is_in_each_language() -> None:
    assert len(CATALOGUES) >= 2
    for texts in CATALOGUES.values():
        assert texts.keys() == CATALOGUES[DEFAULT].keys()


@pytest.mark.parametrize("language", CATALOGUES)
def test_a_text_has_the_values_that_it_has_in_english_and_no_markup_but_strong(language: str) -> None:
    for key, text in CATALOGUES[language].items():
        assert text.strip() == text != "", key
        assert values(text) == values(CATALOGUES[DEFAULT][key]), key
        assert "<" not in re.sub(r"<strong>[^<>]*</strong>", "", text), key


def values(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_every_text_that_a_page_names_exists() -> None:
    known = CATALOGUES[DEFAULT].keys()
    for name in re.findall(r"""\bt\(\s*["']([^"']+)["']""", TEMPLATES):
        assert name in known or (name.endswith((".", "_")) and any(key.startswith(name) for key in known)), name


def test_no_text_is_one_that_no_page_shows() -> None:
    beginnings = tuple(name for name in NAMED if name.endswith((".", "_")))
    assert {key for key in CATALOGUES[DEFAULT] if key not in NAMED and not key.startswith(beginnings)} == set()


def test_what_a_page_says_after_a_form_has_a_text_and_every_such_text_is_said() -> None:
    notices = {key.removeprefix("notice.") for key in CATALOGUES[DEFAULT] if key.startswith("notice.")}
    assert set(re.findall(r'\.say\(\s*"(\w+)"', CODE)) <= notices
    assert {name for name in notices if f'"{name}"' not in CODE} == set()


def test_every_text_of_a_refusal_is_for_one_that_exists() -> None:
    raised = "\n".join(path.read_text() for part in ("services", "shared") for path in (PROJECT / part).rglob("*.py"))
    for key in CATALOGUES[DEFAULT]:
        section, _, name = key.partition(".")
        assert section != "error" or name.startswith("field_") or f'"{name}"' in raised, name
