"""Limits of templates and assets: pages are for strict browsers, and for slow connections."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PORTAL = Path(__file__).parents[3] / "services" / "portal"
TEMPLATES = sorted((PORTAL / "templates").glob("*.j2"))
# The policy of pages (Content-Security-Policy) would leave these without effect.
INLINE = re.compile(r"""<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:""", re.IGNORECASE)
MOST_BYTES = 20 * 1024


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_a_style_or_a_script_of_its_own(template: Path) -> None:
    assert not INLINE.search(template.read_text())


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_changes_something_is_begun_by_the_macro_that_puts_the_token_into_it(template: Path) -> None:
    written = re.findall(r"<form[^>]*>", template.read_text())
    assert template.name == "parts.html.j2" or all('method="get"' in form for form in written)


def test_styles_and_scripts_are_small() -> None:
    assets = [path for path in (PORTAL / "static").iterdir() if path.suffix in {".css", ".js"}]
    assert sum(path.stat().st_size for path in assets) <= MOST_BYTES
