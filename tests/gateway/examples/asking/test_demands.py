"""Where auth demands a proved address or a second factor, the client is told which of them is missing."""

from __future__ import annotations

import pytest

from shared.messaging.memory import MemoryBus
from tests.asking import problem
from tests.auth_steps import Accounts, pair
from tests.composed import AUTH, Keys, auth_settings, bearer, running_auth
from tests.gateway.examples.conftest import ISSUER, site
from tests.gateway.examples.gateways import Gateway
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
