"""S10: who writes another address into a header is not another client; asked over real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from shared.messaging.memory import MemoryBus
from shared.web.process import listen, serving
from tests.builders import OTHER_PASSWORD
from tests.composed import AUTH, Keys, auth_settings, running_auth
from tests.servers.databases import Databases

FREE = 3
SAYS_WHO = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP")

Listening = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def listening(databases: Databases, keys: Keys, bus: MemoryBus) -> Listening:
    """A client of auth, which listens on 127.0.0.1."""

    @asynccontextmanager
    async def listening(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        limits = auth_settings(databases, keys, throttle_free=FREE, throttle_first_wait=300, **settings)
        bound = listen("127.0.0.1", 0, hint="")
        async with (
            running_auth(limits, bus) as auth,
            serving(auth.app, bound, grace=1),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", trust_env=False) as http,
        ):
            yield http

    return listening


async def guess(http: httpx.AsyncClient, *headers: tuple[str, str]) -> int:
    form = {"username": "nobody", "password": OTHER_PASSWORD}
    answer = await http.post(f"{AUTH}/token", data=form, headers=list(headers))
    return answer.status_code


@pytest.mark.parametrize("header", SAYS_WHO)
async def test_by_default_nobody_is_believed(listening: Listening, header: str) -> None:
    async with listening() as http:
        statuses = [await guess(http, (header, f"192.0.2.{number}")) for number in range(FREE + 1)]

    assert statuses == [400] * FREE + [429]


async def test_of_a_trusted_proxy_the_address_that_it_has_added_counts_and_not_what_the_client_wrote(
    listening: Listening,
) -> None:
    async with listening(trusted_proxies="127.0.0.1") as http:
        written = [await guess(http, ("X-Forwarded-For", f"192.0.2.{n}, 198.51.100.1")) for n in range(FREE + 1)]
        in_two_headers = await guess(http, ("X-Forwarded-For", "192.0.2.9"), ("X-Forwarded-For", "198.51.100.1"))
        other_headers = await guess(http, ("X-Forwarded-For", "198.51.100.1"), ("Forwarded", "for=192.0.2.9"))
        somebody_else = await guess(http, ("X-Forwarded-For", "192.0.2.1, 198.51.100.2"))

    assert written == [400] * FREE + [429]
    assert (in_two_headers, other_headers, somebody_else) == (429, 429, 400)


async def test_only_the_proxy_that_is_named_is_trusted(listening: Listening) -> None:
    async with listening(trusted_proxies="192.0.2.1,10.0.0.0/8") as http:
        statuses = [await guess(http, ("X-Forwarded-For", f"198.51.100.{n}")) for n in range(FREE + 1)]

    assert statuses == [400] * FREE + [429]


async def test_an_ipv6_client_does_not_begin_anew_with_another_address_of_its_network(listening: Listening) -> None:
    async with listening(trusted_proxies="127.0.0.1") as http:
        mine = [await guess(http, ("X-Forwarded-For", f"2001:db8:1:2::{n}")) for n in range(FREE + 1)]
        somebody_else = await guess(http, ("X-Forwarded-For", "2001:db8:1:3::1"))

    assert mine == [400] * FREE + [429]
    assert somebody_else == 400


async def test_a_forged_address_does_not_refill_the_bucket_against_floods(listening: Listening) -> None:
    async with listening(flood_rate=0.001, flood_burst=2) as http:
        statuses = [await guess(http, ("X-Forwarded-For", f"192.0.2.{number}")) for number in range(3)]

    assert statuses == [400, 400, 429]


async def test_behind_a_trusted_proxy_each_client_has_a_bucket_of_its_own_and_the_proxy_none(
    listening: Listening,
) -> None:
    async with listening(flood_rate=0.001, flood_burst=2, trusted_proxies="127.0.0.1") as http:
        one = [await guess(http, ("X-Forwarded-For", "198.51.100.1")) for _ in range(3)]
        other = await guess(http, ("X-Forwarded-For", "198.51.100.2"))
        silent = [await guess(http) for _ in range(FREE)]

    assert (one, other, silent) == ([400, 400, 429], 400, [400] * FREE)
