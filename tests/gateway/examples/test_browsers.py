"""The examples for browsers: a page load is led to the login, a script refused, and the app gets no cookie of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.web.cookies import GATE, SESSION
from tests.auth_steps import Accounts, pair
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.cookie_steps import Browser, CookieSteps
from tests.gateway.examples.asking.conftest import FORGED
from tests.gateway.examples.conftest import serving_on_a_line
from tests.gateway.examples.gateways import FOR_BROWSERS, as_it_is, demanding
from tests.polling import eventually
from tests.servers.databases import Databases
from tests.servers.echo import Echo, echoing
from tests.servers.ports import free_ports
from tests.servers.tcp_proxy import TcpProxy
from tests.servers.tls_mail import self_signed

ISSUER = "https://login.example.test"
HOST = "app.example.test"
DEEP = "/orders/7?a=1&rd=https://evil.test&b=%2F%26"
PAGE = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
SCRIPT = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
A_SECOND = 1.0
AUTH_AWAY = {"nginx": 503, "caddy": 502, "envoy": 503}


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """`http` is a client of the gateway that keeps no cookies; `line` leads from the gateway to auth."""

    http: httpx.AsyncClient
    upstream: Echo
    line: TcpProxy

    @property
    def deep_link(self) -> str:
        return str(self.http.base_url).rstrip("/") + DEEP


class _Here(httpx.AsyncHTTPTransport):
    """Every name is this machine; its certificate is nobody's."""

    def __init__(self) -> None:
        super().__init__(verify=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(host="127.0.0.1")
        return await super().handle_async_request(request)


@pytest.fixture(scope="module")
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
async def auth(auth_databases: Databases, keys: Keys, auth_bus: MemoryBus, port: int) -> AsyncIterator[AuthApp]:
    places = [f"{scheme}://*.example.test:{port}" for scheme in ("https", "http")]
    settings = auth_settings(
        auth_databases, keys, issuer=ISSUER, gate_cookie_domain="example.test", portal_redirects=places
    )
    async with running_auth(settings, auth_bus) as auth:
        yield auth


@pytest.fixture(scope="module", params=FOR_BROWSERS)
def gateway_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
async def running_app(
    gateway_name: str, auth: AuthApp, port: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[App]:
    async with gated(gateway_name, auth, port, tmp_path_factory.mktemp("gateway")) as app:
        yield app


@pytest.fixture
def app(running_app: App) -> App:
    running_app.upstream.seen.clear()
    return running_app


@pytest.fixture
async def account(accounts: Accounts) -> AccountChanged:
    return await accounts.new()


@pytest.fixture
async def browser(auth: AuthApp, account: AccountChanged) -> Browser:
    return await CookieSteps(auth).browser(pair(await auth.log_in(account.username)).refresh)


@asynccontextmanager
async def gated(
    name: str, auth: AuthApp, port: int, folder: Path, edited: Callable[[str], str] = as_it_is
) -> AsyncIterator[App]:
    async with serving_on_a_line(auth) as line, echoing() as upstream, AsyncExitStack() as started:
        variables = {
            "BIND": "127.0.0.1",
            "PORT": str(port),
            "HOST": HOST,
            "CERTIFICATE": str(self_signed(folder)),
            "AUTH_HOST": "127.0.0.1",
            "AUTH_PORT": str(urlsplit(line.url("http://auth")).port),
            "UPSTREAM_HOST": "127.0.0.1",
            "UPSTREAM_PORT": str(upstream.port),
        }
        variables["KEY"] = variables["CERTIFICATE"]
        await asyncio.to_thread(started.enter_context, FOR_BROWSERS[name](edited, variables, folder))
        url = f"{'http' if name == 'envoy' else 'https'}://{HOST}:{port}"
        async with httpx.AsyncClient(base_url=url, transport=_Here(), trust_env=False, timeout=30) as http:
            yield App(http=http, upstream=upstream, line=line)


def gate(browser: Browser) -> dict[str, str]:
    return {"Cookie": f"{GATE}={browser.gate}"}


def leads_to(answer: httpx.Response, path: str) -> dict[str, str]:
    """The query of the address that the browser is sent to."""
    assert answer.status_code == 302, answer.text
    location = answer.headers["location"]
    assert location.startswith(f"{ISSUER}{path}"), location
    query = parse_qsl(urlsplit(location).query, strict_parsing=True)
    assert len(dict(query)) == len(query)
    return dict(query)


async def test_a_page_load_without_a_login_leads_to_the_login_with_the_very_url(app: App) -> None:
    for headers in (PAGE, {"Accept": "text/html"}, PAGE | {"Cookie": f"{GATE}=old; a=1"}):
        for method in ("GET", "HEAD"):
            assert leads_to(await app.http.request(method, DEEP, headers=headers), "/login") == {"rd": app.deep_link}
    assert app.upstream.seen == []


async def test_what_is_no_page_load_is_refused_with_401(app: App) -> None:
    for method, headers in [
        ("GET", SCRIPT),
        ("GET", {}),
        ("POST", PAGE),
        ("GET", PAGE | bearer("x")),
        # The method that the gateway knows counts, not what the client says of it.
        ("POST", PAGE | {"X-Original-Method": "GET", "X-Forwarded-Method": "GET"}),
    ]:
        answer = await app.http.request(method, DEEP, headers=headers)
        assert (answer.status_code, answer.headers.get("location")) == (401, None), (method, headers)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert app.upstream.seen == []


async def test_after_the_login_the_app_is_there_and_a_logout_ends_it_within_a_second(
    app: App, auth: AuthApp, account: AccountChanged, browser: Browser
) -> None:
    for headers in (PAGE, SCRIPT):
        assert (await app.http.get(DEEP, headers=headers | gate(browser))).text == "from the upstream"
    assert [seen.target for seen in app.upstream.seen] == [DEEP, DEEP]
    assert app.upstream.seen[0].values("x-auth-subject") == [str(account.account_id)]

    access = await CookieSteps(auth).access(browser.session)
    assert (await auth.http.post(f"{AUTH}/logout", headers=bearer(access))).status_code == 204

    async def over() -> bool:
        return (await app.http.get(DEEP, headers=SCRIPT | gate(browser))).status_code == 401

    await eventually(over, A_SECOND)
    assert leads_to(await app.http.get(DEEP, headers=PAGE | gate(browser)), "/login") == {"rd": app.deep_link}


async def test_a_token_passes_as_well_and_stays_at_the_gateway(
    app: App, auth: AuthApp, account: AccountChanged
) -> None:
    access = pair(await auth.log_in(account.username)).access

    assert (await app.http.get("/", headers=bearer(access))).status_code == 200
    assert app.upstream.seen[0].values("authorization") == []


async def test_the_app_gets_its_own_cookies_and_none_of_ours_however_they_are_sent(app: App, browser: Browser) -> None:
    ours, other = f"{GATE}={browser.gate}", f"{SESSION}=secret"
    sent = {
        "": ours,
        "a=1": f"a=1; {ours}",
        "b=2": f"{ours}; b=2",
        "a=1; b=2": f"a=1; {ours}; {other}; b=2",
        "a=1; b=2; c=3": f"{other}; a=1; {other}; {ours}; b=2; {SESSION}-device=secret; c=3; {SESSION}-lang=secret",
        "d=4": f"d=4;{ours};__HOST-LOGIN2FA=secret;\t{SESSION} =secret;  {SESSION}=secret",
        "e=__Host-login2fa": f"e=__Host-login2fa; {ours}",
    }
    for kept, cookies in sent.items():
        assert (await app.http.get("/", headers={"Cookie": cookies})).status_code == 200, cookies
        values = app.upstream.seen[-1].values("cookie")
        assert "; ".join(values) == kept

    lines = [("Cookie", "a=1"), ("Cookie", ours), ("Cookie", f"{other}; b=2")]
    many = [("Cookie", "; ".join([ours, *(f"x{number}=1; {other}" for number in range(30))]))]
    for headers in (lines, many):
        await app.http.get("/", headers=headers)
    for seen in app.upstream.seen:
        assert not any("secret" in value or str(browser.gate) in value for _, value in seen.headers)


async def test_nobody_names_himself_to_the_app(app: App, account: AccountChanged, browser: Browser) -> None:
    remote = [(f"Remote-{name}", "root") for name in ("User", "Groups", "Email", "Name")]
    forged = [*FORGED, *remote]
    spelled = [*forged, *[(name.lower(), value) for name, value in forged]]
    spelled += [(name.replace("-", "_"), value) for name, value in forged]

    answer = await app.http.get("/", headers=[*spelled, *gate(browser).items()])

    assert answer.status_code == 200
    (seen,) = app.upstream.seen
    assert seen.values("x-auth-subject") == [str(account.account_id)]
    named = [(name.replace("_", "-"), value) for name, value in seen.headers]
    assert [name for name, _ in named if name.startswith("remote-")] == []
    assert not {(name.lower(), value) for name, value in FORGED} & set(named)


async def test_of_two_cookies_of_the_login_none_is_believed_and_nobody_is_sent_to_a_login_that_would_not_help(
    app: App, browser: Browser
) -> None:
    ours, tossed = f"{GATE}={browser.gate}", f"{GATE}=tossed"
    for cookies in (f"{ours}; {tossed}", f"{tossed}; a=1; {ours}", f"{ours}; {ours}", f"{tossed}; {tossed}; {ours}"):
        for headers in (PAGE, SCRIPT):
            assert (await app.http.get(DEEP, headers=headers | {"Cookie": cookies})).status_code == 401
    # No browser sends them so, and Caddy reads both as one.
    lines = [("Cookie", ours), ("Cookie", tossed)]
    assert (await app.http.get(DEEP, headers=[*SCRIPT.items(), *lines])).status_code == 401
    assert app.upstream.seen == []


async def test_another_host_is_sent_nowhere(app: App) -> None:
    for host in ("evil.test", "app.example.test.evil.test", "evil.test:443"):
        answer = await app.http.get(DEEP, headers=PAGE | {"Host": host, "X-Forwarded-Host": HOST})
        assert "evil" not in answer.headers.get("location", "")
    assert app.upstream.seen == []


async def test_while_auth_is_away_a_page_load_is_refused_and_not_redirected(app: App, gateway_name: str) -> None:
    app.line.refuse()
    app.line.cut()
    try:
        answer = await app.http.get(DEEP, headers=PAGE)
    finally:
        await app.line.start()

    assert (answer.status_code, answer.headers.get("location")) == (AUTH_AWAY[gateway_name], None)


async def test_demands_lead_to_a_reason_or_to_a_step_up(
    gateway_name: str,
    auth: AuthApp,
    accounts: Accounts,
    account: AccountChanged,
    browser: Browser,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    demands = demanding("/group/staff/acr/2/age/600")
    (port,) = free_ports(1)
    async with gated(gateway_name, auth, port, tmp_path_factory.mktemp("demands"), demands) as app:
        answer = await app.http.get(DEEP, headers=PAGE | gate(browser))
        assert leads_to(answer, "/denied") == {"reason": "not_enough_permissions"}
        assert (await app.http.get(DEEP, headers=SCRIPT | gate(browser))).status_code == 403

        await accounts.change(account, groups=("staff",))
        answer = await app.http.get(DEEP, headers=PAGE | gate(browser))
        assert leads_to(answer, "/step-up") == {"acr": "2", "age": "600"}
        answer = await app.http.get(DEEP, headers=SCRIPT | gate(browser))
        assert answer.status_code == 401
        assert "insufficient_user_authentication" in answer.headers["www-authenticate"]
        assert app.upstream.seen == []
