"""Walks through the portal of `make up`. `PICTURES=folder`: they leave a picture of each page that they see."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.portal.walk import Walk, walk
from tests.stacks.standalone import Standalone


@pytest.fixture(scope="session")
def pictures() -> Path | None:
    if "PICTURES" not in os.environ:
        return None
    folder = Path(os.environ["PICTURES"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
async def walker(browser: Browser, stack: Standalone, pictures: Path | None) -> AsyncIterator[Walk]:
    async with walk(browser, str(stack.http.base_url), pictures=pictures) as walker:
        yield walker


@pytest.fixture
async def scriptless(browser: Browser, stack: Standalone) -> AsyncIterator[Walk]:
    """Somebody whose browser runs no script."""
    async with walk(browser, str(stack.http.base_url), scripts=False) as walker:
        yield walker
