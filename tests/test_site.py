"""The documents as a site."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr  # a link or a page that leads nowhere is a warning, and none is let pass
    return folder


def test_it_builds_without_a_warning_and_has_all_documents(site: Path) -> None:
    for page in ("index.html", "docs/tutorial/index.html", "docs/cli/index.html", "deploy/kubernetes/index.html"):
        assert "Login2FA" in (site / page).read_text()


def test_its_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?(https?://[^\"' >]+)", page.read_text())
        assert fetched == [], page
