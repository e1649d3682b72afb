"""What the gateway passes on to the upstream, and back to the client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest

from shared.messaging.events import AccountChanged
from tests.composed import AuthApp, bearer
from tests.gateway.examples.asking.conftest import FORGED
from tests.gateway.examples.conftest import Site, site
from tests.gateway.examples.gateways import Gateway, passing_the_token_on
from tests.servers.upstream import upstream


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
    if ("x-auth-groups", "") in told:  # nginx sends none
        told.remove(("x-auth-groups", ""))
    claims = jwt.decode(access, options={"verify_signature": False})
    assert sorted(told) == [
        ("x-auth-acr", "1"),
        ("x-auth-admin", "false"),
        ("x-auth-amr", "pwd"),
        ("x-auth-session", claims["sid"]),
        ("x-auth-subject", str(account.account_id)),
        ("x-auth-time", str(claims["auth_time"])),
        ("x-auth-verified", "true"),
    ]


@pytest.mark.parametrize("gateway_name", ["caddy", "envoy"], indirect=True)  # nginx can not drop headers by a prefix
async def test_no_other_header_of_that_prefix_reaches_the_upstream(protected: Site, access: str) -> None:
    for name in ("X-Auth-Roles", "x-auth-roles", "X_AUTH_ROLES", "X-Auth_Roles"):
        await protected.http.get("/", headers={name: "root"} | bearer(access))

    assert len(protected.upstream.seen) == 4
    assert [header for seen in protected.upstream.seen for header in seen.headers if "root" in header] == []


async def test_the_token_reaches_the_upstream_where_it_is_asked_for_and_nowhere_else(
    gateway: Gateway, auth: AuthApp, protected: Site, access: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with site(gateway, auth, tmp_path_factory.mktemp("token"), passing_the_token_on) as asked_for:
        for each, wanted in ((protected, []), (asked_for, [f"Bearer {access}"])):
            assert (await each.http.get("/", headers=bearer(access))).status_code == 200
            assert each.upstream.seen[0].values("authorization") == wanted


async def test_what_auth_told_the_gateway_is_not_shown_to_the_client(protected: Site, access: str) -> None:
    for path in ("/", "/_auth"):
        answer = await protected.http.get(path, headers=bearer(access))
        assert [name for name in answer.headers if name.startswith("x-auth-")] == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_method_target_and_body_reach_the_upstream_unchanged(protected: Site, access: str, method: str) -> None:
    body = b"" if method in {"GET", "HEAD", "OPTIONS"} else bytes(range(256)) * 1000

    answer = await protected.http.request(method, "/a/b%20c?x=1&y=%2F", headers=bearer(access), content=body)

    assert answer.status_code == 200
    assert answer.text == ("" if method == "HEAD" else "from the upstream")
    (seen,) = protected.upstream.seen
    assert (seen.method, seen.target, seen.body) == (method, "/a/b%20c?x=1&y=%2F", body)


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


@pytest.mark.parametrize("gateway_name", ["nginx"], indirect=True)
async def test_the_upstream_hears_of_the_client_from_nginx_alone(protected: Site, access: str) -> None:
    forged = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "Forwarded": "for=192.0.2.1"}

    await protected.http.get("/", headers=forged | {"Host": "app.test"} | bearer(access))

    (seen,) = protected.upstream.seen
    told = {name: seen.values(f"x-forwarded-{name}") for name in ("for", "host", "proto")}
    assert told == {"for": ["127.0.0.1"], "host": ["app.test"], "proto": ["http"]}
    assert seen.values("forwarded") == []


@pytest.mark.parametrize("gateway_name", ["nginx"], indirect=True)
@pytest.mark.parametrize(
    ("asked", "passed_on"), [("websocket", ["websocket"]), ("WebSocket", ["websocket"]), ("h2c", [])]
)
async def test_of_all_upgrades_websocket_alone_reaches_the_upstream(
    gateway: Gateway, auth: AuthApp, access: str, tmp_path: Path, asked: str, passed_on: list[str]
) -> None:
    """After another one requests would follow that auth was not asked about."""
    with upstream() as behind:
        async with site(gateway, auth, tmp_path, behind=behind.port) as there:
            await there.http.get("/", headers={"Upgrade": asked, "Connection": "Upgrade"} | bearer(access))

    assert behind.last().header("upgrade") == passed_on
