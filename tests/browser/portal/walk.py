"""A person with a browser on the portal's pages, and what each page must be, whoever reads it and however."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Response, ViewportSize

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
NARROW: Final[ViewportSize] = {"width": 320, "height": 640}
WIDE: Final[ViewportSize] = {"width": 1280, "height": 800}
WIDTHS: Final = (360, 1280)

# The part of WCAG 2.2 AA that a machine can see. In the second colour scheme only colours can differ.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_WHOLE = {"runOnly": {"type": "tag", "values": _RULES}, "resultTypes": ["violations"]}
_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "resultTypes": ["violations"]}

# A browser that may run no script says it in its console alone.
_TELL_VIOLATIONS = """document.addEventListener("securitypolicyviolation", event =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"""
_ID = re.compile(r"/[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass  # without slots: playwright puts something beside its listeners
class Walk:
    """`complaints`: of the browser, and what could not be loaded. `pictures`: the folder for those of all pages seen,
    in each width and scheme. `album`: the folder for one of each, in their order.
    """

    page: Page
    scripts: bool
    pictures: Path | None = None
    album: Path | None = None
    complaints: list[str] = field(default_factory=list)
    _seen: int = 0

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path.removeprefix("/")

    async def go(self, url: str) -> None:
        await self.page.goto(url)

    async def send(self, action: str, *, having: str = "button", picture: str = "", **fields: str | bool) -> None:
        """Fill the form that is sent to the path `action` and has this element, send it, and see what comes of it."""
        await self.leave(action, having=having, **fields)
        await self.see(picture)

    async def leave(self, action: str, *, having: str = "button", **fields: str | bool) -> None:
        """As `send`, for a page that is not looked at. An `action` that ends with `/` is how one begins."""
        paths = (f'^="{action}"',) if action.endswith("/") else (f'="{action}"', f'^="{action}?"')
        form = self.page.locator(", ".join(f"form[action{path}]:has({having})" for path in paths)).first
        for name, value in fields.items():
            await _fill(form.locator(f'[name="{name}"]'), value)
        async with self.page.expect_navigation():
            await form.locator("button").first.click()

    async def text(self, selector: str = "main") -> str:
        return await self.page.locator(selector).first.inner_text()

    async def visit(self, url: str, *, picture: str = "") -> None:
        await self.go(url)
        await self.see(picture)

    async def see(self, picture: str = "") -> None:
        """The page breaks no rule. `picture`: its name, where the path does not say it."""
        assert self.complaints == []
        if self.scripts:
            await self._is_accessible()
        await self._fits_a_narrow_screen()
        name = picture or _ID.sub("", f"/{self.path}").strip("/").replace("/", "-")
        if self.pictures is not None:
            await self._take_pictures(self.pictures, name)
        if self.album is not None:
            self._seen += 1
            await self.page.screenshot(path=self.album / f"{self._seen:02}-{name}.png", full_page=True)

    async def _is_accessible(self) -> None:
        axe = Axe()
        for scheme, rules in zip(SCHEMES, (_WHOLE, _COLOURS), strict=True):
            await self.page.emulate_media(color_scheme=scheme)
            found = await axe.run(self.page, options=rules)
            assert found.violations_count == 0, f"{self.page.url} ({scheme}): {found.generate_report()}"

    async def _fits_a_narrow_screen(self) -> None:
        """400 % of 1280 pixels (WCAG 1.4.10)."""
        await self.page.set_viewport_size(NARROW)
        width = await self.page.evaluate("document.scrollingElement.scrollWidth")
        assert width <= NARROW["width"], f"{self.page.url} is {width} pixels wide"
        await self.page.set_viewport_size(WIDE)

    async def _take_pictures(self, folder: Path, name: str) -> None:
        for width in WIDTHS:
            await self.page.set_viewport_size({"width": width, "height": 800})
            for scheme in SCHEMES:
                await self.page.emulate_media(color_scheme=scheme)
                await self.page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
        await self.page.set_viewport_size(WIDE)

    def hear(self, message: ConsoleMessage) -> None:
        # A page with an error status is a page; what it wants besides is `answered`.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def answered(self, response: Response) -> None:
        if response.status >= 400 and response.request.resource_type != "document":
            self.complaints.append(f"{response.status} {response.url}")


async def _fill(element: Locator, value: str | bool) -> None:
    if isinstance(value, bool):
        await element.set_checked(value)
    elif await element.evaluate("element => element.tagName") == "SELECT":
        await element.select_option(value)
    else:
        await element.fill(value)


@asynccontextmanager
async def walk(
    browser: Browser, base_url: str, *, scripts: bool = True, pictures: Path | None = None
) -> AsyncIterator[Walk]:
    """A browser that knows nobody yet, whose owner reads English and wants nothing to move."""
    how: dict[str, Any] = {"base_url": base_url, "locale": "en-GB", "reduced_motion": "reduce", "viewport": WIDE}
    context = await browser.new_context(java_script_enabled=scripts, **how)
    await context.add_init_script(_TELL_VIOLATIONS)
    page = await context.new_page()
    walking = Walk(page, scripts, pictures)
    page.on("console", walking.hear)
    page.on("pageerror", lambda error: walking.complaints.append(str(error)))
    page.on("response", walking.answered)
    yield walking
    assert walking.complaints == []
    await context.close()
