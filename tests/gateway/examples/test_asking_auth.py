"""nginx `auth_request`, Caddy `forward_auth` and Envoy `ext_authz`: the examples, in front of a real auth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import jwt
import pytest

from services.auth.keys import KeyRing
from services.auth.tokens import SessionFacts, Tokens
from shared.broker.memory import MemoryBus
from shared.events import AccountChanged
from tests.auth_steps import Accounts, pair
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.forging import access_claims, signing_input
from tests.gateway.examples.conftest import ISSUER, Site, site
from tests.gateway.examples.gateways import ASKING, Gateway, administrators_only
from tests.polling import eventually
from tests.servers.databases import Databases
from tests.servers.ports import free_ports

NO_TOKEN = 'Bearer realm="login2fa"'
BAD_TOKEN = f'{NO_TOKEN}, error="invalid_token", error_description="Token not valid"'

FORGED = [
    ("X-Auth-Subject", "01890a5d-ac96-774b-bcce-b302099a8057"),
    ("X-Auth-Session", "01890a5d-ac96-774b-bcce-b302099a8058"),
    ("X-Auth-Admin", "true"),
]


@pytest.fixture(scope="module", params=ASKING)
def gateway_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def gateway(gateway_name: str) -> Gateway:
    return ASKING[gateway_name]


@pytest.fixture(scope="module")
async def running_site(
    gateway: Gateway, auth: AuthApp, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    async with site(gateway, auth, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def protected(running_site: Site) -> Iterator[Site]:
    running_site.upstream.seen.clear()
    yield running_site
    running_site.upstream.status, running_site.upstream.body = 200, b"from the upstream"


@pytest.fixture
async def account(accounts: Accounts) -> AccountChanged:
    return await accounts.new()


@pytest.fixture
async def access(auth: AuthApp, account: AccountChanged) -> str:
    return pair(await auth.log_in(account.username)).access


def refused(answer: httpx.Response, challenge: str) -> None:
    assert answer.status_code == 401, answer.text
    assert answer.headers.get_list("www-authenticate") == [challenge]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "Token not valid"


# Never a 401, on which a client throws its token away.
AUTH_AWAY = {"nginx": 503, "caddy": 502, "envoy": 503}
DATABASE_AWAY = {"nginx": 503, "caddy": 403, "envoy": 403}


async def test_a_good_token_passes_with_the_three_headers_set(
    protected: Site, account: AccountChanged, access: str
) -> None:
    answer = await protected.http.get("/", headers=bearer(access))

    assert (answer.status_code, answer.text) == (200, "from the upstream")
    (seen,) = protected.upstream.seen
    assert seen.values("x-auth-subject") == [str(account.account_id)]
    assert seen.values("x-auth-session") == [jwt.decode(access, options={"verify_signature": False})["sid"]]
    assert seen.values("x-auth-admin") == ["false"]
    assert seen.values("authorization") == [f"Bearer {access}"]


async def test_an_administrator_is_told_from_the_next_request_on(
    protected: Site, accounts: Accounts, account: AccountChanged, access: str
) -> None:
    await protected.http.get("/", headers=bearer(access))
    await accounts.change(account, is_admin=True)
    await protected.http.get("/", headers=bearer(access))

    assert [seen.values("x-auth-admin") for seen in protected.upstream.seen] == [["false"], ["true"]]


async def test_where_only_administrators_may_others_get_403(
    gateway: Gateway,
    auth: AuthApp,
    accounts: Accounts,
    account: AccountChanged,
    access: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with site(gateway, auth, tmp_path_factory.mktemp("admin"), administrators_only) as protected:
        answer = await protected.http.get("/", headers=bearer(access))
        assert (answer.status_code, answer.json()["code"]) == (403, "not_enough_permissions")
        refused(await protected.http.get("/"), NO_TOKEN)
        assert protected.upstream.seen == []

        await accounts.change(account, is_admin=True)
        assert (await protected.http.get("/", headers=bearer(access))).status_code == 200
        assert protected.upstream.seen[0].values("x-auth-admin") == ["true"]


async def test_without_a_token_nothing_reaches_the_upstream(protected: Site) -> None:
    refused(await protected.http.get("/"), NO_TOKEN)

    assert protected.upstream.seen == []


async def test_with_a_token_that_is_not_good_nothing_reaches_the_upstream(
    protected: Site, auth: AuthApp, auth_databases: Databases, keys: Keys, accounts: Accounts, account: AccountChanged
) -> None:
    two_factor = await accounts.new(is_2fa=True)
    good = pair(await auth.log_in(account.username))
    settings = auth_settings(auth_databases, keys, issuer=ISSUER)
    expired = Tokens(settings, KeyRing(keys.folder)).access(
        SessionFacts(
            id=uuid4(), account=account.account_id, epoch=0, auth_time=datetime.now(UTC), amr=["pwd"],
            now=datetime.now(UTC) - timedelta(seconds=settings.access_token_lifetime + 5),
        )
    )  # fmt: skip
    bad = {
        "refresh": good.refresh,
        "temporary": (await auth.log_in(two_factor.username)).json()["temporary_token"],
        "expired": expired,
        "changed": good.access[:-4] + "AAAA",
        "unsigned": signing_input(access_claims(iss=ISSUER), {"alg": "none", "typ": "at+jwt", "kid": "x"}) + ".",
        "none at all": "x",
    }
    for kind, token in bad.items():
        answer = await protected.http.get("/", headers=bearer(token))
        assert answer.status_code == 401, kind
        refused(answer, BAD_TOKEN)

    assert protected.upstream.seen == []


@pytest.mark.parametrize("scheme", ["Basic", "Token", "Bearer Bearer"])
async def test_a_token_under_another_scheme_does_not_pass(protected: Site, access: str, scheme: str) -> None:
    refused(await protected.http.get("/", headers={"Authorization": f"{scheme} {access}"}), BAD_TOKEN)

    assert protected.upstream.seen == []


async def test_a_token_in_the_query_or_a_cookie_is_not_looked_for(protected: Site, access: str) -> None:
    refused(await protected.http.get("/", params={"access_token": access}), NO_TOKEN)
    refused(await protected.http.get("/", headers={"Cookie": f"access_token={access}"}), NO_TOKEN)

    assert protected.upstream.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/%2e%2e/%2e%2e/%2e%2e/.well-known/jwks.json",
        "/..%2f..%2f..%2ftoken",
        "//token",
        "/_auth",
        "/api/v1/auth/forward",
        "/?admin=false",
        "/envoy",
        "/%0d%0a",
        "/;x",
    ],
)
async def test_no_path_leads_past_the_question(protected: Site, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await protected.http.request(method, path)
        assert answer.status_code in {400, 401, 404}, answer.text  # a path may also be refused for itself

    assert protected.upstream.seen == []


async def test_a_session_that_was_logged_out_is_refused_at_once(protected: Site, auth: AuthApp, access: str) -> None:
    assert (await protected.http.get("/", headers=bearer(access))).status_code == 200
    assert (await auth.http.post(f"{AUTH}/logout", headers=bearer(access))).status_code == 204

    refused(await protected.http.get("/", headers=bearer(access)), BAD_TOKEN)

    assert len(protected.upstream.seen) == 1


async def test_the_session_of_an_account_that_was_locked_is_refused_at_once(
    protected: Site, accounts: Accounts, account: AccountChanged, access: str
) -> None:
    await accounts.change(account, is_active=False)

    refused(await protected.http.get("/", headers=bearer(access)), BAD_TOKEN)

    assert protected.upstream.seen == []


@pytest.mark.parametrize("spelling", ["{}", "lower", "UPPER", "twice", "_", "mixed"])
async def test_a_forged_header_never_reaches_the_upstream(
    protected: Site, account: AccountChanged, access: str, spelling: str
) -> None:
    forged = FORGED
    if spelling == "lower":
        forged = [(name.lower(), value) for name, value in FORGED]
    elif spelling == "UPPER":
        forged = [(name.upper(), value) for name, value in FORGED]
    elif spelling == "twice":
        forged = FORGED * 2
    elif spelling == "_":
        forged = [(name.replace("-", "_"), value) for name, value in FORGED]
    elif spelling == "mixed":
        forged = [(f"X-Auth_{name[7:]}", value) for name, value in FORGED]
        forged += [(f"x_auth-{name[7:]}", value) for name, value in FORGED]

    answer = await protected.http.get("/", headers=[*forged, *bearer(access).items()])

    assert answer.status_code == 200
    (seen,) = protected.upstream.seen
    # As a server sees them that hands headers on as variables of the environment.
    told = [(name.replace("_", "-"), value) for name, value in seen.headers if name.replace("_", "-")[:7] == "x-auth-"]
    assert sorted(told) == [
        ("x-auth-admin", "false"),
        ("x-auth-session", jwt.decode(access, options={"verify_signature": False})["sid"]),
        ("x-auth-subject", str(account.account_id)),
    ]


@pytest.mark.parametrize("gateway_name", ["caddy", "envoy"], indirect=True)  # nginx can not drop headers by a prefix
async def test_no_other_header_of_that_prefix_reaches_the_upstream(protected: Site, access: str) -> None:
    for name in ("X-Auth-Roles", "x-auth-roles", "X_AUTH_ROLES", "X-Auth_Roles"):
        await protected.http.get("/", headers={name: "root"} | bearer(access))

    assert len(protected.upstream.seen) == 4
    assert [header for seen in protected.upstream.seen for header in seen.headers if "root" in header] == []


async def test_what_auth_told_the_gateway_is_not_shown_to_the_client(protected: Site, access: str) -> None:
    for path in ("/", "/_auth"):
        answer = await protected.http.get(path, headers=bearer(access))
        assert [name for name in answer.headers if name.startswith("x-auth-")] == []


async def test_forged_headers_alone_are_no_token(protected: Site) -> None:
    refused(await protected.http.get("/", headers=FORGED), NO_TOKEN)

    assert protected.upstream.seen == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_method_target_and_body_reach_the_upstream_unchanged(protected: Site, access: str, method: str) -> None:
    body = b"" if method in {"GET", "HEAD", "OPTIONS"} else bytes(range(256)) * 1000

    answer = await protected.http.request(method, "/a/b%20c?x=1&y=%2F", headers=bearer(access), content=body)

    assert answer.status_code == 200
    assert answer.text == ("" if method == "HEAD" else "from the upstream")
    (seen,) = protected.upstream.seen
    assert (seen.method, seen.target, seen.body) == (method, "/a/b%20c?x=1&y=%2F", body)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
async def test_whatever_the_method_a_bad_token_is_refused(protected: Site, method: str) -> None:
    body = b"x" * 100_000 if method in {"POST", "PUT"} else b""

    answer = await protected.http.request(method, "/", headers=bearer("x"), content=body)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, BAD_TOKEN)
    assert protected.upstream.seen == []


async def test_a_body_in_pieces_of_unknown_length_arrives_whole(protected: Site, access: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(10):
            yield f"piece {number} ".encode()

    answer = await protected.http.post("/", headers=bearer(access), content=pieces())

    assert answer.status_code == 200
    assert protected.upstream.seen[0].body == b"".join([piece async for piece in pieces()])


async def test_a_request_full_of_cookies_passes(protected: Site, access: str) -> None:
    """All of them together are more than auth takes; it has no use for them."""
    cookies = "c=" + "x" * 7900

    answer = await protected.http.get("/", headers={"Cookie": cookies} | bearer(access))

    assert answer.status_code == 200
    assert protected.upstream.seen[0].values("cookie") == [cookies]


@pytest.mark.parametrize("status", [204, 302, 401, 403, 404, 500, 503])
async def test_an_answer_of_the_upstream_passes_as_it_is(protected: Site, access: str, status: int) -> None:
    protected.upstream.status, protected.upstream.body = status, b"" if status == 204 else b"its own words"

    answer = await protected.http.get("/", headers=bearer(access))

    assert (answer.status_code, answer.content) == (status, protected.upstream.body)
    assert "www-authenticate" not in answer.headers


async def test_while_auth_is_away_nobody_passes_and_afterwards_all_is_well(
    protected: Site, gateway_name: str, access: str
) -> None:
    protected.line.refuse()
    protected.line.cut()
    try:
        for token in (bearer(access), bearer("x"), {}):
            assert (await protected.http.get("/", headers=token)).status_code == AUTH_AWAY[gateway_name]
        assert protected.upstream.seen == []
    finally:
        await protected.line.start()

    async def passes() -> bool:
        return (await protected.http.get("/", headers=bearer(access))).status_code == 200

    await eventually(passes)


async def test_while_the_database_of_auth_is_away_nobody_passes(
    gateway: Gateway,
    gateway_name: str,
    auth_databases: Databases,
    keys: Keys,
    access: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    (nobody,) = free_ports(1)
    away = auth_settings(
        auth_databases, keys, issuer=ISSUER, auth_database_url=f"postgresql+asyncpg://auth:x@127.0.0.1:{nobody}/none"
    )
    async with (
        running_auth(away, MemoryBus()) as auth,
        site(gateway, auth, tmp_path_factory.mktemp("away")) as protected,
    ):
        answer = await protected.http.get("/", headers=bearer(access))

    assert (answer.status_code, answer.json()["code"]) == (DATABASE_AWAY[gateway_name], "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert protected.upstream.seen == []
