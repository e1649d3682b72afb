"""Who is let through to what stands behind the gateway, and how the others are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest

from services.auth.tokens.issue import SessionFacts, Tokens
from services.auth.tokens.keys import KeyRing
from shared.messaging.events import AccountChanged
from tests.auth_steps import Accounts, pair
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer
from tests.forging import access_claims, signing_input
from tests.gateway.examples.asking.conftest import BAD_TOKEN, FORGED, NO_TOKEN, refused
from tests.gateway.examples.conftest import ISSUER, Site, site
from tests.gateway.examples.gateways import Gateway, administrators_only
from tests.servers.databases import Databases


async def test_a_good_token_passes_with_the_headers_set(
    protected: Site, accounts: Accounts, account: AccountChanged, access: str
) -> None:
    await accounts.change(account, groups=("night-shift", "staff"))

    answer = await protected.http.get("/", headers=bearer(access))

    assert (answer.status_code, answer.text) == (200, "from the upstream")
    (seen,) = protected.upstream.seen
    assert seen.values("x-auth-subject") == [str(account.account_id)]
    assert seen.values("x-auth-session") == [jwt.decode(access, options={"verify_signature": False})["sid"]]
    assert seen.values("x-auth-admin") == ["false"]
    assert seen.values("x-auth-verified") == ["true"]
    assert seen.values("x-auth-groups") == ["night-shift,staff"]
    assert seen.values("authorization") == []


async def test_an_administrator_is_told_from_the_next_request_on(
    protected: Site, accounts: Accounts, account: AccountChanged, access: str
) -> None:
    await protected.http.get("/", headers=bearer(access))
    await accounts.change(account, is_admin=True)
    await accounts.in_step()
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
        await accounts.in_step()
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
            id=uuid4(), account=account.account_id, epoch=0, began_at=datetime.now(UTC),
            auth_time=datetime.now(UTC), amr=["pwd"],
            email_verified=True, now=datetime.now(UTC) - timedelta(seconds=settings.access_token_lifetime + 5),
        ),
        uuid4(),
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


@pytest.mark.parametrize("scheme", ["Basic", "Token"])
async def test_a_token_under_another_scheme_does_not_pass(protected: Site, access: str, scheme: str) -> None:
    answer = await protected.http.get("/", headers={"Authorization": f"{scheme} {access}"})
    refused(answer, NO_TOKEN, "scheme_not_bearer")
    assert protected.upstream.seen == []


async def test_a_scheme_twice_does_not_pass(protected: Site, access: str) -> None:
    refused(await protected.http.get("/", headers={"Authorization": f"Bearer Bearer {access}"}), BAD_TOKEN)


@pytest.mark.parametrize("header", ["Bearer", "bearer"])
async def test_a_scheme_without_a_token_is_none(protected: Site, header: str) -> None:
    refused(await protected.http.get("/", headers={"Authorization": header}), NO_TOKEN)

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
        assert answer.status_code in {400, 401, 403, 404}, answer.text  # a path may also be refused for itself

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


async def test_forged_headers_alone_are_no_token(protected: Site) -> None:
    refused(await protected.http.get("/", headers=FORGED), NO_TOKEN)

    assert protected.upstream.seen == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
async def test_whatever_the_method_a_bad_token_is_refused(protected: Site, method: str) -> None:
    body = b"x" * 100_000 if method in {"POST", "PUT"} else b""

    answer = await protected.http.request(method, "/", headers=bearer("x"), content=body)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, BAD_TOKEN)
    assert protected.upstream.seen == []
