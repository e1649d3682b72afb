"""A Chromium on `make up`: one of each for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.browser.authenticator import Authenticator
from tests.browser.visitor import Visitor
from tests.servers.chromium import Chromium, chromium
from tests.stacks.standalone import Standalone, standalone


@pytest.fixture(scope="package")
def program() -> Chromium:
    """The stack asks for it first: it would start for nothing where there is no Chromium."""
    return chromium()


@pytest.fixture(scope="package")
async def browser(program: Chromium) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program.program, env={**program.environment})
        yield browser
        await browser.close()


@pytest.fixture(scope="package")
async def stack(program: Chromium) -> AsyncIterator[Standalone]:
    async with standalone() as stack:
        await stack.start()
        yield stack


@pytest.fixture
async def visitor(browser: Browser, stack: Standalone) -> AsyncIterator[Visitor]:
    """Somebody with a browser that knows nobody yet, on a page of the public address."""
    page = await browser.new_page(base_url=str(stack.http.base_url))
    await Authenticator.of(page)
    await page.goto("/docs")
    yield Visitor(page)
    await page.context.close()
