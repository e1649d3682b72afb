"""`@login2fa/client` in Node and in two tabs of a Chromium, against the running product."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, Request, Route, async_playwright

from tests.browser.authenticator import Authenticator
from tests.servers.chromium import Chromium, chromium
from tests.stacks.standalone import Standalone, standalone
from tests.stacks.steps import register

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "clients" / "typescript"
SECONDS = 300.0  # npm fetches its packages

_PAGE = """<!doctype html><script type="importmap">
{"imports": {"openapi-fetch": "/client/node_modules/openapi-fetch/dist/index.mjs"}}
</script><script type="module">
import {Login2FA, storageStore} from "/client/dist/index.js"
import {newPasskey} from "/client/dist/passkeys.js"
Object.assign(window, {login: new Login2FA({baseUrl: location.origin, store: storageStore(localStorage)}), newPasskey})
</script>"""

_ENROL = """async ([username, password]) => {
    await login.logIn(username, password);
    const {data: question} = await login.api.POST("/api/v1/auth/factors/passkeys/options");
    const {data} = await login.api.POST("/api/v1/auth/factors/passkeys", {body: await newPasskey(question, "Laptop")});
    return data.name;
}"""

_AGE = """() => {
    const tokens = JSON.parse(localStorage.getItem("login2fa"));
    localStorage.setItem("login2fa", JSON.stringify({...tokens, expiresAt: 0}));
}"""


async def begun(*command: str, folder: Path, **settings: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, **settings}
    return await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )


async def ended(process: asyncio.subprocess.Process, given: str = "") -> str:
    """All that it has printed."""
    async with asyncio.timeout(SECONDS):
        output, _ = await process.communicate(given.encode())
    assert process.returncode == 0, output.decode()
    return output.decode()


def readme() -> str:
    """Its pieces of code as one module, for the compiler."""
    given = (
        "declare const username: string, password: string\ndeclare function ask(question: string): Promise<string>\n"
    )
    pieces = re.findall(r"```ts\n(.*?)```", (SOURCE / "README.md").read_text(), re.DOTALL)
    code = given + "\n".join(pieces) + "\nexport { mayPay }\n"
    return code.replace("@login2fa/client/tokens", "../src/tokens.js").replace("@login2fa/client", "../src/index.js")


@pytest.fixture(scope="module")
async def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy: types from docs/openapi.json, then the client, and its own tests have passed."""
    root = tmp_path_factory.mktemp("client")
    (root / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "openapi.json", root / "docs")
    made = root / "clients" / "typescript"
    shutil.copytree(SOURCE, made, ignore=shutil.ignore_patterns("node_modules", "dist", "built"))
    await ended(await begun("npm", "ci", "--no-audit", "--no-fund", folder=made))
    for script in ("generate", "build", "test"):
        await ended(await begun("npm", "run", "--silent", script, folder=made))
    (made / "test" / "readme.ts").write_text(readme())  # it is compiled, and not run as a test
    await ended(await begun("npx", "tsc", "--project", "test", "--noEmit", folder=made))
    return made


@pytest.fixture(scope="module")
def program() -> Chromium:
    return chromium()


@pytest.fixture(scope="module")
async def stack(program: Chromium) -> AsyncIterator[Standalone]:
    async with standalone() as stack:
        await stack.start()
        yield stack


@pytest.fixture
async def window(program: Chromium, stack: Standalone, package: Path) -> AsyncIterator[BrowserContext]:
    """A window on the public address, whose pages have the client."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program.program, env={**program.environment})
        window = await browser.new_context(base_url=str(stack.http.base_url))

        async def served(route: Route, request: Request) -> None:
            path = request.url.partition("/client/")[2]
            if path == "page":
                await route.fulfill(body=_PAGE, content_type="text/html")
            else:
                await route.fulfill(path=package / path, content_type="text/javascript")

        await window.route("**/client/**", served)
        yield window
        await browser.close()


async def opened(window: BrowserContext) -> Page:
    page = await window.new_page()
    await page.goto("/client/page")
    await page.wait_for_function("() => window.login")
    return page


async def test_the_example_logs_in_by_a_mailed_code_and_checks_its_token(stack: Standalone, package: Path) -> None:
    person = await register(stack, is_2fa=True)
    base_url = str(stack.http.base_url).rstrip("/")
    settings = {"LOGIN2FA_URL": base_url, "USERNAME": person.username, "PASSWORD": person.password}
    example = await begun("node", "test/built/example/log_in.js", folder=package, **settings)
    code = await stack.inbox.wait_for_code(person.email)
    assert (await ended(example, f"{code}\n")).endswith("Hello, Dave Gahan.\nYour login is of class 2.\n")


async def test_two_tabs_refresh_once_and_stay_logged_in(window: BrowserContext, stack: Standalone) -> None:
    person = await register(stack)
    refreshes: list[str] = []
    window.on("request", lambda request: refreshes.append(request.url) if "refresh-token" in request.url else None)
    first, second = await opened(window), await opened(window)
    await first.evaluate("given => login.logIn(...given)", [person.username, person.password])
    await first.evaluate(_AGE)

    both = await asyncio.gather(*(page.evaluate("() => login.accessToken()") for page in (first, second, first)))

    assert len(set(both)) == 1
    assert len(refreshes) == 1
    answer = await second.evaluate("async () => (await login.api.GET('/api/v1/users/me')).data")
    assert answer["username"] == person.username


async def test_a_passkey_is_made_and_logs_in_alone(window: BrowserContext, stack: Standalone) -> None:
    person = await register(stack)
    page = await opened(window)
    await Authenticator.of(page)
    assert await page.evaluate(_ENROL, [person.username, person.password]) == "Laptop"
    await page.evaluate("() => login.logOut()")

    await page.evaluate("() => login.logInWithPasskey()")

    answer = await page.evaluate("async () => (await login.api.GET('/api/v1/users/me')).data")
    assert answer["username"] == person.username
