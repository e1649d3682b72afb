"""`make openapi` writes docs/openapi.json and docs/api.md: the published document, frozen, so that a review sees what a
change does, and the same for people.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploy import api_page
from deploy.gateway import docs

DOCS = Path(__file__).parents[1] / "docs"
FROZEN = DOCS / "openapi.json"
PAGE = DOCS / "api.md"


def text() -> str:
    return json.dumps(docs.document(), indent=1, ensure_ascii=False) + "\n"


def page() -> str:
    return api_page.page(docs.document())


if __name__ == "__main__":
    FROZEN.write_text(text())
    PAGE.write_text(page())
