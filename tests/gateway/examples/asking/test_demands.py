"""Where auth or the gateway demands more than a good token, the client is told what is missing."""

from __future__ import annotations

import pytest

from services.auth.tokens.keys import KeyRing
from shared.messaging.memory import MemoryBus
from tests.asking import problem
from tests.auth_steps import Accounts, pair
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.forging import Signer, reissued
from tests.gateway.examples.asking.conftest import FORGED
from tests.gateway.examples.conftest import ISSUER, site
from tests.gateway.examples.gateways import Gateway, demanding
from tests.servers.databases import Databases

FORWARD = f"{AUTH}/forward"


async def test_who_lacks_what_is_demanded_does_not_pass_and_is_told_what(
    gateway: Gateway,
    auth_databases: Databases,
    keys: Keys,
    accounts: Accounts,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    demands = {"email_verification": "required", "require_2fa": "all"}
    account = await accounts.new(email_verified=False)
    async with (
        running_auth(auth_settings(auth_databases, keys, issuer=ISSUER, **demands), MemoryBus()) as auth,
        site(gateway, auth, tmp_path_factory.mktemp("demands")) as protected,
    ):
        access = bearer(pair(await auth.log_in(account.username)).access)
        for code in ("email_not_verified", "second_factor_required"):
            answer = await protected.http.get("/", headers=access)
            assert problem(answer, 403, code) == (await auth.http.get(FORWARD, headers=access)).json()
            await accounts.change(account, email_verified=True)

    assert protected.upstream.seen == []


async def test_who_does_not_meet_the_demands_in_the_path_is_told_them_and_after_a_step_up_passes(
    gateway: Gateway, auth: AuthApp, keys: Keys, accounts: Accounts, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = "/group/staff/acr/2/age/600"
    account = await accounts.new()
    access = pair(await auth.log_in(account.username)).access
    async with site(gateway, auth, tmp_path_factory.mktemp("path"), demanding(path)) as protected:
        answer = await protected.http.get("/", headers=bearer(access))
        problem(answer, 403, "not_enough_permissions")

        await accounts.change(account, groups=("staff",))
        own = await auth.http.get(FORWARD + path, headers=bearer(access))
        for target in ("/", "/acr/1?acr=1&demands=", "/a/%2e%2e/envoy/%2e%2e/acr/1"):
            answer = await protected.http.get(target, headers=[*FORGED, *bearer(access).items()])
            assert problem(answer, 401, "insufficient_user_authentication") == own.json()
            assert answer.headers.get_list("www-authenticate") == [own.headers["www-authenticate"]]
        assert protected.upstream.seen == []

        key = KeyRing(keys.folder).signing_key()
        stronger = reissued(Signer(key.kid, key.private), access, amr=["pwd", "otp", "mfa"])
        assert (await protected.http.get("/", headers=bearer(stronger))).status_code == 200
        (seen,) = protected.upstream.seen
        assert (seen.values("x-auth-acr"), seen.values("x-auth-amr")) == (["2"], ["pwd otp mfa"])
