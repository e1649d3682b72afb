"""S56: what a gateway demands in the path of its question, no client can change."""

from __future__ import annotations

import httpx
import pytest

from shared.messaging.events import AccountChanged
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, pair
from tests.composed import AUTH, AuthApp, bearer
from tests.database_clock import DatabaseClock
from tests.factor_steps import FactorSteps, claims
from tests.integration.auth.conftest import accounts, clock, factors
from tests.raw_http import connected, request, watched

__all__ = ("accounts", "clock", "factors")

FORWARD = f"{AUTH}/forward"
# By the code of their refusal: what a password alone, in no group, does not meet.
DEMANDS = {
    "/acr/2": "insufficient_user_authentication",
    "/acr/3/age/600": "insufficient_user_authentication",
    "/group/staff": "not_enough_permissions",
    "/admin": "not_enough_permissions",
}
# Appended by Envoy after `/envoy`, as they came: the path and the query are the client's.
OF_A_CLIENT = [
    "/api/v1/auth/forward", "/../api/v1/auth/forward/acr/1/envoy", "/%0a/api/v1/auth/forward",
    "", "/", "/acr/1", "/envoy", "/../../acr/1/envoy", "/../../../forward", "/../../../../forward", "//", "/./..",
    "/%2e%2e/%2e%2e/acr/1", "/..%2f..%2facr%2f1", "/%2F%2e%2e%2Fenvoy", "/;acr=1", "/..;/..;/", "/%3Facr=1", "/%23",
    "?acr=1", "?demands=acr/1&max_age=999999999&group=staff", "?x=/api/v1/auth/forward", "/%", "/%zz", "/%u002e",
    "/\\..\\..", "/" + "a/" * 500,
]  # fmt: skip
CLAIMED = {
    "X-Auth-Acr": "3", "X-Auth-Amr": "pwd pop user mfa", "X-Auth-Time": "4102444800", "X-Auth-Groups": "staff",
    "X-Auth-Admin": "true", "X-Original-URL": FORWARD, "X-Rewrite-URL": FORWARD, "X-Original-URI": FORWARD,
    "X-Forwarded-Uri": FORWARD, "X-Forwarded-Prefix": FORWARD, "X-Envoy-Original-Path": FORWARD,
    "X-HTTP-Method-Override": "HEAD", "Acr-Values": "urn:login2fa:acr:1", "Max-Age": "999999999",
}  # fmt: skip


@pytest.fixture
async def account(accounts: Accounts) -> AccountChanged:
    return await accounts.new()


@pytest.fixture
async def tokens(auth_app: AuthApp, account: AccountChanged) -> Pair:
    return pair(await auth_app.log_in(account.username))


async def ask(auth: AuthApp, access: str, path: str) -> httpx.Response:
    return await auth.http.get(FORWARD + path, headers=bearer(access))


async def test_a_query_is_refused_and_below_envoy_it_is_not_looked_at(auth_app: AuthApp, tokens: Pair) -> None:
    for query in ("acr=1", "acr_values=urn:login2fa:acr:1", "max_age=999999999", "age=999999999", "group=", "demands="):
        for met in ("", "/acr/1", "/age/600"):
            problem(await ask(auth_app, tokens.access, f"{met}?{query}"), 403, "invalid_request")
            assert (await ask(auth_app, tokens.access, f"{met}/envoy?{query}")).status_code == 200
        for path, code in DEMANDS.items():
            problem(await ask(auth_app, tokens.access, f"{path}?{query}"), 403, "invalid_request")
            answer = await ask(auth_app, tokens.access, f"{path}/envoy?{query}")
            assert answer.json()["code"] == code


async def test_no_path_of_a_client_takes_a_demand_away(auth_app: AuthApp, tokens: Pair) -> None:
    """Over a connection, as Envoy sends it: a library would resolve the dots."""
    headers = ["Content-Length: 0", f"Authorization: Bearer {tokens.access}"]
    async with watched(auth_app.app) as server:
        for path in DEMANDS:
            for appended in OF_A_CLIENT:
                async with connected(server.port) as connection:
                    await connection.send(request(f"POST {FORWARD}{path}/envoy{appended}", headers))
                    answer = await connection.answer()
                assert answer.status in {400, 401, 403}, (path, appended)


async def test_an_encoded_character_begins_no_demand_and_ends_none(auth_app: AuthApp, tokens: Pair) -> None:
    """As where a gateway writes a part of the client's host name into the name of a group."""
    for host in (
        "%2Facr%2F1",
        "x%2Fenvoy",
        "x%2Fenvoy%2F",
        "..%2F..",
        "%2e%2e",
        "staff%0a",
        "staff%20",
        "sta%66f",
        "",
        "*",
    ):
        answer = await ask(auth_app, tokens.access, f"/group/{host}")
        assert (answer.status_code, answer.json()["code"]) in {(403, "not_found"), (403, "bad_request")}, host


async def test_no_header_and_no_body_changes_a_demand_or_what_the_gateway_is_told(
    auth_app: AuthApp, tokens: Pair
) -> None:
    headers = CLAIMED | bearer(tokens.access)
    for path, code in DEMANDS.items():
        for content in (b"", b'{"acr":1,"max_age":999999999}'):
            answer = await auth_app.http.request("POST", FORWARD + path, headers=headers, content=content)
            assert answer.json()["code"] == code

    answer = await auth_app.http.get(f"{FORWARD}/acr/1", headers=headers)
    told = {
        name: answer.headers.get_list(name) for name in ("X-Auth-Acr", "X-Auth-Amr", "X-Auth-Time", "X-Auth-Groups")
    }
    assert list(told.values()) == [["1"], ["pwd"], [str(claims(tokens.access)["auth_time"])], [""]]


async def test_a_token_from_before_a_step_up_stays_what_it_was(
    clock: DatabaseClock, factors: FactorSteps, auth_app: AuthApp, accounts: Accounts
) -> None:
    """A thief who has it gains nothing when its owner steps up in the same session."""
    app = await factors.app(await accounts.new())
    old = app.owner.access
    await clock.forward(301)

    asked = await factors.post("step-up", old, acr=2)
    new = pair(await factors.post("verify-totp", asked.json()["temporary_token"], otp=await app.code())).access

    assert claims(new)["sid"] == claims(old)["sid"]
    for path in ("/acr/2", "/age/300", "/acr/1/age/300"):
        problem(await ask(auth_app, old, path), 401, "insufficient_user_authentication")
        assert (await ask(auth_app, new, path)).status_code == 204
    told = [(await ask(auth_app, token, "")).headers for token in (old, new)]
    assert [(each["x-auth-acr"], each["x-auth-amr"]) for each in told] == [("1", "pwd"), ("2", "pwd otp mfa")]
    assert [int(each["x-auth-time"]) for each in told] == [claims(token)["auth_time"] for token in (old, new)]
