"""`make openapi` writes docs/openapi.json: the published document, frozen, so that a review sees what a change does."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.gateway import docs

FROZEN = Path(__file__).parents[1] / "docs" / "openapi.json"


def text() -> str:
    return json.dumps(docs.document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FROZEN.write_text(text())
