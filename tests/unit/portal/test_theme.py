"""A site's own looks: `theme.css` after ours, `logo.svg` in place of ours, and nothing else of the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.portal.rendering import Pages

CONTEXT: dict[str, Any] = {
    "form_token": "",
    "rd": "/account",
    "path": "/",
    "query": {},
    "notice": None,
    "number": None,
    "refused": None,
}


def test_a_theme_has_properties_after_ours_and_a_logo_in_place_of_ours(tmp_path: Path) -> None:
    for name in ("theme.css", "logo.svg", "secret.css", "style.css"):
        (tmp_path / name).write_text(name)
    pages = Pages(site="Acme & Sons", theme=tmp_path)
    page = bytes(pages.html("deleted", "en", **CONTEXT).body).decode()

    assert 0 < page.index("/assets/style.css?") < page.index("/assets/theme.css?")
    assert (pages.assets["theme.css"].content, pages.assets["logo.svg"].content) == (b"theme.css", b"logo.svg")
    assert "secret.css" not in pages.assets
    assert pages.assets["style.css"].content != b"style.css"
    assert "<span>Acme &amp; Sons</span>" in page


def test_without_a_theme_no_page_asks_for_one() -> None:
    page = bytes(Pages(site="Acme", theme=None).html("deleted", "en", **CONTEXT).body).decode()
    assert "theme.css" not in page
