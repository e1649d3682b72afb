"""What `make clients` works with: the document of a running stack, and the generators that it has installed."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clients.generators import Generators
from tests.stacks.standalone import Standalone, standalone


@pytest.fixture(scope="package")
def generators(tmp_path_factory: pytest.TempPathFactory) -> Generators:
    found = Generators(Path(sys.prefix) / "generators", tmp_path_factory.mktemp("clients"))
    if not (found.installed / ".done").exists():
        pytest.skip("The generators of clients are not installed: make clients installs them.")
    return found


@pytest.fixture(scope="package")
async def stack(generators: Generators) -> AsyncIterator[Standalone]:
    """The generators are asked for first: it would start for nothing where there are none."""
    async with standalone() as stack:
        await stack.start()
        generators.document.write_bytes((await stack.http.get("/openapi.json")).content)
        yield stack
