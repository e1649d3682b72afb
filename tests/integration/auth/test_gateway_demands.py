"""GET /auth/forward/…: what each demand demands, and how a request is refused that does not meet it.

The paths themselves: tests/unit/test_gateway_demands.py. That a client can not change them: tests/security, S56.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import jwt
import pytest

from services.auth.tokens.keys import KeyRing
from shared.messaging.events import AccountChanged
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, Steps
from tests.composed import AUTH, AuthApp, Keys, bearer
from tests.database_clock import DatabaseClock
from tests.forging import Signer, reissued

PATH = f"{AUTH}/forward"
PASSWORD, CODE = ["pwd"], ["pwd", "otp", "mfa"]
PASSKEY, PASSKEY_ALONE = ["pwd", "pop", "user", "mfa"], ["pop", "user", "mfa"]
CHALLENGE = 'Bearer realm="login2fa", error="insufficient_user_authentication", error_description="{}"'


@pytest.fixture
async def account(accounts: Accounts) -> AccountChanged:
    return await accounts.new()


@pytest.fixture
async def tokens(auth_app: AuthApp, steps: Steps, account: AccountChanged) -> Pair:
    return await steps.log_in(account)


@pytest.fixture
def signer(keys: Keys) -> Signer:
    """Signs as auth does."""
    key = KeyRing(keys.folder).signing_key()
    return Signer(key.kid, key.private)


async def ask(auth: AuthApp, access: str, path: str) -> httpx.Response:
    return await auth.http.get(PATH + path, headers=bearer(access))


async def test_every_group_is_demanded_and_counts_from_the_next_question_on(
    auth_app: AuthApp, accounts: Accounts, account: AccountChanged, tokens: Pair
) -> None:
    both = "/group/staff/group/night-shift"
    problem(await ask(auth_app, tokens.access, both), 403, "not_enough_permissions")
    account = await accounts.change(account, groups=("staff", "staff-2"))
    assert (await ask(auth_app, tokens.access, "/group/staff")).status_code == 204
    for path in (both, "/group/staff-", "/group/taff", "/group/staff-3"):
        answer = await ask(auth_app, tokens.access, path)
        problem(answer, 403, "not_enough_permissions")
        assert answer.headers["www-authenticate"] == 'Bearer realm="login2fa", error="insufficient_scope"'

    await accounts.change(account, groups=("night-shift", "staff"))

    assert (await ask(auth_app, tokens.access, both)).status_code == 204
    assert (await ask(auth_app, tokens.access, f"{both}/envoy/x")).status_code == 200


async def test_an_administrator_needs_the_group_too_and_a_member_the_right(
    auth_app: AuthApp, accounts: Accounts, account: AccountChanged, tokens: Pair
) -> None:
    account = await accounts.change(account, groups=("staff",))
    problem(await ask(auth_app, tokens.access, "/admin/group/staff"), 403, "not_enough_permissions")

    account = await accounts.change(account, is_admin=True)
    await accounts.in_step()
    assert (await ask(auth_app, tokens.access, "/admin/group/staff")).status_code == 204

    await accounts.change(account, groups=())
    await accounts.in_step()
    problem(await ask(auth_app, tokens.access, "/admin/group/staff"), 403, "not_enough_permissions")


@pytest.mark.parametrize(
    ("amr", "acr"),
    [
        (PASSWORD, 1),
        (CODE, 2),
        (PASSKEY, 3),
        (PASSKEY_ALONE, 3),
        (["pwd", "pop"], 1),  # a key, whoever holds it
        ([], 1),
        ("pwd otp mfa pop user", 1),  # no list
    ],
    ids=str,
)
async def test_the_class_of_the_login_is_enough_from_its_own_down(
    auth_app: AuthApp, tokens: Pair, signer: Signer, amr: Any, acr: int
) -> None:
    access = reissued(signer, tokens.access, amr=amr)
    told = (await ask(auth_app, access, "")).headers
    assert (told["x-auth-acr"], told["x-auth-amr"]) == (str(acr), " ".join(amr) if isinstance(amr, list) else "")

    for demanded in (1, 2, 3):
        for envoy, passed in (("", 204), ("/envoy/acr/1", 200)):
            answer = await ask(auth_app, access, f"/acr/{demanded}{envoy}")
            if demanded <= acr:
                assert answer.status_code == passed
            else:
                problem(answer, 401, "insufficient_user_authentication")


async def test_the_class_that_a_token_claims_counts_by_its_methods_alone(
    auth_app: AuthApp, tokens: Pair, signer: Signer
) -> None:
    """One source: `acr` is there for those who check tokens themselves."""
    access = reissued(signer, tokens.access, acr="urn:login2fa:acr:3")

    problem(await ask(auth_app, access, "/acr/2"), 401, "insufficient_user_authentication")


async def test_a_login_is_too_old_from_the_second_after_the_age_by_the_databases_clock(
    clock: DatabaseClock, auth_app: AuthApp, tokens: Pair
) -> None:
    """The clock of the process does not move at all."""
    since = jwt.decode(tokens.access, options={"verify_signature": False})["auth_time"]
    assert (await ask(auth_app, tokens.access, "")).headers["x-auth-time"] == str(since)
    await clock.forward(300)
    assert (await ask(auth_app, tokens.access, "/age/300")).status_code == 204
    problem(await ask(auth_app, tokens.access, "/age/299"), 401, "insufficient_user_authentication")

    await clock.forward(0.001)

    problem(await ask(auth_app, tokens.access, "/age/300"), 401, "insufficient_user_authentication")
    assert (await ask(auth_app, tokens.access, "/age/301")).status_code == 204


@pytest.mark.parametrize(("ahead", "passes"), [(0, True), (10, True), (11, False), (10**9, False)])
async def test_a_login_in_the_future_counts_as_fresh_within_ten_seconds_alone(
    clock: DatabaseClock, auth_app: AuthApp, tokens: Pair, signer: Signer, ahead: int, passes: bool
) -> None:
    """A database's clock may step back a little; a time far ahead would be fresh for ever."""
    now: datetime = await clock.now()
    access = reissued(signer, tokens.access, auth_time=int(now.timestamp()) + ahead)

    assert (await ask(auth_app, access, "")).status_code == 204
    answer = await ask(auth_app, access, "/age/60")
    if passes:
        assert answer.status_code == 204
    else:
        problem(answer, 401, "insufficient_user_authentication")


async def test_the_challenge_names_what_was_demanded_and_nothing_else(
    auth_app: AuthApp, tokens: Pair, signer: Signer
) -> None:
    """RFC 9470 section 3: both of two demands, though one of them is met."""
    old = reissued(signer, tokens.access, auth_time=1, amr=CODE)
    for access, path, parameters in (
        (tokens.access, "/acr/2", ', acr_values="urn:login2fa:acr:2"'),
        (tokens.access, "/acr/3/envoy/age/5", ', acr_values="urn:login2fa:acr:3"'),
        (old, "/age/300", ', max_age="300"'),
        (old, "/acr/2/age/60", ', acr_values="urn:login2fa:acr:2", max_age="60"'),
        (tokens.access, "/acr/2/age/999999999", ', acr_values="urn:login2fa:acr:2", max_age="999999999"'),
    ):
        answer = await ask(auth_app, access, path)
        sentence = problem(answer, 401, "insufficient_user_authentication")["detail"]
        assert "`POST /api/v1/auth/step-up`" in sentence
        assert answer.headers.get_list("www-authenticate") == [CHALLENGE.format(sentence) + parameters]
        assert [name for name in answer.headers if name.startswith("x-auth-")] == []


async def test_the_token_counts_first_then_the_rights_then_the_login(
    auth_app: AuthApp, accounts: Accounts, account: AccountChanged, tokens: Pair
) -> None:
    """Nobody is sent to a step-up that would not let him pass."""
    problem(await ask(auth_app, "x", "/group/staff/acr/2"), 401, "invalid_token")
    problem(await ask(auth_app, tokens.access, "/group/staff/acr/2"), 403, "not_enough_permissions")

    await accounts.change(account, groups=("staff",))

    problem(await ask(auth_app, tokens.access, "/group/staff/acr/2"), 401, "insufficient_user_authentication")


async def test_a_question_with_demands_is_answered_alike_with_any_method_and_with_a_body(
    auth_app: AuthApp, tokens: Pair
) -> None:
    for path, status in (("/acr/1/age/600", 204), ("/acr/2", 401), ("/admin", 403), ("/acr/9", 403)):
        first = await ask(auth_app, tokens.access, path)
        assert first.status_code == status
        for method in ("GET", "POST", "OPTIONS"):
            answer = await auth_app.http.request(
                method, PATH + path, headers=bearer(tokens.access), content=b"acr=1" if method == "POST" else None
            )
            assert (answer.status_code, answer.content) == (status, first.content)
