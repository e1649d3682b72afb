"""A hook of MkDocs: each document of the repository is a page where it stands, so links lead as in the repository.

What a document links to and is no document is copied, so the site needs nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).parents[2]
DOCUMENTS = ("*.md", "docs/**/*.md", "deploy/**/*.md", "clients/*/*.md", "testkit/*.md")

_LINKS = re.compile(r"\]\((?!https?:|#)(?P<path>[^)#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    of_the_theme = [file for file in files if file.src_dir != config.docs_dir]
    paths = {path for pattern in DOCUMENTS for path in PROJECT.glob(pattern)}
    paths |= {linked for path in paths for linked in _linked(path)}
    names = sorted(str(path.relative_to(PROJECT)) for path in paths)
    pages = (File(name, str(PROJECT), config.site_dir, config.use_directory_urls) for name in names)
    return Files([*of_the_theme, *pages])


def _linked(document: Path) -> Iterator[Path]:
    for match in _LINKS.finditer(document.read_text()):
        path = (document.parent / match["path"]).resolve()
        if path.is_file():
            yield path
