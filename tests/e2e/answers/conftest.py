"""One service's own answers are the same wherever it runs, so they are asked of one deployment, that of `make up`.

`tests/gateway` owns what a gateway makes of requests before a service has them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.stacks.stack import Stack
from tests.stacks.standalone import standalone


@pytest.fixture(scope="package")
async def running_stack() -> AsyncIterator[Stack]:
    async with standalone() as stack:
        await stack.start()
        yield stack
