"""Scripts of one origin call the upstream from a browser, through each of the examples that the tests run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.messaging.events import AccountChanged
from tests.auth_steps import pair
from tests.composed import AuthApp, bearer
from tests.gateway.examples.conftest import ORIGIN, Site, site
from tests.gateway.examples.gateways import ASKING, CHECKING_ITSELF

GATEWAYS = ASKING | {"envoy, checking itself": CHECKING_ITSELF}
PREFLIGHT = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture(scope="module", params=GATEWAYS)
async def running_site(
    request: pytest.FixtureRequest, auth: AuthApp, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    async with site(GATEWAYS[request.param], auth, tmp_path_factory.mktemp("gateway")) as running:
        yield running


async def test_a_preflight_is_answered_by_the_gateway_though_auth_is_away(protected: Site) -> None:
    protected.line.refuse()
    protected.line.cut()
    try:
        answer = await protected.http.options("/orders", headers={"Origin": ORIGIN} | PREFLIGHT)
    finally:
        await protected.line.start()

    assert answer.is_success
    assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert protected.upstream.seen == []


async def test_of_another_origin_it_allows_nothing_and_reaches_nobody(protected: Site) -> None:
    answer = await protected.http.options("/orders", headers={"Origin": "https://evil.example.com"} | PREFLIGHT)

    assert "access-control-allow-origin" not in answer.headers
    assert protected.upstream.seen == []


async def test_options_that_are_no_preflight_need_a_token_as_anything_does(protected: Site) -> None:
    answer = await protected.http.options("/orders", headers={"Origin": ORIGIN})

    assert answer.status_code == 401
    assert protected.upstream.seen == []


async def test_a_script_reads_the_answer_and_the_refusal(
    protected: Site, auth: AuthApp, account: AccountChanged
) -> None:
    access = pair(await auth.log_in(account.username)).access

    for token, status in ((bearer(access), 200), (bearer("x"), 401), ({}, 401)):
        answer = await protected.http.get("/", headers={"Origin": ORIGIN} | token)
        assert answer.status_code == status
        assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
        assert "www-authenticate" in answer.headers["access-control-expose-headers"].lower()
        other = await protected.http.get("/", headers={"Origin": "https://evil.example.com"} | token)
        assert "access-control-allow-origin" not in other.headers
