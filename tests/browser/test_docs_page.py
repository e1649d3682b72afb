"""/docs leads a person through a whole login by mailed code: what to press, and which token goes where."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page

from tests.stacks.standalone import Standalone
from tests.stacks.steps import registration, somebody

pytestmark = pytest.mark.long


@dataclass  # without slots: playwright puts something beside its listeners
class DocsPage:
    page: Page
    complaints: list[str] = field(default_factory=list)

    async def execute(self, tag: str, operation: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Try an operation out, with the body that the page proposes unless one is given: status and JSON."""
        block = self.page.locator(f"#operations-{tag}-{operation}")
        if not await block.locator(".opblock-body").count():
            await block.locator(".opblock-summary-control").click()
        if await block.locator(".try-out__btn:not(.cancel)").count():
            await block.locator(".try-out__btn").click()
        if body is not None:
            await block.locator("textarea.body-param__text").fill(json.dumps(body))
        async with self.page.expect_response(lambda response: "/api/v1/" in response.url) as answered:
            await block.locator(".execute").click()
        answer = await answered.value
        await block.locator(".live-responses-table tbody .response-col_status").wait_for()
        return answer.status, await answer.json()

    async def authorize(self, scheme: str, token: str) -> None:
        await self.page.locator(".auth-wrapper .btn.authorize").first.click()
        fields = self.page.locator(".auth-container", has=self.page.locator("h4 code", has_text=scheme))
        await fields.locator("input").fill(token)
        await fields.locator("button.authorize").click()
        await self.page.locator(".modal-ux .btn-done").first.click()

    async def explained(self) -> str:
        """What Authorize says."""
        await self.page.locator(".auth-wrapper .btn.authorize").first.click()
        text = await self.page.locator(".modal-ux-content").inner_text()
        await self.page.locator(".modal-ux .btn-done").first.click()
        return text

    def hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # such as an icon
            self.complaints.append(message.text)


@pytest.fixture
async def docs(browser: Browser, stack: Standalone) -> AsyncIterator[DocsPage]:
    page = await browser.new_page(base_url=str(stack.http.base_url))
    docs = DocsPage(page)
    page.on("console", docs.hear)
    await page.goto("/docs")
    await page.locator("#operations-login-token").wait_for()
    yield docs
    assert docs.complaints == []  # such as of a policy that forbids what the page does
    await page.context.close()


async def test_a_whole_login_by_mailed_code_can_be_clicked_through(docs: DocsPage, stack: Standalone) -> None:
    person = somebody(is_2fa=True)
    status, _ = await docs.execute("account", "registration", registration(person))
    assert status == 201

    body = {"username": person.username, "password": person.password}
    status, asked = await docs.execute("login", "token", body)
    assert (status, asked["otp_required"]) == (200, True)

    await docs.authorize("temporary_token", asked["temporary_token"])
    code = await stack.inbox.wait_for_code(person.email)
    status, done = await docs.execute("login", "verify_otp", {"otp": code})
    assert (status, done["otp_required"]) == (200, False)

    await docs.authorize("access_token", done["access_token"])
    status, account = await docs.execute("account", "me")
    assert (status, account["email"]) == (200, person.email)


async def test_the_login_that_the_page_proposes_is_one_of_the_demo(docs: DocsPage) -> None:
    status, answer = await docs.execute("login", "token")
    assert (status, answer["otp_required"]) == (200, False)


async def test_the_page_begins_with_the_steps_and_authorize_says_which_token_goes_where(docs: DocsPage) -> None:
    introduction = await docs.page.locator(".information-container").inner_text()
    assert "A login in five steps" in introduction
    assert "press Authorize" in introduction
    explained = await docs.explained()
    assert "The access_token that a login ended with" in explained
    assert "The temporary_token that POST /api/v1/auth/token answers" in explained
