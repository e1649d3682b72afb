"""S58: what the cookies of a browser open, and what ends them.

How long they live: tests/integration/auth/test_cookies.py.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import httpx
import pytest

from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.web.cookies import GATE, SESSION
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, pair, session_of
from tests.builders import OTHER_PASSWORD, PASSWORD
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.cookie_steps import Browser, CookieSteps
from tests.database_clock import DatabaseClock
from tests.factor_steps import FactorSteps, claims
from tests.integration.auth.conftest import account, accounts, clock, factors, sql
from tests.security.replica import replica
from tests.security.waiting import held
from tests.servers.databases import Databases
from tests.test_architecture import IDS, PUBLIC, routes

__all__ = ("account", "accounts", "clock", "factors", "replica", "sql")

pytestmark = pytest.mark.usefixtures("clock")  # before the service

DOMAIN = "example.com"
AT_ONCE = 20
NOT_OURS = ["", "x", "a" * 43, "a" * 5000, "é" * 43, "\x7f", '"', "a=b", "%00", "eyJhbGciOiJub25lIn0.e30."]


@pytest.fixture
def cookies(auth_app: AuthApp) -> CookieSteps:
    return CookieSteps(auth_app)


@pytest.fixture
async def browser(account: AccountChanged, cookies: CookieSteps) -> Browser:
    return await cookies.log_in(account)


@pytest.fixture
async def gated(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[CookieSteps]:
    """An auth of a domain whose hosts are gated."""
    settings = auth_settings(databases, keys, gate_cookie_domain=DOMAIN, issuer=f"https://login.{DOMAIN}")
    async with running_auth(settings, bus) as auth:
        yield CookieSteps(auth)


# --- what they open


async def test_where_subdomains_are_gated_each_cookie_opens_its_own_door_alone(
    account: AccountChanged, gated: CookieSteps
) -> None:
    browser = await gated.log_in(account)
    assert browser.gate is not None

    assert await gated.lives(browser)
    problem(await gated.ask(browser.gate), 401, "invalid_token")
    problem(await gated.at_gateway((SESSION, browser.session)), 401, "token_missing")
    problem(await gated.at_gateway((GATE, browser.session)), 401, "invalid_token")
    problem(await gated.at_gateway((SESSION, browser.gate)), 401, "token_missing")


async def test_no_other_route_reads_a_cookie(auth_app: AuthApp, browser: Browser) -> None:
    """So no script and no page of another site does anything with it."""
    sent = {"Cookie": f"{SESSION}={browser.session}; {GATE}={browser.session}"}
    guarded = [(method, path) for method, path, _ in routes(auth_app.app) if (method, path) not in PUBLIC]
    answers = {path: await auth_app.http.request(method, path.format(**IDS), headers=sent) for method, path in guarded}

    opened = {path for path, answer in answers.items() if answer.status_code != 401}
    assert opened == {f"{AUTH}/forward", f"{AUTH}/forward/{{demands}}"}


async def test_of_a_token_and_a_cookie_the_token_alone_counts(
    auth_app: AuthApp, accounts: Accounts, browser: Browser, cookies: CookieSteps
) -> None:
    other = await accounts.new()
    token, cookie = (await session_of(auth_app, other)).access, (SESSION, browser.session)

    passed = await cookies.at_gateway(cookie, headers=bearer(token))
    assert passed.headers["x-auth-subject"] == str(other.account_id)
    for bad in ("Bearer x", f"Bearer {token}x", "Bearer a b"):
        assert (await cookies.at_gateway(cookie, headers={"Authorization": bad})).status_code == 401
    # Another scheme is for the site behind the gateway: the cookie counts.
    assert (await cookies.at_gateway(cookie, headers={"Authorization": "Basic eDp5"})).status_code == 204


async def test_a_cookie_that_comes_twice_opens_nothing(
    browser: Browser, cookies: CookieSteps, auth_app: AuthApp
) -> None:
    """A site below the same domain has set one of both."""
    ours = (SESSION, browser.session)
    for others in (ours, (SESSION, "x"), (SESSION, "")):
        for both in ((ours, others), (others, ours)):
            assert (await cookies.at_gateway(*both)).status_code == 401
            headers = [("Cookie", f"{name}={value}") for name, value in both]
            assert (await auth_app.http.get(f"{AUTH}/forward", headers=headers)).status_code == 401
    assert (await cookies.at_gateway(("x", "y"), ours, ("x", "z"))).status_code == 204


async def test_a_value_that_is_none_of_ours_is_refused_and_never_an_error(
    browser: Browser, cookies: CookieSteps, auth_app: AuthApp
) -> None:
    for value in (*NOT_OURS, browser.session[:-1], browser.session + "a", browser.session.swapcase()):
        header = f"{SESSION}={value}".encode()
        assert (await auth_app.http.get(f"{AUTH}/forward", headers={b"Cookie": header})).status_code == 401
        assert (await cookies.ask(value)).status_code in {401, 422}
    for header in (b"a" * 9000, f"{SESSION}=".encode() + b"\xff\x00"):  # too long, and no text
        assert (await auth_app.http.get(f"{AUTH}/forward", headers={b"Cookie": header})).status_code in {401, 403}
    assert await cookies.lives(browser)


async def test_of_a_cookie_its_hash_is_kept_and_no_two_are_alike(
    account: AccountChanged, gated: CookieSteps, sql: asyncpg.Connection
) -> None:
    browsers = [await gated.log_in(account) for _ in range(3)]

    values = [value for each in browsers for value in (each.session, each.gate or "")]
    rows = await sql.fetch("SELECT cookie_hash, gate_hash FROM sessions WHERE cookie_hash IS NOT NULL")
    assert {bytes(each) for row in rows for each in row} == {hashlib.sha256(each.encode()).digest() for each in values}
    assert len(set(values)) == 6
    assert {len(value) for value in values} == {43}  # 256 bits


# --- what ends them


@dataclass(frozen=True)
class Session:
    """A browser's session, beside another one of the same account."""

    account: AccountChanged
    browser: Browser
    page: str
    other: Pair


Ending = Callable[[AuthApp, Accounts, FactorSteps, Session], Awaitable[object]]


async def logout(auth: AuthApp, _accounts: Accounts, _factors: FactorSteps, session: Session) -> None:
    await auth.http.post(f"{AUTH}/logout", headers=bearer(session.page))


async def logout_everywhere(auth: AuthApp, _accounts: Accounts, _factors: FactorSteps, session: Session) -> None:
    await auth.http.post(f"{AUTH}/logout?all=true", headers=bearer(session.other.access))


async def removal(auth: AuthApp, _accounts: Accounts, _factors: FactorSteps, session: Session) -> None:
    sid = claims(session.page)["sid"]
    await auth.http.delete(f"{AUTH}/sessions/{sid}", headers=bearer(session.other.access))


async def another_factor(_auth: AuthApp, _accounts: Accounts, factors: FactorSteps, session: Session) -> None:
    app = await factors.begin_app(session.other)
    assert (await factors.confirm(app, await app.code())).status_code == 200


async def another_password(_auth: AuthApp, accounts: Accounts, _factors: FactorSteps, session: Session) -> None:
    await accounts.end_sessions(session.account, password=OTHER_PASSWORD, kept_session=None)


async def deactivation(_auth: AuthApp, accounts: Accounts, _factors: FactorSteps, session: Session) -> None:
    await accounts.change(session.account, is_active=False)


async def deletion(_auth: AuthApp, accounts: Accounts, _factors: FactorSteps, session: Session) -> None:
    await accounts.delete(session.account)


async def restored_backup(_auth: AuthApp, accounts: Accounts, _factors: FactorSteps, _session: Session) -> None:
    """It does not know the account."""
    await accounts.in_step(incarnation=2)


ENDINGS: list[Ending] = [
    logout,
    logout_everywhere,
    removal,
    another_factor,
    another_password,
    deactivation,
    deletion,
    restored_backup,
]


async def test_what_ends_a_session_ends_both_cookies_and_an_own_change_of_password_neither(
    gated: CookieSteps, accounts: Accounts, clock: DatabaseClock
) -> None:
    factors = FactorSteps(gated.auth, clock)
    for end in ENDINGS:
        account = await accounts.new()
        browser = await gated.log_in(account)
        page = await gated.access(browser.session)
        account = await accounts.end_sessions(account, kept_session=UUID(claims(page)["sid"]))
        assert await gated.lives(browser)

        other = await session_of(gated.auth, account)
        await end(gated.auth, accounts, factors, Session(account, browser, page, other))

        assert not await gated.lives(browser), end


async def test_of_swaps_at_once_one_gives_cookies_and_a_later_one_ends_the_session(
    account: AccountChanged, cookies: CookieSteps, replica: AuthApp, clock: DatabaseClock
) -> None:
    """So does a refresh. Within the grace a lost answer is more likely than theft."""
    both = [cookies, CookieSteps(replica)]
    for reuse in (cookies.swap, cookies.auth.refresh):
        refresh = (await session_of(cookies.auth, account)).refresh

        answers = await asyncio.gather(*(both[number % 2].swap(refresh) for number in range(AT_ONCE)))

        assert Counter(answer.status_code for answer in answers) == {201: 1, 401: AT_ONCE - 1}
        (given,) = (answer.json() for answer in answers if answer.status_code == 201)
        browser = Browser(session=given["session_cookie"], gate=None, max_age=None)
        assert (await reuse(refresh)).status_code == 401
        assert await cookies.lives(browser)
        await clock.forward(cookies.auth.parts.settings.refresh_grace)
        assert (await reuse(refresh)).status_code == 401
        assert not await cookies.lives(browser)


async def test_a_step_up_ends_the_cookies_that_asked_for_it(
    account: AccountChanged, gated: CookieSteps, clock: DatabaseClock
) -> None:
    """Whoever has copied them must not get the class that their owner has just proved."""
    factors = FactorSteps(gated.auth, clock)
    app = await factors.app(account)
    old = await gated.browser(app.owner.refresh)
    asked = (await factors.post("step-up", await gated.access(old.session), acr=2)).json()

    stepped = pair(await factors.post("verify-totp", asked["temporary_token"], otp=await app.next_code()))

    assert not await gated.lives(old)
    new = await gated.browser(stepped.refresh)
    assert (await gated.at_gateway((GATE, new.gate or ""), demands="/acr/2/age/60")).status_code == 204
    assert not await gated.lives(old)


async def test_whatever_happens_at_once_no_cookie_is_left_that_a_step_up_or_an_end_should_have_ended(
    account: AccountChanged, factors: FactorSteps, cookies: CookieSteps, databases: Databases
) -> None:
    auth, asked = cookies.auth, []

    async def begin_step_up(access: str) -> None:
        asked.append((await factors.post("step-up", access)).json()["temporary_token"])

    def step_up() -> Awaitable[httpx.Response]:
        return factors.post("verify-password", asked.pop(), password=PASSWORD)

    async def race(*racers: Callable[[], Awaitable[httpx.Response]]) -> list[httpx.Response]:
        """In this order all come to wait for what the first of them, or the test, has locked."""
        async with held(databases, "SELECT FROM auth.sessions") as wait:
            started = []
            for number, racer in enumerate(racers, 1):
                started.append(asyncio.ensure_future(racer()))
                await wait(number)
        return [await each for each in started]

    tokens = await session_of(auth, account)
    await begin_step_up(tokens.access)
    swapped, stepped = await race(lambda: cookies.swap(tokens.refresh), step_up)
    assert (swapped.status_code, stepped.status_code) == (201, 200)
    assert (await cookies.ask(swapped.json()["session_cookie"])).status_code == 401

    await begin_step_up(pair(stepped).access)
    again, swapped = await race(step_up, lambda: cookies.swap(pair(stepped).refresh))
    assert (again.status_code, swapped.status_code) == (200, 401)

    browser = await cookies.log_in(account)
    for _ in range(2):
        await begin_step_up(await cookies.access(browser.session))
    refreshes = [pair(each).refresh for each in await race(step_up, step_up)]
    assert [(await cookies.swap(each)).status_code for each in refreshes] == [401, 201]

    last = await session_of(auth, account)
    log_out = functools.partial(auth.http.post, f"{AUTH}/logout", headers=bearer(last.access))
    ended, swapped = await race(log_out, lambda: cookies.swap(last.refresh))
    assert (ended.status_code, swapped.status_code) == (204, 401)
