"""Pages as HTML: templates, texts, assets, and the headers that say what a page may do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from services.portal.languages import catalogues

_HERE: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_OF_THEME: Final = ("theme.css", "logo.svg")

# Without `form-action`s of other sites: Chromium would swallow the redirect after a login. `/continue` leads there.
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    # Not `no-referrer`: our own forms would then say `Origin: null`.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "publickey-credentials-get=(self), publickey-credentials-create=(self)",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    media_type: str

    @property
    def version(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:12]

    def response(self) -> Response:
        """Its address has its version, so it may be kept for ever."""
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(self.content, media_type=self.media_type, headers=headers)


class Pages:
    def __init__(self, *, site: str, theme: Path | None) -> None:
        self.languages = catalogues()
        self.assets = _assets(theme)
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        own_names = {language: texts["page.own_name"] for language, texts in self.languages.items()}
        self._templates.globals |= {"site": site, "asset": self._address, "languages": own_names}
        self._templates.filters["moment"] = _moment

    def html(self, template: str, language: str, status: int = 200, **context: Any) -> HTMLResponse:
        """`template`: its name without `.html.j2`. In a template `t("section.name", ...)` is the text, `language`
        its language; `moment` shows an ISO 8601 time.
        """
        page = self._templates.get_template(f"{template}.html.j2")
        text = page.render(context | {"t": partial(self.text, language), "language": language})
        return HTMLResponse(text, status, HEADERS)

    def text(self, language: str, key: str, **values: Any) -> Markup:
        """Values are escaped; the texts themselves are ours and may have `<strong>`."""
        return Markup(self.languages[language][key]).format(**{name: escape(value) for name, value in values.items()})  # noqa: S704 - a text of ours, and escaped values

    def knows(self, key: str) -> bool:
        return key in self.languages["en"]

    def _address(self, name: str) -> str | None:
        """None if there is no such asset: themes have what they like."""
        found = self.assets.get(name)
        return f"/assets/{name}?{found.version}" if found else None


def _assets(theme: Path | None) -> Mapping[str, Asset]:
    own = [path for path in (_HERE / "static").iterdir() if path.suffix in _TYPES]
    others = [theme / name for name in _OF_THEME if (theme / name).is_file()] if theme else []
    return {path.name: Asset(path.read_bytes(), _TYPES[path.suffix]) for path in (*own, *others)}


def _moment(value: str | None, language: str) -> str:
    """The time in UTC: without a script the browser's zone is not known."""
    if value is None:
        return "-"
    at = datetime.fromisoformat(value)
    return f"{at:%d.%m.%Y, %H:%M} UTC" if language == "de" else f"{at:%d %b %Y, %H:%M} UTC"
