"""S59: a login sends a browser to a listed place, or to a page of ours: never to anybody else's."""

from __future__ import annotations

import html
import re
from itertools import product
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.async_api import async_playwright

from services.auth.gateway.browsers import Browsers, Question
from services.portal.api import Services
from services.portal.app import build
from services.portal.settings import PortalSettings
from shared.configuration.settings import load
from shared.redirects import LONGEST, Redirects
from tests.composed import client
from tests.security.vectors import lines
from tests.servers.chromium import chromium

ISSUER = "https://login.example.com"
# The vectors of others try to get past a list with this host.
LISTED = ["https://*.example.com", "https://app.example.org:8443", "https://www.whitelisteddomain.tld"]
REDIRECTS = Redirects(ISSUER, LISTED)

OURS = [
    "javascript://app.example.com/%0aalert(1)", "javascript:alert(1)//app.example.com", "data:text/html,x", "",
    "https://app.example.com.evil.test", "https://app.example.com.evil.test/", "https://evil.test/app.example.com",
    "https://evil.test\\@app.example.com", "https://evil.test\\.app.example.com", "https:\\\\app.example.com",
    "https://app.example.com\\@evil.test", "https://app.example.com\\.evil.test", "\\\\evil.test", "/\\evil.test",
    "//evil.test", "///evil.test", "//app.example.com@evil.test", "/\t/evil.test", "/\n/evil.test", "\t//evil.test",
    "/\\/evil.test", "/\\\\evil.test", " //evil.test", "\x00//evil.test", "/ /evil.test", "./evil.test", "evil.test",
    "?rd=//evil.test", "#", ";//evil.test", "https:evil.test", "https:/evil.test", "https:///evil.test", "https:",
    "https://", "://app.example.com", "https//app.example.com",
    "https://app.example.com@evil.test", "https://app.example.com:443@evil.test", "https://a:b@app.example.com",
    "https://@app.example.com", "https://app.example.com%40evil.test", "https://evil.test%2f.example.com",
    "https://evil.test%23.example.com", "https://evil.test#.example.com", "https://evil.test?.example.com",
    "https://evil.test/.example.com", "https://evil.test;.example.com", "https://evil.test,.example.com",
    "https://app.example.com\r\nSet-Cookie: x=1", "https://app.example.com/\x00", "https://app.example.com/\x7f",
    "https://app.example.com/ x", "https://app.\texample.com", "https://ev\nil.test/.example.com", "ht\ttps://evil.test",
    "https://\u00e4pp.example.com", "https://app.example.com/\u00e4", "https://app\u3002example.com", "https://evil.test\uff0f.example.com",
    "https://evil.test\u2044.example.com", "https://app.example.com\u2028", "https://\uff41pp.example.com", "https://evil.c\u2100.example.com",
    "https://app.example.com:444", "https://app.example.com:0443", "https://app.example.com:", "https://app.example.com:-443",
    "https://app.example.com:443a", "https://app.example.com:99999", "https://app.example.com:443:443",
    "https://app.example.org", "https://app.example.org:443/", "https://app.example.org:08443", "http://app.example.com",
    "https://example.com", "https://.example.com", "https://a..example.com", "https://-.example.com",
    "https://app.example.com.", "https://login.example.com.", "https://app.example.com..", "https://evilexample.com",
    "https://[app.example.com]", "https://[::1].example.com", "https://*.example.com", "https://%61pp.example.com",
    "ftp://app.example.com", "wss://app.example.com", "blob:https://app.example.com/x", "view-source:https://app.example.com",
    "https://app.example.com/" + "x" * LONGEST, '/"onmouseover=alert(1)', "/<script>", "https://app.example.com/\"'>",
]  # fmt: skip


def is_listed(url: str) -> bool:
    """As plain as can be, for what `allowed` has written."""
    origin = re.fullmatch(r"(https://[a-z0-9.:-]+)/[^\s\\\"<>]*", url)
    if origin is None:
        return False
    host = origin[1].removeprefix("https://")
    return host.endswith(".example.com") or host in {"app.example.org:8443", "www.whitelisteddomain.tld"}


def is_own_page(url: str) -> bool:
    return re.fullmatch(r"/(?![/\\])[^\s\\\"<>]*|/", url) is not None


def combined() -> list[str]:
    """Every way to begin a URL, before hosts that are listed and are not, with every way to end a host."""
    begins = [
        "https://",
        "HTTPS://",
        "https:",
        "https:/",
        "https:///",
        "https:\\\\",
        "//",
        "/\\",
        "/",
        "/.//",
        "/..//",
        "",
        "\t",
    ]
    ends = [
        "",
        "/",
        "\\",
        "@",
        ":443",
        ":443@",
        ".",
        "%2f",
        "?",
        "#",
        ";",
        "\t",
        "%00",
        ":0",
        "%2e",
        "\u3002",
        "/..//",
        "\\@",
    ]
    hosts = ["app.example.com", "evil.test"]
    return [begin + one + end + other for begin, one, end, other in product(begins, hosts, ends, ["", *hosts])]


def test_no_target_of_ours_and_none_that_gets_past_other_checks_is_allowed_elsewhere() -> None:
    for target in OURS:
        assert REDIRECTS.allowed(target) is None, target
    for target in [*lines("openredirects.txt"), *combined()]:
        allowed = REDIRECTS.allowed(target)
        assert allowed is None or is_own_page(allowed) or is_listed(allowed), (target, allowed)


async def test_a_browser_understands_what_is_allowed_as_we_do() -> None:
    """Chromium's own parser: the target as it came, and as we have written it, lead to the same listed place."""
    program, targets = chromium(), [*lines("openredirects.txt"), *OURS, *combined()]
    allowed = {target: written for target in targets if (written := REDIRECTS.allowed(target)) is not None}
    assert len(allowed) > 100
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program.program, env={**program.environment})
        page = await browser.new_page()
        understood = await page.evaluate(
            """([urls, base]) => urls.map(url => { const {origin, username, password, href} = new URL(url, base);
                return [origin, username + password, href]; })""",
            [[*allowed, *allowed.values()], f"{ISSUER}/continue"],
        )
        await browser.close()
    for (target, written), came, sent in zip(allowed.items(), understood, understood[len(allowed) :], strict=False):
        origin, user, _ = sent
        assert is_listed(f"{origin}/"), (target, written, origin)
        assert (user, came) == ("", sent)


@pytest.mark.parametrize("path", ["/login", "/continue", "/denied", "/logout"])
async def test_each_page_looks_at_the_target_again(path: str) -> None:
    nobody = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    settings = load(PortalSettings, issuer=ISSUER, portal_redirects=LISTED)
    listed, evil = "https://app.example.com/?a=1&b=2", "https://evil.test/"
    async with client(build(settings, Services(auth=nobody, users=nobody))) as http:

        async def links(*targets: str) -> list[str]:
            page = (await http.get(path, params={"rd": targets})).text
            found = re.findall(r'(?:href|content|name="rd" value)="(.*?)"', page)
            return [html.unescape(each) for each in found]

        without = await links()
        assert [each for each in await links(listed) if each.endswith(listed)]
        assert await links(listed, evil) in (without, await links(listed))
        assert await links(evil, listed) in (without, await links(listed))
        for target in (evil, *OURS):
            assert await links(target) == without, target


def test_whatever_a_gateway_says_of_the_request_the_login_leads_to_a_listed_place() -> None:
    browsers = Browsers(ISSUER, LISTED)
    for target in [*OURS, *lines("openredirects.txt"), *combined()]:
        raw = target.encode()
        for named in (
            [(b"x-original-url", raw)],
            [(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", raw), (b"x-forwarded-uri", b"/")],
            [(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"app.example.com"), (b"x-forwarded-uri", raw)],
        ):
            scope = {"type": "http", "method": "GET", "headers": [(b"accept", b"text/html"), *named]}
            page = browsers.page("token_missing", Question(scope=scope, browser=True)) or ""
            assert page.startswith(f"{ISSUER}/login")
            for back in parse_qs(urlsplit(page).query, strict_parsing=True)["rd"] if "?" in page else ():
                assert is_listed(back) or is_own_page(back), (target, back)
