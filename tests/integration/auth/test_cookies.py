"""Sessions of browsers: a refresh token is swapped for a cookie, and each use prolongs its session.

What a cookie opens and what ends it: tests/security, S58.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.web.cookies import SESSION
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, pair
from tests.builders import PASSWORD
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, client, running_auth
from tests.cookie_steps import CookieSteps
from tests.database_clock import DatabaseClock
from tests.factor_steps import FactorSteps, claims
from tests.round_trips import RoundTrips
from tests.servers.databases import Databases

HOUR, DAY = 3600, 86400
IDLE, LIFETIME = {False: 12 * HOUR, True: 30 * DAY}, {False: DAY, True: 90 * DAY}


@pytest.fixture
def cookies(clock: DatabaseClock, auth_app: AuthApp) -> CookieSteps:
    """The database's clock stands still."""
    _ = clock
    return CookieSteps(auth_app)


@pytest.fixture
async def account(cookies: CookieSteps, accounts: Accounts) -> AccountChanged:
    _ = cookies
    return await accounts.new()


@pytest.fixture
async def tokens(account: AccountChanged, auth_app: AuthApp) -> Pair:
    return pair(await auth_app.log_in(account.username))


async def test_the_session_of_a_token_goes_on_with_the_same_claims_for_a_page_and_for_a_gateway(
    cookies: CookieSteps, tokens: Pair, auth_app: AuthApp
) -> None:
    browser = await cookies.browser(tokens.refresh)

    answer = (await cookies.ask(browser.session)).json()

    lasting = ("sid", "sub", "epoch", "auth_time", "amr", "acr", "email_verified")
    of_page, of_login = claims(answer["access_token"]), claims(tokens.access)
    assert {name: of_page[name] for name in lasting} == {name: of_login[name] for name in lasting}
    assert of_page["exp"] - of_page["iat"] == answer["expires_in"] == 60
    by_token = await auth_app.http.get(f"{AUTH}/forward", headers=bearer(tokens.access))
    by_cookie = await cookies.at_gateway((SESSION, browser.session))
    told = [{k: v for k, v in each.headers.items() if k.startswith("x-auth-")} for each in (by_token, by_cookie)]
    assert told[0] == told[1] != {}
    asked = await cookies.at_gateway((SESSION, browser.session), demands="/acr/2")
    problem(asked, 401, "insufficient_user_authentication")


@pytest.mark.parametrize("keep", [False, True])
async def test_a_session_ends_without_use_and_at_its_age_however_much_it_is_used(
    cookies: CookieSteps, account: AccountChanged, clock: DatabaseClock, keep: bool
) -> None:
    used, unused = await cookies.log_in(account, keep=keep), await cookies.log_in(account, keep=keep)
    assert used.max_age == (LIFETIME[True] if keep else None)

    await clock.forward(IDLE[keep] - 1)
    assert await cookies.lives(used)
    await clock.forward(1)
    assert not await cookies.lives(unused)
    left = LIFETIME[keep] - IDLE[keep]
    while left > 1:
        step = min(IDLE[keep] // 2, left - 1)
        await clock.forward(step)
        left -= step
        assert await cookies.lives(used)

    assert (await cookies.ask(used.session)).json()["expires_in"] == 1
    await clock.forward(1)
    assert not await cookies.lives(used)


@pytest.mark.parametrize("setting", ["cookie_idle", "cookie_lifetime", "session_max_lifetime"])
async def test_a_setting_that_was_lowered_counts_for_the_sessions_that_there_are(
    cookies: CookieSteps,
    account: AccountChanged,
    clock: DatabaseClock,
    databases: Databases,
    keys: Keys,
    bus: MemoryBus,
    setting: str,
) -> None:
    browser = await cookies.log_in(account)
    await clock.forward(HOUR)
    lowered = {"refresh_token_lifetime": HOUR, "cookie_idle": HOUR, setting: HOUR}
    if setting == "session_max_lifetime":
        lowered["cookie_idle"] = DAY

    async with running_auth(auth_settings(databases, keys, **lowered), bus) as auth:
        assert not await CookieSteps(auth).lives(browser)
    assert await cookies.lives(browser)


async def test_a_use_is_noted_once_a_minute_and_that_of_a_page_with_where_it_was(
    cookies: CookieSteps, account: AccountChanged, auth_app: AuthApp, clock: DatabaseClock
) -> None:
    browser, begun = await cookies.log_in(account), await clock.now()

    async def listed() -> tuple[datetime, str | None, str | None]:
        headers = bearer(await cookies.access(browser.session))
        (only,) = (await auth_app.http.get(f"{AUTH}/sessions", headers=headers)).json()
        assert only["current"]
        return datetime.fromisoformat(only["last_used_at"]), only["address"], only["user_agent"]

    at_login = await listed()
    await clock.forward(59)
    await cookies.at_gateway((SESSION, browser.session))
    assert await listed() == at_login == (begun, None, None)

    await clock.forward(1)
    async with client(auth_app.app, "2001:db8::1") as elsewhere:
        elsewhere.headers["User-Agent"] = "Phone"
        await elsewhere.post(f"{AUTH}/cookie/access", json={"session_cookie": browser.session})
    assert await listed() == (begun + timedelta(minutes=1), "2001:db8::1", "Phone")

    await clock.forward(60)
    await cookies.at_gateway((SESSION, browser.session))
    assert await listed() == (begun + timedelta(minutes=2), "2001:db8::1", "Phone")


async def test_a_check_by_a_cookie_asks_postgres_once_as_one_by_a_token_does(
    cookies: CookieSteps, account: AccountChanged, auth_app: AuthApp
) -> None:
    browser, round_trips = await cookies.log_in(account), RoundTrips(auth_app.parts.database)

    async def asked() -> int:
        before = round_trips.of_all_requests()
        assert (await cookies.at_gateway((SESSION, browser.session))).status_code == 204
        return round_trips.of_all_requests() - before

    # The driver learns the types on a new connection, and which one is used is chance.
    assert min([await asked() for _ in range(12)]) == 1


@pytest.mark.parametrize("keep", [False, True])
async def test_after_a_step_up_a_session_is_kept_as_it_was_and_its_age_goes_on(
    cookies: CookieSteps, account: AccountChanged, clock: DatabaseClock, factors: FactorSteps, keep: bool
) -> None:
    browser = await cookies.log_in(account, keep=keep)
    await clock.forward(HOUR)

    asked = (await factors.post("step-up", await cookies.access(browser.session))).json()
    stepped = pair(await factors.post("verify-password", asked["temporary_token"], password=PASSWORD))
    new = await cookies.browser(stepped.refresh)

    assert new.max_age == (LIFETIME[True] - HOUR if keep else None)
    assert claims(await cookies.access(new.session))["sid"] == claims(stepped.access)["sid"]
    await clock.forward(IDLE[keep] - 1)
    assert await cookies.lives(new)


async def test_a_session_that_is_older_than_one_of_a_browser_may_be_keeps_its_token(
    cookies: CookieSteps, tokens: Pair, clock: DatabaseClock
) -> None:
    await clock.forward(LIFETIME[False])

    problem(await cookies.swap(tokens.refresh, keep=False), 401, "invalid_refresh_token")

    kept = await cookies.browser(tokens.refresh, keep=True)
    assert kept.max_age == LIFETIME[True] - LIFETIME[False]


async def test_only_a_refresh_token_is_swapped(cookies: CookieSteps, tokens: Pair) -> None:
    for token in (tokens.access, "x", tokens.refresh + "=", tokens.refresh[:-1]):
        problem(await cookies.swap(token), 401, "invalid_refresh_token")
    await cookies.browser(tokens.refresh)
