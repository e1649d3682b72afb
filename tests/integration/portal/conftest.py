"""One portal for all tests of this folder; how to use it is said in tests/composed_portal.py."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.composed import Keys, jwks_url, keys
from tests.composed_portal import ComposedPortal, Visitor, running_portal
from tests.servers.databases import copied
from tests.servers.postgres import Postgres

__all__ = ("jwks_url", "keys")


@pytest.fixture(scope="package")
async def portal(
    postgres: Postgres, database_template: str, keys: Keys, jwks_url: str
) -> AsyncIterator[ComposedPortal]:
    async with (
        copied(postgres, database_template) as databases,
        running_portal(databases, keys, jwks_url, auth={"throttle_free": 2}) as portal,
    ):
        yield portal


@pytest.fixture
def browser(portal: ComposedPortal) -> Visitor:
    """The browser of somebody who was never here before."""
    return portal.browser()
