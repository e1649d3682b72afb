"""A browser without scripts and without a network: it keeps cookies, reads forms, sends them, and follows redirects.

httpx sends no Secure cookie over http, so cookies are kept here.

    page = await browser.get("/login", rd="/account")
    page = await browser.submit(page, "/login", username="ann", password=PASSWORD)  # and the rest of the form
    page = await browser.follow(page)
    assert (page.status, page.alert) == (200, "")
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from starlette.types import ASGIApp

from tests.html_forms import Document, Form

ORIGIN = "http://localhost:8201"
_MOST_HOPS = 10

_hosts = itertools.cycle(range(1, 255))


@dataclass(frozen=True, slots=True)
class Page:
    """`title`, `alert`, `said` (what has happened, as the page before it wanted) and `text` are as a person reads
    them; `html` is as it was sent.
    """

    answer: httpx.Response
    document: Document

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def url(self) -> str:
        """Path and query."""
        return self.answer.request.url.raw_path.decode()

    @property
    def path(self) -> str:
        return self.answer.request.url.path

    @property
    def html(self) -> str:
        return self.answer.text

    @property
    def location(self) -> str:
        return str(self.answer.headers.get("location", ""))

    @property
    def title(self) -> str:
        return self.document.title

    @property
    def alert(self) -> str:
        return self.document.texts.get("alert", "")

    @property
    def said(self) -> str:
        return self.document.texts.get("status", "")

    @property
    def text(self) -> str:
        return self.document.text

    @property
    def links(self) -> list[str]:
        return self.document.links

    def form(self, action: str, **having: str) -> Form:
        """The form that is sent to the path `action`. `having`: fields and buttons of the one that is meant among
        several.
        """
        fitting = [
            form
            for form in self.document.forms
            if (urlsplit(form.action).path or self.path) == action
            and having.items() <= (form.buttons | form.fields).items()
        ]
        assert len(fitting) == 1, f"{len(fitting)} forms for {action} in {self.url}: {self.html}"
        return fitting[0]


@dataclass(slots=True)
class Browser:
    """`address`: where it comes from; its own unless it is given. `portal`: in this process, or the way to another."""

    portal: ASGIApp | httpx.AsyncBaseTransport
    address: str = field(default_factory=lambda: f"198.51.100.{next(_hosts)}")
    language: str = "en"
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, url: str, **query: str) -> Page:
        return await self.ask("GET", url, params=query or None)

    async def submit(
        self,
        page: Page,
        action: str,
        given: Mapping[str, str] | None = None,
        /,
        *,
        having: Mapping[str, str] | None = None,
        **fields: str | None,
    ) -> Page:
        """The form with this action (its path). `having`: see `Page.form`; a button in it is pressed. `given`: fields
        too. One that is None is not sent, as a box that is not ticked.
        """
        form = page.form(action, **having or {})
        pressed = form.buttons.keys() & (having or {}).keys()
        typed = {**(given or {}), **fields, **{name: form.buttons[name] for name in pressed}}
        unknown = typed.keys() - form.names
        assert not unknown, f"the form {action} has no {unknown}: {form.names}"
        filled = {name: value for name, value in {**form.fields, **typed}.items() if value is not None}
        return await self.post(urljoin(page.url, form.action), filled, headers={"Referer": f"{ORIGIN}{page.url}"})

    async def post(self, url: str, fields: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Page:
        """As from a page of ours, unless `headers` say otherwise."""
        own = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
        return await self.ask("POST", url, data=dict(fields), headers={**own, **(headers or {})})

    async def follow(self, page: Page) -> Page:
        """Where the redirects of ours lead."""
        seen = []
        while page.answer.is_redirect and page.location.startswith("/"):
            seen.append(page.location)
            assert len(seen) < _MOST_HOPS, f"round and round: {seen}"
            page = await self.get(page.location)
        return page

    async def ask(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **how: Any) -> Page:
        sent = {"Accept-Language": self.language, "User-Agent": "A browser of the tests", **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        transport = self.portal
        if not isinstance(transport, httpx.AsyncBaseTransport):
            transport = httpx.ASGITransport(transport, raise_app_exceptions=False, client=(self.address, 40000))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            answer = await client.request(method, url, headers=sent, **how)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if "max-age=0" in line.lower():
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return Page(answer, Document.of(answer.text if "html" in answer.headers.get("content-type", "") else ""))
