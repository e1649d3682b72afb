"""What one service answers by itself: the same wherever it runs, so it is asked of one deployment, that of `make up`.

What a gateway makes of requests before a service has them is `tests/gateway`'s.
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
