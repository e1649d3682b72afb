"""The examples that ask auth at each request: nginx `auth_request`, Caddy `forward_auth` and Envoy `ext_authz`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from shared.messaging.events import AccountChanged
from tests.auth_steps import pair
from tests.composed import AuthApp
from tests.gateway.examples.conftest import Site, site
from tests.gateway.examples.gateways import ASKING, Gateway

NO_TOKEN = 'Bearer realm="login2fa"'
BAD_TOKEN = f'{NO_TOKEN}, error="invalid_token", error_description="Token not valid"'

FORGED = [
    ("X-Auth-Subject", "01890a5d-ac96-774b-bcce-b302099a8057"),
    ("X-Auth-Session", "01890a5d-ac96-774b-bcce-b302099a8058"),
    ("X-Auth-Admin", "true"),
    ("X-Auth-Verified", "forged"),
    ("X-Auth-Groups", "root"),
    ("X-Auth-Acr", "3"),
    ("X-Auth-Amr", "pop user mfa"),
    ("X-Auth-Time", "4102444800"),
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
async def access(auth: AuthApp, account: AccountChanged) -> str:
    return pair(await auth.log_in(account.username)).access


def refused(answer: httpx.Response, challenge: str, code: str | None = None) -> None:
    assert answer.status_code == 401, answer.text
    assert answer.headers.get_list("www-authenticate") == [challenge]
    assert answer.headers["content-type"] == "application/problem+json"
    usual = "invalid_token" if "invalid_token" in challenge else "token_missing"
    assert answer.json()["code"] == (code or usual)
