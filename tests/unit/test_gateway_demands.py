"""Which paths below /auth/forward are questions of a gateway; every other is refused (services.auth.gateway.demands).

What each demand demands: tests/integration/auth/test_gateway_demands.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace

import httpx
import pytest

from services.auth import app as auth
from services.auth.gateway.demands import PATH
from services.auth.settings import AuthSettings
from shared.names import MOST_GROUPS
from tests.asking import client_of, problem

ENVOYS = ("/envoy", "/envoy/", "/envoy/a%2Fb/%2e%2e/acr/9?acr=1")

ASKED = [
    "", "/admin", "/group/staff", "/acr/1", "/acr/3", "/age/1", "/age/999999999",
    "/group/a/group/b/group/a", "/admin/group/staff/group/night-shift/acr/2/age/300",
    "/admin/acr/2", "/admin/age/60", "/group/x/age/60", "/acr/2/age/60",
    f"/group/{'a' * 32}", "/group/x" * MOST_GROUPS,
    "/browser", "/acr/2/age/60/browser",
    # Names of groups like words of the grammar.
    "/group/browser", "/group/group", "/group/admin/acr/2", "/group/envoy", "/group/acr/group/2", "/group/-",
]  # fmt: skip

NOT_ASKED = [
    "/acr/0", "/acr/4", "/acr/22", "/acr/02", "/acr/2.0", "/acr/urn:login2fa:acr:2", "/acr", "/acr/", "/acr//",
    "/age/0", "/age/-1", "/age/+1", "/age/01", "/age/1e9", "/age/60s", "/age/1000000000", "/age", "/age/",
    "/group", "/group/", "/group//", f"/group/{'a' * 33}", "/group/Staff", "/group/a,b", "/group/a_b", "/group/a.b",
    "/group/x" * (MOST_GROUPS + 1),
    # Out of order, twice, with something beside it.
    "/acr/2/admin", "/age/60/acr/2", "/acr/2/group/x", "/age/60/group/x", "/group/x/admin", "/admin/admin",
    "/acr/1/acr/2", "/acr/2/acr/2", "/age/60/age/60", "/acr/2/age/60/x", "/x/acr/2", "/Admin", "/ACR/2", "/acr/2;x",
    "//admin", "/admin//acr/2", "/acr/2//", "/%2e/admin", "/acr/2/%2e%2e/admin", "/groups/x",
    "/browser/acr/2", "/browser/browser", "/browser/admin", "/browsers", "/browser//", "/envoy-browser", "/brow%73er",
    # An encoded character is none of ours, whatever it stands for.
    "/%61dmin", "%2Fadmin", "/admin%2Facr%2F1", "/acr%2F2", "/acr/%32", "/acr/2%2Fenvoy", "/group/st%61ff",
    "/group/a%2Facr%2F1", "/group/a%2Fenvoy", "/group/a%252Fb", "/group/%C3%A9", "/acr/2%3Facr=1", "/acr/2%23",
    "/acr/2%20", "/acr/%EF%BC%92", "/acr/%D9%A2", "/age/%D9%A3", "/{demands}", "/%7Bdemands:path%7D",
    "/envoys", "/envoy%2Fx", "/%65nvoy/x", "/nowhere/envoy", "/acr/envoy", "/age/envoy/60",
]  # fmt: skip

# A line break at the end, and other characters that nobody sees, have a refusal of their own.
UNPRINTABLE = [
    path + end
    for path in ("/", "/admin", "/group/staff", "/acr/2", "/age/60")
    for end in ("%0a", "/%0a", "%00", "%e2%80%a8")
]


@pytest.fixture
async def gateway() -> AsyncIterator[httpx.AsyncClient]:
    """A gateway whose client has no token: a question is answered 401."""
    app = auth.build(AuthSettings.model_construct())
    app.state.auth = SimpleNamespace(settings=AuthSettings.model_construct())
    async with client_of(app) as client:
        yield client


async def test_demands_are_understood_in_one_order_each_once_but_groups(gateway: httpx.AsyncClient) -> None:
    for path in ASKED:
        for suffix in ("", *ENVOYS):
            problem(await gateway.get(PATH + path + suffix), 401, "token_missing")


async def test_a_final_slash_changes_nothing(gateway: httpx.AsyncClient) -> None:
    for path in ("", "/admin", "/group/staff", "/acr/2/age/60"):
        problem(await gateway.get(f"{PATH}{path}/"), 401, "token_missing")
        problem(await gateway.get(f"{PATH}{path}//"), 403, "not_found")


@pytest.mark.parametrize("suffix", ["", "/envoy/x"])
async def test_whatever_else_is_asked_nobody_passes(gateway: httpx.AsyncClient, suffix: str) -> None:
    for path in NOT_ASKED:
        for method in ("GET", "POST"):
            problem(await gateway.request(method, PATH + path + suffix), 403, "not_found")


async def test_a_character_that_nobody_sees_is_refused_wherever_it_is(gateway: httpx.AsyncClient) -> None:
    for path in UNPRINTABLE:
        for suffix in ("", "/envoy/x"):
            problem(await gateway.get(PATH + path + suffix), 403, "bad_request")


async def test_nothing_is_read_from_the_query(gateway: httpx.AsyncClient) -> None:
    for path in ("", "/admin", "/acr/2", "/nowhere"):
        for query in ("acr=1", "max_age=300", "demands=acr/1", "x"):
            problem(await gateway.get(f"{PATH}{path}?{query}"), 403, "invalid_request")
