"""GET /auth/forward: what a gateway is told, whatever it asks with, and whatever goes wrong."""

from __future__ import annotations

import asyncio
from uuid import UUID

import httpx
import jwt
import pytest

from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.web.process import listen, serving
from tests.auth_steps import Accounts, Pair, Steps
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.servers.databases import Databases
from tests.servers.ports import free_ports

PATH = f"{AUTH}/forward"
NAMES = (
    "X-Auth-Subject", "X-Auth-Session", "X-Auth-Admin", "X-Auth-Verified", "X-Auth-Groups", "X-Auth-Acr", "X-Auth-Amr",
    "X-Auth-Time",
)  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]


async def ask(auth: AuthApp, tokens: Pair, path: str = "", method: str = "GET") -> httpx.Response:
    return await auth.http.request(method, PATH + path, headers=bearer(tokens.access))


def told(answer: httpx.Response) -> list[str | None]:
    return [answer.headers.get(name) for name in NAMES]


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["status"], answer.json()["code"]) == (status, code)
    assert answer.headers["cache-control"] == "no-store"
    assert told(answer) == [None] * len(NAMES)


@pytest.fixture
async def account(accounts: Accounts) -> AccountChanged:
    return await accounts.new()


@pytest.fixture
async def tokens(auth_app: AuthApp, steps: Steps, account: AccountChanged) -> Pair:
    """Asks for the service, so that nobody logs in before it runs."""
    return await steps.log_in(account)


async def test_a_good_token_passes_and_its_account_session_and_rights_are_told(
    auth_app: AuthApp, account: AccountChanged, tokens: Pair
) -> None:
    """A header that has nothing to say is there and empty: a gateway could leave a client's own where there is none."""
    claims = jwt.decode(tokens.access, options={"verify_signature": False})

    answer = await ask(auth_app, tokens)

    assert (answer.status_code, answer.content) == (204, b"")
    login = ["1", "pwd", str(claims["auth_time"])]
    assert told(answer) == [str(account.account_id), claims["sid"], "false", "true", "", *login]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("character", ["%00", "%0a", "%7f", "%e2%80%a8"])
async def test_a_path_with_a_control_character_does_not_pass_though_nobody_looks_at_it(
    auth_app: AuthApp, tokens: Pair, character: str
) -> None:
    answer = await auth_app.http.get(f"{AUTH}/forward/envoy/orders{character}", headers=bearer(tokens.access))

    refused(answer, 403, "bad_request")


async def test_the_rights_are_those_of_this_moment_not_of_the_login(
    auth_app: AuthApp, accounts: Accounts, account: AccountChanged, tokens: Pair
) -> None:
    promoted = await accounts.change(account, is_admin=True)
    await accounts.in_step()
    assert (await ask(auth_app, tokens)).headers["x-auth-admin"] == "true"
    assert (await ask(auth_app, tokens, "/admin")).headers["x-auth-admin"] == "true"

    await accounts.change(promoted, is_admin=False)
    assert (await ask(auth_app, tokens)).headers["x-auth-admin"] == "false"
    refused(await ask(auth_app, tokens, "/admin"), 403, "not_enough_permissions")


async def test_groups_and_the_proof_of_the_address_are_those_of_this_moment(
    auth_app: AuthApp, accounts: Accounts, account: AccountChanged, tokens: Pair
) -> None:
    told_before = told(await ask(auth_app, tokens))
    changed = await accounts.change(account, groups=("night-shift", "staff"), email_verified=False)
    assert told(await ask(auth_app, tokens))[3:5] == ["false", "night-shift,staff"]

    await accounts.change(changed, groups=(), email_verified=True)
    assert told(await ask(auth_app, tokens)) == told_before


@pytest.mark.parametrize("change", ["logout", "deactivation", "deletion", "change of password"])
@pytest.mark.parametrize("path", ["", "/admin", "/envoy/x"])
async def test_a_session_that_has_ended_is_refused(
    auth_app: AuthApp, accounts: Accounts, account: AccountChanged, tokens: Pair, change: str, path: str
) -> None:
    if change == "logout":
        await auth_app.http.post(f"{AUTH}/logout", headers=bearer(tokens.access))
    elif change == "deactivation":
        await accounts.change(account, is_active=False)
    elif change == "deletion":
        await accounts.delete(account)
    else:
        await accounts.end_sessions(account)

    refused(await ask(auth_app, tokens, path), 401, "invalid_token")


async def test_neither_a_refresh_nor_a_temporary_token_passes(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, tokens: Pair
) -> None:
    temporary = (await steps.begin(await accounts.new(is_2fa=True))).temporary

    for token in (tokens.refresh, temporary):
        refused(await ask(auth_app, Pair(token, "")), 401, "invalid_token")


async def test_every_method_is_answered_like_get(auth_app: AuthApp, tokens: Pair) -> None:
    """A gateway may ask with the method of the request that it asks about."""
    for method in METHODS:
        answer = await ask(auth_app, tokens, method=method)
        assert (answer.status_code, told(answer)) == (204, told(await ask(auth_app, tokens))), method
        assert (await auth_app.http.request(method, PATH)).status_code == 401


@pytest.mark.parametrize(
    "path", ["", "/", "/a/b?admin=true", "/x/%2e%2e/%2e%2e/%2e%2e/token", "/%2f%c3%a9", "/envoy/", "/admin/envoy"]
)
async def test_envoy_gets_its_200_for_any_method_and_path(auth_app: AuthApp, tokens: Pair, path: str) -> None:
    for method in METHODS:
        answer = await ask(auth_app, tokens, f"/envoy{path}", method)
        assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0"), method
        assert told(answer) == told(await ask(auth_app, tokens))
        assert (await auth_app.http.request(method, f"{PATH}/envoy{path}")).status_code == 401


async def test_envoy_is_told_too_that_somebody_is_no_administrator(
    auth_app: AuthApp, accounts: Accounts, account: AccountChanged, tokens: Pair
) -> None:
    refused(await ask(auth_app, tokens, "/admin/envoy/x"), 403, "not_enough_permissions")

    await accounts.change(account, is_admin=True)
    await accounts.in_step()

    assert (await ask(auth_app, tokens, "/admin/envoy/x")).status_code == 200


@pytest.mark.parametrize(
    "path", ["//", "/nowhere", "/admins", "/admin//", "/envoys", "/admin/nowhere", "/nowhere/envoy"]
)
async def test_a_gateway_that_is_set_up_wrongly_lets_nobody_pass(auth_app: AuthApp, tokens: Pair, path: str) -> None:
    refused(await ask(auth_app, tokens, path), 403, "not_found")


async def test_paths_that_only_begin_alike_are_none_of_a_gateways(auth_app: AuthApp, tokens: Pair) -> None:
    assert (await ask(auth_app, tokens, "er")).status_code == 404


async def test_headers_that_are_too_large_are_refused_with_403(auth_app: AuthApp, tokens: Pair) -> None:
    """A request full of cookies: 431 would be a 500 at nginx."""
    answer = await auth_app.http.get(PATH, headers={"Cookie": "x" * 9000} | bearer(tokens.access))

    refused(answer, 403, "headers_too_large")


async def test_a_body_that_is_too_large_is_refused_with_403_and_ends_the_connection(
    auth_app: AuthApp, tokens: Pair
) -> None:
    answer = await auth_app.http.post(PATH, headers=bearer(tokens.access), content=b"x" * 70_000)

    refused(answer, 403, "content_too_large")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("second", ["the same", "another"])
async def test_of_two_tokens_none_passes(auth_app: AuthApp, tokens: Pair, second: str) -> None:
    """The upstream might read the other one."""
    other = tokens.access if second == "the same" else "x"
    both = [("Authorization", f"Bearer {tokens.access}"), ("Authorization", f"Bearer {other}")]

    for headers in (both, both[::-1]):
        refused(await auth_app.http.get(PATH, headers=headers), 401, "invalid_token")


async def test_over_a_real_connection_too_every_refusal_is_one_that_a_gateway_carries(auth_app: AuthApp) -> None:
    bound = listen("127.0.0.1", 0, hint="")
    async with (
        serving(auth_app.app, bound, grace=1),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", trust_env=False) as http,
    ):
        for headers, status in (({}, 401), (bearer("x" * 7000), 401), (bearer("x" * 60_000), 403)):
            for method in METHODS:
                answer = await http.request(method, PATH, headers=headers)
                assert answer.status_code == status, method
                assert bool(answer.content) is (method != "HEAD")
        answer = await http.post(PATH, content=b"x" * 70_000)
        assert (answer.status_code, answer.headers["connection"]) == (403, "close")


async def test_while_the_database_is_away_nobody_passes_and_no_session_is_called_ended(
    databases: Databases, keys: Keys, bus: MemoryBus, tokens: Pair
) -> None:
    """A 401 would make clients throw good tokens away, and 503 is a 500 at nginx."""
    (nobody,) = free_ports(1)
    away = auth_settings(databases, keys, auth_database_url=f"postgresql+asyncpg://auth:x@127.0.0.1:{nobody}/none")
    async with running_auth(away, MemoryBus()) as auth:
        answer = await ask(auth, tokens)

    refused(answer, 403, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_fault_of_ours_lets_nobody_pass(auth_app: AuthApp, tokens: Pair) -> None:
    del auth_app.app.state.auth

    answer = await ask(auth_app, tokens)

    refused(answer, 403, "internal_error")
    assert answer.headers["x-request-id"]


async def test_a_gateway_can_follow_its_question_by_the_request_id(auth_app: AuthApp, tokens: Pair) -> None:
    for path, headers in (("", bearer(tokens.access)), ("/nowhere", bearer(tokens.access)), ("", {})):
        answer = await auth_app.http.get(PATH + path, headers=headers | {"X-Request-ID": "gateway-17"})
        assert answer.headers.get_list("x-request-id") == ["gateway-17"]


async def test_many_questions_at_once_are_each_answered_for_their_own_token(
    auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    people = [await accounts.new() for _ in range(5)]
    pairs = [await steps.log_in(person) for person in people]

    answers = await asyncio.gather(*(ask(auth_app, tokens) for tokens in pairs * 6))

    assert [UUID(answer.headers["x-auth-subject"]) for answer in answers] == [each.account_id for each in people] * 6
